//! Who gets how much of a gift. A contract says it in basis points; it has a version, which is kept
//! with each gift that was split by it.

use serde::{Deserialize, Serialize};
use wire::AgencyId;

use crate::money::Amount;

/// All of it, in basis points.
pub const WHOLE: u16 = 10_000;

/// How what a channel earns is shared.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "Parts", into = "Parts")]
pub struct Contract {
    version: i64,
    streamer: u16,
    agency: Option<(AgencyId, u16)>,
}

/// A contract as it is written.
type Parts = (i64, u16, Option<(AgencyId, u16)>);

impl TryFrom<Parts> for Contract {
    type Error = BadContract;

    fn try_from((version, streamer, agency): Parts) -> Result<Self, BadContract> {
        Self::new(version, streamer, agency)
    }
}

impl From<Contract> for Parts {
    fn from(contract: Contract) -> Self {
        (contract.version, contract.streamer, contract.agency)
    }
}

/// The parts are no contract.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the shares of a contract are at most 10000 basis points together")]
pub struct BadContract;

/// What each gets. Nobody gets less than nothing, and together they get all of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "each is what it says")]
pub struct Shares {
    pub streamer: Option<Amount>,
    pub agency: Option<(AgencyId, Amount)>,
    pub platform: Option<Amount>,
}

impl Contract {
    /// The shares of streamer and agency, in basis points; the rest is the platform's.
    ///
    /// # Errors
    /// When they are more than everything.
    pub fn new(
        version: i64,
        streamer: u16,
        agency: Option<(AgencyId, u16)>,
    ) -> Result<Self, BadContract> {
        let shared = agency.map_or(0, |(_, share)| share);
        let together = streamer.checked_add(shared).ok_or(BadContract)?;
        if together > WHOLE {
            return Err(BadContract);
        }
        Ok(Self {
            version,
            streamer,
            agency,
        })
    }

    /// Which version it is.
    pub const fn version(&self) -> i64 {
        self.version
    }

    /// Whether both share alike, whatever their versions.
    pub fn shares_as(&self, other: Self) -> bool {
        (self.streamer, self.agency) == (other.streamer, other.agency)
    }

    /// The shares of streamer, agency and platform, in basis points.
    pub fn basis_points(&self) -> [u16; 3] {
        let agency = self.agency.map_or(0, |(_, share)| share);
        [self.streamer, agency, WHOLE - self.streamer - agency]
    }

    /// Who else has a share.
    pub fn agency(&self) -> Option<AgencyId> {
        self.agency.map(|(agency, _)| agency)
    }

    /// The shares of an amount: each is rounded down, and what is left goes, one by one, to those who
    /// lost most by that; where they lost the same, to the streamer first, then the agency.
    pub fn split(&self, amount: Amount) -> Shares {
        let agency = self.agency.map_or(0, |(_, share)| share);
        let parts = split(amount.units(), [self.streamer, agency]);
        Shares {
            streamer: Amount::new(parts[0]),
            agency: self
                .agency
                .and_then(|(id, _)| Amount::new(parts[1]).map(|share| (id, share))),
            platform: Amount::new(parts[2]),
        }
    }
}

fn split(units: i64, shares: [u16; 2]) -> [i64; 3] {
    let points = [shares[0], shares[1], WHOLE - shares[0] - shares[1]];
    let exact = points.map(|share| i128::from(units) * i128::from(share));
    let whole = i128::from(WHOLE);
    let mut parts =
        exact.map(|part| i64::try_from(part / whole).expect("a part is at most the whole"));
    let mut order = [0, 1, 2];
    // Stable: equal losses stay in the written order.
    order.sort_by_key(|part| std::cmp::Reverse(exact[*part] % whole));
    let left = units - parts.iter().sum::<i64>();
    for part in order
        .into_iter()
        .take(usize::try_from(left).expect("two at most"))
    {
        parts[part] += 1;
    }
    parts
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn shares_are_everything_and_within_one_of_exact(
            units in prop_oneof![1..100_000_i64, 1..=i64::MAX],
            streamer in 0..=WHOLE,
            rest in 0..=WHOLE,
        ) {
            let agency = rest.min(WHOLE - streamer);
            let parts = split(units, [streamer, agency]);
            prop_assert_eq!(parts.iter().map(|part| i128::from(*part)).sum::<i128>(), i128::from(units));
            for (part, share) in parts.into_iter().zip([streamer, agency, WHOLE - streamer - agency]) {
                let exact = i128::from(units) * i128::from(share);
                let off = (i128::from(part) * i128::from(WHOLE) - exact).abs();
                prop_assert!(off < i128::from(WHOLE), "{part} for {share}");
                prop_assert!(part >= 0);
                prop_assert!(share > 0 || part == 0, "who has no share gets nothing");
            }
        }
    }

    #[test]
    fn what_is_left_goes_to_who_lost_most() {
        // 3.33…, 3.33…, 3.34
        assert_eq!(split(10, [3_333, 3_333]), [3, 3, 4]);
        assert_eq!(split(1, [5_000, 0]), [1, 0, 0]);
        assert_eq!(split(1, [0, 5_000]), [0, 1, 0]);
        assert_eq!(split(101, [5_000, 0]), [51, 0, 50]);
        assert_eq!(split(7, [10_000, 0]), [7, 0, 0]);
        // 1, 0.6, 0.4; and 5.5, 2.86, 2.64: who has most did not lose most.
        assert_eq!(split(2, [5_000, 3_000]), [1, 1, 0]);
        assert_eq!(split(11, [5_000, 2_600]), [5, 3, 3]);
    }

    #[test]
    fn a_contract_gives_away_no_more_than_there_is() {
        let agency = AgencyId::new();
        assert_eq!(Contract::new(1, 10_001, None), Err(BadContract));
        assert_eq!(
            Contract::new(1, 9_000, Some((agency, 1_001))),
            Err(BadContract)
        );
        assert_eq!(
            Contract::new(1, 65_535, Some((agency, 65_535))),
            Err(BadContract)
        );
        // Nothing together, to who counts in sixteen bits.
        assert_eq!(
            Contract::new(1, 10_000, Some((agency, 55_536))),
            Err(BadContract)
        );
        assert!(Contract::new(1, 9_000, Some((agency, 1_000))).is_ok());
    }

    #[test]
    fn a_contract_tells_what_it_was_made_of() {
        let agency = AgencyId::new();
        let parts = (7, 6_000, Some((agency, 1_500)));
        let contract = Contract::try_from(parts).unwrap();
        assert_eq!(Parts::from(contract), parts);
        assert_eq!(contract.version(), 7);
        assert_eq!(contract.agency(), Some(agency));
        assert_eq!(contract.basis_points(), [6_000, 1_500, 2_500]);
        let alone = Contract::new(8, 6_000, None).unwrap();
        assert_eq!(alone.agency(), None);
        assert_eq!(alone.basis_points(), [6_000, 0, 4_000]);
    }

    #[test]
    fn contracts_share_alike_when_all_get_the_same_whatever_their_versions() {
        let agency = Some((AgencyId::new(), 1_000));
        let contract = Contract::new(1, 5_000, agency).unwrap();
        assert!(contract.shares_as(Contract::new(2, 5_000, agency).unwrap()));
        for (streamer, agency) in [
            (5_001, agency),
            (5_000, None),
            (5_000, Some((AgencyId::new(), 1_000))),
            (5_000, agency.map(|(id, _)| (id, 1_001))),
        ] {
            assert!(!contract.shares_as(Contract::new(1, streamer, agency).unwrap()));
        }
    }
}
