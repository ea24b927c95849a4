//! Receivers of notices for tests, over real connections: an HTTP server that answers by script, and a mail server.
//! The end-to-end tests of the program use this file as well.

use std::collections::{BTreeMap, VecDeque};
use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http_body_util::{BodyExt as _, Full};
use hyper::body::{Bytes, Incoming};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use mailin::{Action, Handler, SessionBuilder};
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;

/// Long beyond what anything here takes.
const PATIENCE: Duration = Duration::from_secs(60);

pub async fn within<T>(what: &str, wait: impl Future<Output = T>) -> T {
    let waited = tokio::time::timeout(PATIENCE, wait).await;
    waited.unwrap_or_else(|_| panic!("{what} did not come"))
}

/// A request as it came.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Heard {
    pub path: String,
    pub headers: BTreeMap<String, String>,
    pub body: String,
}

/// An HTTP server: it gives the answers of its script, one to a request, and then the last one again and again.
pub struct HttpReceiver {
    pub address: SocketAddr,
    heard: mpsc::UnboundedReceiver<Heard>,
}

/// A status and headers.
pub type Answer = (u16, &'static [(&'static str, &'static str)]);

impl HttpReceiver {
    pub async fn answering(statuses: &[u16]) -> Self {
        let answers: Vec<Answer> = statuses.iter().map(|status| (*status, &[][..])).collect();
        Self::at(TcpListener::bind("127.0.0.1:0").await.unwrap(), answers)
    }

    pub fn at(listener: TcpListener, answers: Vec<Answer>) -> Self {
        let address = listener.local_addr().unwrap();
        let (tell, heard) = mpsc::unbounded_channel();
        let script = Arc::new(Mutex::new(VecDeque::from(answers)));
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (tell, script) = (tell.clone(), Arc::clone(&script));
                let service = service_fn(move |request| answer(request, tell.clone(), Arc::clone(&script)));
                tokio::spawn(http1::Builder::new().serve_connection(TokioIo::new(stream), service));
            }
        });
        Self { address, heard }
    }

    pub fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    pub async fn next(&mut self) -> Heard {
        within("the webhook", self.heard.recv()).await.unwrap()
    }

    /// Nothing more has come so far.
    pub fn is_quiet(&mut self) -> bool {
        self.heard.try_recv().is_err()
    }
}

async fn answer(
    request: Request<Incoming>,
    tell: mpsc::UnboundedSender<Heard>,
    script: Arc<Mutex<VecDeque<Answer>>>,
) -> Result<Response<Full<Bytes>>, Infallible> {
    let (head, body) = request.into_parts();
    let text = |value: &hyper::header::HeaderValue| value.to_str().unwrap().to_owned();
    let heard = Heard {
        path: head.uri.to_string(),
        headers: head
            .headers
            .iter()
            .map(|(name, value)| (name.to_string(), text(value)))
            .collect(),
        body: String::from_utf8(body.collect().await.unwrap().to_bytes().into()).unwrap(),
    };
    let (status, headers) = {
        let mut script = script.lock().unwrap();
        let next = *script.front().unwrap();
        if script.len() > 1 {
            script.pop_front();
        }
        next
    };
    let _ = tell.send(heard);
    let mut response = Response::builder().status(status);
    for (name, value) in headers {
        response = response.header(*name, *value);
    }
    Ok(response.body(Full::default()).unwrap())
}

/// A mail as it was handed in.
#[derive(Debug, Clone, Default)]
pub struct Mail {
    pub to: Vec<String>,
    pub raw: String,
}

impl Mail {
    /// The value of a header on one line.
    pub fn header(&self, name: &str) -> String {
        let start = format!("{name}: ");
        let mut lines = self.raw.lines().skip_while(|line| !line.starts_with(&start));
        let first = lines.next().unwrap_or_else(|| panic!("no {name} in {}", self.raw));
        let more = lines.take_while(|line| line.starts_with(' '));
        let value: Vec<&str> = std::iter::once(&first[start.len()..])
            .chain(more.map(str::trim))
            .collect();
        value.join(" ")
    }

