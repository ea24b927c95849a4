//! Loaded files becoming versions.

use std::sync::Arc;

use assay_core::{
    Author, Commit, CommitMode, CompactTask, Compacted, Job, KeyIndex, NewDataset, Operation, PinnedInput, Result,
    RowSet, TableSchema, Version,
};
use rusqlite::{Connection, params};

use super::compaction::{self, Made};
use super::places::{Indexed, indexed};
use super::shelf::Shelf;
use super::{entries, rejects, snapshots, versions};
use crate::data::{Counts, changed_meanwhile, not_indexed, ruled_otherwise, there_already};
use crate::embedded::EmbeddedStore;
use crate::embedded::desk::Desk;
use crate::embedded::failure::Fallible;
use crate::embedded::rows::{insert_job_dataset, signed, text};

/// Keys of a commit that are in the data set already. Looked up outside the writer, like `Places`.
#[derive(Debug, Default)]
pub(in crate::embedded) struct Clashes {
    /// The version that changed the parts last; `None` when there was no data set.
    layout: Option<Version>,
    /// By `dataset_part.id` the rows whose keys come again; some may be deleted already.
    rows: Vec<(i64, RowSet)>,
    /// Of the new parts.
    indexes: Vec<Arc<KeyIndex>>,
}

impl EmbeddedStore {
    /// What of `commit` has keys that are there already.
    ///
    /// # Errors
    /// `StoreFailed`; `Overloaded` while parts have no index.
    pub(in crate::embedded) async fn clashes(&self, commit: &Commit) -> Result<Clashes> {
        if commit.rewrites.is_some() {
            return Ok(Clashes::default());
        }
        let name = commit.name.clone();
        let keeps = commit.mode.keeps();
        let read = move |connection: &Connection| {
            let Some(entry) = entries::find(connection, &name)? else {
                return Ok((None, (Vec::new(), false)));
            };
            let parts = match keeps && entry.shown.key.is_some() {
                true => indexed(connection, &name.folded(), entry.shown.version)?,
                false => (Vec::new(), false),
            };
            Ok((Some(entry), parts))
        };
        let (entry, (old, lacks)) = self.inner.reads.run("read a data set", read).await?;
        // What does not fit is refused when it is published, whatever keys it has.
        let fits = commit.key_after(entry.as_ref().map(|entry| &entry.shown.key)).is_ok();
        if lacks && fits {
            return Err(not_indexed(&commit.name));
        }
        let mut clashes = Clashes {
            layout: entry.as_ref().map(|entry| entry.layout),
            ..Clashes::default()
        };
        if !keeps || !fits || entry.is_none_or(|entry| entry.shown.key.is_none()) {
            return Ok(clashes);
        }
        for part in &commit.parts {
            if let Some(file) = &part.index {
                clashes.indexes.push(self.inner.indexes.get(&part.path, file).await?);
            }
        }
        for Indexed { id, path, file, .. } in &old {
            let there = self.inner.indexes.get(path, file).await?;
            let again = clashes.indexes.iter().flat_map(|new| there.shared_with(new));
            let rows: RowSet = again.map(|entry| entry.row).collect();
            if !rows.is_empty() {
                clashes.rows.push((*id, rows));
            }
        }
        Ok(clashes)
    }
}

/// Makes the version that follows the newest one. `None` when the parts are not those in which `clashes` was looked
/// up. Refuses before anything is written.
pub(in crate::embedded) fn publish(
    desk: &mut Desk<'_>,
    job: &Job,
    commit: Commit,
    clashes: &Clashes,
) -> Fallible<Option<PinnedInput>> {
    if let Some(task) = commit.rewrites.clone() {
        return rewrite(desk, job, commit, *task).map(Some);
    }
    let connection = desk.connection;
    let before = entries::find(connection, &commit.name)?;
    if before.as_ref().map(|entry| entry.layout) != clashes.layout {
        return Ok(None);
    }
    let key = commit.key_after(before.as_ref().map(|entry| &entry.shown.key))?;
    let ruled = before.as_ref().map(|entry| entry.shown.ruled);
    if ruled.is_some_and(|ruled| ruled != commit.ruled) {
        return Err(ruled_otherwise(&commit.name).into());
    }
    let mut new = match before {
        None => Some(versions::fresh(
            desk,
            NewDataset {
                name: commit.name.clone(),
                key: key.clone(),
                description: None,
                rules: None,
                source: None,
            },
        )?),
        Some(_) => None,
    };
    let (is_new, now) = (new.is_some(), desk.now);
    let shelf = match &mut new {
        Some(shelf) => shelf,
        None => desk.shelves.get(connection, &commit.name)?,
    };
    let version = if is_new { shelf.version() } else { shelf.next_version() };
    let wrote = PinnedInput {
        name: commit.name.clone(),
        version,
    };
    let by = Author {
        user: commit.author.user.clone().or_else(|| Some(job.spec.owner.clone())),
        message: commit.author.message.clone(),
    };
    let (operation, aside) = (commit.mode.operation(), commit.rejects.clone());
    let counts = take_in(connection, shelf, commit, key, version, clashes)?;
    shelf.entry.layout = version;
    shelf.advance(connection, version, now)?;
    versions::note(connection, shelf, operation, counts, Some(&job.id), &by)?;
    if let Some(aside) = aside {
        rejects::note(connection, &shelf.folded(), version, &job.id, &aside)?;
    }
    insert_job_dataset(connection, &job.id, &wrote.name)?;
    desk.news.data = true;
    Ok(Some(wrote))
}

