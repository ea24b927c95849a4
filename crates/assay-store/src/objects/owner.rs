//! The mark that says whose objects lie in a place, so that no two stores sweep each other's away.

use assay_core::{Code, Error, Result};
use object_store::path::Path;
use object_store::{ObjectStore, ObjectStoreExt as _, PutMode, PutOptions, PutPayload};

use super::Objects;

/// The object that holds the id of the store.
pub(crate) const OWNER: &str = "owner";

/// How many references are looked at before a place is taken for another one.
const SAMPLE: usize = 20;

/// Marks the place as that of the store `id`, unless it is already.
///
/// # Errors
/// `InvalidParameter` when what exists there is overwritten whatever is asked; `StoreLocked` when it belongs to another
/// store; `StoreFailed` when it cannot be reached.
pub(crate) async fn claim(objects: &dyn Objects, id: &str) -> Result<()> {
    let location = Path::from(OWNER);
    let mark = || create(objects, &location, PutPayload::from(id.to_owned()));
    let failed = |cause| unreachable(&cause);
    if mark().await.map_err(failed)? {
        // A place that knows no conditions lets every store mark it, and each would sweep the others' objects away.
        return match mark().await.map_err(failed)? {
            true => Err(overwrites()),
            false => Ok(()),
        };
    }
    match is_of(objects, id).await? {
        Some(true) => Ok(()),
        _ => Err(foreign(objects)),
    }
}

/// Writes an object unless there is one of that name, and says whether it did.
///
/// # Errors
/// Those of the place.
pub(crate) async fn create(
    objects: &dyn ObjectStore,
    location: &Path,
    content: PutPayload,
) -> object_store::Result<bool> {
    let create = PutOptions::from(PutMode::Create);
    match objects.put_opts(location, content, create).await {
        Ok(_) => Ok(true),
        Err(object_store::Error::AlreadyExists { .. }) => Ok(false),
        Err(cause) => Err(cause),
    }
}

/// Whether the place is that of the store `id`; `None` when it is nobody's.
///
/// # Errors
/// `StoreFailed` when it cannot be reached.
pub(crate) async fn is_of(objects: &dyn Objects, id: &str) -> Result<Option<bool>> {
    let location = Path::from(OWNER);
    let read = async { objects.get(&location).await?.bytes().await };
    match read.await {
        Ok(owner) => Ok(Some(owner == id.as_bytes())),
        Err(object_store::Error::NotFound { .. }) => Ok(None),
        Err(cause) => Err(unreachable(&cause)),
    }
}

/// Makes the place of the store `old`, or of nobody, that of the store `new`; of nobody when that needs no mark. Doing it
/// again changes nothing.
///
/// # Errors
/// `StoreLocked` when it belongs to a third store; `StoreFailed` when it cannot be reached.
pub(crate) async fn hand_over(objects: &dyn Objects, old: Option<&str>, new: Option<&str>) -> Result<()> {
    let location = Path::from(OWNER);
    let mut is_free = true;
    for id in [old, new].into_iter().flatten() {
        match is_of(objects, id).await? {
            None | Some(true) => {
                is_free = true;
                break;
            }
            Some(false) => is_free = false,
        }
    }
    if !is_free {
        return Err(foreign(objects));
    }
    let done = match new {
        Some(new) => objects.put(&location, PutPayload::from(new.to_owned())).await.map(drop),
        None => objects.delete(&location).await,
    };
    match done {
        Ok(()) | Err(object_store::Error::NotFound { .. }) => Ok(()),
        Err(cause) => Err(unreachable(&cause)),
    }
}

/// Whether some of these objects lie there, of which a few are looked at; `true` when there are none to look at.
///
/// # Errors
/// `StoreFailed` when the place cannot be reached.
pub(crate) async fn holds_any(objects: &dyn Objects, paths: impl Iterator<Item = &str> + Send) -> Result<bool> {
    let mut is_none_named = true;
    for path in paths.take(SAMPLE) {
        is_none_named = false;
        match objects.head(&Path::from(path)).await {
            Ok(_) => return Ok(true),
            Err(object_store::Error::NotFound { .. }) => {}
            Err(cause) => return Err(unreachable(&cause)),
        }
    }
    Ok(is_none_named)
}

/// A place that is not the one that a store has its objects in.
pub(crate) fn holds_none(objects: &dyn Objects) -> Error {
    Error::new(
        Code::StoreFailed,
        format!("{objects} holds none of the objects of this store"),
    )
}

pub(crate) fn foreign(objects: &dyn Objects) -> Error {
    let message = format!("{objects} holds the objects of another store");
    Error::new(Code::StoreLocked, message).hint("give each store a folder, prefix or database of its own")
}

/// A place in which no object is safe from the next one of its name.
pub(crate) fn overwrites() -> Error {
    let message = "the place of the objects overwrites what exists, also where that is forbidden (`If-None-Match: *`)";
    Error::new(Code::InvalidParameter, message)
        .hint("use a service with conditional writes, as S3, SeaweedFS, Ceph and R2 have")
}

fn unreachable(cause: &object_store::Error) -> Error {
    tracing::error!(error = %cause, "the place of the objects cannot be reached");
    Error::new(Code::StoreFailed, "the place of the objects cannot be reached")
        .hint("look whether the service runs and lets this user in; the log of the server has the cause")
}
