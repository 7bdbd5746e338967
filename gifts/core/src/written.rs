//! How what stands in a command is written to other programs: as its text, or its number.

use crate::account::{AccountId, Name, ParseAccountError, Payee};
use crate::command::Reference;
use crate::money::{Amount, Currency, ParseCurrencyError};
use crate::transfer::{ParseTransactionIdError, TransactionId};

/// What stands there is none of what should.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("it is no {0}")]
pub struct NotOne(&'static str);

macro_rules! as_text {
    ($($kind:ty, $error:ty, $read:expr;)*) => {$(
        impl TryFrom<String> for $kind {
            type Error = $error;

            fn try_from(text: String) -> Result<Self, $error> {
                $read(&text)
            }
        }

        impl From<$kind> for String {
            fn from(value: $kind) -> Self {
                value.to_string()
            }
        }
    )*};
}

as_text! {
    Name, NotOne, |text: &str| Name::new(text).ok_or(NotOne("name"));
    Reference, NotOne, |text: &str| Reference::new(text).ok_or(NotOne("reference"));
    Payee, ParseAccountError, str::parse::<Payee>;
    AccountId, ParseAccountError, str::parse::<AccountId>;
    Currency, ParseCurrencyError, str::parse::<Currency>;
    TransactionId, ParseTransactionIdError, str::parse::<TransactionId>;
}

impl TryFrom<i64> for Amount {
    type Error = NotOne;

    fn try_from(units: i64) -> Result<Self, NotOne> {
        Self::new(units).ok_or(NotOne("amount"))
    }
}

impl From<Amount> for i64 {
    fn from(amount: Amount) -> Self {
        amount.units()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_amount_is_written_as_its_number() {
        assert_eq!(i64::from(Amount::try_from(1234).unwrap()), 1234);
        assert_eq!(Amount::try_from(0), Err(NotOne("amount")));
    }

    #[test]
    fn what_is_no_name_or_reference_is_told_from_one() {
        assert_eq!(Name::try_from("A".to_owned()), Err(NotOne("name")));
        assert_eq!(Reference::try_from(String::new()), Err(NotOne("reference")));
        let name = Name::try_from("gift".to_owned()).unwrap();
        assert_eq!(String::from(name), "gift");
    }
}
