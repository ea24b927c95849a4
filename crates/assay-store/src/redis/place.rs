//! All processes of a store have its objects in one place, which carries the id of the store.

use assay_core::{Code, Error, Result};
use redis::cmd;

use super::connection::Connection;
use super::failure::Fallible;
use super::keys::Keys;
use crate::objects::{self, Objects};

/// Makes sure that `objects` is the place of this store, which it becomes when the store has none yet.
///
/// # Errors
/// `InvalidParameter` when the store has its objects elsewhere; `StoreLocked` when another store has its objects there;
/// `StoreFailed` when the place or the server cannot be reached.
pub(super) async fn agree(connection: &Connection, keys: &Keys, objects: &dyn Objects) -> Result<()> {
    let known = known(connection, keys).await;
    let (id, has_place) = known.map_err(|fault| fault.into_error("find out where its objects lie"))?;
    let owner = owner_mark(&id);
    if has_place {
        return match objects::is_of(objects, &owner).await? {
            Some(true) => Ok(()),
            Some(false) => Err(objects::foreign(objects)),
            None => Err(elsewhere(objects)),
        };
    }
    objects::claim(objects, &owner).await?;
    let noted: Fallible<()> = connection.query(cmd("SET").arg(keys.has_place()).arg(1)).await;
    noted.map_err(|fault| fault.into_error("note where its objects lie"))
}

/// The id of the store, and whether its objects have a place. One that has its id is not written to.
pub(super) async fn known(connection: &Connection, keys: &Keys) -> Fallible<(String, bool)> {
    let mut pipeline = redis::pipe();
    pipeline.cmd("GET").arg(keys.id());
    pipeline.cmd("EXISTS").arg(keys.has_place());
    let (id, has_place): (Option<String>, bool) = connection.pipe(&pipeline).await?;
    if let Some(id) = id {
        return Ok((id, has_place));
    }
    let mut pipeline = redis::pipe();
    pipeline.cmd("SET").arg(keys.id()).arg(fresh()).arg("NX").ignore();
    pipeline.cmd("GET").arg(keys.id());
    pipeline.cmd("EXISTS").arg(keys.has_place());
    connection.pipe(&pipeline).await
}

/// What the place of the objects of a store carries.
pub(super) fn owner_mark(id: &str) -> String {
    format!("redis {id}")
}

fn fresh() -> String {
    format!("{:020x}", ulid::Ulid::new().random())
}

fn elsewhere(objects: &dyn Objects) -> Error {
    let message = format!("the objects of the store lie elsewhere, not in {objects}");
    Error::new(Code::InvalidParameter, message)
        .hint("give all servers and workers of a store the same `--objects`, in a place that all of them reach")
}
