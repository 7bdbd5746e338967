//! One attempt: a POST over HTTP/1.1 on a connection of its own. Nothing is followed, and of the
//! answer only the status is read.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, RootCertStore};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::{TcpStream, lookup_host};
use tokio_rustls::TlsConnector;

use super::address::{BadTarget, Target, is_public};
use super::config::WebhooksConfig;
use crate::store::webhooks::Attempt;

/// Longest head of an answer.
const HEAD_BYTES_MAX: usize = 16 * 1024;
const HEADERS_MAX: usize = 100;

/// Addresses of one name that are tried.
const ADDRESSES_MAX: usize = 4;

/// What the receiver sees of us.
const USER_AGENT: &str = concat!("Barrage/", env!("CARGO_PKG_VERSION"));

/// Why there was no answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NoAnswer {
    /// The address cannot be read.
    BadAddress,
    /// The server has lost what the secret was sealed under.
    SecretLost,
    /// Nobody knows the name in the address.
    NoSuchName,
    /// The address is not on the open internet.
    PrivateAddress,
    /// Nothing takes connections there.
    NoConnection,
    /// There was no TLS with a certificate that is trusted.
    Tls,
    /// The connection broke before there was an answer.
    Broken,
    /// What answered does not speak HTTP.
    NotHttp,
    /// There was no answer in time.
    Timeout,
}

impl NoAnswer {
    /// Its name, as programs read it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::BadAddress => "bad_address",
            Self::SecretLost => "secret_lost",
            Self::NoSuchName => "no_such_name",
            Self::PrivateAddress => "private_address",
            Self::NoConnection => "no_connection",
            Self::Tls => "tls",
            Self::Broken => "broken",
            Self::NotHttp => "not_http",
            Self::Timeout => "timeout",
        }
    }
}

/// Sends.
pub(super) struct Sender {
    timeout: Duration,
    allow_private: bool,
    tls: TlsConnector,
}

impl Sender {
    pub(super) fn new(config: &WebhooksConfig) -> anyhow::Result<Self> {
        let mut roots = RootCertStore::empty();
        let found = rustls_native_certs::load_native_certs();
        let (taken, _) = roots.add_parsable_certificates(found.certs);
        if taken == 0 {
            tracing::warn!("the system has no certificates: webhooks over https will fail");
        }
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let tls = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .context("TLS cannot be had")?
            .with_root_certificates(roots)
            .with_no_client_auth();
        Ok(Self {
            timeout: config.timeout(),
            allow_private: config.allow_private_addresses,
            tls: TlsConnector::from(Arc::new(tls)),
        })
    }

    /// Whether an address may be told, as far as it says so itself.
    pub(super) fn check(&self, url: &str) -> Result<(), BadTarget> {
        let target = Target::parse(url)?;
        match target.host.parse() {
            Ok(address) if !self.may_reach(address) => Err(BadTarget::Private),
            Ok(_) | Err(_) => Ok(()),
        }
    }

    fn may_reach(&self, address: IpAddr) -> bool {
        self.allow_private || is_public(address)
    }

