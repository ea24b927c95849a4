//! Indexes of keys, read from the object store and kept in memory as long as they are used.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use assay_core::{Code, Error, IndexFile, KeyIndex, Result, checksum};
use object_store::ObjectStoreExt as _;
use object_store::path::Path;

use crate::objects::Objects;

/// Bytes of indexes that are kept; those that were not asked for the longest go first.
const MOST: usize = 256 << 20;

#[derive(Debug)]
pub(in crate::embedded) struct Indexes {
    objects: Arc<dyn Objects>,
    kept: Mutex<Kept>,
}

#[derive(Debug, Default)]
struct Kept {
    by_part: HashMap<String, (Arc<KeyIndex>, u64)>,
    bytes: usize,
    /// Counts what was asked.
    turn: u64,
}

impl Indexes {
    pub(in crate::embedded) fn new(objects: Arc<dyn Objects>) -> Self {
        Self {
            objects,
            kept: Mutex::default(),
        }
    }

    /// The index of the part at `path`.
    ///
    /// # Errors
    /// `StoreFailed` when it is not there or damaged.
    pub(super) async fn get(&self, path: &str, file: &IndexFile) -> Result<Arc<KeyIndex>> {
        if let Some(index) = self.lock().get(path) {
            return Ok(index);
        }
        let index = Arc::new(read(&*self.objects, path, file).await?);
        self.lock().put(path, &index);
        Ok(index)
    }

    /// A panic leaves at most a wrong count behind.
    fn lock(&self) -> std::sync::MutexGuard<'_, Kept> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Kept {
    fn get(&mut self, path: &str) -> Option<Arc<KeyIndex>> {
        self.turn += 1;
        let (index, used) = self.by_part.get_mut(path)?;
        *used = self.turn;
        Some(Arc::clone(index))
    }

    fn put(&mut self, path: &str, index: &Arc<KeyIndex>) {
        self.turn += 1;
        self.bytes += index.size();
        if let Some((before, _)) = self.by_part.insert(path.to_owned(), (Arc::clone(index), self.turn)) {
            self.bytes -= before.size();
        }
        while self.bytes > MOST {
            let oldest = self.by_part.iter().min_by_key(|(_, (_, used))| *used);
            let Some(path) = oldest.map(|(path, _)| path.clone()) else {
                break;
            };
            if let Some((index, _)) = self.by_part.remove(&path) {
                self.bytes -= index.size();
            }
        }
    }
}

async fn read(objects: &dyn Objects, path: &str, file: &IndexFile) -> Result<KeyIndex> {
    let location = Path::from(KeyIndex::path_of(path));
    let failed = |cause: String| {
        tracing::error!(error = cause, %location, "an index of keys cannot be read");
        Error::new(Code::StoreFailed, "an index of the data set cannot be read")
            .hint("the server's log has the cause; load the data set again")
    };
    let read = objects
        .get(&location)
        .await
        .map_err(|cause| failed(cause.to_string()))?;
    let bytes = read.bytes().await.map_err(|cause| failed(cause.to_string()))?;
    if bytes.len() as u64 != file.bytes || checksum(&bytes) != file.checksum {
        return Err(failed("its checksum is another one".to_owned()));
    }
    KeyIndex::parse(bytes).ok_or_else(|| failed("it is none".to_owned()))
}