/// Puts the parts of `commit` in the place of what they were made of.
fn rewrite(desk: &mut Desk<'_>, job: &Job, commit: Commit, task: CompactTask) -> Fallible<PinnedInput> {
    let connection = desk.connection;
    let entry = entries::get(connection, &commit.name)?;
    if entry.shown.ruled != commit.ruled {
        return Err(ruled_otherwise(&commit.name).into());
    }
    let by = Author {
        user: commit.author.user.or_else(|| Some(job.spec.owner.clone())),
        message: commit.author.message,
    };
    let rewritten = Compacted {
        task,
        parts: commit.parts,
    };
    let made = Made {
        operation: Operation::Retype,
        job: Some(&job.id),
        by: &by,
    };
    let Some(version) = compaction::replace(desk, &rewritten, &made)? else {
        return Err(changed_meanwhile(&commit.name).into());
    };
    insert_job_dataset(connection, &job.id, &commit.name)?;
    Ok(PinnedInput {
        name: commit.name,
        version,
    })
}

fn take_in(
    connection: &Connection,
    shelf: &mut Shelf,
    commit: Commit,
    key: Option<String>,
    version: Version,
    clashes: &Clashes,
) -> Fallible<Counts> {
    let folded = shelf.folded();
    let rows: u64 = commit.parts.iter().map(|part| part.rows).sum();
    let mut counts = Counts::default();
    let mut schema = TableSchema::default();
    if commit.mode.keeps() {
        let hot = clashing_hot(connection, &folded, &clashes.indexes)?;
        let stored = clashing_rows(shelf, clashes);
        counts.replaced = hot.len() as u64 + stored.iter().map(|(_, rows)| rows.len()).sum::<u64>();
        if commit.mode == CommitMode::Append && counts.replaced > 0 {
            return Err(there_already(&commit, counts.replaced, hot.first().map(|(_, key)| key.as_str())).into());
        }
        for (index, rows) in stored {
            shelf.delete_rows(connection, index, version, &rows)?;
        }
        let mut remove = connection.prepare_cached("UPDATE record SET removed = ?2 WHERE id = ?1")?;
        for (id, _) in hot {
            remove.execute(params![id, signed(version.0)])?;
        }
        schema = snapshots::schema(connection, &folded, version)?;
    } else {
        counts.deleted = shelf.entry.shown.rows;
        shelf.retain_parts(connection, version, |_| false)?;
        connection
            .prepare_cached("UPDATE record SET removed = ?2 WHERE dataset = ?1 AND removed IS NULL")?
            .execute(params![folded, signed(version.0)])?;
    }
    counts.created = rows - counts.replaced;
    shelf.entry.shown.name = commit.name;
    shelf.entry.shown.key = key;
    for part in &commit.parts {
        schema = schema.union(&part.schema);
        shelf.add_part(connection, part, version, version)?;
    }
    shelf.write_schema(connection, version, &schema)?;
    shelf.count_hot(connection)?;
    Ok(counts)
}

/// Rows of the parts on the shelf whose keys come again, by their place there.
fn clashing_rows(shelf: &Shelf, clashes: &Clashes) -> Vec<(usize, RowSet)> {
    let parts = shelf.parts.iter().enumerate();
    let rows = parts.filter_map(|(index, part)| {
        let (_, rows) = clashes.rows.iter().find(|(id, _)| *id == part.id)?;
        Some((index, rows.without(&part.deleted)))
    });
    rows.filter(|(_, rows)| !rows.is_empty()).collect()
}

/// The hot records whose keys are in `indexes`.
fn clashing_hot(connection: &Connection, folded: &str, indexes: &[Arc<KeyIndex>]) -> Fallible<Vec<(i64, String)>> {
    let mut found = Vec::new();
    if indexes.is_empty() {
        return Ok(found);
    }
    let mut statement = connection
        .prepare_cached("SELECT id, key FROM record WHERE dataset = ?1 AND removed IS NULL AND key IS NOT NULL")?;
    let mut rows = statement.query([folded])?;
    while let Some(row) = rows.next()? {
        let key = text(row, 1)?;
        let hash = assay_core::KeyHash::of(key);
        if indexes.iter().any(|index| index.find(&hash).is_some()) {
            found.push((row.get(0)?, key.to_owned()));
        }
    }
    Ok(found)
}
