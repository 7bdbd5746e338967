//! What can be set of WebRTC.

use std::net::{IpAddr, SocketAddr};

use serde::{Deserialize, Serialize};

use crate::turn;

/// WebRTC, whose one port is for everybody.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// Address and port for datagrams; port 0 takes a free one, and an empty text turns WebRTC off.
    pub listen: String,
    /// The addresses under which peers reach this server, if they are not those of its own network
    /// interfaces: behind address translation, or in a container.
    pub public_addresses: Vec<IpAddr>,
    /// Servers that help peers out of networks that let nothing through: `stun:` and `turn:`
    /// addresses, which every session is told of.
    pub ice_servers: Vec<String>,
    /// What this server and a TURN server share, so that the other knows names and passwords that
    /// this one gives away (`static-auth-secret` of coturn).
    pub turn_secret: String,
    /// How long those are good, in seconds.
    pub turn_ttl_s: u64,
    /// Threads that serve peers; 0 takes one for each core.
    pub threads: usize,
    /// Most sessions at once, and most from one address.
    pub max_sessions: usize,
    /// See [`max_sessions`](Self::max_sessions).
    pub max_sessions_per_address: usize,
    /// How long a session may take until media can flow, in milliseconds.
    pub connect_timeout_ms: u64,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            listen: "[::]:8189".into(),
            public_addresses: Vec::new(),
            ice_servers: Vec::new(),
            turn_secret: String::new(),
            turn_ttl_s: 6 * 3_600,
            threads: 0,
            max_sessions: 10_000,
            max_sessions_per_address: 100,
            connect_timeout_ms: 15_000,
        }
    }
}

impl Config {
    /// Whether it makes sense.
    ///
    /// # Errors
    /// What does not, in words, with the name of the setting.
    pub fn validate(&self) -> Result<(), String> {
        if !self.listen.is_empty() && self.listen.parse::<SocketAddr>().is_err() {
            return Err(format!(
                "`webrtc.listen` takes an address and a port, such as [::]:8189, or nothing, not {:?}",
                self.listen
            ));
        }
        if let Some(address) = self.public_addresses.iter().find(|ip| ip.is_unspecified()) {
            return Err(format!(
                "`webrtc.public_addresses`: nobody is found at {address}"
            ));
        }
        if let Some(bad) = self.ice_servers.iter().find(|one| !turn::is_server(one)) {
            return Err(format!(
                "`webrtc.ice_servers` takes addresses such as turn:turn.example.org:3478, not {bad:?}"
            ));
        }
        let wants_secret = self.ice_servers.iter().any(|one| turn::is_turn(one));
        if wants_secret && (self.turn_secret.is_empty() || self.turn_ttl_s == 0) {
            return Err(
                "`webrtc.turn_secret` and `webrtc.turn_ttl_s`: a TURN server wants a secret shared \
                 with it, and a time for which passwords are good"
                    .into(),
            );
        }
        if self.connect_timeout_ms == 0 {
            return Err("`webrtc.connect_timeout_ms` must be more than nothing".into());
        }
        Ok(())
    }

    /// The same without what is secret.
    #[must_use]
    pub fn redacted(&self) -> Self {
        let mut shown = self.clone();
        if !shown.turn_secret.is_empty() {
            shown.turn_secret = "(hidden)".into();
        }
        shown
    }

    /// How many threads serve peers.
    pub fn threads(&self) -> usize {
        match self.threads {
            0 => std::thread::available_parallelism().map_or(1, usize::from),
            set => set.min(64),
        }
    }
}
