//! Files of parts, results and uploads in a folder, durable before a write is acknowledged.
//!
//! It adds fsync and the sweep of leftovers to `object_store`'s local file system; it knows nothing of what the files
//! hold, nor who refers to them.

use std::collections::HashSet;
use std::fs::{self, File};
use std::io;
use std::path::{Path as FilePath, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::SystemTime;

use assay_core::{Code, Error, Result};
use async_trait::async_trait;
use futures::stream::BoxStream;
use object_store::local::LocalFileSystem;
use object_store::path::Path;
use object_store::{
    CopyOptions, GetOptions, GetResult, ListResult, MultipartUpload, ObjectMeta, ObjectStore, ObjectStoreExt, PutMode,
    PutMultipartOptions, PutOptions, PutPayload, PutResult, RenameOptions, RenameTargetMode, UploadPart,
};

/// What is being written carries this in its name until it is whole and synced.
const PARTIAL: &str = ".partial-";

/// An object store in a folder of the local file system.
///
/// A write goes to a temporary name, is synced, gets its name, and then its folders are synced. So an object is whole
/// or absent, also after a power cut, and an error of fsync is an error of the call.
#[derive(Debug, Clone)]
pub struct DurableFolder {
    files: Arc<LocalFileSystem>,
    root: Arc<FilePath>,
    writes: Arc<AtomicU64>,
}

impl DurableFolder {
    /// Opens the folder and creates it, for the owner's eyes only, when it is missing.
    ///
    /// # Errors
    /// `StoreFailed` when the folder cannot be created or read.
    pub fn open(folder: &FilePath) -> Result<Self> {
        let failed = |cause: &dyn std::fmt::Display| {
            tracing::error!(folder = %folder.display(), error = %cause, "could not open the folder of objects");
            Error::new(
                Code::StoreFailed,
                format!("could not open the folder of objects `{}`", folder.display()),
            )
            .hint("check that the folder exists and may be written by this user")
        };
        create_private_folder(folder).map_err(|cause| failed(&cause))?;
        let root = folder.canonicalize().map_err(|cause| failed(&cause))?;
        let files = LocalFileSystem::new_with_prefix(&root).map_err(|cause| failed(&cause))?;
        // A deleted upload or answer leaves no empty folder.
        let files = files.with_automatic_cleanup(true);
        Ok(Self {
            files: Arc::new(files),
            root: root.into(),
            writes: Arc::new(AtomicU64::new(0)),
        })
    }

    /// Removes every file that `referenced` names neither itself nor by its folder, unfinished writes included, and says
    /// how many.
    ///
    /// For start-up, before anything writes: a write that is under way has no reference yet.
    ///
    /// # Errors
    /// `StoreFailed` when a reference is no path of an object or the folder cannot be read. Nothing is removed then.
    pub async fn sweep(&self, referenced: &HashSet<String>) -> Result<u64> {
        let kept = self.files_of(referenced)?;
        let root = Arc::clone(&self.root);
        let removed = off_thread(move || remove_others(&root, &kept)).await;
        removed.map_err(|cause| sweep_failed(&cause))
    }

    /// The files of objects, and the folders of them that are named instead.
    ///
    /// # Errors
    /// `StoreFailed` when one is no path of an object.
    pub(crate) fn files_of(&self, objects: &HashSet<String>) -> Result<HashSet<PathBuf>> {
        let mut files = HashSet::with_capacity(objects.len());
        for path in objects {
            let location = Path::parse(path).map_err(|cause| sweep_failed(&cause))?;
            let file = self.files.path_to_filesystem(&location);
            files.insert(file.map_err(|cause| sweep_failed(&cause))?);
        }
        Ok(files)
    }

    /// A walk through all files.
    ///
    /// # Errors
    /// `StoreFailed` when the folder cannot be read.
    pub(crate) async fn walk(&self) -> Result<Walk> {
        let root = Arc::clone(&self.root);
        let open = off_thread(move || fs::read_dir(root)).await;
        let open = open.map_err(|cause| sweep_failed(&cause))?;
        Ok(Walk { open: vec![open] })
    }

    /// Removes these files and says how many.
    ///
    /// # Errors
    /// `StoreFailed` when the work was broken off.
    pub(crate) async fn remove(&self, files: Vec<PathBuf>) -> Result<u64> {
        let root = Arc::clone(&self.root);
        let removed = off_thread(move || Ok(remove_all(&root, files))).await;
        removed.map_err(|cause| sweep_failed(&cause))
    }

    /// A name beside `location` that no other write has, in this process or another.
    fn partial(&self, location: &Path) -> Path {
        let number = self.writes.fetch_add(1, Ordering::Relaxed);
        Path::from(format!("{location}{PARTIAL}{}-{number}", std::process::id()))
    }

    /// Syncs `partial` and gives it its name, durably.
    async fn publish(&self, partial: &Path, location: &Path, mode: RenameTargetMode) -> object_store::Result<()> {
        self.sync_file(partial).await?;
        let options = RenameOptions::new().with_target_mode(mode);
        self.files.rename_opts(partial, location, options).await?;
        self.sync_folders(location).await
    }

    /// As [`publish`](Self::publish); what cannot be published is removed.
    async fn publish_or_remove(
        &self,
        partial: &Path,
        location: &Path,
        mode: RenameTargetMode,
    ) -> object_store::Result<()> {
        let published = self.publish(partial, location, mode).await;
        if published.is_err() {
            // A sweep removes what this cannot.
            let _ = self.files.delete(partial).await;
        }
        published
    }

    async fn sync_file(&self, location: &Path) -> object_store::Result<()> {
        let path = self.files.path_to_filesystem(location)?;
        off_thread(move || File::open(path)?.sync_all())
            .await
            .map_err(not_durable)
    }

    /// Syncs the folder of the object and those above, whose entries may be new as well.
    async fn sync_folders(&self, location: &Path) -> object_store::Result<()> {
        let path = self.files.path_to_filesystem(location)?;
        let root = Arc::clone(&self.root);
        off_thread(move || {
            for folder in path.ancestors().skip(1).take_while(|folder| folder.starts_with(&*root)) {
                sync_folder(folder)?;
            }
            Ok(())
        })
        .await
        .map_err(not_durable)
    }
}

impl std::fmt::Display for DurableFolder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "DurableFolder({})", self.root.display())
    }
}

