//! An upload in parts: they are cut into chunks as they come, and become an object when it is complete.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use async_trait::async_trait;
use bytes::{Bytes, BytesMut};
use futures::FutureExt as _;
use object_store::path::Path;
use object_store::{Error, MultipartUpload, PutPayload, PutResult, Result, UploadPart};

use super::Inner;
use super::about::CHUNK_BYTES;
use super::writes::{Mode, new_id};

pub(super) struct RedisUpload {
    inner: Arc<Inner>,
    location: Path,
    id: String,
    /// What is less than a chunk, until more comes.
    rest: BytesMut,
    size: u64,
    /// Chunks that were cut so far.
    cut: u64,
    /// Those that the server has.
    stored: Arc<AtomicU64>,
}

impl RedisUpload {
    pub(super) fn new(inner: Arc<Inner>, location: Path) -> Self {
        Self {
            inner,
            location,
            id: new_id(),
            rest: BytesMut::new(),
            size: 0,
            cut: 0,
            stored: Arc::default(),
        }
    }

    /// The next chunk, with its number.
    fn next(&mut self, bytes: usize) -> (u64, Bytes) {
        let number = self.cut;
        self.cut += 1;
        (number, self.rest.split_to(bytes).freeze())
    }
}

impl std::fmt::Debug for RedisUpload {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("RedisUpload")
            .field("location", &self.location)
            .finish_non_exhaustive()
    }
}

#[async_trait]
impl MultipartUpload for RedisUpload {
    fn put_part(&mut self, data: PutPayload) -> UploadPart {
        self.size += data.content_length() as u64;
        let whole = usize::try_from(CHUNK_BYTES).unwrap_or(usize::MAX);
        let mut chunks = Vec::new();
        for bytes in data {
            self.rest.extend_from_slice(&bytes);
            while self.rest.len() >= whole {
                chunks.push(self.next(whole));
            }
        }
        let (inner, id, stored) = (Arc::clone(&self.inner), self.id.clone(), Arc::clone(&self.stored));
        async move {
            for (number, chunk) in chunks {
                inner.stage(&id, number, &chunk).await?;
                stored.fetch_add(1, Ordering::Relaxed);
            }
            Ok(())
        }
        .boxed()
    }

    async fn complete(&mut self) -> Result<PutResult> {
        if !self.rest.is_empty() {
            let (number, chunk) = self.next(self.rest.len());
            self.inner.stage(&self.id, number, &chunk).await?;
            self.stored.fetch_add(1, Ordering::Relaxed);
        }
        if self.stored.load(Ordering::Relaxed) != self.cut {
            return Err(Error::Generic {
                store: "Redis",
                source: "a part of the upload was not stored".into(),
            });
        }
        self.inner
            .publish(&self.location, &self.id, self.size, &Mode::Overwrite, None)
            .await
    }

    async fn abort(&mut self) -> Result<()> {
        self.inner.discard(&self.id, self.cut).await;
        Ok(())
    }
}
