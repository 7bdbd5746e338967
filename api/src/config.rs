//! What can be set of accounts and mail.

use std::num::NonZeroU32;

use serde::{Deserialize, Serialize};

/// Who may have an account, and how often they may try a password.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct AccountsConfig {
    /// Whether people may sign up by themselves.
    pub sign_up: bool,
    /// Whether who has an account may make a channel by themselves.
    pub make_channel: bool,
    /// Passwords, sign-ups and recovery links that one address may try in a minute.
    pub attempts_per_minute_per_address: NonZeroU32,
    /// Passwords that may be tried in a minute on one account from addresses that it is not signed
    /// in at.
    pub attempts_per_minute_per_account: NonZeroU32,
}

impl Default for AccountsConfig {
    fn default() -> Self {
        Self {
            sign_up: true,
            make_channel: true,
            attempts_per_minute_per_address: NonZeroU32::new(30).expect("thirty is not zero"),
            attempts_per_minute_per_account: NonZeroU32::new(10).expect("ten is not zero"),
        }
    }
}

/// How mail is sent.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct MailConfig {
    /// `smtp://USER:PASSWORD@HOST:587?tls=required` or `smtps://…`; empty to send no mail.
    pub url: String,
    /// Who it is from, such as `Barrage <live@example.org>`.
    pub from: String,
}

impl MailConfig {
    /// Whether mail is sent.
    pub const fn is_on(&self) -> bool {
        !self.url.is_empty()
    }
}
