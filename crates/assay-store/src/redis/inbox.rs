//! Requests for jobs that programs without HTTP put into a stream, and the answers to them.
//!
//! All servers are one consumer of one group, so an entry is given to one of them. It stays until it is answered; one that
//! nobody has answered for a while is given again. So an entry may be read twice, and is answered once.

use std::sync::{Arc, LazyLock};
use std::time::Duration;

use assay_core::{Code, Error, Result, names};
use redis::aio::MultiplexedConnection;
use redis::streams::{StreamAutoClaimReply, StreamId, StreamPendingCountReply, StreamReadReply};
use redis::{Cmd, FromRedisValue, Script, cmd};

use super::RedisStore;
use super::failure::{Fallible, Fault};
use crate::seat::Node;

/// The group of the stream, and the one consumer that all servers are.
const GROUP: &str = "assay";
/// How long an entry is left to the server that has read it, or put it off.
const PATIENCE: Duration = Duration::from_secs(5);
/// How long one read waits for an entry.
const BLOCK: Duration = Duration::from_secs(1);
/// Entries that are taken over together.
const MAX_LEFT: usize = 8;
/// An entry that was given so often and is not answered yet ends the servers that read it.
const MAX_READ: usize = 10;
/// Longest name of a list for answers, in bytes.
const MAX_KEY_BYTES: usize = 512;
/// Answers that a list has at most; the oldest go.
const MAX_ANSWERS: usize = 10_000;
/// How long an answer is kept after the last one that came into its list.
const ANSWER_SECONDS: u64 = 3_600;
const FIELDS: [&str; 4] = ["job", "user", "reply_to", "idempotency_key"];

static ANSWER: LazyLock<Script> = LazyLock::new(|| Script::new(include_str!("lua/answer.lua")));

/// What an entry asks for; not looked into yet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InboxRequest {
    /// JSON, as the body of a submission over HTTP.
    pub job: Vec<u8>,
    pub user: Option<String>,
    /// An entry that names none has one of its own.
    pub idempotency_key: String,
}

/// One entry of the inbox.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InboxEntry {
    pub id: String,
    /// `InvalidRequest` for an entry that asks for nothing sound; `Internal` for one that servers have died of.
    pub request: Result<InboxRequest>,
    /// The list that is told the answer.
    reply_to: Option<String>,
}

/// The inbox of a store. Clones are the same one.
#[derive(Debug, Clone)]
pub struct Inbox {
    store: RedisStore,
}

/// Waits for new entries, on a connection of its own.
pub struct InboxReader {
    store: RedisStore,
    /// Made when it is needed.
    connection: Option<(Arc<Node>, MultiplexedConnection)>,
}

impl RedisStore {
    /// What other programs ask for.
    #[must_use]
    pub fn inbox(&self) -> Inbox {
        Inbox { store: self.clone() }
    }
}

impl InboxReader {
    /// The next new entry; `None` when none came within a second. One at a time, as they may be large.
    ///
    /// # Errors
    /// `StoreFailed`. An entry that was read when the connection broke comes by [`Inbox::left`].
    pub async fn next(&mut self) -> Result<Option<InboxEntry>> {
        let next = self.read().await;
        if next.is_err() {
            self.connection = None;
        }
        next.map_err(|fault| fault.into_error("read the inbox"))
    }

    async fn read(&mut self) -> Fallible<Option<InboxEntry>> {
        let inner = &self.store.inner;
        let (node, connection) = match &mut self.connection {
            Some(connected) => connected,
            none => none.insert(inner.connection.blocking(BLOCK).await?),
        };
        let key = inner.keys.inbox();
        let mut command = cmd("XREADGROUP");
        command.arg("GROUP").arg(GROUP).arg(GROUP).arg("COUNT").arg(1);
        command.arg("BLOCK").arg(BLOCK.as_millis() as u64);
        command.arg("STREAMS").arg(&key).arg(">");
        let read: redis::RedisResult<Option<StreamReadReply>> = command.query_async(connection).await;
        let read = match read {
            Err(cause) if cause.code() == Some("NOGROUP") => {
                self.store.open_inbox().await?;
                return Ok(None);
            }
            read => inner.connection.judge(node, read.map_err(Fault::from))?,
        };
        let entry = read.and_then(|read| read.keys.into_iter().next()?.ids.into_iter().next());
        Ok(entry.map(|entry| self.store.entry(entry, 1)))
    }
}

