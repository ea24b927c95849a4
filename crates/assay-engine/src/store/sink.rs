//! Where encoded bytes go: they stay in memory while they are few, and become an object when they are many.
//!
//! It counts, bounds and hashes them; it does not know what they mean.

use std::sync::Arc;

use assay_core::{Code, Error, Result, ResultData};
use assay_formats::{hexadecimal, store_fault};
use object_store::path::Path;
use object_store::{MultipartUpload, ObjectStore, ObjectStoreExt, PutPayload};
use sha2::{Digest, Sha256};

/// Size of the pieces of an object that is written while it is made.
const PIECE_BYTES: usize = 8 << 20;

pub(crate) struct Sink {
    objects: Arc<dyn ObjectStore>,
    path: String,
    inline_bytes: usize,
    limit_bytes: u64,
    buffer: Vec<u8>,
    upload: Option<Box<dyn MultipartUpload>>,
    hash: Sha256,
    written: u64,
}

impl Sink {
    /// At most `inline_bytes` stay inline; more than `limit_bytes` are refused.
    pub(crate) fn new(objects: &Arc<dyn ObjectStore>, path: String, inline_bytes: usize, limit_bytes: u64) -> Self {
        Self {
            objects: Arc::clone(objects),
            path,
            inline_bytes,
            limit_bytes,
            buffer: Vec::new(),
            upload: None,
            hash: Sha256::new(),
            written: 0,
        }
    }

    pub(crate) fn written(&self) -> u64 {
        self.written
    }

    /// # Errors
    /// `ResultTooLarge` beyond the limit; `Internal` when the object store fails.
    pub(crate) async fn push(&mut self, bytes: Vec<u8>) -> Result<()> {
        self.written += bytes.len() as u64;
        if self.written > self.limit_bytes {
            let message = format!("the answer is larger than {} bytes", self.limit_bytes);
            return Err(Error::new(Code::ResultTooLarge, message)
                .hint("select fewer columns, filter or group the rows, or raise the limit on the result"));
        }
        self.hash.update(&bytes);
        if self.buffer.is_empty() {
            self.buffer = bytes;
        } else {
            self.buffer.extend_from_slice(&bytes);
        }
        while self.buffer.len() >= PIECE_BYTES {
            let rest = self.buffer.split_off(PIECE_BYTES);
            let piece = std::mem::replace(&mut self.buffer, rest);
            self.send(piece).await?;
        }
        Ok(())
    }

    async fn send(&mut self, piece: Vec<u8>) -> Result<()> {
        let failed = |cause: object_store::Error| store_fault("writing an answer", &cause);
        let upload = match &mut self.upload {
            Some(upload) => upload,
            none => {
                let upload = self
                    .objects
                    .put_multipart(&Path::from(self.path.as_str()))
                    .await
                    .map_err(failed)?;
                none.insert(upload)
            }
        };
        upload.put_part(PutPayload::from(piece)).await.map_err(failed)
    }

    pub(crate) async fn finish(mut self) -> Result<ResultData> {
        let failed = |cause: object_store::Error| store_fault("writing an answer", &cause);
        let rest = std::mem::take(&mut self.buffer);
        if self.upload.is_none() && rest.len() <= self.inline_bytes {
            return Ok(ResultData::Inline(rest));
        }
        let checksum = hexadecimal(&self.hash.clone().finalize());
        if self.upload.is_none() {
            let path = Path::from(self.path.as_str());
            self.objects.put(&path, PutPayload::from(rest)).await.map_err(failed)?;
        } else {
            if !rest.is_empty() {
                self.send(rest).await?;
            }
            if let Some(upload) = &mut self.upload {
                upload.complete().await.map_err(failed)?;
            }
        }
        Ok(ResultData::Object {
            path: self.path,
            checksum,
        })
    }

    /// Drops what was sent so far, as far as the object store can.
    pub(crate) async fn abort(mut self) {
        if let Some(upload) = &mut self.upload
            && let Err(cause) = upload.abort().await
        {
            tracing::warn!(error = %cause, "an unfinished answer stays until the sweep of leftovers");
        }
    }
}