#[async_trait]
impl ObjectStore for DurableFolder {
    async fn put_opts(
        &self,
        location: &Path,
        payload: PutPayload,
        options: PutOptions,
    ) -> object_store::Result<PutResult> {
        let mode = match &options.mode {
            PutMode::Overwrite => RenameTargetMode::Overwrite,
            PutMode::Create => RenameTargetMode::Create,
            // The file system refuses it with the fitting error.
            PutMode::Update(_) => return self.files.put_opts(location, payload, options).await,
        };
        let partial = self.partial(location);
        let options = PutOptions {
            mode: PutMode::Overwrite,
            ..options
        };
        let put = self.files.put_opts(&partial, payload, options).await?;
        self.publish_or_remove(&partial, location, mode).await?;
        Ok(put)
    }

    async fn put_multipart_opts(
        &self,
        location: &Path,
        options: PutMultipartOptions,
    ) -> object_store::Result<Box<dyn MultipartUpload>> {
        let partial = self.partial(location);
        let upload = self.files.put_multipart_opts(&partial, options).await?;
        Ok(Box::new(DurableUpload {
            upload,
            folder: self.clone(),
            partial,
            location: location.clone(),
        }))
    }

    async fn get_opts(&self, location: &Path, options: GetOptions) -> object_store::Result<GetResult> {
        self.files.get_opts(location, options).await
    }

    async fn get_ranges(
        &self,
        location: &Path,
        ranges: &[std::ops::Range<u64>],
    ) -> object_store::Result<Vec<bytes::Bytes>> {
        self.files.get_ranges(location, ranges).await
    }

    fn delete_stream(
        &self,
        locations: BoxStream<'static, object_store::Result<Path>>,
    ) -> BoxStream<'static, object_store::Result<Path>> {
        self.files.delete_stream(locations)
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, object_store::Result<ObjectMeta>> {
        self.files.list(prefix)
    }

    fn list_with_offset(
        &self,
        prefix: Option<&Path>,
        offset: &Path,
    ) -> BoxStream<'static, object_store::Result<ObjectMeta>> {
        self.files.list_with_offset(prefix, offset)
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> object_store::Result<ListResult> {
        self.files.list_with_delimiter(prefix).await
    }

    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> object_store::Result<()> {
        // A copy is a second name of the same file here, and that file was synced when it was written.
        self.files.copy_opts(from, to, options).await?;
        self.sync_folders(to).await
    }

    async fn rename_opts(&self, from: &Path, to: &Path, options: RenameOptions) -> object_store::Result<()> {
        self.files.rename_opts(from, to, options).await?;
        self.sync_folders(to).await?;
        self.sync_folders(from).await
    }
}

/// An upload in parts that becomes an object, durably, when it is complete.
#[derive(Debug)]
struct DurableUpload {
    upload: Box<dyn MultipartUpload>,
    folder: DurableFolder,
    partial: Path,
    location: Path,
}

#[async_trait]
impl MultipartUpload for DurableUpload {
    fn put_part(&mut self, data: PutPayload) -> UploadPart {
        self.upload.put_part(data)
    }

    async fn complete(&mut self) -> object_store::Result<PutResult> {
        let put = self.upload.complete().await?;
        self.folder
            .publish_or_remove(&self.partial, &self.location, RenameTargetMode::Overwrite)
            .await?;
        Ok(put)
    }