    /// The part of this type, decoded.
    pub fn part(&self, media_type: &str) -> String {
        let start = self.raw.find(&format!("Content-Type: {media_type}")).unwrap();
        let part = &self.raw[start..];
        let (head, body) = part.split_once("\r\n\r\n").unwrap();
        let body = body.split("\r\n--").next().unwrap();
        if head.contains("quoted-printable") {
            return unquoted(body);
        }
        if head.contains("base64") {
            let joined: String = body.split_whitespace().collect();
            return String::from_utf8(STANDARD.decode(joined).unwrap()).unwrap();
        }
        body.to_owned()
    }
}

/// Decodes quoted-printable text.
fn unquoted(text: &str) -> String {
    let joined = text.replace("=\r\n", "");
    let mut bytes = Vec::new();
    let mut rest = joined.bytes();
    while let Some(byte) = rest.next() {
        if byte == b'=' {
            let digits = [rest.next().unwrap(), rest.next().unwrap()];
            let digits = std::str::from_utf8(&digits).unwrap();
            bytes.push(u8::from_str_radix(digits, 16).unwrap());
        } else {
            bytes.push(byte);
        }
    }
    String::from_utf8(bytes).unwrap()
}

/// A mail server that takes everything but mail to `nobody@…`.
pub struct MailServer {
    pub address: SocketAddr,
    mails: mpsc::UnboundedReceiver<Mail>,
}

impl MailServer {
    pub async fn start() -> Self {
        Self::at(TcpListener::bind("127.0.0.1:0").await.unwrap())
    }

    pub fn at(listener: TcpListener) -> Self {
        let address = listener.local_addr().unwrap();
        let (tell, mails) = mpsc::unbounded_channel();
        tokio::spawn(async move {
            while let Ok((stream, from)) = listener.accept().await {
                tokio::spawn(serve(stream, from, tell.clone()));
            }
        });
        Self { address, mails }
    }

    pub fn url(&self) -> String {
        format!("smtp://{}", self.address)
    }

    pub async fn next(&mut self) -> Mail {
        within("the mail", self.mails.recv()).await.unwrap()
    }

    pub fn is_quiet(&mut self) -> bool {
        self.mails.try_recv().is_err()
    }
}

struct Inbox {
    mail: Mail,
    raw: Vec<u8>,
    tell: mpsc::UnboundedSender<Mail>,
}

impl Handler for Inbox {
    fn rcpt(&mut self, to: &str) -> mailin::Response {
        match to.starts_with("nobody@") {
            true => mailin::response::NO_MAILBOX,
            false => mailin::response::OK,
        }
    }

    fn data_start(&mut self, _: &str, _: &str, _: bool, to: &[String]) -> mailin::Response {
        self.mail.to = to.to_vec();
        mailin::response::OK
    }

    fn data(&mut self, line: &[u8]) -> std::io::Result<()> {
        self.raw.extend_from_slice(line);
        Ok(())
    }

    fn data_end(&mut self) -> mailin::Response {
        self.mail.raw = String::from_utf8(std::mem::take(&mut self.raw)).unwrap();
        let _ = self.tell.send(std::mem::take(&mut self.mail));
        mailin::response::OK
    }
}

async fn serve(stream: TcpStream, from: SocketAddr, tell: mpsc::UnboundedSender<Mail>) -> std::io::Result<()> {
    let inbox = Inbox {
        mail: Mail::default(),
        raw: Vec::new(),
        tell,
    };
    let mut session = SessionBuilder::new("mail.test").build(from.ip(), inbox);
    let mut stream = BufReader::new(stream);
    stream.write_all(&session.greeting().buffer()?).await?;
    let mut line = Vec::new();
    loop {
        line.clear();
        if stream.read_until(b'\n', &mut line).await? == 0 {
            return Ok(());
        }
        let response = session.process(&line);
        if response.action != Action::NoReply {
            stream.write_all(&response.buffer()?).await?;
        }
        if response.action == Action::Close {
            return Ok(());
        }
    }
}
