//! Mail: a few texts, sent by SMTP, off the path of the request that asked for them.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Context as _, anyhow};
use lettre::message::Mailbox;
use lettre::message::header::ContentType;
use lettre::{AsyncSmtpTransport, AsyncTransport as _, Message, Tokio1Executor};
use tokio::sync::Semaphore;

use crate::config::MailConfig;

/// Mails under way at once; one more is dropped with a warning.
const UNDER_WAY_MAX: usize = 16;

/// How long the mail server may take.
const DEADLINE: Duration = Duration::from_secs(20);

/// Sends mail.
#[derive(Clone)]
pub struct Mailer {
    transport: AsyncSmtpTransport<Tokio1Executor>,
    from: Mailbox,
    server: String,
    places: Arc<Semaphore>,
    /// Why the last mail could not be sent, if it could not.
    problem: Arc<Mutex<Option<String>>>,
}

impl std::fmt::Debug for Mailer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Mailer")
    }
}

impl Mailer {
    /// As `config` says; none when mail is off.
    ///
    /// # Errors
    /// When the settings are no mail server and sender; the text tells no password.
    pub fn new(config: &MailConfig) -> anyhow::Result<Option<Self>> {
        if !config.is_on() {
            return Ok(None);
        }
        // The library's error could repeat the address, and with it the password.
        let transport = AsyncSmtpTransport::<Tokio1Executor>::from_url(&config.url)
            .map_err(|_| {
                anyhow!("`mail.url` is no mail server, such as smtp://USER:PASSWORD@HOST:587?tls=required")
            })?
            .timeout(Some(DEADLINE))
            .build();
        let from = config
            .from
            .parse()
            .context("`mail.from` is no sender, such as \"Barrage <live@example.org>\"")?;
        // Without the user and the password.
        let server = config.url.rsplit(['@', '/']).find(|part| !part.is_empty());
        Ok(Some(Self {
            transport,
            from,
            server: server.unwrap_or_default().to_owned(),
            problem: Arc::default(),
            places: Arc::new(Semaphore::new(UNDER_WAY_MAX)),
        }))
    }

    /// Whether mail can be sent to this address.
    pub fn is_address(text: &str) -> bool {
        text.parse::<lettre::Address>().is_ok()
    }

    /// Which mail server it is.
    pub fn server(&self) -> &str {
        &self.server
    }

    /// Why the last mail could not be sent, if it could not.
    pub fn problem(&self) -> Option<String> {
        let problem = self.problem.lock().unwrap_or_else(PoisonError::into_inner);
        problem.clone()
    }

    /// Sends a text, by itself; what becomes of it stands in the log.
    pub fn send(&self, to: &str, subject: &str, text: String) {
        let Ok(place) = Arc::clone(&self.places).try_acquire_owned() else {
            tracing::warn!("dropped a mail: too many are under way");
            return;
        };
        let message = to
            .parse::<lettre::Address>()
            .map_err(anyhow::Error::from)
            .and_then(|to| {
                Message::builder()
                    .from(self.from.clone())
                    .to(Mailbox::new(None, to))
                    .subject(subject)
                    .header(ContentType::TEXT_PLAIN)
                    .body(text)
                    .map_err(anyhow::Error::from)
            });
        let message = match message {
            Ok(message) => message,
            Err(error) => {
                tracing::warn!(%error, "failed to write a mail");
                return;
            }
        };
        let (transport, problem) = (self.transport.clone(), Arc::clone(&self.problem));
        tokio::spawn(async move {
            let sent = transport.send(message).await;
            let result = match &sent {
                Ok(_) => "sent",
                Err(_) => "failed",
            };
            metrics::counter!("barrage_mails_total", "result" => result).increment(1);
            let told = sent.as_ref().err().map(ToString::to_string);
            *problem.lock().unwrap_or_else(PoisonError::into_inner) = told;
            if let Err(error) = sent {
                tracing::error!(%error, "failed to send a mail");
            }
            drop(place);
        });
    }
}
