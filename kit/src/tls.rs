//! TLS for listeners: given certificates, read again when their files change, or one of our own.

use std::fs;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::{Duration, SystemTime};

use anyhow::{Context as _, bail};
use rustls::ServerConfig;
use rustls::crypto::CryptoProvider;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;

use crate::private_file;

/// How often the files are looked at.
const LOOK_EVERY: Duration = Duration::from_secs(2);

/// A certificate of our own is made anew when it is older than this; it would work for 397 days.
const SELF_SIGNED_AGE_MAX: Duration = Duration::from_hours(300 * 24);

/// Where a certificate and its key stand.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Files {
    /// The certificate and those above it, PEM.
    pub certificate: PathBuf,
    /// Its private key, PEM.
    pub key: PathBuf,
}

impl Files {
    /// Where our own stands in the data directory.
    pub fn self_signed(data_dir: &Path) -> Self {
        Self {
            certificate: data_dir.join("self-signed.crt"),
            key: data_dir.join("self-signed.key"),
        }
    }

    /// Makes a certificate of our own for `names` (host names and addresses), unless there is one
    /// that is young enough.
    ///
    /// # Errors
    /// When it cannot be made or written.
    pub fn ensure_self_signed(&self, names: &[String]) -> anyhow::Result<()> {
        let young = age(&self.certificate).is_some_and(|age| age < SELF_SIGNED_AGE_MAX);
        let good = || {
            let expires_at = self.chain().and_then(|chain| expiry(&chain));
            expires_at.is_ok_and(|at| at > SystemTime::now())
        };
        if self.key.exists() && young && good() {
            return Ok(());
        }
        let names: Vec<String> = names
            .iter()
            .map(|name| name.trim_matches(['[', ']']).to_owned())
            .collect();
        let mut params = rcgen::CertificateParams::new(names)
            .context("a host name cannot stand in a certificate")?;
        let mut subject = rcgen::DistinguishedName::new();
        subject.push(rcgen::DnType::CommonName, "Barrage (self-signed)");
        params.distinguished_name = subject;
        // Browsers take no certificate that works for longer.
        params.not_after = params.not_before;
        let now = time::OffsetDateTime::now_utc();
        params.not_before = now - time::Duration::days(1);
        params.not_after = now + time::Duration::days(396);
        params.extended_key_usages = vec![rcgen::ExtendedKeyUsagePurpose::ServerAuth];
        let key = rcgen::KeyPair::generate().context("failed to make a key")?;
        let certificate = params
            .self_signed(&key)
            .context("failed to sign our own certificate")?;
        for (path, pem) in [
            (&self.key, key.serialize_pem()),
            (&self.certificate, certificate.pem()),
        ] {
            private_file::replace(path, pem.as_bytes())
                .with_context(|| format!("failed to write {}", path.display()))?;
        }
        Ok(())
    }

    fn changed_at(&self) -> Option<(SystemTime, SystemTime)> {
        let modified = |path: &Path| fs::metadata(path).and_then(|meta| meta.modified()).ok();
        Some((modified(&self.certificate)?, modified(&self.key)?))
    }

    fn chain(&self) -> anyhow::Result<Vec<CertificateDer<'static>>> {
        let certificate = &self.certificate;
        let chain = CertificateDer::pem_file_iter(certificate)
            .and_then(Iterator::collect::<Result<Vec<_>, _>>)
            .with_context(|| format!("failed to read {}", certificate.display()))?;
        if chain.is_empty() {
            bail!("{} has no certificate in it", certificate.display());
        }
        Ok(chain)
    }

    fn load(&self, provider: &CryptoProvider) -> anyhow::Result<InForce> {
        let certificate = &self.certificate;
        let chain = self.chain()?;
        let expires_at =
            expiry(&chain).with_context(|| format!("{} cannot be used", certificate.display()))?;
        let key = PrivateKeyDer::from_pem_file(&self.key)
            .with_context(|| format!("failed to read {}", self.key.display()))?;
        let key = CertifiedKey::from_der(chain, key, provider).with_context(|| {
            format!(
                "{} and {} do not belong together",
                certificate.display(),
                self.key.display()
            )
        })?;
        Ok(InForce {
            key: Arc::new(key),
            expires_at,
        })
    }
}

/// A certificate with its key, and until when it is good.
#[derive(Clone, Debug)]
struct InForce {
    key: Arc<CertifiedKey>,
    expires_at: SystemTime,
}

impl InForce {
    fn has_expired(&self) -> bool {
        self.expires_at <= SystemTime::now()
    }
}

