//! Servers that help peers out of networks that let nothing through: what they are told of them, and
//! the names and passwords that such a server beside this one knows to be good for a while
//! (draft-uberti-behave-turn-rest-00, which coturn calls `use-auth-secret`).

use std::time::Duration;

use kit::base64;
use ring::hmac;
use sha2::{Digest as _, Sha256};

use crate::config::Config;

/// The values of `Link` headers that name the servers (RFC 9725 §4.6). `now` is in seconds since 1970;
/// of `session` the other server's log has something to tell it from others, and no more: whoever
/// knows its name may end it.
pub(crate) fn links(config: &Config, now: u64, session: &str) -> Vec<String> {
    let name = hex_of(&Sha256::digest(session.as_bytes())[..8]);
    let until = now.saturating_add(Duration::from_secs(config.turn_ttl_s).as_secs());
    let username = format!("{until}:{name}");
    // The other server wants this one; for a signature of this kind it is good enough.
    let key = hmac::Key::new(
        hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY,
        config.turn_secret.as_bytes(),
    );
    let credential = base64::encode(hmac::sign(&key, username.as_bytes()).as_ref());
    let links = config.ice_servers.iter().map(|server| {
        let link = format!("<{server}>; rel=\"ice-server\"");
        if is_turn(server) {
            format!(
                "{link}; username=\"{username}\"; credential=\"{credential}\"; credential-type=\"password\""
            )
        } else {
            link
        }
    });
    links.collect()
}

fn hex_of(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Whether a server's address is one of RFC 7064 or RFC 7065.
pub(crate) fn is_server(address: &str) -> bool {
    let rest = ["stun:", "stuns:", "turn:", "turns:"]
        .iter()
        .find_map(|scheme| address.strip_prefix(scheme));
    // It stands between brackets and quotes in a header.
    let plain = |byte: u8| byte.is_ascii_graphic() && !b"<>\"\\,;".contains(&byte);
    rest.is_some_and(|rest| !rest.is_empty() && rest.bytes().all(plain))
}

/// Whether a name and a password are wanted there.
pub(crate) fn is_turn(address: &str) -> bool {
    address.starts_with("turn:") || address.starts_with("turns:")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_is_told_of_a_server_may_use_it_for_a_while() {
        let config = Config {
            ice_servers: vec![
                "stun:stun.example.org".into(),
                "turn:turn.example.org:3478?transport=udp".into(),
            ],
            turn_secret: "north".into(),
            turn_ttl_s: 600,
            ..Config::default()
        };
        // The signature is what `printf 1000600:fb8e20fc2e4c3f24 | openssl dgst -sha1 -hmac north -binary | base64`
        // says.
        assert_eq!(
            links(&config, 1_000_000, "ab"),
            [
                "<stun:stun.example.org>; rel=\"ice-server\"",
                "<turn:turn.example.org:3478?transport=udp>; rel=\"ice-server\"; \
                 username=\"1000600:fb8e20fc2e4c3f24\"; credential=\"0mCkKp+vb9YR5SjAeMYavirln84=\"; \
                 credential-type=\"password\"",
            ]
        );
    }

    #[test]
    fn addresses_that_would_tear_a_header_are_none() {
        for good in ["stun:a", "turns:[2001:db8::1]:5349?transport=tcp"] {
            assert!(is_server(good), "{good}");
        }
        for bad in [
            "",
            "turn:",
            "http://a",
            "turn:a b",
            "turn:a>",
            "stun:a\r\nX: y",
        ] {
            assert!(!is_server(bad), "{bad}");
        }
    }
}
