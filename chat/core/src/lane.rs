//! The lines on which things stand in a room, and where a client is on them.

use std::fmt;
use std::str::FromStr;

use fanout::Position;
use serde::{Deserialize, Serialize};

/// A line of a room. Each has positions and a loss policy of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Lane {
    /// What changes the room itself: broadcasts that begin and end, deletions. Nobody misses it.
    Control,
    /// Gifts. Nobody misses it.
    Money,
    /// What people say. Kept; who is too slow is spared some of it and told so.
    Chat,
    /// Counts and gestures, which are worth nothing a moment later. Kept nowhere.
    Ambient,
    /// What those hear alone who keep order. They miss none of it.
    Mods,
}

impl Lane {
    /// Each of them.
    pub const ALL: [Self; 5] = [
        Self::Control,
        Self::Money,
        Self::Chat,
        Self::Ambient,
        Self::Mods,
    ];

    /// Its name on the wire.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Control => "control",
            Self::Money => "money",
            Self::Chat => "chat",
            Self::Ambient => "ambient",
            Self::Mods => "mods",
        }
    }

    /// Its number, in the store and in derived logs.
    pub const fn number(self) -> u8 {
        self as u8
    }

    /// The lane of a number.
    pub fn of_number(number: i64) -> Option<Self> {
        Self::ALL.get(usize::try_from(number).ok()?).copied()
    }

    /// Whether what stands on it is in the store before anybody hears of it.
    pub const fn is_durable(self) -> bool {
        !matches!(self, Self::Ambient)
    }

    /// Whether everybody in the room hears what stands on it.
    pub const fn is_shared(self) -> bool {
        !matches!(self, Self::Mods)
    }

    /// Whether somebody who falls behind may be spared it.
    pub const fn is_droppable(self) -> bool {
        matches!(self, Self::Chat | Self::Ambient)
    }
}

impl fmt::Display for Lane {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// One thing for each lane.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PerLane<T>([T; Lane::ALL.len()]);

impl<T> PerLane<T> {
    /// What `of` gives for each lane.
    pub fn from_fn(of: impl FnMut(Lane) -> T) -> Self {
        Self(Lane::ALL.map(of))
    }

    /// That of one lane.
    pub const fn get(&self, lane: Lane) -> &T {
        &self.0[lane as usize]
    }

    /// That of one lane, to change it.
    pub const fn get_mut(&mut self, lane: Lane) -> &mut T {
        &mut self.0[lane as usize]
    }
}

/// Where a client is: for each lane that it knows, the position of the item that it wants next.
pub type Places = PerLane<Option<Position>>;

/// The text does not tell where a client is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("positions are written LANE:EPOCH:OFFSET, parted by commas")]
pub struct ParsePlacesError;

impl FromStr for Places {
    type Err = ParsePlacesError;

    /// Reads `chat:1763772000000:17,control:1763772000000:2`.
    fn from_str(text: &str) -> Result<Self, ParsePlacesError> {
        let mut places = Self::default();
        for place in text.split(',').filter(|place| !place.is_empty()) {
            let mut parts = place.split(':');
            let mut part = || parts.next().ok_or(ParsePlacesError);
            let name = part()?;
            let (epoch, offset) = (part()?.parse(), part()?.parse());
            let mut lanes = Lane::ALL.into_iter().filter(|lane| lane.is_shared());
            let lane = lanes.find(|lane| lane.as_str() == name);
            let (Some(lane), Ok(epoch), Ok(offset), None) = (lane, epoch, offset, parts.next())
            else {
                return Err(ParsePlacesError);
            };
            *places.get_mut(lane) = Some(Position { epoch, offset });
        }
        Ok(places)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_read_and_what_is_none_is_refused() {
        let places: Places = "chat:7:17,control:7:2".parse().expect("two places");
        let at = |offset| Some(Position { epoch: 7, offset });
        assert_eq!(*places.get(Lane::Chat), at(17));
        assert_eq!(*places.get(Lane::Control), at(2));
        assert_eq!(*places.get(Lane::Money), None);
        assert_eq!("".parse(), Ok(Places::default()));
        for bad in [
            "chat",
            "chat:1",
            "chat:1:2:3",
            "chat:-1:2",
            "chat:1:99999999999999999999",
            "talk:1:2",
            "mods:1:2",
        ] {
            assert_eq!(bad.parse::<Places>(), Err(ParsePlacesError), "{bad}");
        }
    }
}
