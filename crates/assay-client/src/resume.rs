//! Uploads that go on after a broken connection or a restart of the server.
//!
//! What was not acknowledged yet can be sent again: a file is read anew from there, and of what can be read only once,
//! a block is held in memory.

use std::time::{Duration, Instant};

use assay_core::Code;
use bytes::Bytes;
use futures::stream::BoxStream;
use futures::{StreamExt as _, TryStreamExt as _, stream};
use reqwest::{Body, Method};
use serde::Deserialize;
use serde_json::json;

use crate::client::{ANSWER_WITHIN, read};
use crate::jobs::pause_after;
use crate::upload::{Chunks, Origin, SharedFile, part_of, query_of};
use crate::{Client, ClientError, Exact, ImportOptions, Job, Result, Upload};

/// What is sent and acknowledged at a time; another one is read meanwhile. The server stores it piece by piece.
const BLOCK_BYTES: u64 = 32 << 20;
/// What is sent at a time of a file when the line is fast, so that it is seldom waited for the server.
const MAX_BLOCK_BYTES: u64 = 1 << 30;
/// About so long a block of a file should take.
const WANTED: Duration = Duration::from_secs(5);
/// For a block over a slow line.
const BLOCK_WITHIN: Duration = Duration::from_secs(600);
/// Tries in a row that bring nothing, after which an upload is given up: about 80 seconds.
const MAX_FAILURES: u32 = 20;

/// How far the server says that an upload is.
#[derive(Debug, Deserialize)]
struct Reached {
    id: String,
    offset: u64,
    complete: bool,
}

impl Client {
    /// Sends a file piece by piece and gives the id of its upload. `on_sent` is told how many bytes have gone out so far.
    ///
    /// # Errors
    /// `Problem` when the server refuses it; `File` when it cannot be read; `Unreachable` or `Interrupted` when the
    /// server stays away.
    pub async fn upload(
        &self,
        name: &str,
        upload: Upload,
        on_sent: impl Fn(u64) + Clone + Send + 'static,
    ) -> Result<String> {
        let Upload { length, origin } = upload;
        let id = self.begin_upload(name, length).await?;
        let sent = match origin {
            Origin::File(file) => self.send_file(&id, &file, length.unwrap_or(0), &on_sent).await,
            Origin::Stream(chunks) => self.send_stream(&id, chunks, &on_sent).await,
        };
        sent.map_err(|failure| failure.of(name))?;
        Ok(id)
    }

