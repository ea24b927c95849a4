//! Loaded files becoming versions.

use std::collections::HashSet;
use std::sync::Arc;

use assay_core::{
    Author, Commit, CommitMode, CompactTask, Compacted, Job, KeyHash, KeyIndex, NewDataset, Operation, PinnedInput,
    RowSet, TableSchema, Version,
};

use super::compaction;
use super::entries::Standing;
use super::shelf::{Shelf, ShelvedPart};
use super::versions::{self, Made, StoredRejects, score};
use crate::data::{Counts, changed_meanwhile, not_indexed, ruled_otherwise, there_already};
use crate::redis::Inner;
use crate::redis::desk::Desk;
use crate::redis::failure::Fallible;

/// What of a data set has keys that come again.
#[derive(Debug, Default)]
struct Clashes {
    /// Keys of hot records, sorted.
    hot: Vec<String>,
    /// Rows of the parts on the shelf, by their place there.
    stored: Vec<(usize, RowSet)>,
}

impl Clashes {
    fn count(&self) -> u64 {
        self.hot.len() as u64 + self.stored.iter().map(|(_, rows)| rows.len()).sum::<u64>()
    }
}

/// Makes the version that follows the newest one, in the step that ends `job`. Refuses before anything is put into the
/// step.
///
/// # Errors
/// `Conflict`, `InvalidParameter`, `DuplicateKey`, `Overloaded`: the commit cannot be applied.
pub(in crate::redis) async fn publish(desk: &mut Desk, job: &Job, commit: &Commit) -> Fallible<PinnedInput> {
    let by = Author {
        user: commit.author.user.clone().or_else(|| Some(job.spec.owner.clone())),
        message: commit.author.message.clone(),
    };
    if let Some(task) = &commit.rewrites {
        return rewrite(desk, job, commit, task, &by).await;
    }
    let shelf = Shelf::find(desk, &commit.name).await?;
    let before = shelf.as_ref().map(|shelf| &shelf.standing.entry.shown);
    let key = commit.key_after(before.map(|shown| &shown.key))?;
    if before.is_some_and(|shown| shown.ruled != commit.ruled) {
        return Err(ruled_otherwise(&commit.name).into());
    }
    let (mut shelf, is_new, clashes) = match shelf {
        Some(shelf) => {
            let clashes = clashes(&desk.store, &shelf, commit).await?;
            if commit.mode == CommitMode::Append && clashes.count() > 0 {
                let example = clashes.hot.first().map(String::as_str);
                return Err(there_already(commit, clashes.count(), example).into());
            }
            shelf.standing.is_unchanged(&mut desk.step, &shelf.keys);
            (shelf, false, clashes)
        }
        None => {
            let standing = fresh(desk, commit, key.clone()).await?;
            let keys = desk.store.keys.of_dataset(&commit.name.folded());
            (Shelf::empty(keys, standing), true, Clashes::default())
        }
    };
    let version = match is_new {
        true => shelf.standing.entry.shown.version,
        false => shelf.next_version(),
    };
    let counts = take_in(desk, &mut shelf, commit, key, version, &clashes)?;
    if is_new {
        shelf.standing.introduce(&mut desk.step, &shelf.keys);
    }
    shelf.advance(&mut desk.step, version, desk.now)?;
    let made = Made {
        operation: commit.mode.operation(),
        job: Some(&job.id),
        by: &by,
    };
    versions::note(&mut desk.step, &shelf.keys, &shelf.standing, counts, made)?;
    if let Some(aside) = &commit.rejects {
        let stored = StoredRejects {
            version,
            job: Some(job.id.clone()),
            path: aside.path.clone(),
            count: aside.count,
        };
        desk.step
            .zadd(&shelf.keys.rejects(), score(version), serde_json::to_string(&stored)?);
    }
    Ok(PinnedInput {
        name: commit.name.clone(),
        version,
    })
}

