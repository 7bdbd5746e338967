//! One request over HTTP/1.1, on a connection of its own, within a deadline. Nothing is followed, and of an
//! answer only so much is read.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use bytes::Bytes;
use http::{Method, Request, Uri, header};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, RootCertStore};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout};
use tokio_rustls::TlsConnector;

use super::NoDeal;
use super::breaker::Breaker;

/// How long one request may take.
const WITHIN: Duration = Duration::from_secs(5);

/// Longest answer that is read.
const ANSWER_BYTES_MAX: usize = 256 * 1024;

/// What the provider sees of us.
const USER_AGENT: &str = concat!("Barrage/", env!("CARGO_PKG_VERSION"));

/// Asks one provider.
pub(super) struct Client {
    tls: TlsConnector,
    has_tls: bool,
    host: String,
    port: u16,
    authority: String,
    /// What stands before each path, without a slash at the end.
    prefix: String,
    key: String,
    breaker: Breaker,
}

/// An answer: its status and its body.
pub(super) type Answer = (u16, Bytes);

impl Client {
    /// For the provider at this address, which knows us by the key.
    pub(super) fn new(api_url: &str, key: &str) -> anyhow::Result<Self> {
        let uri: Uri = api_url.parse().context("the address cannot be read")?;
        let has_tls = match uri.scheme_str() {
            Some("https") => true,
            Some("http") => false,
            _ => anyhow::bail!("the address begins with https:// or http://"),
        };
        let authority = uri.authority().context("the address names no host")?;
        let host = authority.host().trim_matches(['[', ']']).to_owned();
        let port = authority.port_u16();
        Ok(Self {
            tls: connector()?,
            has_tls,
            host,
            port: port.unwrap_or(if has_tls { 443 } else { 80 }),
            authority: authority.as_str().to_owned(),
            prefix: uri.path().trim_end_matches('/').to_owned(),
            key: key.to_owned(),
            breaker: Breaker::default(),
        })
    }

    /// Whether it is not asked at present.
    pub(super) fn is_out(&self) -> bool {
        self.breaker.is_open(Instant::now())
    }

    /// Asks for something. Who asks with the same `once` again asks for the same.
    pub(super) async fn ask(
        &self,
        method: Method,
        path: &str,
        once: Option<&str>,
        form: &[(&str, &str)],
    ) -> Result<Answer, NoDeal> {
        if !self.breaker.lets_through(Instant::now()) {
            return Err(NoDeal::Unavailable);
        }
        let request = self.request(method, path, once, form)?;
        let why = match timeout(WITHIN, self.try_ask(request)).await {
            // It is there, and too busy or broken to tell.
            Ok(Ok((status, _))) if status >= 500 || status == 429 => format!("status {status}"),
            Ok(Ok(answer)) => {
                self.breaker.succeeded();
                return Ok(answer);
            }
            Ok(Err(error)) => format!("{error:#}"),
            Err(_) => "no answer in time".to_owned(),
        };
        self.breaker.failed(Instant::now());
        tracing::warn!(
            provider.host = self.host,
            why,
            "the payment provider cannot be asked"
        );
        Err(NoDeal::Unavailable)
    }

    fn request(
        &self,
        method: Method,
        path: &str,
        once: Option<&str>,
        form: &[(&str, &str)],
    ) -> Result<Request<Full<Bytes>>, NoDeal> {
        let mut request = Request::builder()
            .method(method)
            .uri(format!("{}{path}", self.prefix))
            .header(header::HOST, &self.authority)
            .header(header::USER_AGENT, USER_AGENT)
            .header(header::CONNECTION, "close")
            .header(header::AUTHORIZATION, format!("Bearer {}", self.key));
        if !form.is_empty() {
            let kind = "application/x-www-form-urlencoded";
            request = request.header(header::CONTENT_TYPE, kind);
        }
        if let Some(once) = once {
            request = request.header("idempotency-key", once);
        }
        let request = request.body(Full::new(encode(form).into()));
        request.map_err(|error| NoDeal::Refused(error.to_string()))
    }

    async fn try_ask(&self, request: Request<Full<Bytes>>) -> anyhow::Result<Answer> {
        let socket = TcpStream::connect((self.host.as_str(), self.port)).await;
        let socket = socket.context("nothing takes connections there")?;
        if self.has_tls {
            let name = ServerName::try_from(self.host.clone())?;
            let socket = self.tls.connect(name, socket).await;
            converse(socket.context("there is no TLS that is trusted")?, request).await
        } else {
            converse(socket, request).await
        }
    }
}

async fn converse<S>(socket: S, request: Request<Full<Bytes>>) -> anyhow::Result<Answer>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let (mut sender, connection) = http1::handshake(TokioIo::new(socket)).await?;
    // It ends with the sender, and what breaks it breaks the answer too.
    tokio::spawn(async move {
        let _ = connection.await;
    });
    let (head, body) = sender.send_request(request).await?.into_parts();
    let body = Limited::new(body, ANSWER_BYTES_MAX).collect().await;
    let body = body.map_err(|error| anyhow::anyhow!("the answer broke off: {error}"))?;
    Ok((head.status.as_u16(), body.to_bytes()))
}

fn connector() -> anyhow::Result<TlsConnector> {
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let tls = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .context("TLS cannot be had")?
        .with_root_certificates(roots)
        .with_no_client_auth();
    Ok(TlsConnector::from(Arc::new(tls)))
}

/// Pairs as a form sends them (URL standard, application/x-www-form-urlencoded).
fn encode(form: &[(&str, &str)]) -> String {
    let pairs = form
        .iter()
        .map(|(name, value)| format!("{}={}", escaped(name), escaped(value)));
    pairs.collect::<Vec<_>>().join("&")
}

fn escaped(word: &str) -> String {
    let escape = |byte: u8| match byte {
        b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' => {
            char::from(byte).to_string()
        }
        _ => format!("%{byte:02X}"),
    };
    word.bytes().map(escape).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn forms_are_written_so_that_they_read_back() {
        let form = [("line_items[0][a b]", "60 + 6&x=ü"), ("empty", "")];
        assert_eq!(
            encode(&form),
            "line_items%5B0%5D%5Ba%20b%5D=60%20%2B%206%26x%3D%C3%BC&empty="
        );
        assert_eq!(encode(&[]), "");
    }

    #[tokio::test]
    async fn who_does_not_answer_is_not_asked_for_a_while() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let addr = listener.local_addr().unwrap();
        drop(listener);
        let client = Client::new(&format!("http://{addr}"), "sk_test").unwrap();
        for _ in 0..3 {
            assert!(!client.is_out());
            let asked = client.ask(Method::GET, "/v1/x", None, &[]).await;
            assert_eq!(asked, Err(NoDeal::Unavailable));
        }
        assert!(client.is_out());
        let began = Instant::now();
        let asked = client.ask(Method::GET, "/v1/x", None, &[]).await;
        assert_eq!(asked, Err(NoDeal::Unavailable));
        assert!(began.elapsed() < Duration::from_secs(1));
    }
}
