//! Loading: bytes go to the server as they are read, so that a file of any size takes little memory.

use std::path::Path;

use assay_core::CommitMode;
use bytes::Bytes;
use futures::{Stream, StreamExt as _, stream};
use reqwest::{Body, Method};
use tokio_util::io::ReaderStream;

use crate::client::read;
use crate::{Client, ClientError, Exact, Job, Result, Target};

const CHUNK_BYTES: usize = 256 << 10;

pub(crate) type Chunks = std::pin::Pin<Box<dyn Stream<Item = std::io::Result<Bytes>> + Send>>;

/// The bytes to be loaded.
pub struct Upload {
    pub(crate) length: Option<u64>,
    pub(crate) chunks: Chunks,
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
        let length = about.is_file().then_some(about.len());
        let chunks = Box::pin(ReaderStream::with_capacity(file, CHUNK_BYTES));
        Ok(Self { length, chunks })
    }

    /// The standard input of this process, to its end.
    #[must_use]
    pub fn stdin() -> Self {
        let chunks = Box::pin(ReaderStream::with_capacity(tokio::io::stdin(), CHUNK_BYTES));
        Self { length: None, chunks }
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
            chunks: Box::pin(stream::iter(pieces.into_iter().map(Ok))),
        }
    }

    /// How many bytes there are, when that is known beforehand.
    #[must_use]
    pub fn length(&self) -> Option<u64> {
        self.length
    }
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
        let Upload { length, chunks } = upload;
        let mut sent = 0;
        let chunks = chunks.inspect(move |chunk| {
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
