//! Letters: invitations and links to set a password, by SMTP.
//!
//! The queue carries an id; what the letter says is looked up when it is sent, and a letter whose cause is gone is not
//! sent. A letter that is sent twice is the same letter: its link and its message id do not change.

mod refusal;
mod text;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use berth_auth::letters::{self, Letter, Letters};
use berth_domain::clock::Clock;
use berth_domain::secret::Secret;
use berth_domain::work::{MailSend, Work as _};
use berth_queue::message::Unreadable;
use berth_queue::{Delivery, Handler, Outcome};
use futures_util::future::BoxFuture;
use lettre::message::Mailbox;
use lettre::message::header::ContentType;
use lettre::transport::smtp::authentication::Credentials;
use lettre::{Address, AsyncSmtpTransport, AsyncTransport as _, Message, Tokio1Executor};

use crate::observed::observed;
use crate::reason;

/// The first wait before a letter is tried again; each further one is twice as long.
const FIRST_WAIT: Duration = Duration::from_secs(5);
/// The longest wait. Trying ends when the letter's link has expired.
const LONGEST_WAIT: Duration = Duration::from_mins(30);
/// How long a message of a later release waits for a process of that release.
const UPGRADE_WAIT: Duration = Duration::from_mins(1);

/// How mail is sent.
#[derive(Debug, Clone)]
pub struct Options {
    /// Host of the mail server.
    pub host: String,
    /// Its port.
    pub port: u16,
    /// How the connection is protected.
    pub security: Security,
    /// Name and password to sign in with.
    pub credentials: Option<(String, Secret)>,
    /// Where letters come from: an address, with a name or without.
    pub from: String,
    /// How long sending one letter may take.
    pub timeout: Duration,
    /// Where clients reach the API.
    pub public_url: String,
}

/// How the connection to the mail server is protected.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Security {
    /// Plain at first, then TLS; refused when the server does not offer it.
    Starttls,
    /// TLS from the first byte.
    Tls,
    /// None at all.
    None,
}

/// Why no mail can be sent as configured.
#[derive(Debug, thiserror::Error)]
pub enum ConfigurationError {
    /// The sender is no address.
    #[error("`{from}` is no e-mail address, with a name or without")]
    From {
        /// What was configured.
        from: String,
        /// What is wrong with it.
        #[source]
        source: lettre::address::AddressError,
    },
    /// The server cannot be spoken to as configured.
    #[error("the mail server cannot be spoken to as configured")]
    Server(#[source] lettre::transport::smtp::Error),
}

/// Sends letters.
pub struct Mailer {
    letters: Letters,
    transport: AsyncSmtpTransport<Tokio1Executor>,
    clock: Arc<dyn Clock>,
    from: Mailbox,
    timeout: Duration,
    public_url: String,
}

impl fmt::Debug for Mailer {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("Mailer")
            .field("public_url", &self.public_url)
            .finish_non_exhaustive()
    }
}