impl Inbox {
    #[must_use]
    pub fn reader(&self) -> InboxReader {
        InboxReader {
            store: self.store.clone(),
            connection: None,
        }
    }

    /// Entries that were read and not answered for a while, or put off; and where to go on, when there may be more. Begin
    /// without a place.
    ///
    /// # Errors
    /// `StoreFailed`.
    pub async fn left(&self, from: Option<String>) -> Result<(Vec<InboxEntry>, Option<String>)> {
        let left = self.store.left(from.as_deref().unwrap_or("0-0")).await;
        left.map_err(|fault| fault.into_error("read the inbox"))
    }

    /// Leaves an entry for later: it comes again by [`Self::left`], as if it had never been read.
    ///
    /// # Errors
    /// `StoreFailed`: it comes again all the same.
    pub async fn put_off(&self, entry: &InboxEntry) -> Result<()> {
        let mut command = cmd("XCLAIM");
        command.arg(self.store.inner.keys.inbox()).arg(GROUP).arg(GROUP).arg(0);
        command.arg(&entry.id).arg("RETRYCOUNT").arg(0).arg("JUSTID");
        let put_off: Fallible<Vec<String>> = self.store.inner.connection.query(&command).await;
        put_off.map(drop).map_err(|fault| fault.into_error("put a request off"))
    }

    /// Tells the answer to who wants it and takes the entry out, in one step; whether somebody had done so before.
    ///
    /// # Errors
    /// `StoreFailed`: it may not have happened, and the entry comes again then.
    pub async fn answer(&self, entry: &InboxEntry, json: &str) -> Result<bool> {
        let args = [
            entry.id.clone(),
            GROUP.to_owned(),
            entry.reply_to.clone().unwrap_or_default(),
            json.to_owned(),
            MAX_ANSWERS.to_string(),
            ANSWER_SECONDS.to_string(),
        ]
        .map(String::into_bytes);
        let inner = &self.store.inner;
        let answered = inner.connection.run(&ANSWER, inner.keys.prefix(), &args).await;
        let answered: u8 = answered.map_err(|fault: Fault| fault.into_error("answer a request"))?;
        if answered == 2 {
            tracing::warn!(
                entry = entry.id,
                "an answer was told to nobody: what should hold it is no list"
            );
        }
        Ok(answered == 0)
    }
}

impl RedisStore {
    /// Makes the group, which begins with the oldest entry. Another server may have made it.
    async fn open_inbox(&self) -> Fallible<()> {
        let mut command = cmd("XGROUP");
        command.arg("CREATE").arg(self.inner.keys.inbox());
        command.arg(GROUP).arg("0").arg("MKSTREAM");
        match self.inner.connection.query::<()>(&command).await {
            Err(Fault::Server(cause)) if cause.code() == Some("BUSYGROUP") => Ok(()),
            made => made,
        }
    }

