//! The mark that says whose objects lie in a place, so that no two stores sweep each other's away.

use assay_core::{Code, Error, Result};
use object_store::path::Path;
use object_store::{ObjectStoreExt as _, PutMode, PutOptions, PutPayload};

use super::Objects;

/// The object that holds the id of the store.
pub(crate) const OWNER: &str = "owner";

/// Marks the place as that of the store `id`, unless it is already.
///
/// # Errors
/// `StoreLocked` when it belongs to another store; `StoreFailed` when it cannot be reached.
pub(crate) async fn claim(objects: &dyn Objects, id: &str) -> Result<()> {
    let location = Path::from(OWNER);
    let create = PutOptions::from(PutMode::Create);
    match objects
        .put_opts(&location, PutPayload::from(id.to_owned()), create)
        .await
    {
        Ok(_) => return Ok(()),
        Err(object_store::Error::AlreadyExists { .. }) => {}
        Err(cause) => return Err(unreachable(&cause)),
    }
    let read = async { objects.get(&location).await?.bytes().await };
    let owner = read.await.map_err(|cause| unreachable(&cause))?;
    if owner == id.as_bytes() {
        return Ok(());
    }
    let message = format!("{objects} holds the objects of another store");
    Err(Error::new(Code::StoreLocked, message).hint("give each store a folder, prefix or database of its own"))
}

pub(crate) fn unreachable(cause: &object_store::Error) -> Error {
    tracing::error!(error = %cause, "the place of the objects cannot be reached");
    Error::new(Code::StoreFailed, "the place of the objects cannot be reached")
        .hint("look whether the service runs and lets this user in; the log of the server has the cause")
}