    async fn abort(&mut self) -> object_store::Result<()> {
        self.upload.abort().await
    }
}

/// Creates a folder and those above it that are missing; new ones belong to the owner alone.
pub(crate) fn create_private_folder(folder: &FilePath) -> io::Result<()> {
    let mut builder = fs::DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(folder)
}

/// Makes the entries of a folder durable.
#[cfg(unix)]
pub(crate) fn sync_folder(folder: &FilePath) -> io::Result<()> {
    File::open(folder)?.sync_all()
}

/// Folders cannot be opened for this elsewhere; there the file system keeps its entries by itself.
#[cfg(not(unix))]
pub(crate) fn sync_folder(_: &FilePath) -> io::Result<()> {
    Ok(())
}

/// Runs what waits for the disk where it holds up no task.
async fn off_thread<T: Send + 'static>(work: impl FnOnce() -> io::Result<T> + Send + 'static) -> io::Result<T> {
    match tokio::runtime::Handle::try_current() {
        Ok(runtime) => runtime.spawn_blocking(work).await.map_err(io::Error::other)?,
        Err(_) => work(),
    }
}

fn remove_others(root: &FilePath, kept: &HashSet<PathBuf>) -> io::Result<u64> {
    let mut leftovers = Vec::new();
    let mut folders = vec![root.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder)? {
            let entry = entry?;
            if entry.file_type()?.is_dir() {
                folders.push(entry.path());
            } else if !is_kept(kept, &entry.path()) {
                leftovers.push(entry.path());
            }
        }
    }
    Ok(remove_all(root, leftovers))
}

/// Whether a file is among those to keep, or lies in a folder that is.
pub(crate) fn is_kept(kept: &HashSet<PathBuf>, file: &FilePath) -> bool {
    kept.contains(file) || file.parent().is_some_and(|folder| kept.contains(folder))
}

/// Removes files, and the folders that they leave empty.
fn remove_all(root: &FilePath, files: Vec<PathBuf>) -> u64 {
    let mut removed = 0;
    for path in files {
        match fs::remove_file(&path) {
            Ok(()) => {
                removed += 1;
                // One that is not empty stays, and so does the root.
                let _ = path.parent().filter(|folder| *folder != root).map(fs::remove_dir);
            }
            Err(cause) if cause.kind() == io::ErrorKind::NotFound => {}
            Err(cause) => tracing::warn!(file = %path.display(), error = %cause, "a leftover could not be removed"),
        }
    }
    removed
}

/// A walk through the files of a folder, a number of entries at a time.
#[derive(Debug)]
pub(crate) struct Walk {
    /// The folders under way, the innermost last.
    open: Vec<fs::ReadDir>,
}

impl Walk {
    /// Looks at the next `most` entries: the files among them that were last written before `before`, and the rest of
    /// the walk when there is one.
    ///
    /// # Errors
    /// `StoreFailed` when a folder cannot be read.
    pub(crate) async fn next(mut self, most: usize, before: SystemTime) -> Result<(Vec<PathBuf>, Option<Self>)> {
        let looked = off_thread(move || {
            let mut old = Vec::new();
            for _ in 0..most {
                if self.open.is_empty() {
                    break;
                }
                old.extend(self.step(before)?);
            }
            let rest = Some(self).filter(|walk| !walk.open.is_empty());
            Ok((old, rest))
        });
        looked.await.map_err(|cause| sweep_failed(&cause))
    }

    /// The next entry, when it is an old file. What goes away meanwhile needs no look.
    fn step(&mut self, before: SystemTime) -> io::Result<Option<PathBuf>> {
        let Some(entry) = self.open.last_mut().and_then(Iterator::next) else {
            self.open.pop();
            return Ok(None);
        };
        let look = || -> io::Result<Option<PathBuf>> {
            let entry = entry?;
            if entry.file_type()?.is_dir() {
                self.open.push(fs::read_dir(entry.path())?);
                return Ok(None);
            }
            let is_old = entry.metadata()?.modified()? < before;
            Ok(is_old.then(|| entry.path()))
        };
        match look() {
            Err(cause) if cause.kind() == io::ErrorKind::NotFound => Ok(None),
            looked => looked,
        }
    }
}

fn sweep_failed(cause: &dyn std::fmt::Display) -> Error {
    tracing::error!(error = %cause, "could not sweep the folder of objects");
    Error::new(Code::StoreFailed, "could not sweep the leftovers of former runs")
        .hint("the log of the server has the cause")
}

fn not_durable(cause: io::Error) -> object_store::Error {
    tracing::error!(error = %cause, "could not make an object durable");
    object_store::Error::Generic {
        store: "DurableFolder",
        source: Box::new(cause),
    }
}
