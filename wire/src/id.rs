//! Identities. Each is a UUIDv7 of its own type, so that none can stand where another belongs,
//! and later ones sort after earlier ones.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// The text was not a UUID.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("not an identity: {0:?}")]
pub struct ParseIdError(String);

macro_rules! id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(Uuid);

        impl $name {
            /// A new identity, by the time of now and fresh randomness (RFC 9562 §5.7).
            #[expect(clippy::new_without_default, reason = "a default identity would be a lie")]
            pub fn new() -> Self {
                Self(Uuid::now_v7())
            }

            /// The identity that is kept as this UUID.
            pub const fn from_uuid(uuid: Uuid) -> Self {
                Self(uuid)
            }

            /// The UUID itself.
            pub const fn as_uuid(&self) -> Uuid {
                self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(&self.0.as_hyphenated(), f)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!(stringify!($name), "({})"), self.0)
            }
        }

        impl FromStr for $name {
            type Err = ParseIdError;

            /// Reads the hyphenated lower-case form alone, so that one identity has one spelling.
            fn from_str(text: &str) -> Result<Self, Self::Err> {
                let err = || ParseIdError(text.chars().take(64).collect());
                let id = Uuid::try_parse(text).map_err(|_| err())?;
                if id.as_hyphenated().to_string() == text { Ok(Self(id)) } else { Err(err()) }
            }
        }
    };
}

id!(
    /// A person.
    UserId
);
id!(
    /// A channel: the stable thing behind a handle that may be renamed.
    ChannelId
);
id!(
    /// One going-live of a channel, however often its publisher reconnects.
    BroadcastId
);
id!(
    /// One publisher's connection within a broadcast: the set of its track logs.
    StreamId
);
id!(
    /// A stream key: the row, which opens nothing, not the secret.
    StreamKeyId
);
id!(
    /// One track of a stream.
    TrackId
);
id!(
    /// The room of a channel.
    RoomId
);
id!(
    /// An emote of a channel; another picture under the same code is another.
    EmoteId
);
id!(
    /// One viewer on one protocol.
    SessionId
);
id!(
    /// An agency: who has a share in what some channels earn.
    AgencyId
);
id!(
    /// A server among those of a cluster. It stays the same when it starts again on its data.
    NodeId
);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_identity_reads_back_from_its_own_text_alone() {
        let id = BroadcastId::new();
        assert_eq!(id.to_string().parse(), Ok(id));
        assert!(
            id.to_string()
                .to_uppercase()
                .parse::<BroadcastId>()
                .is_err()
        );
        assert!(
            id.as_uuid()
                .simple()
                .to_string()
                .parse::<BroadcastId>()
                .is_err()
        );
        assert!("../../etc/passwd".parse::<BroadcastId>().is_err());
    }

    #[test]
    fn later_identities_sort_after_earlier_ones() {
        let ids: Vec<_> = (0..1000).map(|_| ChannelId::new()).collect();
        assert!(ids.is_sorted());
    }
}
