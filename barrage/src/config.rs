//! Every setting of every role. `barrage.example.toml` describes them for people.

use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use api::config::{AccountsConfig, MailConfig};
use api::emotes::EmotesConfig;
use api::thumbnails::ThumbnailsConfig;
use api::webhooks::WebhooksConfig;
use cluster::ClusterConfig;
use gifts::payment::PaymentsConfig;
use kit::config::ConfigError;
use kit::database::{DatabaseConfig, Engine};
use kit::proxies::TrustedProxies;
use kit::rendition;
use kit::telemetry::LogConfig;
use serde::{Deserialize, Serialize};

/// The whole configuration.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// Where the database, keys and `runtime.json` are kept.
    pub data_dir: String,
    /// The address that people open, such as `https://live.example`; empty if it is only known
    /// from what they ask.
    pub public_url: String,
    /// Addresses and networks of proxies whose `X-Forwarded-For`, `-Proto` and `-Host` are believed.
    pub trusted_proxies: Vec<String>,
    /// Listeners (`http`, `https`, `rtmp`) to which connections from trusted proxies begin with a
    /// PROXY header.
    pub proxy_protocol: Vec<String>,
    /// Pages, API and HLS.
    pub http: HttpConfig,
    /// The same over TLS.
    pub https: HttpsConfig,
    /// The RTMP listener.
    pub rtmp: ingest::RtmpConfig,
    /// What publishers may do, on every protocol.
    pub ingest: ingest::Config,
    /// WebRTC.
    pub webrtc: sfu::Config,
    /// Tracks in other codecs than their publishers'.
    pub transcode: rendition::Config,
    /// The packager.
    pub hls: hls::Config,
    /// Rooms.
    pub chat: chat::Config,
    /// Gifts and what they earn.
    pub gifts: gifts::Config,
    /// What writes to viewers over RTMP, HTTP-FLV and WebSocket-FLV.
    pub shards: ShardsConfig,
    /// Where the data is kept.
    pub database: DatabaseConfig,
    /// The other nodes.
    pub cluster: ClusterConfig,
    /// Who may have an account.
    pub accounts: AccountsConfig,
    /// How mail is sent.
    pub mail: MailConfig,
    /// Still pictures of what is live.
    pub thumbnails: ThumbnailsConfig,
    /// Pictures in what is said.
    pub emotes: EmotesConfig,
    /// Programs that are told what happens.
    pub webhooks: WebhooksConfig,
    /// How coins are bought.
    pub payments: PaymentsConfig,
    /// The log.
    pub log: LogConfig,
    /// The graceful end.
    pub drain: DrainConfig,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            data_dir: "barrage-data".into(),
            public_url: String::new(),
            trusted_proxies: Vec::new(),
            proxy_protocol: Vec::new(),
            http: HttpConfig::default(),
            https: HttpsConfig::default(),
            rtmp: ingest::RtmpConfig::default(),
            ingest: ingest::Config::default(),
            webrtc: sfu::Config::default(),
            transcode: rendition::Config::default(),
            hls: hls::Config::default(),
            chat: chat::Config::default(),
            gifts: gifts::Config::default(),
            shards: ShardsConfig::default(),
            database: DatabaseConfig::default(),
            cluster: ClusterConfig::default(),
            accounts: AccountsConfig::default(),
            mail: MailConfig::default(),
            thumbnails: ThumbnailsConfig::default(),
            emotes: EmotesConfig::default(),
            webhooks: WebhooksConfig::default(),
            payments: PaymentsConfig::default(),
            log: LogConfig::default(),
            drain: DrainConfig::default(),
        }
    }
}

/// The listener for pages, API, media and rooms.
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
    /// Whether everybody may read `/metrics`, not only operators and programs on this machine.
    pub metrics_open: bool,
}

impl Default for HttpConfig {
    fn default() -> Self {
        Self {
            listen: "0.0.0.0:8080".into(),
            max_connections: 16_000,
            head_timeout_ms: 15_000,
            metrics_open: false,
        }
    }
}

