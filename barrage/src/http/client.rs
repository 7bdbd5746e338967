//! Who makes a request: what the connection told, and what a trusted proxy says in its headers.

use std::net::SocketAddr;

use http::{HeaderMap, Request, header};
use kit::client::Client;
use kit::proxies::TrustedProxies;

/// What a connection tells of its client.
#[derive(Clone, Copy, Debug)]
pub(super) struct Told {
    addr: SocketAddr,
    secure: bool,
}

impl Told {
    pub(super) const fn new(addr: SocketAddr, secure: bool) -> Self {
        Self { addr, secure }
    }

    pub(super) const fn addr(self) -> SocketAddr {
        self.addr
    }

    /// Who makes `request`. What its headers say of that counts only from a trusted proxy.
    pub(super) fn client<B>(self, request: &Request<B>, trusted: &TrustedProxies) -> Client {
        let headers = request.headers();
        let host = request
            .uri()
            .authority()
            .map(http::uri::Authority::as_str)
            .or_else(|| text(headers, header::HOST.as_str()));
        if !trusted.contain(self.addr.ip()) {
            return self.as_told(host);
        }
        let chain: Vec<&str> = headers
            .get_all("x-forwarded-for")
            .iter()
            .filter_map(|value| value.to_str().ok())
            .flat_map(|value| value.split(','))
            .collect();
        let ip = trusted.client_behind(self.addr.ip(), chain.into_iter());
        let port = if ip == self.addr.ip() {
            self.addr.port()
        } else {
            0
        };
        let secure = match text(headers, "x-forwarded-proto").map(last) {
            Some(proto) => proto.eq_ignore_ascii_case("https"),
            None => self.secure,
        };
        let host = text(headers, "x-forwarded-host").map(last).or(host);
        Self::new(SocketAddr::new(ip, port), secure).as_told(host)
    }

    fn as_told(self, host: Option<&str>) -> Client {
        let scheme = if self.secure { "https" } else { "http" };
        Client {
            addr: self.addr,
            origin: host.map(|host| format!("{scheme}://{}", host.to_ascii_lowercase())),
        }
    }
}

fn text<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers.get(name)?.to_str().ok()
}

/// The value that the nearest proxy appended.
fn last(list: &str) -> &str {
    list.rsplit(',').next().unwrap_or(list).trim()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn client(peer: &str, headers: &[(&str, &str)]) -> Client {
        let mut request = Request::builder().uri("/");
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let trusted = TrustedProxies::parse(&["10.0.0.0/8".to_owned()]).unwrap();
        Told::new(peer.parse().unwrap(), false).client(&request.body(()).unwrap(), &trusted)
    }

    const CLAIMS: &[(&str, &str)] = &[
        ("host", "Live.example"),
        ("x-forwarded-for", "192.0.2.9"),
        ("x-forwarded-proto", "https"),
        ("x-forwarded-host", "public.example"),
    ];

    #[test]
    fn a_stranger_is_taken_for_nobody_else() {
        let client = client("203.0.113.5:1000", CLAIMS);
        assert_eq!(client.addr.to_string(), "203.0.113.5:1000");
        assert_eq!(client.origin.as_deref(), Some("http://live.example"));
        assert!(!client.is_secure());
    }

    #[test]
    fn a_trusted_proxy_says_for_whom_it_asks() {
        let client = client("10.0.0.1:1000", CLAIMS);
        assert_eq!(client.addr.ip().to_string(), "192.0.2.9");
        assert_eq!(client.origin.as_deref(), Some("https://public.example"));
        assert!(client.is_secure());
    }
}
