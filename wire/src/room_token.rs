//! Who somebody is in a room, signed: connections are let speak without a look into the database.
//!
//! A token is the claims as JSON, in hexadecimal digits, a dot, and their HMAC-SHA256 likewise.

use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::Sha256;

use crate::{RoomClaims, hex};

/// Longest token that is looked at.
const TOKEN_MAX: usize = 4 * 1024;

/// What tokens are signed with.
#[derive(Clone)]
pub struct RoomKey([u8; 32]);

impl std::fmt::Debug for RoomKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("RoomKey(…)")
    }
}

/// Why a token lets nobody speak.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BadToken {
    /// It is not one of ours.
    Forged,
    /// It was good once.
    Expired,
}

impl RoomKey {
    /// The key of these bytes.
    pub const fn new(key: [u8; 32]) -> Self {
        Self(key)
    }

    /// The token that says so.
    pub fn sign(&self, claims: &RoomClaims) -> String {
        let claims = serde_json::to_vec(claims).expect("claims are plain data");
        let signature = self.mac(&claims).finalize().into_bytes();
        format!("{}.{}", hex::encode(&claims), hex::encode(&signature))
    }

    /// What a token says, at a time in microseconds since the Unix epoch.
    ///
    /// # Errors
    /// When it is not good now.
    pub fn verify(&self, token: &str, now_micros: i64) -> Result<RoomClaims, BadToken> {
        let claims = self.read(token).ok_or(BadToken::Forged)?;
        if claims.until <= now_micros {
            return Err(BadToken::Expired);
        }
        Ok(claims)
    }

    fn read(&self, token: &str) -> Option<RoomClaims> {
        let token = Some(token).filter(|token| token.len() <= TOKEN_MAX)?;
        let (claims, signature) = token.split_once('.')?;
        let claims = hex::decode(claims)?;
        self.mac(&claims)
            .verify_slice(&hex::decode(signature)?)
            .ok()?;
        serde_json::from_slice(&claims).ok()
    }

    fn mac(&self, claims: &[u8]) -> Hmac<Sha256> {
        let mut mac = Hmac::new_from_slice(&self.0).expect("HMAC takes a key of any length");
        mac.update(claims);
        mac
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_good_until_its_time_and_only_as_it_was_signed() {
        let key = RoomKey::new([7; 32]);
        let claims = RoomClaims {
            room: crate::ChannelId::new(),
            person: crate::Person {
                id: crate::UserId::new(),
                handle: "ann".parse().unwrap(),
                name: "Ann".into(),
                badges: vec![crate::Badge::Host],
            },
            until: 1_000,
        };
        let token = key.sign(&claims);
        assert_eq!(key.verify(&token, 999), Ok(claims));
        assert_eq!(key.verify(&token, 1_000), Err(BadToken::Expired));
        let other = RoomKey::new([8; 32]);
        assert_eq!(other.verify(&token, 0), Err(BadToken::Forged));
        for at_byte in [0, token.len() / 2, token.len() - 1] {
            let mut changed = token.clone().into_bytes();
            changed[at_byte] = if changed[at_byte] == b'0' { b'1' } else { b'0' };
            let changed = String::from_utf8(changed).unwrap();
            assert_eq!(key.verify(&changed, 0), Err(BadToken::Forged));
        }
        assert_eq!(key.verify("", 0), Err(BadToken::Forged));
    }
}