/// The listener for pages, API, media and rooms over TLS.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct HttpsConfig {
    /// Address and port; port 0 takes a free one; empty for no such listener.
    pub listen: String,
    /// The file of the certificate and those above it, PEM; empty for one of our own.
    pub certificate: String,
    /// The file of its private key, PEM.
    pub key: String,
}

impl Default for HttpsConfig {
    fn default() -> Self {
        Self {
            listen: "0.0.0.0:8443".into(),
            certificate: String::new(),
            key: String::new(),
        }
    }
}

/// What writes to viewers over RTMP, HTTP-FLV and WebSocket-FLV.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ShardsConfig {
    /// Loops that write; 0 for one per core.
    pub count: usize,
    /// How long packets gather before they are written, at least, in milliseconds. 0 writes every
    /// picture at once.
    pub window_min_ms: u64,
    /// And at most, when there is too much to do.
    pub window_max_ms: u64,
    /// How far a viewer may fall behind before it skips to the latest keyframe, in milliseconds.
    pub lag_max_ms: u64,
    /// How long a viewer may take next to nothing before it is dropped, in milliseconds.
    pub stall_ms: u64,
}

impl Default for ShardsConfig {
    fn default() -> Self {
        Self {
            count: 0,
            window_min_ms: 0,
            window_max_ms: 100,
            lag_max_ms: 5_000,
            stall_ms: 20_000,
        }
    }
}

impl ShardsConfig {
    fn validate(&self) -> Result<(), String> {
        if self.count > 256 {
            return Err("`shards.count` is at most 256".into());
        }
        if self.window_min_ms > self.window_max_ms || self.window_max_ms > 1_000 {
            return Err(
                "`shards.window_max_ms` is at least `shards.window_min_ms` and at most 1000".into(),
            );
        }
        if self.lag_max_ms < 500 || self.stall_ms < 1_000 {
            return Err(
                "`shards.lag_max_ms` is at least 500, and `shards.stall_ms` at least 1000".into(),
            );
        }
        Ok(())
    }

