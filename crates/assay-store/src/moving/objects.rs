//! Takes parts, answers and uploads along, a few at a time and each in pieces; every copy is read back and compared.

use assay_core::{Code, Error, Result, Timestamp};
use futures::{StreamExt as _, TryStreamExt as _};
use object_store::path::Path;
use object_store::{ObjectMeta, ObjectStoreExt as _, PutPayload, WriteMultipart};
use serde::Serialize;
use sha2::{Digest as _, Sha256};

use super::compare::digits;
use super::driver::Told;
use super::places::{Moving, MovingObjects};
use super::{Item, Kind, Side};
use crate::objects::{self, OWNER, Objects, is_partial};

/// Objects that are copied at the same time.
const AT_ONCE: usize = 4;
/// Larger objects are written in pieces of this size.
const PIECE_BYTES: usize = 8 << 20;
/// Pieces of an object that may be on their way.
const PIECES: usize = 2;

/// What was moved of the objects.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct ObjectsReport {
    pub count: u64,
    pub bytes: u64,
    /// Both stores have them in the same place, so none was copied.
    pub stayed: bool,
}

/// Makes sure that the objects of the source lie where they are to be copied from, and makes the place that they are
/// copied to that of the target. Doing it again changes nothing.
///
/// # Errors
/// `StoreFailed` when the objects of the source lie elsewhere; `StoreLocked` when a place belongs to another store.
pub(super) async fn agree(moving: &Moving) -> Result<()> {
    let MovingObjects { from, to, is_same } = &moving.objects;
    if *is_same {
        return Ok(());
    }
    refuse_another_place(&*moving.source, &**from).await?;
    match moving.target.owner() {
        Some(owner) => objects::claim(&**to, &owner).await,
        None => Ok(()),
    }
}

/// Refuses to copy from a place where the objects of the source are not, as nothing would be missed on the way.
async fn refuse_another_place(source: &dyn Side, from: &dyn Objects) -> Result<()> {
    let hint = "name the place of its objects by `--from-objects`, as `--objects` said to its servers";
    if let Some(owner) = source.owner()
        && objects::is_of(from, &owner).await? == Some(false)
    {
        return Err(objects::foreign(from).hint(hint));
    }
    let parts = source.read(Kind::Parts, None, Timestamp(0)).await?;
    let jobs = source.read(Kind::Jobs, None, Timestamp(0)).await?;
    let items = parts.items.iter().chain(&jobs.items);
    match objects::holds_any(from, items.filter_map(Item::object)).await? {
        true => Ok(()),
        false => Err(objects::holds_none(from).hint(hint)),
    }
}

/// Makes a place that both stores have that of the target: it was that of the source until now.
pub(super) async fn hand_over(moving: &Moving) -> Result<()> {
    let MovingObjects { to, is_same, .. } = &moving.objects;
    if !is_same {
        return Ok(());
    }
    let (old, new) = (moving.source.owner(), moving.target.owner());
    objects::hand_over(&**to, old.as_deref(), new.as_deref()).await
}

pub(super) async fn count(objects: &dyn Objects) -> Result<ObjectsReport> {
    let mut report = ObjectsReport::default();
    let mut listed = objects.list(None);
    while let Some(meta) = listed.try_next().await.map_err(|cause| failed(&cause))? {
        if is_moved(&meta) {
            report.count += 1;
            report.bytes += meta.size;
        }
    }
    Ok(report)
}

/// Copies what is not there yet.
///
/// # Errors
/// `StoreFailed` when a place cannot be reached, or what was written is not what is read.
pub(super) async fn copy(objects: &MovingObjects, tell: &(dyn Fn(Told) + Send + Sync)) -> Result<ObjectsReport> {
    let MovingObjects { from, to, is_same } = objects;
    let mut report = ObjectsReport {
        stayed: *is_same,
        ..ObjectsReport::default()
    };
    if *is_same {
        return Ok(report);
    }
    let listed = from.list(None).map_err(|cause| failed(&cause));
    let copies = listed.try_filter(|meta| std::future::ready(is_moved(meta)));
    let copies = copies.map(|meta| async {
        let meta = meta?;
        copy_one(&**from, &**to, &meta).await?;
        Ok::<u64, Error>(meta.size)
    });
    let mut copies = copies.buffer_unordered(AT_ONCE);
    while let Some(bytes) = copies.try_next().await? {
        report.count += 1;
        report.bytes += bytes;
        tell(Told::Objects {
            done: report.count,
            bytes: report.bytes,
        });
    }
    Ok(report)
}

/// The mark of the owner is of the place, and what was never finished is nobody's.
fn is_moved(meta: &ObjectMeta) -> bool {
    let path = meta.location.as_ref();
    path != OWNER && !is_partial(path)
}

async fn copy_one(from: &dyn Objects, to: &dyn Objects, meta: &ObjectMeta) -> Result<()> {
    let path = &meta.location;
    if is_there(to, meta).await? && digest(to, path).await? == digest(from, path).await? {
        return Ok(());
    }
    let written = write(from, to, meta).await.map_err(|cause| failed(&cause))?;
    if digest(to, path).await? == written {
        return Ok(());
    }
    tracing::error!(object = %path, "what was written is not what is read");
    Err(
        Error::new(Code::StoreFailed, format!("object `{path}` was not copied as it is"))
            .hint("look whether the new place is well, then run the same command again"),
    )
}

async fn is_there(to: &dyn Objects, meta: &ObjectMeta) -> Result<bool> {
    match to.head(&meta.location).await {
        Ok(there) => Ok(there.size == meta.size),
        Err(object_store::Error::NotFound { .. }) => Ok(false),
        Err(cause) => Err(failed(&cause)),
    }
}

/// Gives the SHA-256 of what was read.
async fn write(from: &dyn Objects, to: &dyn Objects, meta: &ObjectMeta) -> object_store::Result<String> {
    let path = &meta.location;
    let read = from.get(path).await?;
    if meta.size <= PIECE_BYTES as u64 {
        let bytes = read.bytes().await?;
        let digest = digits(&Sha256::digest(&bytes));
        to.put(path, PutPayload::from(bytes)).await?;
        return Ok(digest);
    }
    let mut hash = Sha256::new();
    let mut pieces = read.into_stream();
    let mut upload = WriteMultipart::new_with_chunk_size(to.put_multipart(path).await?, PIECE_BYTES);
    while let Some(piece) = pieces.try_next().await? {
        hash.update(&piece);
        upload.wait_for_capacity(PIECES).await?;
        upload.put(piece);
    }
    upload.finish().await?;
    Ok(digits(&hash.finalize()))
}

async fn digest(objects: &dyn Objects, path: &Path) -> Result<String> {
    let read = async {
        let mut hash = Sha256::new();
        let mut pieces = objects.get(path).await?.into_stream();
        while let Some(piece) = pieces.try_next().await? {
            hash.update(&piece);
        }
        Ok(digits(&hash.finalize()))
    };
    read.await.map_err(|cause: object_store::Error| failed(&cause))
}

fn failed(cause: &object_store::Error) -> Error {
    tracing::error!(error = %cause, "objects could not be moved");
    Error::new(Code::StoreFailed, "objects of the store could not be moved")
        .hint("look whether both places can be reached and have room; the log has the cause")
}
