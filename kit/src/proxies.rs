//! The proxies that may say for whom they ask.

use std::net::IpAddr;

use ipnet::IpNet;

/// The addresses and networks of our own proxies.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TrustedProxies(Vec<IpNet>);

impl TrustedProxies {
    /// Reads addresses (`10.0.0.1`) and networks (`10.0.0.0/8`).
    ///
    /// # Errors
    /// At the first text that is neither; gives it.
    pub fn parse(texts: &[String]) -> Result<Self, String> {
        texts
            .iter()
            .map(|text| {
                text.parse::<IpNet>()
                    .or_else(|_| text.parse::<IpAddr>().map(IpNet::from))
                    .map_err(|_| text.clone())
            })
            .collect::<Result<_, _>>()
            .map(Self)
    }

    /// Whether there are none.
    pub const fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether this is the address of one.
    pub fn contain(&self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        self.0.iter().any(|network| network.contains(&address))
    }

    /// The client behind a chain of proxies, as `X-Forwarded-For` tells it: each proxy appends
    /// whom it heard from, so the last address that is not ours is the client's. What stands
    /// before it is the client's own word and counts for nothing.
    pub fn client_behind<'a>(
        &self,
        peer: IpAddr,
        forwarded_for: impl DoubleEndedIterator<Item = &'a str>,
    ) -> IpAddr {
        let mut client = peer;
        for hop in forwarded_for.rev() {
            if !self.contain(client) {
                break;
            }
            // What cannot be read ends the chain where it can still be trusted.
            match parse_hop(hop) {
                Some(address) => client = address,
                None => break,
            }
        }
        client
    }
}

/// `192.0.2.1`, `192.0.2.1:1234`, `2001:db8::1`, `[2001:db8::1]:1234`.
fn parse_hop(hop: &str) -> Option<IpAddr> {
    let hop = hop.trim();
    hop.parse()
        .or_else(|_| hop.parse::<std::net::SocketAddr>().map(|addr| addr.ip()))
        .or_else(|_| hop.trim_matches(['[', ']']).parse())
        .ok()
        .map(|address: IpAddr| address.to_canonical())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn proxies() -> TrustedProxies {
        TrustedProxies::parse(&["10.0.0.0/8".into(), "2001:db8::7".into()]).expect("networks")
    }

    fn behind(peer: &str, chain: &str) -> String {
        let peer = peer.parse().expect("an address");
        let hops = chain.split(',').filter(|hop| !hop.is_empty());
        proxies().client_behind(peer, hops).to_string()
    }

    #[test]
    fn the_last_address_that_is_not_ours_is_the_client() {
        assert_eq!(behind("10.1.1.1", "192.0.2.9"), "192.0.2.9");
        assert_eq!(behind("10.1.1.1", "192.0.2.9, 10.2.2.2"), "192.0.2.9");
        assert_eq!(behind("2001:db8::7", "[2001:db8::9]:80"), "2001:db8::9");
        assert_eq!(behind("::ffff:10.1.1.1", "192.0.2.9:4711"), "192.0.2.9");
    }

    #[test]
    fn what_a_client_claims_counts_for_nothing() {
        assert_eq!(behind("192.0.2.9", "127.0.0.1"), "192.0.2.9");
        assert_eq!(behind("10.1.1.1", "127.0.0.1, 192.0.2.9"), "192.0.2.9");
        assert_eq!(behind("10.1.1.1", "192.0.2.9, nonsense"), "10.1.1.1");
        assert_eq!(behind("10.1.1.1", ""), "10.1.1.1");
        assert_eq!(
            TrustedProxies::default()
                .client_behind(
                    "10.1.1.1".parse().expect("an address"),
                    ["192.0.2.9"].into_iter()
                )
                .to_string(),
            "10.1.1.1"
        );
    }

    #[test]
    fn what_is_no_network_is_told() {
        assert_eq!(
            TrustedProxies::parse(&["10.0.0.0/33".into()]),
            Err("10.0.0.0/33".into())
        );
    }
}
