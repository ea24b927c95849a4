//! Mail: where it is handed in, and one try of one.

use std::fmt;
use std::io;
use std::time::{Duration, SystemTime};

use assay_core::{Code, Error, Result, Timestamp};
use lettre::message::header::{Header, HeaderName, HeaderValue};
use lettre::message::{Mailbox, MultiPart};
use lettre::transport::smtp::authentication::Credentials;
use lettre::transport::smtp::client::{Certificate, CertificateStore, Tls, TlsParameters};
use lettre::{AsyncSmtpTransport, AsyncTransport as _, Message, Tokio1Executor};
use percent_encoding::percent_decode_str;
use url::Url;

use super::authorities::Authorities;
use super::letter::Letter;

const SUBMISSION: u16 = 587;
const SUBMISSION_OVER_TLS: u16 = 465;
/// Between two words of the mail server.
const PATIENCE: Duration = Duration::from_secs(10);

/// The mail server that mail is handed in to.
#[derive(Clone)]
pub struct MailSettings {
    transport: AsyncSmtpTransport<Tokio1Executor>,
    from: Mailbox,
}

impl MailSettings {
    /// `server` is `smtps://user:password@host:port` (TLS from the start, port 465) or `smtp://…` (port 587), which goes
    /// over to TLS where the server offers it, and insists on it when there is a password and the server is not on
    /// this machine. `?tls=none`, `opportunistic` or `required` says otherwise. `from` is the sender of all mail. The web
    /// and `authorities` vouch for the server.
    ///
    /// # Errors
    /// `InvalidParameter`, without the address: it holds a password.
    pub fn new(server: &str, from: &str, authorities: &Authorities) -> Result<Self> {
        let refused = |reason: &str| {
            Error::new(
                Code::InvalidParameter,
                format!("the address of the mail server is not valid: {reason}"),
            )
            .hint("it looks like `smtps://user:password@mail.example.org` or `smtp://127.0.0.1:25`")
        };
        let url = Url::parse(server).map_err(|_| refused("it is not a URL"))?;
        let host = url.host_str().filter(|host| !host.is_empty());
        let host = host.ok_or_else(|| refused("it names no host"))?.to_owned();
        let decode = |text: &str| percent_decode_str(text).decode_utf8().map(std::borrow::Cow::into_owned);
        let user = decode(url.username()).map_err(|_| refused("the user is not text"))?;
        let password = url.password().map(decode).transpose();
        let password = password.map_err(|_| refused("the password is not text"))?;
        let encryption = encryption(&url, &host).ok_or_else(|| refused("its scheme or `tls` is not known"))?;
        let (tls, port) = encryption
            .of(&host, authorities)
            .ok_or_else(|| refused("TLS could not be set up"))?;
        let mut transport = AsyncSmtpTransport::<Tokio1Executor>::builder_dangerous(&host)
            .port(url.port().unwrap_or(port))
            .tls(tls)
            .timeout(Some(PATIENCE));
        if let Some(password) = password {
            transport = transport.credentials(Credentials::new(user, password));
        }
        let from = from.parse().map_err(|_| {
            Error::new(Code::InvalidParameter, format!("`{from}` cannot be the sender of mail"))
                .hint("senders look like `Assay <assay@example.org>`")
        })?;
        Ok(Self {
            transport: transport.build(),
            from,
        })
    }
}

/// The address of the server may hold a password.
impl fmt::Debug for MailSettings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MailSettings")
            .field("from", &self.from)
            .finish_non_exhaustive()
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Encryption {
    None,
    Opportunistic,
    Required,
    FromTheStart,
}

fn encryption(url: &Url, host: &str) -> Option<Encryption> {
    let wish = url.query_pairs().find(|(name, _)| name == "tls").map(|(_, wish)| wish);
    let is_here = matches!(host, "localhost" | "[::1]") || host.starts_with("127.");
    match (url.scheme(), wish.as_deref()) {
        ("smtps", None) => Some(Encryption::FromTheStart),
        ("smtp", Some("none")) => Some(Encryption::None),
        ("smtp", Some("opportunistic")) => Some(Encryption::Opportunistic),
        ("smtp", Some("required")) => Some(Encryption::Required),
        ("smtp", None) if is_here => Some(Encryption::None),
        ("smtp", None) if url.password().is_some() => Some(Encryption::Required),
        ("smtp", None) => Some(Encryption::Opportunistic),
        _ => None,
    }
}

impl Encryption {
    /// What the transport is told, and the usual port.
    fn of(self, host: &str, authorities: &Authorities) -> Option<(Tls, u16)> {
        if self == Encryption::None {
            return Some((Tls::None, SUBMISSION));
        }
        let mut parameters = TlsParameters::builder(host.to_owned()).certificate_store(CertificateStore::WebpkiRoots);
        for certificate in authorities.certificates() {
            parameters = parameters.add_root_certificate(Certificate::from_der(certificate.to_vec()).ok()?);
        }
        let parameters = parameters.build().ok()?;
        Some(match self {
            Encryption::None => (Tls::None, SUBMISSION),
            Encryption::Opportunistic => (Tls::Opportunistic(parameters), SUBMISSION),
            Encryption::Required => (Tls::Required(parameters), SUBMISSION),
            Encryption::FromTheStart => (Tls::Wrapper(parameters), SUBMISSION_OVER_TLS),
        })
    }
}

