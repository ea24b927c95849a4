//! Objects that belong to nobody any more: deleted at once where that is easy.
//!
//! What is missed here is found by the sweep of leftovers, so faults are logged and not returned.

use assay_core::{Commit, KeyIndex, Part};
use futures::{StreamExt as _, TryStreamExt as _};
use object_store::path::Path;
use object_store::{ObjectStore, ObjectStoreExt as _};

/// Deletes whatever an attempt wrote under its `scratch`.
pub(super) async fn delete_scratch(objects: &dyn ObjectStore, scratch: &str) {
    let prefix = Path::from(scratch);
    let paths = objects.list(Some(&prefix)).map_ok(|object| object.location).boxed();
    let deleted = objects.delete_stream(paths).try_for_each(|_| async { Ok(()) }).await;
    if let Err(cause) = deleted {
        tracing::warn!(scratch, error = %cause, "could not delete what an attempt left behind");
    }
}

/// Deletes the parts of a commit that was refused, and what its load put aside.
pub(super) async fn delete_commit(objects: &dyn ObjectStore, commit: &Commit) {
    delete_all(objects, &commit.parts).await;
    if let Some(rejects) = &commit.rejects {
        delete(objects, &rejects.path).await;
    }
}

/// Deletes parts with their indexes.
pub(crate) async fn delete_all(objects: &dyn ObjectStore, parts: &[Part]) {
    for part in parts {
        if part.index.is_some() {
            delete(objects, &KeyIndex::path_of(&part.path)).await;
        }
        delete(objects, &part.path).await;
    }
}

/// Deletes one object; that it is gone already is no fault.
pub(crate) async fn delete(objects: &dyn ObjectStore, path: &str) {
    match objects.delete(&Path::from(path)).await {
        Ok(()) | Err(object_store::Error::NotFound { .. }) => {}
        Err(cause) => tracing::warn!(object = path, error = %cause, "could not delete a leftover object"),
    }
}
