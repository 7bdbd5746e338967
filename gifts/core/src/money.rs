//! Amounts and currencies. An amount is a whole number of a currency's smallest unit; there is no
//! fraction anywhere.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// Something that can be paid: more than nothing, in smallest units.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "i64", into = "i64")]
pub struct Amount(i64);

impl Amount {
    /// The largest.
    pub const MAX: Self = Self(i64::MAX);

    /// That many smallest units, if that is an amount.
    pub const fn new(units: i64) -> Option<Self> {
        if units > 0 { Some(Self(units)) } else { None }
    }

    /// How many smallest units.
    pub const fn units(self) -> i64 {
        self.0
    }
}

impl fmt::Display for Amount {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// A currency of ISO 4217, or the coins of this server. Each is a ledger of its own.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Currency([u8; 4]);

/// The currencies in use, and how many digits their smallest unit stands behind the point
/// (ISO 4217, list one).
const ISO_4217: [(u8, &str); 5] = [
    (
        0,
        "BIF CLP DJF GNF ISK JPY KMF KRW PYG RWF UGX UYI VND VUV XAF XOF XPF",
    ),
    (
        2,
        "AED AFN ALL AMD AOA ARS AUD AWG AZN BAM BBD BDT BMD BND BOB BRL BSD BTN BWP BYN BZD CAD CDF \
         CHF CNY COP CRC CUP CVE CZK DKK DOP DZD EGP ERN ETB EUR FJD FKP GBP GEL GHS GIP GMD GTQ GYD \
         HKD HNL HTG HUF IDR ILS INR IRR JMD KES KGS KHR KPW KYD KZT LAK LBP LKR LRD LSL MAD MDL MGA \
         MKD MMK MNT MOP MRU MUR MVR MWK MXN MYR MZN NAD NGN NIO NOK NPR NZD PAB PEN PGK PHP PKR PLN \
         QAR RON RSD RUB SAR SBD SCR SDG SEK SGD SHP SLE SOS SRD SSP STN SVC SYP SZL THB TJS TMT TOP \
         TRY TTD TWD TZS UAH USD UYU UZS VES WST XCD YER ZAR ZMW ZWG",
    ),
    (3, "BHD IQD JOD KWD LYD OMR TND"),
    (4, "CLF"),
    (0, "COIN"),
];

impl Currency {
    /// The coins of this server.
    pub const COIN: Self = Self(*b"COIN");

    /// Its code.
    pub fn as_str(&self) -> &str {
        let len = if self.0[3] == 0 { 3 } else { 4 };
        str::from_utf8(&self.0[..len]).expect("a code is of ASCII letters")
    }

    /// How many digits of an amount stand behind the point.
    pub fn digits(self) -> u8 {
        let code = self.as_str();
        let mut lists = ISO_4217.iter();
        lists
            .find(|(_, codes)| codes.split(' ').any(|known| known == code))
            .map_or(0, |(digits, _)| *digits)
    }

    /// A number of smallest units, as people write it: with a point before the last digits.
    pub fn write(self, units: i64) -> String {
        let digits = usize::from(self.digits());
        let sign = if units < 0 { "-" } else { "" };
        let whole = format!("{:0>width$}", units.unsigned_abs(), width = digits + 1);
        let (before, behind) = whole.split_at(whole.len() - digits);
        let point = if digits == 0 { "" } else { "." };
        format!("{sign}{before}{point}{behind}")
    }
}

impl fmt::Display for Currency {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Debug for Currency {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// The text names no currency.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a currency is a code of ISO 4217 in use, such as CNY, or COIN")]
pub struct ParseCurrencyError;

impl FromStr for Currency {
    type Err = ParseCurrencyError;

    fn from_str(text: &str) -> Result<Self, ParseCurrencyError> {
        let codes = ISO_4217.iter().flat_map(|(_, codes)| codes.split(' '));
        let mut known = codes.filter(|code| !code.is_empty());
        if !known.any(|code| code == text) {
            return Err(ParseCurrencyError);
        }
        let mut letters = [0; 4];
        letters[..text.len()].copy_from_slice(text.as_bytes());
        Ok(Self(letters))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_amount_is_more_than_nothing() {
        assert_eq!(Amount::new(0), None);
        assert_eq!(Amount::new(-1), None);
        assert_eq!(Amount::new(i64::MIN), None);
        for units in [1, 1234, i64::MAX] {
            let amount = Amount::new(units).unwrap();
            assert_eq!(amount.units(), units);
            assert_eq!(amount.to_string(), units.to_string());
        }
    }

    #[test]
    fn amounts_are_written_as_people_write_them() {
        let written = |code: &str, units| code.parse::<Currency>().unwrap().write(units);
        assert_eq!(written("CNY", 1234), "12.34");
        assert_eq!(written("CNY", -5), "-0.05");
        assert_eq!(written("JPY", 1234), "1234");
        assert_eq!(written("KWD", 1), "0.001");
        assert_eq!(written("COIN", 0), "0");
        assert_eq!(written("USD", i64::MIN), "-92233720368547758.08");
    }

    #[test]
    fn what_is_no_currency_is_refused() {
        for text in ["", "cny", "XYZ", "COINS", "CNY ", "CNY USD", "¥"] {
            assert_eq!(
                text.parse::<Currency>(),
                Err(ParseCurrencyError),
                "{text:?}"
            );
        }
        for (_, codes) in ISO_4217 {
            for code in codes.split(' ') {
                assert_eq!(code.parse::<Currency>().unwrap().as_str(), code);
            }
        }
    }
}
