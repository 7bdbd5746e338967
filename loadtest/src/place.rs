//! Where an address is, and how to speak to it.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;

use anyhow::Context as _;
use reqwest::Url;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName};

const RTMP_PORT: u16 = 1935;

/// An address that has been looked up.
#[derive(Clone, Debug)]
pub(crate) struct Place {
    pub(crate) url: Url,
    pub(crate) address: SocketAddr,
    pub(crate) tls: Option<Tls>,
}

/// With whom to speak under cover, and whom to believe.
#[derive(Clone, Debug)]
pub(crate) struct Tls {
    pub(crate) config: Arc<rustls::ClientConfig>,
    pub(crate) name: ServerName<'static>,
}

impl Place {
    /// Looks an address up.
    pub(crate) fn find(url: &Url, authority: Option<&Path>) -> anyhow::Result<Self> {
        let default_port = || (url.scheme() == "rtmp").then_some(RTMP_PORT);
        let addresses = url
            .socket_addrs(default_port)
            .with_context(|| format!("failed to look up {url}"))?;
        let secret = matches!(url.scheme(), "https" | "wss");
        Ok(Self {
            url: url.clone(),
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

    #[test]
    fn rtmp_has_a_port_of_its_own() {
        let url = Url::parse("rtmp://127.0.0.1/live/a").unwrap();
        assert_eq!(Place::find(&url, None).unwrap().address.port(), 1935);
    }
}
