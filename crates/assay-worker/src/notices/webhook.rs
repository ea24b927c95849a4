//! One try of a webhook: one connection to a checked address, one request, and the status of the answer.
//!
//! It is no general HTTP client on purpose: it follows no redirect, asks no proxy, keeps no connection, sends no cookie,
//! and reads nothing of the answer but its head.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use assay_core::{Clock, Reach, Timestamp, WebhookUrl};
use bytes::Bytes;
use http_body_util::Full;
use hyper::client::conn::http1;
use hyper::header::{self, HeaderMap};
use hyper::{Method, Request, Response};
use hyper_util::rt::TokioIo;
use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use super::address::{self, Unreachable};
use super::authorities::Authorities;
use super::bodies::Body;

const USER_AGENT: &str = concat!("assay/", env!("CARGO_PKG_VERSION"));

/// What is sent.
pub(super) struct Parcel {
    /// Constant over all tries.
    pub id: String,
    /// When this try was signed.
    pub seconds: i64,
    pub signature: String,
    pub body: Body,
}

/// What the receiver said.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Reply {
    pub status: u16,
    /// Not before this time, when it asked for that.
    pub retry_at: Option<Timestamp>,
}

/// Why there was no answer. Names no address: what a name leads to is nobody's business.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(super) enum NoReply {
    #[error("the name of the receiver leads to an address that notices may not be sent to")]
    AddressRefused,
    #[error("the name of the receiver could not be looked up")]
    UnknownName,
    #[error("the receiver does not take connections")]
    NotConnected,
    #[error("the certificate of the receiver was not accepted, or it does not speak TLS")]
    NotTrusted,
    #[error("the connection broke before an answer came")]
    Broken,
}

/// TLS as receivers are spoken to: with certificates that the web or these authorities vouch for.
pub(super) fn tls(authorities: &Authorities) -> TlsConnector {
    tls_with(authorities.roots())
}

fn tls_with(roots: rustls::RootCertStore) -> TlsConnector {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("the provider speaks the default versions")
        .with_root_certificates(roots)
        .with_no_client_auth();
    TlsConnector::from(Arc::new(config))
}

pub(super) async fn send(
    url: &WebhookUrl,
    parcel: Parcel,
    reach: &Reach,
    tls: &TlsConnector,
    clock: &dyn Clock,
) -> Result<Reply, NoReply> {
    let addresses = address::resolve(url, reach).await.map_err(|cause| match cause {
        Unreachable::Unknown => NoReply::UnknownName,
        Unreachable::Refused => NoReply::AddressRefused,
    })?;
    let stream = connect(&addresses).await.map_err(|_| NoReply::NotConnected)?;
    let request = request(url, parcel).ok_or(NoReply::Broken)?;
    let response = if url.as_url().scheme() == "https" {
        let name = server_name(url).ok_or(NoReply::NotTrusted)?;
        let stream = tls.connect(name, stream).await.map_err(|_| NoReply::NotTrusted)?;
        exchange(stream, request).await
    } else {
        exchange(stream, request).await
    };
    let response = response.map_err(|_| NoReply::Broken)?;
    Ok(Reply {
        status: response.status().as_u16(),
        retry_at: retry_at(response.headers(), clock.now()),
    })
}

/// The first address that takes the connection; they were all checked.
async fn connect(addresses: &[SocketAddr]) -> io::Result<TcpStream> {
    let mut failure = io::Error::from(io::ErrorKind::AddrNotAvailable);
    for address in addresses {
        match TcpStream::connect(address).await {
            Ok(stream) => return Ok(stream),
            Err(cause) => failure = cause,
        }
    }
    Err(failure)
}

fn server_name(url: &WebhookUrl) -> Option<ServerName<'static>> {
    match url.as_url().host()? {
        url::Host::Domain(name) => ServerName::try_from(name.to_owned()).ok(),
        url::Host::Ipv4(address) => Some(ServerName::from(std::net::IpAddr::V4(address))),
        url::Host::Ipv6(address) => Some(ServerName::from(std::net::IpAddr::V6(address))),
    }
}

fn request(url: &WebhookUrl, parcel: Parcel) -> Option<Request<Full<Bytes>>> {
    let url = url.as_url();
    let host = match url.port() {
        Some(port) => format!("{}:{port}", url.host_str()?),
        None => url.host_str()?.to_owned(),
    };
    Request::builder()
        .method(Method::POST)
        .uri(&url[url::Position::BeforePath..url::Position::AfterQuery])
        .header(header::HOST, host)
        .header(header::USER_AGENT, USER_AGENT)
        .header(header::CONTENT_TYPE, parcel.body.content_type)
        .header(header::CONNECTION, "close")
        .header("webhook-id", parcel.id)
        .header("webhook-timestamp", parcel.seconds)
        .header("webhook-signature", parcel.signature)
        .body(Full::new(Bytes::from(parcel.body.text)))
        .ok()
}

