//! Who makes a request, as the listener that took it found out.

use std::net::{IpAddr, Ipv6Addr, SocketAddr};

/// The client of a request. Listeners put it among the request's extensions.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Client {
    /// Its address: the peer's, or what a trusted proxy says of it.
    pub addr: SocketAddr,
    /// Where the client thinks it is, such as `https://live.example:8443`; without a slash at the
    /// end. `None` if its request does not tell.
    pub origin: Option<String>,
}

impl Client {
    /// Whether what travels between the client and us (or the proxy before us) is encrypted.
    pub fn is_secure(&self) -> bool {
        self.origin
            .as_deref()
            .is_some_and(|origin| origin.starts_with("https://"))
    }
}

/// What counts as one address when somebody is slowed down: an IPv4 address, or the /64 that one
/// IPv6 host commands.
pub fn network_of(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V4(v4) => IpAddr::V4(v4),
        IpAddr::V6(v6) => IpAddr::V6(Ipv6Addr::from_bits(v6.to_bits() & !u128::from(u64::MAX))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_host_is_one_network() {
        let of = |text: &str| network_of(text.parse().expect("an address"));
        assert_eq!(of("2001:db8::1"), of("2001:db8::ffff:1"));
        assert_ne!(of("2001:db8:0:1::1"), of("2001:db8:0:2::1"));
        assert_eq!(of("::ffff:192.0.2.1"), of("192.0.2.1"));
    }
}
