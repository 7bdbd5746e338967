//! That a webhook is the provider's, as Stripe has it: HMAC-SHA256 over the time, a full stop and the body
//! (docs.stripe.com/webhooks, "Verify webhook signatures manually"). More than one secret is good while they
//! are changed, and a header may have more than one signature.

use ring::hmac;
use wire::hex;

/// How far the time of a signature may be from ours, in seconds.
pub const TOLERANCE_S: i64 = 300;

/// Longest header that is read.
const HEADER_BYTES_MAX: usize = 4_096;

/// Signatures of one header that are tried.
const SIGNATURES_MAX: usize = 16;

/// What webhooks are signed with.
#[derive(Clone)]
pub struct Secret(hmac::Key);

impl std::fmt::Debug for Secret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Secret(…)")
    }
}

impl Secret {
    /// The bytes of a secret; of Stripe's all its characters count.
    pub fn new(bytes: &[u8]) -> Self {
        Self(hmac::Key::new(hmac::HMAC_SHA256, bytes))
    }
}

/// Why a webhook is not taken for the provider's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadSignature {
    /// It is not signed, or not in this form.
    #[error("the webhook is not signed")]
    Missing,
    /// With none of the secrets.
    #[error("the signature is not right")]
    Wrong,
    /// Its time is too far from ours.
    #[error("the signature is too old, or of a time to come")]
    Time,
}

/// The header of a webhook that is signed then.
pub fn sign(secret: &Secret, time_s: i64, body: &[u8]) -> String {
    let tag = hmac::sign(&secret.0, &signed(time_s, body));
    format!("t={time_s},v1={}", hex::encode(tag.as_ref()))
}

/// Checks the header of a webhook.
///
/// # Errors
/// When it is not one that somebody made who knows a secret, lately.
pub fn verify(
    header: Option<&str>,
    body: &[u8],
    secrets: &[Secret],
    now_s: i64,
) -> Result<(), BadSignature> {
    let header = header.filter(|header| header.len() <= HEADER_BYTES_MAX);
    let header = header.ok_or(BadSignature::Missing)?;
    let pairs = || header.split(',').filter_map(|pair| pair.split_once('='));
    let time = pairs().find(|(name, _)| name.trim() == "t");
    let time_s: i64 = time
        .and_then(|(_, value)| value.parse().ok())
        .ok_or(BadSignature::Missing)?;
    let signatures = pairs().filter(|(name, _)| name.trim() == "v1");
    let signatures = signatures.filter_map(|(_, value)| hex::decode(value));
    let signatures: Vec<_> = signatures.take(SIGNATURES_MAX).collect();
    if signatures.is_empty() {
        return Err(BadSignature::Missing);
    }
    let signed = signed(time_s, body);
    let is_right = |Secret(key): &Secret| {
        let mut signatures = signatures.iter();
        signatures.any(|signature| hmac::verify(key, &signed, signature).is_ok())
    };
    if !secrets.iter().any(is_right) {
        return Err(BadSignature::Wrong);
    }
    // Last: who does not know a secret learns nothing of our clock.
    if now_s.abs_diff(time_s) > TOLERANCE_S.unsigned_abs() {
        return Err(BadSignature::Time);
    }
    Ok(())
}

fn signed(time_s: i64, body: &[u8]) -> Vec<u8> {
    let mut signed = time_s.to_string().into_bytes();
    signed.push(b'.');
    signed.extend_from_slice(body);
    signed
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: i64 = 1_492_774_577;

    /// Made by `printf '%s' '1492774577.{"id":"evt_1"}' | openssl dgst -sha256 -hmac whsec_test_secret`.
    const BODY: &[u8] = br#"{"id":"evt_1"}"#;
    const BY_OPENSSL: &str = "799c4ba7bb339f3c8601adfd112f0e477c930a268be1243d341abb8286501c2f";

    fn secrets(words: &[&str]) -> Vec<Secret> {
        words
            .iter()
            .map(|word| Secret::new(word.as_bytes()))
            .collect()
    }

    fn checked(header: &str, body: &[u8], now_s: i64) -> Result<(), BadSignature> {
        verify(Some(header), body, &secrets(&["whsec_test_secret"]), now_s)
    }

    #[test]
    fn what_openssl_signs_is_right_and_signed_so_by_us() {
        let header = format!("t={NOW},v1={BY_OPENSSL}");
        assert_eq!(checked(&header, BODY, NOW), Ok(()));
        let ours = sign(&Secret::new(b"whsec_test_secret"), NOW, BODY);
        assert_eq!(ours, header);
    }

    #[test]
    fn what_is_forged_is_refused() {
        let header = format!("t={NOW},v1={BY_OPENSSL}");
        let wrong = Err(BadSignature::Wrong);
        assert_eq!(checked(&header, br#"{"id":"evt_2"}"#, NOW), wrong);
        let other_time = format!("t={},v1={BY_OPENSSL}", NOW + 1);
        assert_eq!(checked(&other_time, BODY, NOW), wrong);
        let of_nobody = verify(Some(&header), BODY, &[], NOW);
        assert_eq!(of_nobody, wrong);
        let missing = Err(BadSignature::Missing);
        assert_eq!(verify(None, BODY, &secrets(&["x"]), NOW), missing);
        let old_form = format!("t={NOW},v0={BY_OPENSSL}");
        let no_time = format!("v1={BY_OPENSSL}");
        let long = format!("{header},{}", "x".repeat(HEADER_BYTES_MAX));
        for text in ["", "t=,v1=", "t=1", &old_form, &no_time, &long] {
            assert_eq!(checked(text, BODY, NOW), missing, "{text:.40}");
        }
    }

    #[test]
    fn what_is_replayed_later_is_refused_and_so_is_what_comes_from_the_future() {
        let header = format!("t={NOW},v1={BY_OPENSSL}");
        for step in [TOLERANCE_S, -TOLERANCE_S] {
            assert_eq!(checked(&header, BODY, NOW + step), Ok(()));
        }
        for step in [TOLERANCE_S + 1, -TOLERANCE_S - 1, i64::MAX - NOW] {
            assert_eq!(checked(&header, BODY, NOW + step), Err(BadSignature::Time));
        }
    }

    #[test]
    fn secrets_are_changed_without_a_gap() {
        let header = format!("t={NOW},v1={},v1={BY_OPENSSL}", "0".repeat(64));
        let both = secrets(&["whsec_new", "whsec_test_secret"]);
        assert_eq!(verify(Some(&header), BODY, &both, NOW), Ok(()));
    }
}
