//! Every setting of every role. `barrage.example.toml` describes them for people.

use std::net::SocketAddr;
use std::path::Path;

use kit::config::ConfigError;
use kit::telemetry::LogConfig;
use serde::{Deserialize, Serialize};

/// The whole configuration.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// Where the database, keys and `runtime.json` are kept.
    pub data_dir: String,
    /// Pages, API and HLS.
    pub http: HttpConfig,
    /// The RTMP listener.
    pub rtmp: ingest::RtmpConfig,
    /// What publishers may do, on every protocol.
    pub ingest: ingest::Config,
    /// The packager.
    pub hls: hls::Config,
    /// The log.
    pub log: LogConfig,
    /// The graceful end.
    pub drain: DrainConfig,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            data_dir: "barrage-data".into(),
            http: HttpConfig::default(),
            rtmp: ingest::RtmpConfig::default(),
            ingest: ingest::Config::default(),
            hls: hls::Config::default(),
            log: LogConfig::default(),
            drain: DrainConfig::default(),
        }
    }
}

/// The listener for pages, API and HLS.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct HttpConfig {
    /// Address and port; port 0 takes a free one.
    pub listen: String,
    /// Most connections at once.
    pub max_connections: usize,
    /// How long a request's head may take to arrive, in milliseconds; also how long a connection
    /// may idle between requests.
    pub head_timeout_ms: u64,
}

impl Default for HttpConfig {
    fn default() -> Self {
        Self {
            listen: "0.0.0.0:8080".into(),
            max_connections: 16_000,
            head_timeout_ms: 15_000,
        }
    }
}

/// The graceful end.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct DrainConfig {
    /// How long the server may take to end, in milliseconds.
    pub grace_ms: u64,
}

impl Default for DrainConfig {
    fn default() -> Self {
        Self { grace_ms: 10_000 }
    }
}

impl Config {
    /// Checks what types alone cannot.
    ///
    /// # Errors
    /// At the first value that makes no sense.
    pub fn validate(&self) -> Result<(), ConfigError> {
        for (key, listen) in [
            ("http.listen", &self.http.listen),
            ("rtmp.listen", &self.rtmp.listen),
        ] {
            listen.parse::<SocketAddr>().map_err(|_| {
                ConfigError::Invalid(format!(
                    "`{key}` takes an address and a port, such as 0.0.0.0:8080 or [::]:8080, not {listen:?}"
                ))
            })?;
        }
        if self.data_dir.is_empty() {
            return Err(ConfigError::Invalid("`data_dir` is empty".into()));
        }
        self.log
            .filter()
            .map_err(|error| ConfigError::Invalid(format!("{error:#}")))?;
        self.hls
            .check()
            .map_err(|error| ConfigError::Invalid(error.to_string()))?;
        self.ingest.validate().map_err(ConfigError::Invalid)
    }

    /// The data directory.
    pub fn data_dir(&self) -> &Path {
        Path::new(&self.data_dir)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use kit::config::{Layer, load};

    #[test]
    fn the_example_is_the_defaults_and_names_every_setting() {
        let text = include_str!("../../barrage.example.toml");
        let example = Layer::toml("barrage.example.toml", text).unwrap();
        assert_eq!(load::<Config>(vec![example]).unwrap(), Config::default());
        let named: toml::Table = text.parse().unwrap();
        let defaults = toml::Table::try_from(Config::default()).unwrap();
        assert_eq!(
            named, defaults,
            "a setting is missing from the example, or its default differs"
        );
    }

    #[test]
    fn values_that_make_no_sense_are_named() {
        let error = |change: fn(&mut Config)| {
            let mut config = Config::default();
            change(&mut config);
            config
                .validate()
                .expect_err("the configuration makes no sense")
                .to_string()
        };
        assert!(error(|c| c.http.listen = "8080".into()).contains("http.listen"));
        assert!(error(|c| c.log.level = "loud=quiet=x".into()).contains("log.level"));
        assert!(error(|c| c.ingest.silence_ms = 0).contains("ingest.silence_ms"));
        assert!(error(|c| c.hls.part_ms = 0).contains("hls.part_ms"));
        assert!(error(|c| c.data_dir.clear()).contains("data_dir"));
    }
}
