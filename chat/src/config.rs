//! The settings of rooms.

use serde::{Deserialize, Serialize};

/// What people may say in rooms, and how much.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// Longest danmaku, in characters as people count them.
    pub text_max: usize,
    /// How many danmaku somebody may send at once, and how many a minute after that.
    pub user_burst: u32,
    /// See `user_burst`.
    pub user_per_minute: u32,
    /// How many messages of any kind a connection may send at once, and how many a second after
    /// that. One that goes far beyond is ended.
    pub connection_burst: u32,
    /// See `connection_burst`.
    pub connection_per_second: u32,
    /// How many danmaku a second a room takes; what is more is told to come again.
    pub room_per_second: u32,
    /// How many danmaku a second everybody in a room is shown; of more, a fair part. All are kept,
    /// and reach who said them and whom they mention.
    pub shown_per_second: u32,
    /// Most connections to rooms from one address. An IPv6 host counts as its /64.
    pub connections_per_address: u32,
    /// Danmaku that somebody who comes is shown.
    pub history: usize,
    /// How far a danmaku may be behind the live edge of the picture it is about, in milliseconds.
    pub delay_max_ms: u64,
    /// Whether messages are compressed for clients that can read that.
    pub compression: bool,
    /// Other sites whose pages may open rooms, such as `https://fans.example`. Programs that name
    /// no origin may.
    pub allowed_origins: Vec<String>,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            text_max: 100,
            user_burst: 5,
            user_per_minute: 30,
            connection_burst: 30,
            connection_per_second: 10,
            room_per_second: 1_000,
            shown_per_second: 200,
            connections_per_address: 200,
            history: 50,
            delay_max_ms: 30_000,
            compression: false,
            allowed_origins: Vec::new(),
        }
    }
}

impl Config {
    /// Checks what types alone cannot.
    ///
    /// # Errors
    /// At the first value that makes no sense.
    pub fn validate(&self) -> Result<(), String> {
        if self.text_max == 0 || self.text_max > 500 {
            return Err("`chat.text_max` is between 1 and 500".into());
        }
        for (name, value) in [
            ("user_burst", self.user_burst),
            ("user_per_minute", self.user_per_minute),
            ("connection_burst", self.connection_burst),
            ("connection_per_second", self.connection_per_second),
            ("room_per_second", self.room_per_second),
            ("shown_per_second", self.shown_per_second),
            ("connections_per_address", self.connections_per_address),
        ] {
            if value == 0 {
                return Err(format!("`chat.{name}` is at least 1"));
            }
        }
        if self.history > 500 {
            return Err("`chat.history` is at most 500".into());
        }
        if self.delay_max_ms > 600_000 {
            return Err("`chat.delay_max_ms` is at most 600000".into());
        }
        Ok(())
    }
}
