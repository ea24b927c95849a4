//! Uploads that go on after a broken connection or a restart of the server.
//!
//! What was not acknowledged yet is held in memory, so that it can be sent again whatever it was read from.

use std::time::Duration;

use assay_core::Code;
use bytes::Bytes;
use futures::{StreamExt as _, stream};
use reqwest::{Body, Method};
use serde::Deserialize;
use serde_json::json;

use crate::client::{ANSWER_WITHIN, read};
use crate::jobs::pause_after;
use crate::upload::{Chunks, query_of};
use crate::{Client, ClientError, Exact, ImportOptions, Job, Result, Upload};

/// What is sent and acknowledged at a time; another one is read meanwhile. The server stores it piece by piece.
const BLOCK_BYTES: usize = 32 << 20;
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
        let Upload { length, chunks } = upload;
        let mut source = Source {
            chunks,
            rest: Bytes::new(),
        };
        let failed = |source| ClientError::File {
            path: name.to_owned(),
            source,
        };
        let id = self.begin_upload(name, length).await?;
        let (mut offset, mut block) = (0, source.block().await.map_err(failed)?);
        loop {
            if block.length < BLOCK_BYTES {
                self.send_block(&id, offset, &block, true, &on_sent).await?;
                return Ok(id);
            }
            // While one block is sent, the next is read.
            let sending = self.send_block(&id, offset, &block, false, &on_sent);
            let (sent, next) = futures::join!(sending, source.block());
            sent?;
            offset += block.length as u64;
            block = next.map_err(failed)?;
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
    ) -> Result<()> {
        let end = begin + block.length as u64;
        let (mut at, mut failures) = (begin, 0);
        loop {
            let from = usize::try_from(at - begin).unwrap_or(block.length);
            let patched = self.patch(id, at, block.from(from), is_last, on_sent.clone());
            let Err(error) = patched.await else {
                return Ok(());
            };
            failures += 1;
            if !may_go_on(&error) || failures > MAX_FAILURES {
                return Err(error);
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
                Ok(_) => return Err(error),
                Err(error) if error.is_transient() => {}
                Err(error) => return Err(error),
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
        let Block { chunks, length } = block;
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
        let chunks = chunks.into_iter().map(move |chunk| {
            sent += chunk.len() as u64;
            on_sent(sent);
            std::io::Result::Ok(chunk)
        });
        let request = request.header("content-length", length);
        self.send(request.body(Body::wrap_stream(stream::iter(chunks))))
            .await
            .map(drop)
    }
}

/// Whether the rest may still arrive.
fn may_go_on(error: &ClientError) -> bool {
    error.is_transient()
        || error
            .problem()
            .is_some_and(|problem| problem.code == Code::UploadOffset)
}

/// Bytes that are sent together, as they were read.
#[derive(Debug, Default)]
struct Block {
    chunks: Vec<Bytes>,
    length: usize,
}

impl Block {
    fn push(&mut self, chunk: Bytes) {
        self.length += chunk.len();
        self.chunks.push(chunk);
    }

    /// The bytes behind the first `passed`.
    fn from(&self, mut passed: usize) -> Self {
        let mut rest = Self::default();
        for chunk in &self.chunks {
            let cut = passed.min(chunk.len());
            passed -= cut;
            if cut < chunk.len() {
                rest.push(chunk.slice(cut..));
            }
        }
        rest
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
        let mut block = Block::default();
        loop {
            let fits = self.rest.len().min(BLOCK_BYTES - block.length);
            if fits > 0 {
                block.push(self.rest.split_to(fits));
            }
            if block.length == BLOCK_BYTES {
                return Ok(block);
            }
            match self.chunks.next().await {
                Some(chunk) => self.rest = chunk?,
                None => return Ok(block),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_sent_again_begins_where_it_broke_off() {
        let mut block = Block::default();
        for chunk in ["ab", "cde", "f"] {
            block.push(chunk.into());
        }
        for (passed, rest) in ["abcdef", "bcdef", "cdef", "def", "ef", "f", ""]
            .into_iter()
            .enumerate()
        {
            let from = block.from(passed);
            assert_eq!((from.chunks.concat(), from.length), (rest.into(), rest.len()));
        }
    }
}
