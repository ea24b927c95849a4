//! An object that comes in parts.

use std::fs::{self, File};
use std::io::{self, Seek as _, SeekFrom, Write as _};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use futures::FutureExt as _;
use object_store::path::Path;
use object_store::{MultipartUpload, ObjectStoreExt as _, PutPayload, PutResult, RenameTargetMode, UploadPart};

use super::{DurableFolder, not_durable, off_thread, write};

/// After so many bytes a part waits until they are on the disk, which so has little to do in the end.
const SYNCED_BYTES: u64 = 32 << 20;

/// An upload in parts that becomes an object, durably, when it is complete.
#[derive(Debug)]
pub(super) struct DurableUpload {
    file: Arc<PartialFile>,
    folder: DurableFolder,
    partial: Path,
    location: Path,
    /// Where the next part begins.
    written: u64,
    /// Bytes since the last part that waits for the disk.
    unsynced: u64,
}

impl DurableUpload {
    pub(super) async fn begin(folder: &DurableFolder, location: &Path) -> object_store::Result<Self> {
        let partial = folder.partial(location);
        let path = folder.files.path_to_filesystem(&partial)?;
        let file = off_thread(|| PartialFile::create(path)).await.map_err(not_durable)?;
        Ok(Self {
            file: Arc::new(file),
            folder: folder.clone(),
            partial,
            location: location.clone(),
            written: 0,
            unsynced: 0,
        })
    }
}

#[async_trait]
impl MultipartUpload for DurableUpload {
    fn put_part(&mut self, data: PutPayload) -> UploadPart {
        let (begin, length) = (self.written, data.content_length() as u64);
        self.written += length;
        self.unsynced += length;
        let is_synced = self.unsynced >= SYNCED_BYTES;
        if is_synced {
            self.unsynced = 0;
        }
        let file = Arc::clone(&self.file);
        let write = move || {
            file.write(begin, &data)?;
            if is_synced { file.file.sync_data() } else { Ok(()) }
        };
        async move { off_thread(write).await.map_err(not_durable) }.boxed()
    }

    async fn complete(&mut self) -> object_store::Result<PutResult> {
        self.folder
            .publish_or_remove(&self.partial, &self.location, RenameTargetMode::Overwrite)
            .await?;
        let about = self.folder.files.head(&self.location).await?;
        Ok(PutResult {
            e_tag: about.e_tag,
            version: about.version,
        })
    }

    async fn abort(&mut self) -> object_store::Result<()> {
        self.folder.files.delete(&self.partial).await
    }
}

/// A file whose parts are written in any order. It is removed at the end, unless it has got another name by then.
#[derive(Debug)]
struct PartialFile {
    path: PathBuf,
    file: File,
    /// Held from the way to a place until all is written there.
    place: Mutex<()>,
}

impl PartialFile {
    fn create(path: PathBuf) -> io::Result<Self> {
        let file = write::create(&path)?;
        let place = Mutex::new(());
        Ok(Self { path, file, place })
    }

    fn write(&self, begin: u64, data: &PutPayload) -> io::Result<()> {
        let _place = self.place.lock().unwrap_or_else(PoisonError::into_inner);
        let mut file = &self.file;
        file.seek(SeekFrom::Start(begin))?;
        data.iter().try_for_each(|bytes| file.write_all(bytes))
    }
}

impl Drop for PartialFile {
    fn drop(&mut self) {
        let path = std::mem::take(&mut self.path);
        // A sweep removes what this cannot.
        let remove = move || drop(fs::remove_file(path));
        match tokio::runtime::Handle::try_current() {
            Ok(runtime) => drop(runtime.spawn_blocking(remove)),
            Err(_) => remove(),
        }
    }
}
