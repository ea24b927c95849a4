//! Loading: bytes go to the server as they are read, so that a file of any size takes little memory.

use std::fs::File;
use std::io::{Read as _, Seek as _, SeekFrom};
use std::path::Path;
use std::sync::Arc;

use assay_core::CommitMode;
use bytes::Bytes;
use futures::{FutureExt as _, Stream, StreamExt as _, stream};
use reqwest::{Body, Method};
use tokio::io::AsyncRead;
use tokio::sync::{Mutex, mpsc};
use tokio_stream::wrappers::ReceiverStream;
use tokio_util::io::ReaderStream;

use crate::client::read;
use crate::{Client, ClientError, Exact, Job, Result, Target};

const CHUNK_BYTES: usize = 256 << 10;
/// So many chunks of a file are read ahead.
const READ_AHEAD: usize = 4;
/// What is read at once of a file.
const PART_CHUNK_BYTES: usize = 1 << 20;

pub(crate) type SharedFile = Arc<Mutex<File>>;
pub(crate) type Chunks = std::pin::Pin<Box<dyn Stream<Item = std::io::Result<Bytes>> + Send>>;

/// The bytes to be loaded.
pub struct Upload {
    pub(crate) length: Option<u64>,
    pub(crate) origin: Origin,
}

pub(crate) enum Origin {
    /// Of `length` bytes, and read anew from where sending goes on.
    File(SharedFile),
    Stream(Chunks),
}

impl Upload {
    /// A file. Its length is sent along, so that what is too large is refused before it is sent.
    ///
    /// # Errors
    /// `File` when it cannot be opened.
    pub async fn file(path: &Path) -> Result<Self> {
        let failed = |source| ClientError::File {
            path: path.display().to_string(),
            source,
        };
        let file = tokio::fs::File::open(path).await.map_err(failed)?;
        let about = file.metadata().await.map_err(failed)?;
        if about.is_dir() {
            return Err(failed(std::io::ErrorKind::IsADirectory.into()));
        }
        // Pipes and devices have no length to speak of.
        if !about.is_file() {
            return Ok(Self::reader(file));
        }
        Ok(Self {
            length: Some(about.len()),
            origin: Origin::File(Arc::new(Mutex::new(file.into_std().await))),
        })
    }

    /// The standard input of this process, to its end.
    #[must_use]
    pub fn stdin() -> Self {
        Self::reader(tokio::io::stdin())
    }

    fn reader(reader: impl AsyncRead + Send + 'static) -> Self {
        let chunks = ReaderStream::with_capacity(reader, CHUNK_BYTES);
        Self {
            length: None,
            origin: Origin::Stream(Box::pin(chunks)),
        }
    }

    /// Bytes in memory.
    #[must_use]
    pub fn bytes(bytes: impl Into<Bytes>) -> Self {
        let bytes: Bytes = bytes.into();
        let length = Some(bytes.len() as u64);
        let pieces = (0..bytes.len()).step_by(CHUNK_BYTES);
        let pieces: Vec<Bytes> = pieces
            .map(|from| bytes.slice(from..bytes.len().min(from + CHUNK_BYTES)))
            .collect();
        Self {
            length,
            origin: Origin::Stream(Box::pin(stream::iter(pieces.into_iter().map(Ok)))),
        }
    }

    /// How many bytes there are, when that is known beforehand.
    #[must_use]
    pub fn length(&self) -> Option<u64> {
        self.length
    }

    fn into_chunks(self) -> Chunks {
        match self.origin {
            Origin::File(file) => Box::pin(part_of(file, 0, self.length.unwrap_or(0))),
            Origin::Stream(chunks) => chunks,
        }
    }
}

/// `length` bytes of a file, from `begin` on, read ahead a little. Who reads has the file alone, to the end or until the
/// stream is dropped.
pub(crate) fn part_of(
    file: SharedFile,
    begin: u64,
    length: u64,
) -> impl Stream<Item = std::io::Result<Bytes>> + Send + 'static {
    let part = async move {
        let file = file.lock_owned().await;
        let (chunks, part) = mpsc::channel(READ_AHEAD);
        tokio::task::spawn_blocking(move || {
            if let Err(cause) = read_part(&file, begin, length, &chunks) {
                // Nobody waits for it any more when this fails.
                let _ = chunks.blocking_send(Err(cause));
            }
        });
        ReceiverStream::new(part)
    };
    part.flatten_stream()
}

