//! Objects as files in a folder, durable before a write is acknowledged.
//!
//! It adds fsync and the walk over leftovers to `object_store`'s local file system.

mod upload;
mod write;

use std::fs::File;
use std::hash::{BuildHasher as _, Hasher as _, RandomState};
use std::io;
use std::path::Path as FilePath;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::SystemTime;

use assay_core::{Code, Error, Result};
use async_trait::async_trait;
use futures::future;
use futures::stream::{self, BoxStream};
use futures::{StreamExt as _, TryStreamExt as _};
use object_store::local::LocalFileSystem;
use object_store::path::Path;
use object_store::{
    CopyOptions, GetOptions, GetResult, ListResult, MultipartUpload, ObjectMeta, ObjectStore, ObjectStoreExt, PutMode,
    PutMultipartOptions, PutOptions, PutPayload, PutResult, RenameOptions, RenameTargetMode,
};

use self::upload::DurableUpload;
use super::files::{Walk, create_private_folder, off_thread, remove_all};
use super::{Found, Objects, sweep_failed};

/// Entries of folders that a walk looks at in one go.
const ENTRIES_AT_ONCE: usize = 1_000;
/// What is being written carries this in its name until it is whole and synced.
const PARTIAL: &str = ".partial-";

/// Whether a path is that of a write that never came to its end.
pub(crate) fn is_partial(path: &str) -> bool {
    path.contains(PARTIAL)
}

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
            // By chance, as processes in containers have one number, and a process may open the folder twice.
            writes: Arc::new(AtomicU64::new(RandomState::new().build_hasher().finish())),
        })
    }

    /// A name beside `location` that no other write has.
    fn partial(&self, location: &Path) -> Path {
        Path::from(format!("{location}{}", self.suffix()))
    }

    /// What no other write in this process or another has behind the name of its object.
    fn suffix(&self) -> String {
        let number = self.writes.fetch_add(1, Ordering::Relaxed);
        format!("{PARTIAL}{}-{number}", std::process::id())
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
        off_thread(move || write::sync_folders(&path, &root))
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
        if !options.attributes.is_empty() {
            return self.files.put_opts(location, payload, options).await;
        }
        let (path, root) = (self.files.path_to_filesystem(location)?, Arc::clone(&self.root));
        let mut partial = path.clone().into_os_string();
        partial.push(self.suffix());
        // In one go, as each step is short and a change of threads is not.
        let write = move || write::whole(partial.as_ref(), &path, &root, &payload, mode);
        if !off_thread(write).await.map_err(not_durable)? {
            return Err(object_store::Error::AlreadyExists {
                path: location.to_string(),
                source: Box::new(io::Error::from(io::ErrorKind::AlreadyExists)),
            });
        }
        Ok(PutResult {
            e_tag: None,
            version: None,
        })
    }

    async fn put_multipart_opts(
        &self,
        location: &Path,
        options: PutMultipartOptions,
    ) -> object_store::Result<Box<dyn MultipartUpload>> {
        if !options.attributes.is_empty() {
            // The file system refuses it with the fitting error.
            return self.files.put_multipart_opts(location, options).await;
        }
        Ok(Box::new(DurableUpload::begin(self, location).await?))
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
        whole(self.files.list(prefix))
    }

    fn list_with_offset(
        &self,
        prefix: Option<&Path>,
        offset: &Path,
    ) -> BoxStream<'static, object_store::Result<ObjectMeta>> {
        whole(self.files.list_with_offset(prefix, offset))
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> object_store::Result<ListResult> {
        let mut listed = self.files.list_with_delimiter(prefix).await?;
        listed.objects.retain(|object| !is_partial(object.location.as_ref()));
        Ok(listed)
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

#[async_trait]
impl Objects for DurableFolder {
    /// Every file, those of unfinished writes included.
    fn walk(&self) -> BoxStream<'static, Result<Found>> {
        let root = Arc::clone(&self.root);
        let steps = stream::try_unfold(Some(None), move |walk: Option<Option<Walk>>| {
            let root = Arc::clone(&root);
            async move {
                let Some(walk) = walk else { return Ok(None) };
                let step = off_thread(move || {
                    let walk = match walk {
                        Some(walk) => walk,
                        None => Walk::through(&root)?,
                    };
                    let (files, rest) = walk.next(ENTRIES_AT_ONCE)?;
                    let found = files.into_iter().map(|(file, written_at)| Found {
                        name: name(&root, &file),
                        written_at,
                    });
                    Ok((found.collect::<Vec<_>>(), rest))
                });
                let (found, rest) = step.await.map_err(|cause| sweep_failed(&cause))?;
                Ok(Some((stream::iter(found).map(Ok), rest.map(Some))))
            }
        });
        steps.try_flatten().boxed()
    }

    async fn remove(&self, names: Vec<String>) -> Result<u64> {
        let root = Arc::clone(&self.root);
        let removed = off_thread(move || Ok(remove_all(&root, names.iter().map(|name| root.join(name))))).await;
        removed.map_err(|cause| sweep_failed(&cause))
    }

    /// There is none: what is unfinished lies beside the objects.
    async fn remove_unfinished(&self, _: SystemTime) -> Result<u64> {
        Ok(0)
    }
}

/// Those that were written to their end.
fn whole(
    objects: BoxStream<'static, object_store::Result<ObjectMeta>>,
) -> BoxStream<'static, object_store::Result<ObjectMeta>> {
    objects
        .try_filter(|object| future::ready(!is_partial(object.location.as_ref())))
        .boxed()
}

/// The path of a file below the folder, as that of an object.
fn name(root: &FilePath, file: &FilePath) -> String {
    file.strip_prefix(root)
        .unwrap_or(file)
        .to_string_lossy()
        .replace(std::path::MAIN_SEPARATOR, "/")
}

fn not_durable(cause: io::Error) -> object_store::Error {
    tracing::error!(error = %cause, "could not make an object durable");
    object_store::Error::Generic {
        store: "DurableFolder",
        source: Box::new(cause),
    }
}