/// Tells other programs that nobody wrote this by hand, so that they do not answer it.
#[derive(Debug, Clone)]
struct AutoSubmitted;

impl Header for AutoSubmitted {
    fn name() -> HeaderName {
        HeaderName::new_from_ascii_str("Auto-Submitted")
    }

    fn parse(_: &str) -> std::result::Result<Self, Box<dyn std::error::Error + Send + Sync>> {
        Ok(Self)
    }

    fn display(&self) -> HeaderValue {
        HeaderValue::new(Self::name(), "auto-generated".to_owned())
    }
}

/// How a try ended that was not taken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct NotSent {
    pub status: Option<u16>,
    pub reason: String,
    /// There is no such mailbox: trying again is of no use.
    pub is_final: bool,
}

impl NotSent {
    fn of(reason: &str, is_final: bool) -> Self {
        Self {
            status: None,
            reason: reason.to_owned(),
            is_final,
        }
    }
}

/// Hands in one mail; returns the reply code of the server. `id` is constant over all tries.
pub(super) async fn send(
    settings: &MailSettings,
    to: &str,
    id: &str,
    at: Timestamp,
    letter: Letter,
) -> Result<u16, NotSent> {
    let to = to.parse().map_err(|_| NotSent::of("the address is not valid", true))?;
    let date = SystemTime::UNIX_EPOCH + Duration::from_millis(u64::try_from(at.0).unwrap_or(0));
    let message = Message::builder()
        .from(settings.from.clone())
        .to(Mailbox::new(None, to))
        .subject(letter.subject)
        .date(date)
        .message_id(Some(format!("<{id}@{}>", settings.from.email.domain())))
        .header(AutoSubmitted)
        .multipart(MultiPart::alternative_plain_html(letter.text, letter.html))
        .map_err(|_| NotSent::of("the mail could not be written", true))?;
    let sent = settings.transport.send(message).await;
    sent.map(|response| response.code().into()).map_err(|cause| {
        tracing::warn!(error = %cause, "the mail server did not take a mail");
        explain(&cause)
    })
}

fn explain(cause: &lettre::transport::smtp::Error) -> NotSent {
    let status: Option<u16> = cause.status().map(Into::into);
    let reason = match status {
        Some(status) => format!("the mail server answered {status}"),
        None if cause.is_timeout() => "the mail server did not answer in time".to_owned(),
        None if cause.is_tls() || is_of_tls(cause) => "the certificate of the mail server was not accepted".to_owned(),
        None => "the mail server does not take connections, or not as they were made".to_owned(),
    };
    NotSent {
        status,
        reason,
        // No such mailbox, moved, or not allowed there (RFC 5321, 4.2.3).
        is_final: matches!(status, Some(550 | 551 | 553)),
    }
}

/// Whether TLS was the reason: a certificate that is refused comes as a connection that failed.
fn is_of_tls(cause: &lettre::transport::smtp::Error) -> bool {
    let mut next: Option<&(dyn std::error::Error + 'static)> = Some(cause);
    while let Some(error) = next {
        let inner = error.downcast_ref::<io::Error>().and_then(io::Error::get_ref);
        if error.is::<rustls::Error>() || inner.is_some_and(<dyn std::error::Error + Send + Sync>::is::<rustls::Error>)
        {
            return true;
        }
        next = error.source();
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn passwords_go_over_tls_unless_told_otherwise_and_are_never_shown() {
        let chosen = |text: &str| {
            let url = Url::parse(text).unwrap();
            encryption(&url, url.host_str().unwrap())
        };
        assert_eq!(chosen("smtps://a:b@mail.example.org"), Some(Encryption::FromTheStart));
        assert_eq!(chosen("smtp://a:b@mail.example.org"), Some(Encryption::Required));
        assert_eq!(chosen("smtp://mail.example.org"), Some(Encryption::Opportunistic));
        assert_eq!(chosen("smtp://a:b@127.0.0.1:25"), Some(Encryption::None));
        assert_eq!(chosen("smtp://a:b@mail.example.org?tls=none"), Some(Encryption::None));
        assert_eq!(chosen("smtp://mail.example.org?tls=maybe"), None);
        assert_eq!(chosen("http://mail.example.org"), None);

        let settings = MailSettings::new(
            "smtps://anna:hunter2@mail.example.org",
            "assay@example.org",
            &Authorities::default(),
        )
        .unwrap();
        assert!(!format!("{settings:?}").contains("hunter2"));
        for (server, from) in [
            ("smtp:anna:hunter2", "a@b.c"),
            ("ftp://anna:hunter2@x", "a@b.c"),
            ("smtp://anna:hunter2@x", "nobody"),
        ] {
            let error = MailSettings::new(server, from, &Authorities::default()).unwrap_err();
            assert_eq!(error.code, Code::InvalidParameter);
            assert!(!error.message.contains("hunter2"), "{}", error.message);
        }
    }
}