type Chunk = std::io::Result<Bytes>;

fn read_part(mut file: &File, begin: u64, length: u64, chunks: &mpsc::Sender<Chunk>) -> std::io::Result<()> {
    file.seek(SeekFrom::Start(begin))?;
    let mut left = length;
    while left > 0 {
        let mut chunk = Vec::with_capacity(PART_CHUNK_BYTES);
        file.take(left.min(PART_CHUNK_BYTES as u64)).read_to_end(&mut chunk)?;
        if chunk.is_empty() {
            let reason = "it has become shorter while it was sent";
            return Err(std::io::Error::new(std::io::ErrorKind::UnexpectedEof, reason));
        }
        left -= chunk.len() as u64;
        if chunks.blocking_send(Ok(chunk.into())).is_err() {
            break;
        }
    }
    Ok(())
}

/// How the bytes are to be read, and what becomes of the records that are there.
#[derive(Debug, Clone, Default)]
pub struct ImportOptions {
    pub key: Option<String>,
    pub format: Option<String>,
    pub record_path: Option<String>,
    pub mode: CommitMode,
    /// Why, for the history of the data set.
    pub message: Option<String>,
    /// How the bytes are to be read: names and values as the server knows them, e.g. `encoding` and `latin1`.
    pub reading: Vec<(&'static str, String)>,
    /// Whom to tell of the end.
    pub notify: Vec<Target>,
}

impl Client {
    /// Sends the bytes and gives the job that loads them, which has hardly begun by then.
    ///
    /// `on_sent` is told how many bytes have gone out so far.
    ///
    /// # Errors
    /// `Problem` when the server refuses the bytes or the options; `Interrupted` when the connection breaks, in which
    /// case nothing is loaded.
    pub async fn import(
        &self,
        dataset: &str,
        options: &ImportOptions,
        upload: Upload,
        mut on_sent: impl FnMut(u64) + Send + 'static,
    ) -> Result<Exact<Job>> {
        let length = upload.length;
        let mut sent = 0;
        let chunks = upload.into_chunks().inspect(move |chunk| {
            if let Ok(chunk) = chunk {
                sent += chunk.len() as u64;
                on_sent(sent);
            }
        });
        let url = self.url(&["v1", "datasets", dataset, "import"], &query_of(options));
        let mut request = self.request(Method::POST, url).header("prefer", "respond-async");
        request = request.header("content-type", "application/octet-stream");
        if let Some(length) = length {
            request = request.header("content-length", length);
        }
        // A body of known length zero is sent as none at all, or it would go out in chunks.
        let body = if length == Some(0) {
            Body::from("")
        } else {
            Body::wrap_stream(chunks)
        };
        read(self.send(request.body(body)).await?).await
    }
}

pub(crate) fn query_of(options: &ImportOptions) -> Vec<(&'static str, String)> {
    let ImportOptions {
        key,
        format,
        record_path,
        mode,
        message,
        reading,
        notify,
    } = options;
    let mode = match mode {
        CommitMode::Replace => "replace",
        CommitMode::Append => "append",
        CommitMode::Upsert => "upsert",
    };
    let mut pairs = vec![("mode", mode.to_owned())];
    pairs.extend(key.clone().map(|key| ("key", key)));
    pairs.extend(format.clone().map(|format| ("format", format)));
    pairs.extend(record_path.clone().map(|path| ("record_path", path)));
    pairs.extend(message.clone().map(|message| ("message", message)));
    pairs.extend(reading.iter().cloned());
    let address = |target: &Target| match target {
        Target::Webhook(address) | Target::Email(address) => address.clone(),
    };
    pairs.extend(notify.iter().map(|target| ("notify", address(target))));
    pairs
}