async fn fresh(desk: &mut Desk, commit: &Commit, key: Option<String>) -> Fallible<Standing> {
    let new = NewDataset {
        name: commit.name.clone(),
        key,
        description: None,
        rules: None,
        source: None,
    };
    versions::fresh(desk, new).await
}

/// Puts the parts of `commit` in the place of what they were made of.
async fn rewrite(
    desk: &mut Desk,
    job: &Job,
    commit: &Commit,
    task: &CompactTask,
    by: &Author,
) -> Fallible<PinnedInput> {
    let shelf = Shelf::get(desk, &commit.name).await?;
    if shelf.standing.entry.shown.ruled != commit.ruled {
        return Err(ruled_otherwise(&commit.name).into());
    }
    let rewritten = Compacted {
        task: task.clone(),
        parts: commit.parts.clone(),
    };
    let made = Made {
        operation: Operation::Retype,
        job: Some(&job.id),
        by,
    };
    let version = compaction::replace(desk, shelf, &rewritten, made)?;
    Ok(PinnedInput {
        name: commit.name.clone(),
        version: version.ok_or_else(|| changed_meanwhile(&commit.name))?,
    })
}

/// Looks up what has keys that come again, when old records stay.
async fn clashes(store: &Inner, shelf: &Shelf, commit: &Commit) -> Fallible<Clashes> {
    let mut clashes = Clashes::default();
    if !commit.mode.keeps() || shelf.standing.entry.shown.key.is_none() {
        return Ok(clashes);
    }
    let mut new: Vec<Arc<KeyIndex>> = Vec::new();
    for part in &commit.parts {
        if let Some(file) = &part.index {
            new.push(store.data.indexes.get(&part.path, file).await?);
        }
    }
    for (at, ShelvedPart { stored, deleted, .. }) in shelf.parts.iter().enumerate() {
        if stored.part.rows == 0 {
            continue;
        }
        let Some(file) = &stored.part.index else {
            return Err(not_indexed(&commit.name).into());
        };
        let there = store.data.indexes.get(&stored.part.path, file).await?;
        let again = new.iter().flat_map(|new| there.shared_with(new));
        let rows = again.map(|entry| entry.row).collect::<RowSet>().without(&deleted.rows);
        if !rows.is_empty() {
            clashes.stored.push((at, rows));
        }
    }
    let comes_again = |key: &&String| {
        let hash = KeyHash::of(key);
        new.iter().any(|index| index.find(&hash).is_some())
    };
    clashes.hot = shelf.hot.keys().filter(comes_again).cloned().collect();
    clashes.hot.sort_unstable();
    Ok(clashes)
}

fn take_in(
    desk: &mut Desk,
    shelf: &mut Shelf,
    commit: &Commit,
    key: Option<String>,
    version: Version,
    clashes: &Clashes,
) -> Fallible<Counts> {
    let step = &mut desk.step;
    let rows: u64 = commit.parts.iter().map(|part| part.rows).sum();
    let mut counts = Counts::default();
    let mut schema = TableSchema::default();
    if commit.mode.keeps() {
        counts.replaced = clashes.count();
        for (index, rows) in &clashes.stored {
            shelf.delete_rows(step, *index, version, rows);
        }
        let leaving: HashSet<String> = clashes.hot.iter().cloned().collect();
        shelf.retire(step, version, &leaving)?;
        schema = shelf.schema.clone();
    } else {
        counts.deleted = shelf.standing.entry.shown.rows;
        shelf.retain_parts(step, version, |_| false)?;
        let leaving: HashSet<String> = shelf.hot.keys().cloned().collect();
        shelf.retire(step, version, &leaving)?;
    }
    counts.created = rows.saturating_sub(counts.replaced);
    shelf.standing.entry.shown.name = commit.name.clone();
    shelf.standing.entry.shown.key = key;
    for part in &commit.parts {
        schema = schema.union(&part.schema);
        shelf.add_part(step, part, version, version)?;
    }
    shelf.set_schema(step, version, schema)?;
    Ok(counts)
}
