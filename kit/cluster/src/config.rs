//! Where the others are.

use serde::{Deserialize, Serialize};

/// The cluster that this node belongs to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ClusterConfig {
    /// Its name, where clusters share NATS or Redis: a word of small letters, digits and hyphens.
    pub name: String,
    /// What carries messages between nodes.
    pub nats: NatsConfig,
    /// Where nodes note who is where.
    pub redis: RedisConfig,
}

/// What carries messages between nodes.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct NatsConfig {
    /// `nats://USER:PASSWORD@HOST:4222`, several parted by commas; empty for a node alone.
    pub url: String,
}

/// Where nodes note who is where.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RedisConfig {
    /// `redis://USER:PASSWORD@HOST:6379/0`; empty for a node alone.
    pub url: String,
}

impl Default for ClusterConfig {
    fn default() -> Self {
        Self {
            name: "barrage".into(),
            nats: NatsConfig::default(),
            redis: RedisConfig::default(),
        }
    }
}

impl ClusterConfig {
    /// Whether there are others.
    pub fn is_on(&self) -> bool {
        !self.nats.url.is_empty()
    }

    /// Checks what types alone cannot. `shares_database` is whether other nodes can use it too.
    ///
    /// # Errors
    /// At the first value that makes no sense, in words that tell no password.
    pub fn validate(&self, shares_database: bool) -> Result<(), String> {
        let fits = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
        if self.name.is_empty() || self.name.len() > 40 || !self.name.chars().all(fits) {
            return Err("`cluster.name` takes up to 40 small letters, digits and hyphens".into());
        }
        if self.nats.url.is_empty() != self.redis.url.is_empty() {
            return Err(
                "`cluster.nats.url` and `cluster.redis.url` belong together: set both or none"
                    .into(),
            );
        }
        if !self.is_on() {
            return Ok(());
        }
        if !shares_database {
            return Err(
                "`cluster.nats.url` needs `database.url`: all nodes use one PostgreSQL database"
                    .into(),
            );
        }
        let is_nats = |url: &str| {
            let address = url.trim().parse::<async_nats::ServerAddr>();
            address.is_ok_and(|address| !address.host().is_empty())
        };
        if !self.nats.url.split(',').all(is_nats) {
            return Err(
                "`cluster.nats.url` takes addresses such as nats://nats.example:4222".into(),
            );
        }
        if redis::Client::open(self.redis.url.as_str()).is_err() {
            return Err(
                "`cluster.redis.url` takes an address such as redis://redis.example:6379".into(),
            );
        }
        Ok(())
    }

    /// The same without what opens anything, to be shown.
    #[must_use]
    pub fn redacted(&self) -> Self {
        let shown = |url: &str| {
            let one = |url: &str| match url.rsplit_once('@') {
                Some((_, place)) => format!("…@{place}"),
                None => url.to_owned(),
            };
            url.split(',').map(one).collect::<Vec<_>>().join(",")
        };
        Self {
            name: self.name.clone(),
            nats: NatsConfig {
                url: shown(&self.nats.url),
            },
            redis: RedisConfig {
                url: shown(&self.redis.url),
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(nats: &str, redis: &str) -> ClusterConfig {
        ClusterConfig {
            nats: NatsConfig { url: nats.into() },
            redis: RedisConfig { url: redis.into() },
            ..ClusterConfig::default()
        }
    }

    #[test]
    fn what_makes_no_cluster_is_refused() {
        let (nats, redis) = ("nats://a:1,nats://b:1", "redis://c:2/0");
        assert_eq!(config("", "").validate(false), Ok(()));
        assert_eq!(config(nats, redis).validate(true), Ok(()));
        for (bad, shares) in [
            (config(nats, ""), true),
            (config("", redis), true),
            (config(nats, redis), false),
            (config("nats://", redis), true),
            (config(nats, "http://c"), true),
            (
                ClusterConfig {
                    name: "a b".into(),
                    ..ClusterConfig::default()
                },
                true,
            ),
        ] {
            assert!(bad.validate(shares).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn no_password_is_shown() {
        let shown = config("nats://u:se@cr@a:1,nats://b:1", "redis://:secret@c:2").redacted();
        assert_eq!(shown.nats.url, "…@a:1,nats://b:1");
        assert_eq!(shown.redis.url, "…@c:2");
    }
}