/// When the first certificate of a chain ceases to be good (RFC 5280 §4.1.2.5).
fn expiry(chain: &[CertificateDer<'_>]) -> anyhow::Result<SystemTime> {
    let first = chain.first().context("there is no certificate")?;
    let (_, certificate) =
        x509_parser::parse_x509_certificate(first).context("it is no X.509 certificate")?;
    if certificate.version() != x509_parser::x509::X509Version::V3 {
        bail!("it is an X.509 certificate of an old version; make one of version 3");
    }
    let seconds = certificate.validity().not_after.timestamp();
    let seconds = u64::try_from(seconds).unwrap_or_default();
    Ok(SystemTime::UNIX_EPOCH + Duration::from_secs(seconds))
}

fn age(path: &Path) -> Option<Duration> {
    fs::metadata(path).ok()?.modified().ok()?.elapsed().ok()
}

/// The certificate in force.
#[derive(Debug)]
pub struct Certificate {
    files: Files,
    provider: Arc<CryptoProvider>,
    in_force: RwLock<InForce>,
    /// What is the matter with the files now, if the key in force is older than they are.
    problem: RwLock<Option<String>>,
}

impl Certificate {
    /// Reads the files.
    ///
    /// # Errors
    /// When they are no certificate with its key.
    pub fn load(files: Files) -> anyhow::Result<Arc<Self>> {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let in_force = files.load(&provider)?;
        if in_force.has_expired() {
            tracing::error!(file = %files.certificate.display(), "the certificate has expired: browsers refuse it");
        }
        Ok(Arc::new(Self {
            files,
            provider,
            in_force: RwLock::new(in_force),
            problem: RwLock::default(),
        }))
    }

    /// A server's settings with whatever certificate is in force: TLS 1.2 and 1.3, `protocols` by
    /// ALPN.
    ///
    /// # Errors
    /// When the cryptography has none of these versions, which would be our mistake.
    pub fn server_config(
        self: &Arc<Self>,
        protocols: &[&str],
    ) -> anyhow::Result<Arc<ServerConfig>> {
        let mut config = ServerConfig::builder_with_provider(Arc::clone(&self.provider))
            .with_safe_default_protocol_versions()?
            .with_no_client_auth()
            .with_cert_resolver(Arc::clone(self) as Arc<dyn ResolvesServerCert>);
        config.alpn_protocols = protocols
            .iter()
            .map(|protocol| protocol.as_bytes().to_vec())
            .collect();
        Ok(Arc::new(config))
    }

    /// The file of the certificate.
    pub fn file(&self) -> &Path {
        &self.files.certificate
    }

    /// What is the matter, if something is: with the files, and then the certificate in force is
    /// the last good one; or with that.
    pub fn problem(&self) -> Option<String> {
        let of_files = self.problem.read().unwrap_or_else(PoisonError::into_inner);
        let expired = || {
            let text = "it has expired: browsers refuse it";
            self.in_force().has_expired().then(|| text.to_owned())
        };
        of_files.clone().or_else(expired)
    }

    /// How long the certificate in force is good yet.
    pub fn good_for(&self) -> Duration {
        let expires_at = self.in_force().expires_at;
        expires_at
            .duration_since(SystemTime::now())
            .unwrap_or_default()
    }

    fn in_force(&self) -> InForce {
        let in_force = self.in_force.read().unwrap_or_else(PoisonError::into_inner);
        in_force.clone()
    }

    /// Reads the files again whenever they change, for ever. Files that are no good are told in the
    /// log, and the last good certificate stays.
    pub async fn keep_fresh(self: Arc<Self>) {
        let mut seen = self.files.changed_at();
        loop {
            tokio::time::sleep(LOOK_EVERY).await;
            let now = self.files.changed_at();
            if now != seen || (now.is_none() && self.problem().is_none()) {
                seen = now;
                self.reload();
            }
        }
    }

    fn reload(&self) {
        let mut result = self.files.load(&self.provider);
        if result.as_ref().is_ok_and(InForce::has_expired) && !self.in_force().has_expired() {
            let file = self.files.certificate.display();
            result = Err(anyhow::anyhow!("{file} has expired"));
        }
        let mut problem = self.problem.write().unwrap_or_else(PoisonError::into_inner);
        match result {
            Ok(loaded) => {
                *self
                    .in_force
                    .write()
                    .unwrap_or_else(PoisonError::into_inner) = loaded;
                *problem = None;
                tracing::info!(file = %self.files.certificate.display(), "the certificate was read again");
            }
            Err(error) => {
                let text = format!("{error:#}");
                tracing::error!(
                    error = text,
                    "the certificate cannot be read again; the last good one stays in force"
                );
                *problem = Some(text);
            }
        }
    }
}

impl ResolvesServerCert for Certificate {
    fn resolve(&self, _hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(self.in_force().key)
    }
}

/// The names that a certificate of our own is for: this machine's, and where people open us.
pub fn self_signed_names(public_host: Option<&str>) -> Vec<String> {
    let mut names = vec!["localhost".to_owned(), "127.0.0.1".into(), "::1".into()];
    let machine = rustix::system::uname();
    let machine = machine.nodename().to_string_lossy().to_lowercase();
    let fits = |name: &str| {
        name.parse::<IpAddr>().is_ok()
            || (!name.is_empty()
                && name
                    .bytes()
                    .all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'.'))
    };
    for name in [Some(machine.as_str()), public_host].into_iter().flatten() {
        if fits(name) && !names.iter().any(|known| known == name) {
            names.push(name.to_owned());
        }
    }
    names
}
