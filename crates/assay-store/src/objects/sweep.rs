//! The sweep of objects that nobody refers to.

use std::collections::HashSet;
use std::time::{Duration, SystemTime};

use assay_core::{Code, Error, Result};
use futures::TryStreamExt as _;
use object_store::path::Path;

use super::Objects;
use super::owner::OWNER;

/// Later than any write.
const END_OF_TIME: Duration = Duration::from_secs(1 << 35);

/// Removes every object that `referenced` names neither itself nor by its folder, unfinished writes included, and says
/// how many.
///
/// For start-up, before anything writes: a write that is under way has no reference yet.
///
/// # Errors
/// `StoreFailed` when a reference is no path of an object or the objects cannot be listed. Nothing is removed then.
pub async fn sweep(objects: &dyn Objects, referenced: &HashSet<String>) -> Result<u64> {
    let kept = names_of(referenced)?;
    let mut leftovers = Vec::new();
    let mut walk = objects.walk();
    while let Some(found) = walk.try_next().await? {
        if !is_kept(&kept, &found.name) {
            leftovers.push(found.name);
        }
    }
    let unfinished = objects.remove_unfinished(SystemTime::UNIX_EPOCH + END_OF_TIME).await?;
    Ok(objects.remove(leftovers).await? + unfinished)
}

/// The names that a walk gives to objects, and to the folders of them that are named instead.
///
/// # Errors
/// `StoreFailed` when one is no path of an object.
pub(crate) fn names_of(objects: &HashSet<String>) -> Result<HashSet<String>> {
    let name = |path: &String| Path::parse(path).map(String::from);
    let names = objects.iter().map(name).collect::<Result<_, _>>();
    names.map_err(|cause| sweep_failed(&cause))
}

/// Whether something is among what is to be kept, or lies in a folder that is. The mark of the owner always is.
pub(crate) fn is_kept(kept: &HashSet<String>, name: &str) -> bool {
    name == OWNER || kept.contains(name) || name.rsplit_once('/').is_some_and(|(folder, _)| kept.contains(folder))
}

pub(crate) fn sweep_failed(cause: &dyn std::fmt::Display) -> Error {
    tracing::error!(error = %cause, "could not look for objects that nobody refers to");
    Error::new(Code::StoreFailed, "could not sweep the leftovers of former runs")
        .hint("the log of the server has the cause")
}
