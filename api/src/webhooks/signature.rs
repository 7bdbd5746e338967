//! Signatures of deliveries, as Standard Webhooks has them: the identity, the time and the body, each
//! after a full stop, under HMAC-SHA256 (github.com/standard-webhooks/standard-webhooks).

use kit::base64;
use wire::hex;

use crate::secrets::hmac_sha256;

/// Random bytes of a secret; the standard asks for 24 to 64.
const SECRET_BYTES: usize = 32;

/// What deliveries of one webhook are signed with.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret([u8; SECRET_BYTES]);

impl std::fmt::Debug for Secret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Secret(…)")
    }
}

impl Secret {
    /// A new one.
    pub fn generate() -> Self {
        Self(rand::random())
    }

    /// As the owner of the webhook is shown it, once.
    pub fn shown(&self) -> String {
        format!("whsec_{}", base64::encode(&self.0))
    }

    /// As it is sealed.
    pub fn to_hex(&self) -> String {
        hex::encode(&self.0)
    }

    /// Reads what [`to_hex`](Self::to_hex) wrote.
    pub fn from_hex(text: &str) -> Option<Self> {
        let bytes = hex::decode(text)?;
        bytes.try_into().ok().map(Self)
    }
}

/// The headers that say what a delivery is and that it is ours.
pub(super) fn headers(
    Secret(secret): &Secret,
    id: &str,
    now_s: i64,
    body: &str,
) -> [(&'static str, String); 3] {
    [
        ("webhook-id", id.to_owned()),
        ("webhook-timestamp", now_s.to_string()),
        ("webhook-signature", sign(secret, id, now_s, body)),
    ]
}

fn sign(secret: &[u8], id: &str, now_s: i64, body: &str) -> String {
    let signature = hmac_sha256(secret, format!("{id}.{now_s}.{body}").as_bytes());
    format!("v1,{}", base64::encode(&signature))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_example_of_the_standard() {
        // whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw
        let secret = hex::decode("31f290f6bf06298aab4f08d43c3f082cf648a362da2da4b0").expect("hex");
        assert_eq!(base64::encode(&secret), "MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw");
        let signature = sign(
            &secret,
            "msg_p5jXN8AQM9LWM0D4loKWxJek",
            1_614_265_330,
            "{\"test\": 2432232314}",
        );
        assert_eq!(signature, "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=");
    }

    #[test]
    fn a_secret_is_kept_as_it_was_and_shown_as_the_standard_has_it() {
        let secret = Secret::generate();
        assert_eq!(Secret::from_hex(&secret.to_hex()).as_ref(), Some(&secret));
        assert!(secret.shown().starts_with("whsec_"));
        assert_eq!(secret.shown().len(), 6 + 44);
        assert!(Secret::generate() != secret);
        assert_eq!(Secret::from_hex("31f2"), None);
    }
}