    async fn left(&self, from: &str) -> Fallible<(Vec<InboxEntry>, Option<String>)> {
        let key = self.inner.keys.inbox();
        let mut command = cmd("XAUTOCLAIM");
        command.arg(&key).arg(GROUP).arg(GROUP);
        command
            .arg(PATIENCE.as_millis() as u64)
            .arg(from)
            .arg("COUNT")
            .arg(MAX_LEFT);
        let left: StreamAutoClaimReply = match self.ask(&command).await? {
            Some(left) => left,
            None => return Ok((Vec::new(), None)),
        };
        let mut pipeline = redis::pipe();
        for entry in &left.claimed {
            pipeline.cmd("XPENDING").arg(&key).arg(GROUP);
            pipeline.arg(&entry.id).arg(&entry.id).arg(1);
        }
        let reads: Vec<StreamPendingCountReply> = match left.claimed.is_empty() {
            true => Vec::new(),
            false => self.inner.connection.pipe(&pipeline).await?,
        };
        let times = reads
            .iter()
            .map(|read| read.ids.first().map_or(1, |one| one.times_delivered));
        let entries = left.claimed.into_iter().zip(times);
        let entries = entries.map(|(entry, times)| self.entry(entry, times)).collect();
        Ok((entries, Some(left.next_stream_id).filter(|next| next != "0-0")))
    }

    /// `None` when there is no group yet.
    async fn ask<T: FromRedisValue>(&self, command: &Cmd) -> Fallible<Option<T>> {
        match self.inner.connection.query(command).await {
            Err(Fault::Server(cause)) if cause.code() == Some("NOGROUP") => {
                self.open_inbox().await?;
                Ok(None)
            }
            answer => answer.map(Some),
        }
    }

    /// Reads an entry that was given so many times.
    fn entry(&self, entry: StreamId, times: usize) -> InboxEntry {
        let reply_to = self.reply_to(&entry);
        let (reply_to, request) = match reply_to {
            Err(fault) => (None, Err(fault)),
            Ok(reply_to) if times > MAX_READ => (reply_to, Err(deadly(&entry.id))),
            Ok(reply_to) => (reply_to, request(&entry)),
        };
        InboxEntry {
            id: entry.id,
            request,
            reply_to,
        }
    }

    /// The list for the answer, which is none of the keys of the store.
    fn reply_to(&self, entry: &StreamId) -> Result<Option<String>> {
        let Some(key) = text(entry, "reply_to")? else {
            return Ok(None);
        };
        let own = self.inner.keys.prefix();
        let is_free = !key.starts_with(own) || key.starts_with(&self.inner.keys.replies());
        if is_free && (1..=MAX_KEY_BYTES).contains(&key.len()) {
            return Ok(Some(key));
        }
        let message = format!("`{}` cannot be the list for an answer", short(&key));
        Err(Error::new(Code::InvalidRequest, message).hint(format!(
            "name a key of at most {MAX_KEY_BYTES} bytes, such as `{}` and a UUID",
            self.inner.keys.replies()
        )))
    }
}

fn request(entry: &StreamId) -> Result<InboxRequest> {
    let unknown = entry.map.keys().filter(|name| !FIELDS.contains(&name.as_str())).min();
    if let Some(name) = unknown {
        let message = format!("the field `{}` is not known here", short(name));
        return Err(Error::new(Code::InvalidRequest, message).hint(names::suggest(name, FIELDS)));
    }
    let job: Option<Vec<u8>> = entry.get("job");
    let job = job.ok_or_else(|| {
        Error::new(Code::InvalidRequest, "the entry has no field `job`")
            .hint("put into it what the body of `POST /v1/jobs` would be")
    })?;
    let own = || format!("inbox:{}", entry.id);
    Ok(InboxRequest {
        job,
        user: text(entry, "user")?,
        idempotency_key: text(entry, "idempotency_key")?.unwrap_or_else(own),
    })
}

fn text(entry: &StreamId, field: &str) -> Result<Option<String>> {
    let bytes: Option<Vec<u8>> = entry.get(field);
    bytes.map(String::from_utf8).transpose().map_err(|_| {
        Error::new(Code::InvalidRequest, format!("the field `{field}` is not UTF-8")).hint("write it as UTF-8")
    })
}

fn short(text: &str) -> String {
    text.chars().take(80).collect()
}

fn deadly(id: &str) -> Error {
    let message = format!("entry `{id}` was read {MAX_READ} times and never answered");
    Error::new(Code::Internal, message).hint("the log of the servers has the cause; ask for something else")
}
