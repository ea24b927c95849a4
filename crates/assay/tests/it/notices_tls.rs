//! Notices to receivers whose certificate is of a private authority, by the real program.

use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use serde_json::{Value, json};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream, UnixStream};
use tokio_rustls::TlsAcceptor;

use crate::receivers::{HttpReceiver, MailServer};
use crate::support::{ASSAY, TestServer};

/// A private authority, and what it has signed for `localhost`.
pub struct House {
    authority: CertificateDer<'static>,
    acceptor: TlsAcceptor,
}

impl House {
    pub fn new() -> Self {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().unwrap();
        let authority = params.self_signed(&key).unwrap().der().clone();
        let issuer = Issuer::new(params, key);
        let own_key = KeyPair::generate().unwrap();
        let own = CertificateParams::new(["localhost".to_owned()]).unwrap();
        let own = own.signed_by(&own_key, &issuer).unwrap();
        let config = rustls::ServerConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(
                vec![own.der().clone()],
                PrivateKeyDer::try_from(own_key.serialize_der()).unwrap(),
            )
            .unwrap();
        Self {
            authority,
            acceptor: TlsAcceptor::from(Arc::new(config)),
        }
    }

    pub fn write(&self, file: &Path) {
        let text = STANDARD.encode(&self.authority);
        std::fs::write(
            file,
            format!("-----BEGIN CERTIFICATE-----\n{text}\n-----END CERTIFICATE-----\n"),
        )
        .unwrap();
    }

    /// A port of `localhost` that speaks TLS and passes on what it hears.
    async fn before(&self, plain: SocketAddr) -> u16 {
        self.relay(move || TcpStream::connect(plain)).await
    }

    /// As `before`, to a socket.
    pub async fn before_socket(&self, plain: &Path) -> u16 {
        let plain = plain.to_owned();
        self.relay(move || UnixStream::connect(plain.clone())).await
    }

    async fn relay<S, F>(&self, connect: impl Fn() -> F + Send + Sync + 'static) -> u16
    where
        S: AsyncRead + AsyncWrite + Unpin + Send,
        F: Future<Output = std::io::Result<S>> + Send,
    {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let acceptor = self.acceptor.clone();
        let connect = Arc::new(connect);
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (acceptor, connect) = (acceptor.clone(), connect.clone());
                tokio::spawn(async move {
                    let mut outside = acceptor.accept(stream).await?;
                    let mut inside = connect().await?;
                    tokio::io::copy_bidirectional(&mut outside, &mut inside).await
                });
            }
        });
        port
    }
}

async fn ended(server: &TestServer, notify: Value) -> String {
    let job = json!({"analysis": "ping", "notify": notify});
    let (status, job) = server.post_waiting("/v1/jobs", &job, 30).await;
    assert_eq!(status, 200, "{job:#}");
    job["id"].as_str().unwrap().to_owned()
}

/// The first try of the only delivery of a job.
async fn tried(server: &TestServer, job: &str) -> Value {
    for _ in 0..100_000 {
        let (_, page) = server.get(&format!("/v1/jobs/{job}/deliveries")).await;
        if page["items"][0]["log"] != json!([]) {
            return page["items"][0].clone();
        }
        tokio::task::yield_now().await;
    }
    panic!("nothing was sent");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_private_authority_vouches_for_receivers_and_the_mail_server_when_it_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let house = House::new();
    let (mut receiver, mut mails) = (HttpReceiver::answering(&[204]).await, MailServer::start().await);
    let (web, mail) = (house.before(receiver.address).await, house.before(mails.address).await);
    let smtp = format!("smtps://localhost:{mail}");
    let options = [
        "--notify-allow",
        "127.0.0.0/8",
        "--notify-allow",
        "::1",
        "--smtp-url",
        &smtp,
        "--smtp-from",
        "Assay <assay@example.org>",
    ];
    let to_web = json!([{"webhook": format!("https://localhost:{web}/told")}]);
    let to_mail = json!([{"email": "anna@example.org"}]);

    let strange = TestServer::start_with(folder.path(), &options);
    for (notify, whose) in [(&to_web, "the receiver"), (&to_mail, "the mail server")] {
        let job = ended(&strange, notify.clone()).await;
        let error = tried(&strange, &job).await["log"][0]["error"].clone();
        let expected = format!("the certificate of {whose} was not accepted");
        assert!(error.as_str().unwrap().starts_with(&expected), "{error}");
    }
    assert!(receiver.is_quiet() && mails.is_quiet());
    strange.kill_9();

    let file = folder.path().join("ca.pem");
    house.write(&file);
    let file = file.to_str().unwrap();
    let trusting = TestServer::start_in(folder.path(), &options, &[("ASSAY_CA_FILE", file)]);
    let job = ended(&trusting, to_web).await;
    assert!(receiver.next().await.body.contains(&job));
    let job = ended(&trusting, to_mail).await;
    assert!(mails.next().await.raw.contains(&job));
}

#[test]
fn a_file_without_certificates_is_refused_at_the_start() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("ca.pem");
    for (content, words) in [(None, "could not be read"), (Some("nothing"), "there is none")] {
        if let Some(content) = content {
            std::fs::write(&file, content).unwrap();
        }
        let store = folder.path().join("store");
        let mut command = Command::new(ASSAY);
        command
            .args(["serve", "--listen", "127.0.0.1:0"])
            .arg("--store")
            .arg(store);
        let output = command.arg("--ca-file").arg(&file).output().unwrap();
        let told = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(!output.status.success());
        assert!(told.contains(words) && told.contains("hint:"), "{told}");
    }
}