/// One request over one connection, which is driven here and ends with the answer.
async fn exchange<S>(stream: S, request: Request<Full<Bytes>>) -> hyper::Result<Response<hyper::body::Incoming>>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
    let mut answer = std::pin::pin!(sender.send_request(request));
    tokio::select! {
        biased;
        answered = &mut answer => answered,
        // The end of the connection comes with the answer or with the reason why there is none.
        _ = connection => answer.await,
    }
}

/// `Retry-After` in seconds or as a date, at most a day away.
fn retry_at(headers: &HeaderMap, now: Timestamp) -> Option<Timestamp> {
    let text = headers.get(header::RETRY_AFTER)?.to_str().ok()?.trim();
    let latest = now.plus_millis(86_400_000);
    let at = match text.parse::<u64>() {
        Ok(seconds) => now.plus_millis(seconds.saturating_mul(1_000)),
        Err(_) => Timestamp::from_http_date(text)?,
    };
    Some(at.clamp(now, latest))
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustls::pki_types::PrivateKeyDer;
    use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _};
    use tokio::task::JoinHandle;

    /// A receiver with a certificate of its own, for `localhost`; gives its address and the head of the first request.
    async fn https_receiver() -> (
        std::net::SocketAddr,
        rcgen::CertifiedKey<rcgen::KeyPair>,
        JoinHandle<String>,
    ) {
        let made = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
        let key = PrivateKeyDer::try_from(made.signing_key.serialize_der()).unwrap();
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = rustls::ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![made.cert.der().clone()], key)
            .unwrap();
        let acceptor = tokio_rustls::TlsAcceptor::from(Arc::new(config));
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let heard = tokio::spawn(async move {
            let (stream, _) = listener.accept().await.unwrap();
            let Ok(stream) = acceptor.accept(stream).await else {
                return String::new();
            };
            let mut stream = tokio::io::BufReader::new(stream);
            let mut head = String::new();
            while !head.ends_with("\r\n\r\n") {
                assert_ne!(stream.read_line(&mut head).await.unwrap(), 0);
            }
            stream.write_all(b"HTTP/1.1 204 No Content\r\n\r\n").await.unwrap();
            head
        });
        (address, made, heard)
    }

    async fn send_to(port: u16, tls: &TlsConnector) -> Result<Reply, NoReply> {
        let url: WebhookUrl = format!("https://localhost:{port}/told").parse().unwrap();
        let reach = Reach {
            allowed: vec!["127.0.0.0/8".parse().unwrap(), "::1".parse().unwrap()],
        };
        let parcel = Parcel {
            id: "evt_1".to_owned(),
            seconds: 1,
            signature: "v1,x".to_owned(),
            body: Body {
                content_type: "application/json",
                text: "{}".to_owned(),
            },
        };
        send(&url, parcel, &reach, tls, &assay_core::SystemClock).await
    }

    #[tokio::test]
    async fn https_is_spoken_to_whom_the_certificate_names() {
        let (address, made, heard) = https_receiver().await;
        let mut roots = rustls::RootCertStore::empty();
        roots.add(made.cert.der().clone()).unwrap();
        let reply = send_to(address.port(), &tls_with(roots)).await.unwrap();
        assert_eq!(reply.status, 204);
        let head = heard.await.unwrap();
        assert!(head.starts_with("POST /told HTTP/1.1\r\n"), "{head}");
        assert!(head.contains("webhook-id: evt_1\r\n"), "{head}");
    }

    #[tokio::test]
    async fn a_certificate_that_nobody_vouches_for_is_refused() {
        let (address, _, heard) = https_receiver().await;
        assert_eq!(
            send_to(address.port(), &tls(&Authorities::default())).await,
            Err(NoReply::NotTrusted)
        );
        assert_eq!(heard.await.unwrap(), "");
    }

    #[test]
    fn pauses_that_receivers_ask_for_are_read_and_bounded() {
        let now = Timestamp(1_740_571_200_000);
        let read = |text: &str| {
            let mut headers = HeaderMap::new();
            headers.insert(header::RETRY_AFTER, text.parse().unwrap());
            retry_at(&headers, now).map(|at| at.0 - now.0)
        };
        assert_eq!(read("120"), Some(120_000));
        assert_eq!(read("Wed, 26 Feb 2025 12:01:00 GMT"), Some(60_000));
        assert_eq!(read("Wed, 26 Feb 2020 12:01:00 GMT"), Some(0));
        assert_eq!(read("99999999999999999999"), None);
        assert_eq!(read("999999999"), Some(86_400_000));
        assert_eq!(read("soon"), None);
    }
}