    async fn send_file(
        &self,
        id: &str,
        file: &SharedFile,
        length: u64,
        on_sent: &(impl Fn(u64) + Clone + Send + 'static),
    ) -> Sent {
        let (mut offset, mut size) = (0, BLOCK_BYTES);
        loop {
            let block = Block::Part {
                file: file.clone(),
                begin: offset,
                length: size.min(length - offset),
            };
            let end = offset + block.length();
            let begun = Instant::now();
            self.send_block(id, offset, &block, end == length, on_sent).await?;
            if end == length {
                return Ok(());
            }
            offset = end;
            size = next_size(block.length(), begun.elapsed());
        }
    }

    async fn send_stream(&self, id: &str, chunks: Chunks, on_sent: &(impl Fn(u64) + Clone + Send + 'static)) -> Sent {
        let mut source = Source {
            chunks,
            rest: Bytes::new(),
        };
        let (mut offset, mut block) = (0, source.block().await?);
        loop {
            let length = block.length();
            if length < BLOCK_BYTES {
                return self.send_block(id, offset, &block, true, on_sent).await;
            }
            // While one block is sent, the next is read.
            let sending = self.send_block(id, offset, &block, false, on_sent);
            let (sent, next) = futures::join!(sending, source.block());
            sent?;
            offset += length;
            block = next?;
        }
    }

    /// Asks for one version of finished uploads, and gives the job that makes it.
    ///
    /// # Errors
    /// As [`Client::import`].
    pub async fn import_uploads(
        &self,
        dataset: &str,
        options: &ImportOptions,
        uploads: &[String],
    ) -> Result<Exact<Job>> {
        let mut query = query_of(options);
        query.extend(uploads.iter().map(|id| ("upload", id.clone())));
        let url = self.url(&["v1", "datasets", dataset, "import"], &query);
        let mut failures = 0;
        loop {
            let mut request = self.request(Method::POST, url.clone()).timeout(ANSWER_WITHIN);
            // An upload is loaded once, so its id tells the request from every other.
            if let Some(id) = uploads.first() {
                request = request.header("idempotency-key", id);
            }
            match self.send(request.header("prefer", "respond-async").body("")).await {
                Err(error) if error.is_transient() && failures < MAX_FAILURES => {
                    failures += 1;
                    tokio::time::sleep(pause_after(failures)).await;
                }
                answer => return read(answer?).await,
            }
        }
    }

    /// Has the server forget an upload.
    ///
    /// # Errors
    /// `Problem` with `unknown_upload`; as every request.
    pub async fn remove_upload(&self, id: &str) -> Result<()> {
        let request = self.request(Method::DELETE, self.url(&["v1", "uploads", id], &[]));
        self.send(request.timeout(ANSWER_WITHIN)).await.map(drop)
    }

    async fn begin_upload(&self, name: &str, length: Option<u64>) -> Result<String> {
        let url = self.url(&["v1", "uploads"], &[]);
        let mut failures = 0;
        loop {
            let request = self.request(Method::POST, url.clone()).timeout(ANSWER_WITHIN);
            // One that was begun and whose answer was lost holds nothing, and expires.
            match self.send(request.json(&json!({"name": name, "length": length}))).await {
                Err(error) if error.is_transient() && failures < MAX_FAILURES => {
                    failures += 1;
                    tokio::time::sleep(pause_after(failures)).await;
                }
                answer => return Ok(read::<Reached>(answer?).await?.id),
            }
        }
    }

    /// Sends a block that begins at `begin` until the server has all of it.
    async fn send_block(
        &self,
        id: &str,
        begin: u64,
        block: &Block,
        is_last: bool,
        on_sent: &(impl Fn(u64) + Clone + Send + 'static),
    ) -> Sent {
        let end = begin + block.length();
        let (mut at, mut failures) = (begin, 0);
        loop {
            let patched = self.patch(id, at, block.from(at - begin), is_last, on_sent.clone());
            let Err(error) = patched.await else {
                return Ok(());
            };
            if let Some(error) = unread(&error) {
                return Err(error.into());
            }
            failures += 1;
            if !may_go_on(&error) || failures > MAX_FAILURES {
                return Err(error.into());
            }
            tokio::time::sleep(pause_after(failures)).await;
            match self.get::<Reached>(&["v1", "uploads", id], &[]).await {
                Ok(reached) if reached.offset == end && (reached.complete || !is_last) => {
                    on_sent(end);
                    return Ok(());
                }
                Ok(reached) if (begin..=end).contains(&reached.offset) && !reached.complete => {
                    if reached.offset > at {
                        failures = 0;
                    }
                    at = reached.offset;
                    on_sent(at);
                }
                // Somebody else has written there.
                Ok(_) => return Err(error.into()),
                Err(error) if error.is_transient() => {}
                Err(error) => return Err(error.into()),
            }
        }
    }

    async fn patch(
        &self,
        id: &str,
        offset: u64,
        block: Block,
        is_last: bool,
        on_sent: impl Fn(u64) + Send + 'static,
    ) -> Result<()> {
        let length = block.length();
        let request = self
            .request(Method::PATCH, self.url(&["v1", "uploads", id], &[]))
            .timeout(BLOCK_WITHIN)
            .header("content-type", "application/partial-upload")
            .header("upload-offset", offset)
            .header("upload-complete", if is_last { "?1" } else { "?0" });
        if length == 0 {
            return self.send(request.body("")).await.map(drop);
        }
        let mut sent = offset;
        let chunks = block.into_chunks().inspect_ok(move |chunk| {
            sent += chunk.len() as u64;
            on_sent(sent);
        });
        let request = request.header("content-length", length);
        self.send(request.body(Body::wrap_stream(chunks.map_err(Unread))))
            .await
            .map(drop)
    }
}

/// How much of a file is sent next, when so much took so long.
fn next_size(bytes: u64, taken: Duration) -> u64 {
    let wanted = bytes as f64 * WANTED.as_secs_f64() / taken.as_secs_f64();
    (wanted as u64).clamp(BLOCK_BYTES, MAX_BLOCK_BYTES)
}

type Sent = std::result::Result<(), Failure>;

/// Why an upload went no further.
#[derive(Debug, thiserror::Error)]
enum Failure {
    #[error(transparent)]
    Request(#[from] ClientError),
    #[error(transparent)]
    File(#[from] std::io::Error),
}

impl Failure {
    /// What became of the upload of the file of this name.
    fn of(self, name: &str) -> ClientError {
        match self {
            Self::Request(error) => error,
            Self::File(source) => ClientError::File {
                path: name.to_owned(),
                source,
            },
        }
    }
}

/// The bytes of a request could not be read.
#[derive(Debug, thiserror::Error)]
#[error(transparent)]
struct Unread(std::io::Error);

/// Why the bytes of the request could not be read, when it broke off for that.
fn unread(error: &ClientError) -> Option<std::io::Error> {
    let mut cause = std::error::Error::source(error);
    while let Some(error) = cause {
        if let Some(Unread(error)) = error.downcast_ref() {
            return Some(std::io::Error::new(error.kind(), error.to_string()));
        }
        cause = error.source();
    }
    None
}

/// Whether the rest may still arrive.
fn may_go_on(error: &ClientError) -> bool {
    error.is_transient()
        || error
            .problem()
            .is_some_and(|problem| problem.code == Code::UploadOffset)
}

/// Bytes that are sent together.
enum Block {
    /// As they were read.
    Held { chunks: Vec<Bytes>, length: u64 },
    /// Read when they are sent.
    Part { file: SharedFile, begin: u64, length: u64 },
}

impl Block {
    fn held(chunks: Vec<Bytes>) -> Self {
        let length = chunks.iter().map(|chunk| chunk.len() as u64).sum();
        Self::Held { chunks, length }
    }

    fn length(&self) -> u64 {
        match self {
            Self::Held { length, .. } | Self::Part { length, .. } => *length,
        }
    }

    /// The bytes behind the first `passed`.
    fn from(&self, passed: u64) -> Self {
        match self {
            Self::Held { chunks, .. } => {
                let mut passed = usize::try_from(passed).unwrap_or(usize::MAX);
                let rest = chunks.iter().filter_map(|chunk| {
                    let cut = passed.min(chunk.len());
                    passed -= cut;
                    (cut < chunk.len()).then(|| chunk.slice(cut..))
                });
                Self::held(rest.collect())
            }
            Self::Part { file, begin, length } => Self::Part {
                file: file.clone(),
                begin: begin + passed,
                length: length - passed,
            },
        }
    }

    fn into_chunks(self) -> BoxStream<'static, std::io::Result<Bytes>> {
        match self {
            Self::Held { chunks, .. } => stream::iter(chunks.into_iter().map(Ok)).boxed(),
            Self::Part { file, begin, length } => part_of(file, begin, length).boxed(),
        }
    }
}

/// The bytes to be sent, in blocks.
struct Source {
    chunks: Chunks,
    /// Read, and of the next block.
    rest: Bytes,
}

impl Source {
    /// The next bytes: a whole block, or less at the end.
    async fn block(&mut self) -> std::io::Result<Block> {
        let (mut chunks, mut lacking) = (Vec::new(), BLOCK_BYTES as usize);
        loop {
            let fits = self.rest.len().min(lacking);
            if fits > 0 {
                chunks.push(self.rest.split_to(fits));
                lacking -= fits;
            }
            if lacking == 0 {
                return Ok(Block::held(chunks));
            }
            match self.chunks.next().await {
                Some(chunk) => self.rest = chunk?,
                None => return Ok(Block::held(chunks)),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks_grow_with_the_speed_of_the_line() {
        let size = |seconds| next_size(BLOCK_BYTES, Duration::from_secs_f64(seconds)) >> 20;
        assert_eq!([0.0, 0.1, 1.0, 5.0, 500.0].map(size), [1_024, 1_024, 160, 32, 32]);
    }

    #[tokio::test]
    async fn what_is_sent_again_begins_where_it_broke_off() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file");
        std::fs::write(&path, "xxabcdef").unwrap();
        let Origin::File(file) = Upload::file(&path).await.unwrap().origin else {
            panic!("a file");
        };
        let part = Block::Part {
            file,
            begin: 2,
            length: 6,
        };
        let held = Block::held(["ab", "cde", "f"].map(Bytes::from).to_vec());
        for block in [held, part] {
            for (passed, rest) in ["abcdef", "bcdef", "cdef", "def", "ef", "f", ""].iter().enumerate() {
                let from = block.from(passed as u64);
                assert_eq!(from.length(), rest.len() as u64);
                let chunks: Vec<Bytes> = from.into_chunks().try_collect().await.unwrap();
                assert_eq!(chunks.concat(), rest.as_bytes());
            }
        }
    }
}
