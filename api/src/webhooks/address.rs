//! Which addresses may be told. Whoever owns a channel chooses them, and must not reach by us what is
//! inside the server's own networks.

use std::net::IpAddr;

use http::Uri;
use ipnet::IpNet;

/// Longest address, in bytes.
const URL_BYTES_MAX: usize = 2_000;

/// What is not the open internet (IANA's registries of special-purpose addresses). Of IPv6, only
/// 2000::/3 is, without these.
const INSIDE: [&str; 20] = [
    "0.0.0.0/8",
    "10.0.0.0/8",
    "100.64.0.0/10",
    "127.0.0.0/8",
    "169.254.0.0/16",
    "172.16.0.0/12",
    "192.0.0.0/24",
    "192.0.2.0/24",
    "192.88.99.0/24",
    "192.168.0.0/16",
    "198.18.0.0/15",
    "198.51.100.0/24",
    "203.0.113.0/24",
    "224.0.0.0/4",
    "240.0.0.0/4",
    "2001::/23",
    "2001:db8::/32",
    // What these lead to is an IPv4 address.
    "2002::/16",
    "2620:4f:8000::/48",
    "3fff::/20",
];

/// Why an address is not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadTarget {
    /// It is none.
    #[error("This takes an address such as https://example.org/hook.")]
    Unreadable,
    /// It is inside.
    #[error(
        "This address is not on the open internet. An operator can allow it: webhooks.allow_private_addresses."
    )]
    Private,
}

/// Where a delivery goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Target {
    pub(super) tls: bool,
    pub(super) host: String,
    pub(super) port: u16,
    /// As it stands in the request.
    pub(super) authority: String,
    /// Path and query.
    pub(super) path: String,
}

impl Target {
    pub(super) fn parse(url: &str) -> Result<Self, BadTarget> {
        // What follows a # is for browsers, and what stands before an @ for nobody's logs.
        if url.len() > URL_BYTES_MAX || url.contains('#') {
            return Err(BadTarget::Unreadable);
        }
        let uri: Uri = url.parse().map_err(|_| BadTarget::Unreadable)?;
        let tls = match uri.scheme_str() {
            Some("https") => true,
            Some("http") => false,
            _ => return Err(BadTarget::Unreadable),
        };
        let authority = uri.authority().ok_or(BadTarget::Unreadable)?;
        let host = authority.host().trim_start_matches('[');
        let host = host.trim_end_matches(']').to_ascii_lowercase();
        if host.is_empty() || authority.as_str().contains('@') {
            return Err(BadTarget::Unreadable);
        }
        Ok(Self {
            tls,
            host,
            port: authority.port_u16().unwrap_or(if tls { 443 } else { 80 }),
            authority: authority.as_str().to_owned(),
            path: uri
                .path_and_query()
                .map_or_else(|| "/".into(), |path| path.as_str().to_owned()),
        })
    }
}

/// Whether an address is on the open internet.
pub(super) fn is_public(address: IpAddr) -> bool {
    let address = address.to_canonical();
    let inside = |net: &&str| {
        let net: Option<IpNet> = net.parse().ok();
        net.is_none_or(|net| net.contains(&address))
    };
    let global = match address {
        IpAddr::V4(_) => true,
        IpAddr::V6(v6) => v6.segments()[0] & 0xE000 == 0x2000,
    };
    global && !INSIDE.iter().any(inside)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_open_internet_is_public() {
        let public = |text: &str| is_public(text.parse().expect("an address"));
        for open in [
            "1.1.1.1",
            "93.184.215.14",
            "2606:4700::1111",
            "2a00:1450::1",
        ] {
            assert!(public(open), "{open}");
        }
        for inside in [
            "127.0.0.1",
            "127.8.8.8",
            "0.0.0.0",
            "10.1.2.3",
            "172.31.255.255",
            "192.168.0.1",
            "169.254.169.254",
            "100.100.0.1",
            "198.19.0.1",
            "224.0.0.1",
            "255.255.255.255",
            "::",
            "::1",
            "::ffff:127.0.0.1",
            "::ffff:10.0.0.1",
            "fe80::1",
            "fc00::1",
            "fd12::1",
            "ff02::1",
            "64:ff9b::7f00:1",
            "2002:7f00:1::",
            "2001:db8::1",
            "2001:0:1::1",
        ] {
            assert!(!public(inside), "{inside}");
        }
        assert!(INSIDE.iter().all(|net| net.parse::<IpNet>().is_ok()));
    }

    #[test]
    fn a_target_is_a_whole_address_of_http() {
        let target = Target::parse("https://Example.org:8443/hook?a=b").expect("a target");
        assert_eq!((target.host.as_str(), target.port), ("example.org", 8443));
        assert_eq!((target.path.as_str(), target.tls), ("/hook?a=b", true));
        let target = Target::parse("http://[::1]").expect("a target");
        assert_eq!((target.host.as_str(), target.port), ("::1", 80));
        assert_eq!(
            (target.path.as_str(), target.authority.as_str()),
            ("/", "[::1]")
        );
        for bad in [
            "",
            "example.org",
            "/hook",
            "ftp://example.org/",
            "file:///etc/passwd",
            "https://",
            "https://a b/",
            "https://user:secret@example.org/",
            "https://example.org/\r\nx: y",
            "https://example.org/#top",
            &format!("https://example.org/{}", "a".repeat(2_000)),
        ] {
            assert_eq!(Target::parse(bad), Err(BadTarget::Unreadable), "{bad:?}");
        }
    }
}