/// Why a letter was not sent.
#[derive(Debug, thiserror::Error)]
enum Error {
    #[error("the letter cannot be written now")]
    Letters(#[from] letters::Error),
    #[error("the recipient's address is refused before it is sent")]
    Recipient(#[source] lettre::address::AddressError),
    #[error("the letter cannot be put together")]
    Composition(#[source] lettre::error::Error),
    #[error("the mail server did not take the letter")]
    Server(#[source] refusal::Refusal),
    #[error("the mail server did not take the letter in time")]
    Timeout,
}

impl Mailer {
    /// A mailer for `letters`. The server is not contacted yet. Fails when the configuration makes no sense.
    pub fn new(
        letters: Letters,
        clock: Arc<dyn Clock>,
        options: Options,
    ) -> Result<Self, ConfigurationError> {
        let transport = transport(&options)?;
        let Options {
            from,
            timeout,
            mut public_url,
            ..
        } = options;
        public_url.truncate(public_url.trim_end_matches('/').len());
        Ok(Self {
            letters,
            transport,
            clock,
            from: from
                .parse()
                .map_err(|source| ConfigurationError::From { from, source })?,
            timeout,
            public_url,
        })
    }

    async fn deliver(&self, delivery: &Delivery) -> Outcome {
        let work = match delivery.message.work() {
            Ok(work) => work,
            Err(error @ Unreadable::TooNew { .. }) => return retry(UPGRADE_WAIT, &error),
            Err(error) => return fail(&error),
        };
        match self.send(work, delivery).await {
            Ok(()) => Outcome::Done,
            Err(error) if error.may_pass() => retry(wait(delivery.attempt), &error),
            Err(error) => fail(&error),
        }
    }

    async fn send(&self, work: MailSend, delivery: &Delivery) -> Result<(), Error> {
        let letter = match work {
            MailSend::Invitation(id) => self.letters.invitation(id).await?,
            MailSend::PasswordReset(id) => self.letters.password_reset(id).await?,
        };
        let Some(letter) = letter else {
            tracing::info!(message.id = %delivery.message.id, "a letter is not needed any more");
            return Ok(());
        };
        let message = self.compose(&letter, delivery)?;
        match tokio::time::timeout(self.timeout, self.transport.send(message)).await {
            Ok(sent) => sent.map(drop).map_err(|error| Error::Server(error.into())),
            Err(_) => Err(Error::Timeout),
        }
    }

    fn compose(&self, letter: &Letter, delivery: &Delivery) -> Result<Message, Error> {
        let to: Address = letter.to.as_str().parse().map_err(Error::Recipient)?;
        let id = format!("<{}@{}>", delivery.message.id, self.from.email.domain());
        Message::builder()
            .from(self.from.clone())
            .to(Mailbox::new(None, to))
            .date(self.clock.now().into())
            .message_id(Some(id))
            .subject(text::subject(&letter.subject))
            .header(ContentType::TEXT_PLAIN)
            .body(text::body(letter, &self.public_url))
            .map_err(Error::Composition)
    }
}

impl Handler for Mailer {
    fn handle<'a>(&'a self, delivery: &'a Delivery) -> BoxFuture<'a, Outcome> {
        Box::pin(observed(MailSend::KIND, delivery, self.deliver(delivery)))
    }
}

impl Error {
    /// Whether the same letter may be sent later: time passes, or somebody mends the configuration.
    fn may_pass(&self) -> bool {
        match self {
            Self::Letters(letters::Error::Store(error)) => error.is_transient(),
            Self::Letters(letters::Error::Pepper) | Self::Recipient(_) | Self::Composition(_) => false,
            Self::Server(refusal) => refusal.may_pass(),
            Self::Timeout => true,
        }
    }
}

fn wait(attempt: u32) -> Duration {
    FIRST_WAIT
        .saturating_mul(1 << (attempt - 1).min(16))
        .min(LONGEST_WAIT)
}

fn retry(after: Duration, error: &dyn std::error::Error) -> Outcome {
    Outcome::Retry {
        after,
        reason: reason::in_words(error),
    }
}

fn fail(error: &dyn std::error::Error) -> Outcome {
    Outcome::Fail {
        reason: reason::in_words(error),
    }
}

fn transport(options: &Options) -> Result<AsyncSmtpTransport<Tokio1Executor>, ConfigurationError> {
    type Smtp = AsyncSmtpTransport<Tokio1Executor>;
    let builder = match options.security {
        Security::Starttls => Smtp::starttls_relay(&options.host).map_err(ConfigurationError::Server)?,
        Security::Tls => Smtp::relay(&options.host).map_err(ConfigurationError::Server)?,
        Security::None => Smtp::builder_dangerous(&options.host),
    };
    let mut builder = builder.port(options.port).timeout(Some(options.timeout));
    if let Some((name, password)) = &options.credentials {
        builder = builder.credentials(Credentials::new(name.clone(), password.expose().to_owned()));
    }
    Ok(builder.build())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_grow_and_end() {
        let waits: Vec<u64> = [1, 2, 3, 9, 10, 200]
            .map(|attempt| wait(attempt).as_secs())
            .to_vec();
        assert_eq!(waits, [5, 10, 20, 1_280, 1_800, 1_800]);
    }
}