    /// As the shards take it.
    pub fn shards(&self) -> fanout::shard::Config {
        let cores = || std::thread::available_parallelism().map_or(1, usize::from);
        fanout::shard::Config {
            count: if self.count == 0 { cores() } else { self.count },
            pace: fanout::pace::Bounds {
                min: Duration::from_millis(self.window_min_ms),
                max: Duration::from_millis(self.window_max_ms),
            },
            limits: fanout::shard::Limits {
                lag: Duration::from_millis(self.lag_max_ms),
                stall: Duration::from_millis(self.stall_ms),
            },
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
            ("https.listen", &self.https.listen),
            ("rtmp.listen", &self.rtmp.listen),
        ] {
            if key == "https.listen" && listen.is_empty() {
                continue;
            }
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
        self.ingest.validate().map_err(ConfigError::Invalid)?;
        self.webrtc.validate().map_err(ConfigError::Invalid)?;
        self.shards.validate().map_err(ConfigError::Invalid)?;
        self.chat.validate().map_err(ConfigError::Invalid)?;
        self.gifts.validate().map_err(ConfigError::Invalid)?;
        self.emotes.validate().map_err(ConfigError::Invalid)?;
        self.webhooks.validate().map_err(ConfigError::Invalid)?;
        self.payments
            .validate(!self.public_url.is_empty())
            .map_err(ConfigError::Invalid)?;
        self.database.validate().map_err(ConfigError::Invalid)?;
        self.cluster
            .validate(self.database.engine() == Engine::Postgres)
            .map_err(ConfigError::Invalid)?;
        self.validate_public().map_err(ConfigError::Invalid)
    }

    /// What people open, and what stands before us.
    fn validate_public(&self) -> Result<(), String> {
        if self.https.certificate.is_empty() != self.https.key.is_empty() {
            return Err(
                "`https.certificate` and `https.key` belong together: set both or none".into(),
            );
        }
        if !self.public_url.is_empty() && self.public_origin().is_none() {
            return Err(format!(
                "`public_url` takes the address that people open, such as https://live.example, not {:?}",
                self.public_url
            ));
        }
        let proxies = self.trusted_proxies()?;
        for listener in &self.proxy_protocol {
            if !["http", "https", "rtmp"].contains(&listener.as_str()) {
                return Err(format!(
                    "`proxy_protocol` takes http, https and rtmp, not {listener:?}"
                ));
            }
        }
        if proxies.is_empty() && !self.proxy_protocol.is_empty() {
            return Err(
                "`proxy_protocol` needs `trusted_proxies`: from others it is refused".into(),
            );
        }
        if self.mail.is_on() && self.public_url.is_empty() {
            return Err("`mail.url` needs `public_url`: the links in mails lead there".into());
        }
        Ok(())
    }

    /// The address that people open, without a slash at the end.
    pub fn public_origin(&self) -> Option<String> {
        let uri: http::Uri = self.public_url.parse().ok()?;
        let scheme = uri.scheme_str().filter(|s| ["http", "https"].contains(s))?;
        let host = uri.authority()?.as_str().to_ascii_lowercase();
        let bare = ["", "/"].contains(&uri.path()) && uri.query().is_none();
        (bare && !host.contains('@')).then(|| format!("{scheme}://{host}"))
    }

    /// The proxies that are believed.
    ///
    /// # Errors
    /// When one of them is no address or network, in words.
    pub fn trusted_proxies(&self) -> Result<TrustedProxies, String> {
        TrustedProxies::parse(&self.trusted_proxies).map_err(|text| {
            format!(
                "`trusted_proxies` takes addresses and networks such as 10.0.0.0/8, not {text:?}"
            )
        })
    }

    /// What is in force, without what opens anything.
    pub fn redacted(&self) -> Self {
        let mut shown = self.clone();
        shown.database = self.database.redacted();
        shown.cluster = self.cluster.redacted();
        shown.webrtc = self.webrtc.redacted();
        shown.payments = self.payments.redacted();
        if self.mail.is_on() {
            shown.mail.url = "…".into();
        }
        shown
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
        assert!(error(|c| c.webrtc.listen = "8189".into()).contains("webrtc.listen"));
        assert!(error(|c| c.webrtc.connect_timeout_ms = 0).contains("webrtc.connect"));
        assert!(error(|c| c.hls.part_ms = 0).contains("hls.part_ms"));
        assert!(error(|c| c.shards.count = 1_000).contains("shards.count"));
        assert!(error(|c| c.shards.window_min_ms = 101).contains("shards.window_min_ms"));
        assert!(error(|c| c.shards.stall_ms = 0).contains("shards.stall_ms"));
        assert!(error(|c| c.emotes.per_channel = 501).contains("emotes.per_channel"));
        assert!(error(|c| c.webhooks.in_flight = 0).contains("webhooks.in_flight"));
        assert!(error(|c| c.webhooks.timeout_ms = 1).contains("webhooks.timeout_ms"));
        assert!(error(|c| c.payments.provider = "stripe".into()).contains("public_url"));
        assert!(error(|c| c.data_dir.clear()).contains("data_dir"));
        assert!(error(|c| c.https.key = "k.pem".into()).contains("https.certificate"));
        assert!(error(|c| c.public_url = "live.example".into()).contains("public_url"));
        assert!(error(|c| c.public_url = "https://a.example/b".into()).contains("public_url"));
        assert!(error(|c| c.trusted_proxies = vec!["ten".into()]).contains("trusted_proxies"));
        assert!(error(|c| c.proxy_protocol = vec!["http".into()]).contains("trusted_proxies"));
        assert!(error(|c| c.mail.url = "smtp://localhost".into()).contains("public_url"));
        assert!(error(|c| c.database.url = "mysql://x/y".into()).contains("database.url"));
    }
}
