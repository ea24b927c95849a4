//! Removal of a data set with all its versions.

use assay_core::{DatasetName, Version};

use super::entries::{self, Held, ask_objects, objects_of};
use crate::redis::desk::Desk;
use crate::redis::failure::{Fallible, Fault};
use crate::redis::news;

/// Removes the data set. What lies in the object store is named, so that it can be deleted.
///
/// # Errors
/// `UnknownDataset`.
pub(super) async fn remove(desk: &mut Desk, name: &DatasetName) -> Fallible<Vec<String>> {
    let standing = entries::get(&desk.store, name).await?;
    let keys = desk.store.keys.of_dataset(&name.folded());
    let mut pipeline = redis::pipe();
    ask_objects(&mut pipeline, &keys);
    pipeline.cmd("ZRANGE").arg(keys.retired()).arg(0).arg(-1);
    let (parts, former, rejects, bundles): (_, _, _, Vec<String>) = desk.store.connection.pipe(&pipeline).await?;
    let held: Held = (parts, former, rejects);
    let objects = objects_of(&held)?;

    let now = desk.now;
    let step = &mut desk.step;
    standing.is_unchanged(step, &keys);
    // A part that expired meanwhile is gone already.
    for part in held.0.keys().chain(held.1.keys()) {
        step.unlink(&keys.deleted(*part));
    }
    for member in bundles {
        let left = member.split_once(':').and_then(|(_, left)| left.parse().ok());
        let left = Version(left.ok_or_else(|| Fault::Stored(format!("`{member}` are no former records")))?);
        step.unlink(&keys.retired_hot(left));
        step.unlink(&keys.retired_meta(left));
    }
    let rest = [
        keys.entry(),
        keys.hot(),
        keys.hot_meta(),
        keys.parts(),
        keys.versions(),
        keys.schemas(),
        keys.rules(),
        keys.rejects(),
        keys.touched(),
        keys.former(),
        keys.former_keys(),
        keys.retired(),
        keys.former_parts(),
        keys.parts_removed(),
        keys.hold(),
        keys.compacting(),
    ];
    for key in rest {
        step.unlink(&key);
    }
    let (all, folded) = (&keys.keys, &keys.folded);
    let shown = &standing.entry.shown;
    step.hset(&all.removed_datasets(), folded, shown.version.0);
    step.zrem(&all.datasets(), folded);
    step.srem(&all.compact_hot(), folded);
    step.srem(&all.compact_parts(), folded);
    step.zrem(&all.compact_cooling(), folded);
    step.zrem(&all.compact_quiet(), folded);
    step.zrem(&all.version_ends(), folded);
    step.srem(&all.prunable(), folded);
    step.tell(&news::removed(&shown.name, shown.version, now)?);
    Ok(objects)
}