    pub(super) async fn post(
        &self,
        url: &str,
        headers: &[(&'static str, String)],
        body: &str,
    ) -> Attempt {
        let Ok(target) = Target::parse(url) else {
            return Attempt::failed(NoAnswer::BadAddress);
        };
        let tried = tokio::time::timeout(self.timeout, self.try_post(&target, headers, body));
        match tried.await {
            Ok(Ok(status)) => Attempt::answered(status),
            Ok(Err(why)) => Attempt::failed(why),
            Err(_) => Attempt::failed(NoAnswer::Timeout),
        }
    }

    async fn try_post(
        &self,
        target: &Target,
        headers: &[(&'static str, String)],
        body: &str,
    ) -> Result<u16, NoAnswer> {
        let socket = self.connect(target).await?;
        let request = request(target, headers, body);
        let answer = if target.tls {
            let name = ServerName::try_from(target.host.clone());
            let name = name.map_err(|_| NoAnswer::BadAddress)?;
            let socket = self.tls.connect(name, socket).await;
            let socket = socket.map_err(|_| NoAnswer::Tls)?;
            converse(socket, &request).await
        } else {
            converse(socket, &request).await
        };
        answer
            .map_err(|_| NoAnswer::Broken)?
            .ok_or(NoAnswer::NotHttp)
    }

    /// Connects to an address of the target that may be reached: that very one, whatever its name
    /// means a moment later.
    async fn connect(&self, target: &Target) -> Result<TcpStream, NoAnswer> {
        let found = lookup_host((target.host.as_str(), target.port)).await;
        let found = found.map_err(|_| NoAnswer::NoSuchName)?;
        let (may, may_not): (Vec<SocketAddr>, Vec<_>) =
            found.partition(|address| self.may_reach(address.ip()));
        if may.is_empty() && !may_not.is_empty() {
            return Err(NoAnswer::PrivateAddress);
        }
        for address in may.into_iter().take(ADDRESSES_MAX) {
            if let Ok(socket) = TcpStream::connect(address).await {
                // The request is written whole.
                let _ = socket.set_nodelay(true);
                return Ok(socket);
            }
        }
        Err(NoAnswer::NoConnection)
    }
}

fn request(target: &Target, headers: &[(&'static str, String)], body: &str) -> String {
    let mut head = format!(
        "POST {} HTTP/1.1\r\nhost: {}\r\nuser-agent: {USER_AGENT}\r\n\
         content-type: application/json\r\ncontent-length: {}\r\nconnection: close\r\n",
        target.path,
        target.authority,
        body.len()
    );
    for (name, value) in headers {
        head.push_str(name);
        head.push_str(": ");
        head.push_str(value);
        head.push_str("\r\n");
    }
    head + "\r\n" + body
}

/// Says it, and reads the status of the answer; none if it is no HTTP.
async fn converse(
    mut socket: impl AsyncRead + AsyncWrite + Unpin,
    request: &str,
) -> io::Result<Option<u16>> {
    // Whoever has heard enough may answer and close before it has read all.
    let sent = socket.write_all(request.as_bytes()).await;
    let flushed = socket.flush().await;
    let mut heard = Vec::new();
    loop {
        match status_in(&heard) {
            Head::Status(status) => return Ok(Some(status)),
            Head::NoHttp => return Ok(None),
            Head::Unfinished if heard.len() > HEAD_BYTES_MAX => return Ok(None),
            Head::Unfinished => {}
        }
        if socket.read_buf(&mut heard).await? == 0 {
            sent.and(flushed)?;
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
    }
}

#[derive(Debug, PartialEq, Eq)]
enum Head {
    Status(u16),
    Unfinished,
    NoHttp,
}

/// The status of the first answer that is no interim one (RFC 9110 §15.2).
fn status_in(mut heard: &[u8]) -> Head {
    loop {
        let mut headers = [httparse::EMPTY_HEADER; HEADERS_MAX];
        let mut head = httparse::Response::new(&mut headers);
        match (head.parse(heard), head.code) {
            (Ok(httparse::Status::Complete(length)), Some(100..=199)) => heard = &heard[length..],
            (Ok(httparse::Status::Complete(_)), Some(status)) => return Head::Status(status),
            (Ok(httparse::Status::Partial), _) => return Head::Unfinished,
            (Ok(httparse::Status::Complete(_)), None) | (Err(_), _) => return Head::NoHttp,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_status_is_that_of_the_real_answer() {
        let status = |text: &str| status_in(text.as_bytes());
        assert_eq!(status("HTTP/1.1 204 No Content\r\n\r\n"), Head::Status(204));
        let interim = "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 500 x\r\na: b\r\n\r\nbody";
        assert_eq!(status(interim), Head::Status(500));
        for part in ["", "HTTP/1.1 2", "HTTP/1.1 200 OK\r\na: b\r\n"] {
            assert_eq!(status(part), Head::Unfinished);
        }
        for other in ["SSH-2.0-x\r\n", "220 mail\r\n", "\u{16}\u{3}\u{1}"] {
            assert_eq!(status(other), Head::NoHttp);
        }
    }

    #[tokio::test]
    async fn what_is_inside_is_not_reached_by_whatever_name() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0")
            .await
            .expect("a port");
        let port = listener.local_addr().expect("an address").port();
        let sender = Sender::new(&WebhooksConfig::default()).expect("TLS");
        for host in ["127.0.0.1", "localhost", "[::ffff:127.0.0.1]", "0.0.0.0"] {
            let url = format!("http://{host}:{port}/");
            let attempt = sender.post(&url, &[], "{}").await;
            assert_eq!(attempt.error, Some(NoAnswer::PrivateAddress), "{host}");
        }
        let url = format!("http://127.0.0.1:{port}/");
        assert_eq!(sender.check(&url), Err(BadTarget::Private));
        assert_eq!(sender.check("https://example.org/"), Ok(()));
        let came = tokio::time::timeout(Duration::from_millis(10), listener.accept());
        assert!(came.await.is_err(), "nobody came");
    }
}
