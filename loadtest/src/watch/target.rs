//! What an address says: where to connect, and by which protocol to watch.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;

use anyhow::{Context as _, bail};
use reqwest::Url;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName};
use serde::Serialize;

const RTMP_PORT: u16 = 1935;

/// By which protocol a stream is watched.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Protocol {
    Rtmp,
    Flv,
    WsFlv,
    LlHls,
}

/// Where and what.
#[derive(Clone, Debug)]
pub(crate) struct Target {
    pub(crate) url: Url,
    pub(crate) protocol: Protocol,
    pub(crate) address: SocketAddr,
    pub(crate) tls: Option<Tls>,
}

/// With whom to speak under cover, and whom to believe.
#[derive(Clone, Debug)]
pub(crate) struct Tls {
    pub(crate) config: Arc<rustls::ClientConfig>,
    pub(crate) name: ServerName<'static>,
}

impl Target {
    /// Looks an address up.
    pub(crate) fn find(url: &Url, authority: Option<&Path>) -> anyhow::Result<Self> {
        let protocol = protocol(url)?;
        let default_port = || (url.scheme() == "rtmp").then_some(RTMP_PORT);
        let addresses = url
            .socket_addrs(default_port)
            .with_context(|| format!("failed to look up {url}"))?;
        let secret = matches!(url.scheme(), "https" | "wss");
        Ok(Self {
            url: url.clone(),
            protocol,
            // Barrage's ports listen on IPv4 unless told otherwise.
            address: *addresses
                .iter()
                .find(|address| address.is_ipv4())
                .or_else(|| addresses.first())
                .with_context(|| format!("{url} has no address"))?,
            tls: if secret {
                Some(tls(url, authority)?)
            } else {
                None
            },
        })
    }

    /// The host as a request names it.
    pub(crate) fn host(&self) -> &str {
        self.url.authority()
    }

    /// The path and query as a request names them.
    pub(crate) fn path(&self) -> String {
        path(&self.url)
    }
}

/// The path and query as a request names them.
pub(crate) fn path(url: &Url) -> String {
    match url.query() {
        Some(query) => format!("{}?{query}", url.path()),
        None => url.path().to_owned(),
    }
}

fn protocol(url: &Url) -> anyhow::Result<Protocol> {
    let ends_with = |end| url.path().ends_with(end);
    Ok(match url.scheme() {
        "rtmp" => Protocol::Rtmp,
        "http" | "https" if ends_with(".flv") => Protocol::Flv,
        "ws" | "wss" if ends_with(".flv") => Protocol::WsFlv,
        "http" | "https" if ends_with(".m3u8") => Protocol::LlHls,
        _ => bail!(
            "{url} cannot be watched: give rtmp://host/live/name, http://host/live/name.flv, \
             ws://host/live/name.flv or http://host/hls/name/index.m3u8"
        ),
    })
}

fn tls(url: &Url, authority: Option<&Path>) -> anyhow::Result<Tls> {
    let mut roots = rustls::RootCertStore::empty();
    match authority {
        Some(path) => {
            let certificates = CertificateDer::pem_file_iter(path)
                .with_context(|| format!("failed to read {}", path.display()))?;
            for certificate in certificates {
                roots.add(certificate.with_context(|| format!("in {}", path.display()))?)?;
            }
        }
        None => {
            roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        }
    }
    let name = url.host_str().context("an address without a host")?;
    let name = name.trim_matches(['[', ']']).to_owned();
    Ok(Tls {
        config: Arc::new(
            rustls::ClientConfig::builder()
                .with_root_certificates(roots)
                .with_no_client_auth(),
        ),
        name: ServerName::try_from(name).context("a host that no certificate can name")?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn protocol_of(url: &str) -> Option<Protocol> {
        protocol(&Url::parse(url).unwrap()).ok()
    }

    #[test]
    fn the_address_says_the_protocol() {
        for (url, expected) in [
            ("rtmp://x/live/a", Some(Protocol::Rtmp)),
            ("http://x:8080/live/a.flv?start=low", Some(Protocol::Flv)),
            ("wss://x/live/a.flv", Some(Protocol::WsFlv)),
            ("https://x/hls/a/index.m3u8", Some(Protocol::LlHls)),
            ("http://x/", None),
            ("srt://x:9000", None),
        ] {
            assert_eq!(protocol_of(url), expected, "{url}");
        }
    }

    #[test]
    fn rtmp_has_a_port_of_its_own() {
        let url = Url::parse("rtmp://127.0.0.1/live/a").unwrap();
        assert_eq!(Target::find(&url, None).unwrap().address.port(), 1935);
    }
}
