//! Hot records become parts, and many small parts few: what wants it, and how it takes effect.

use assay_core::{
    Author, CompactTask, Compacted, DatasetName, JobId, LivePart, Operation, TableSchema, Timestamp, Version,
};
use rusqlite::{Connection, OptionalExtension as _, params};

use super::shelf::Shelf;
use super::{entries, snapshots, versions};
use crate::data::compaction::{self as rules, Output, class_of, is_sparse};
use crate::data::compaction::{ALIKE, CANDIDATES, FEW, HOT_BYTES, HOT_ROWS, LARGE_ROWS, QUIET_HOT_ROWS, QUIET_MS};
use crate::data::{Counts, Futile};
use crate::embedded::desk::Desk;
use crate::embedded::failure::{Fallible, Fault};
use crate::embedded::rows::{parsed, signed, text};

/// Something that needs to be compacted; not always the same, so that one that fails does not hold up the others.
pub(super) fn wanted(connection: &Connection, now: Timestamp, futile: &Futile) -> Fallible<Option<CompactTask>> {
    let mut statement = connection
        .prepare_cached("SELECT name FROM dataset WHERE hot_rows >= ?1 OR hot_bytes >= ?2 ORDER BY random() LIMIT 1")?;
    let mut rows = statement.query(params![signed(HOT_ROWS), signed(HOT_BYTES)])?;
    if let Some(row) = rows.next()? {
        let name = parsed(text(row, 0)?)?;
        return task(connection, &name, |_| false, true).map(Some);
    }
    // A data set whose parts lack the index of keys, then one with rows to be rid of, then one with many small parts.
    for (sql, choose) in PARTS {
        let mut statement = connection.prepare_cached(sql)?;
        let mut rows = statement.query([])?;
        if let Some(row) = rows.next()? {
            let name: DatasetName = parsed(text(row, 0)?)?;
            return task(connection, &name, choose, false).map(Some);
        }
    }
    for (name, class) in crowded(connection)? {
        let is_of_class = |part: &LivePart| is_small(part) && class_of(part.part.rows) == class;
        let task = task(connection, &parsed(&name)?, is_of_class, false)?;
        if !futile.is(&task) {
            return Ok(Some(task));
        }
    }
    if let Some(name) = cooling(connection, now)? {
        return task(connection, &parsed(&name)?, |_| false, true).map(Some);
    }
    for name in quiet(connection, now)? {
        let task = task(connection, &parsed(&name)?, is_small, false)?;
        if !futile.is(&task) {
            return Ok(Some(task));
        }
    }
    Ok(None)
}

type Choice = fn(&LivePart) -> bool;

const PARTS: [(&str, Choice); 2] = [
    (
        "SELECT dataset.name FROM dataset_part JOIN dataset ON dataset.folded = dataset_part.dataset
         WHERE removed IS NULL AND index_bytes IS NULL AND dataset_part.rows > 0 AND key IS NOT NULL LIMIT 1",
        |part| part.part.index.is_none(),
    ),
    (
        "SELECT dataset.name FROM dataset_part JOIN dataset ON dataset.folded = dataset_part.dataset
         WHERE removed IS NULL AND deleted * 3 > dataset_part.rows LIMIT 1",
        |part| is_sparse(part.part.rows, part.deleted.len()),
    ),
];

fn is_small(part: &LivePart) -> bool {
    rules::is_small(part.part.rows)
}

/// A data set that was left alone for a while with some hot records.
fn cooling(connection: &Connection, now: Timestamp) -> Fallible<Option<String>> {
    let mut statement = connection.prepare_cached(
        "SELECT name FROM dataset WHERE hot_rows >= ?1 AND updated_at < ?2 ORDER BY random() LIMIT 1",
    )?;
    let found = statement.query_row(params![signed(QUIET_HOT_ROWS), now.0 - QUIET_MS], |row| row.get(0));
    Ok(found.optional()?)
}

/// Data sets that were left alone for a while with some small parts, which then become one.
fn quiet(connection: &Connection, now: Timestamp) -> Fallible<Vec<String>> {
    let mut statement = connection.prepare_cached(
        "SELECT dataset.name FROM dataset_part JOIN dataset ON dataset.folded = dataset_part.dataset
         WHERE removed IS NULL AND dataset_part.rows < ?1 AND updated_at < ?2 GROUP BY dataset HAVING count(*) >= ?3
         ORDER BY random() LIMIT ?4",
    )?;
    let before = now.0 - QUIET_MS;
    let names = statement.query_map(
        params![
            signed(LARGE_ROWS),
            before,
            signed(FEW as u64),
            signed(CANDIDATES as u64)
        ],
        |row| row.get(0),
    )?;
    Ok(names.collect::<Result<_, _>>()?)
}

/// Data sets with too many parts of one class of size, and the class.
fn crowded(connection: &Connection) -> Fallible<Vec<(String, u32)>> {
    let mut statement = connection.prepare_cached(
        "SELECT dataset.name, CASE WHEN dataset_part.rows < 4000 THEN 0 WHEN dataset_part.rows < 32000 THEN 1 ELSE 2 END
                AS class
         FROM dataset_part JOIN dataset ON dataset.folded = dataset_part.dataset
         WHERE removed IS NULL AND dataset_part.rows < ?1 GROUP BY dataset, class HAVING count(*) >= ?2
         ORDER BY random() LIMIT ?3",
    )?;
    let found = statement.query_map(
        params![signed(LARGE_ROWS), signed(ALIKE as u64), signed(CANDIDATES as u64)],
        |row| Ok((row.get(0)?, row.get(1)?)),
    )?;
    Ok(found.collect::<Result<_, _>>()?)
}

fn task(
    connection: &Connection,
    name: &DatasetName,
    choose: impl Fn(&LivePart) -> bool,
    with_hot: bool,
) -> Fallible<CompactTask> {
    let entry = entries::get(connection, name)?;
    let (version, folded) = (entry.shown.version, name.folded());
    let parts = snapshots::live_parts(connection, &folded, version)?;
    let hot = match with_hot {
        true => snapshots::hot(connection, &folded, version)?,
        false => Vec::new(),
    };
    Ok(rules::task(&entry, parts, hot, choose))
}

/// How a version came about that holds the records of the one before.
pub(super) struct Made<'a> {
    pub operation: Operation,
    pub job: Option<&'a JobId>,
    pub by: &'a Author,
}

/// Puts the new parts in the place of what they were made of, with what was written since then. Answers whether it
/// did.
pub(super) fn compact(desk: &mut Desk<'_>, compacted: &Compacted) -> Fallible<bool> {
    if entries::find(desk.connection, &compacted.task.dataset)?.is_none() {
        return Ok(false);
    }
    let made = Made {
        operation: Operation::Compact,
        job: None,
        by: &Author::default(),
    };
    Ok(replace(desk, compacted, &made)?.is_some())
}

/// As [`compact`], of a data set that is there; gives the new version.
pub(super) fn replace(desk: &mut Desk<'_>, compacted: &Compacted, made: &Made<'_>) -> Fallible<Option<Version>> {
    let Compacted { task, parts } = compacted;
    let (connection, now) = (desk.connection, desk.now);
    let shelf = desk.shelves.get(connection, &task.dataset)?;
    let Some(output) = output(connection, shelf, compacted)? else {
        return Ok(None);
    };
    let version = shelf.next_version();
    let is_old = |path: &str| task.parts.iter().any(|part| part.part.path == path);
    shelf.retain_parts(connection, version, |part| !is_old(&part.path))?;
    let mut remove = connection.prepare_cached("UPDATE record SET removed = ?2 WHERE id = ?1 AND removed IS NULL")?;
    for record in &task.hot {
        remove.execute(params![signed(record.id), signed(version.0)])?;
    }
    let first = shelf.parts.len();
    for part in parts.iter().filter(|part| part.rows > 0) {
        shelf.add_part(connection, part, version, version)?;
    }
    for (index, rows) in output.deleted.iter().enumerate() {
        shelf.delete_rows(connection, first + index, version, rows)?;
    }
    let schema = union(connection, shelf)?;
    shelf.write_schema(connection, version, &schema)?;
    shelf.count_hot(connection)?;
    shelf.entry.layout = version;
    let rows_before = shelf.entry.shown.rows;
    shelf.advance(connection, version, now)?;
    if shelf.entry.shown.rows != rows_before {
        let message = format!(
            "compaction of `{}` made {} records of {rows_before}",
            task.dataset, shelf.entry.shown.rows
        );
        return Err(Fault::Stored(message));
    }
    let Made { operation, job, by } = made;
    versions::note(connection, shelf, *operation, Counts::default(), *job, by)?;
    desk.news.data = true;
    Ok(Some(version))
}

/// Which rows of the new parts are deleted by now; `None` when they are of no use any more.
fn output(connection: &Connection, shelf: &Shelf, compacted: &Compacted) -> Fallible<Option<Output>> {
    if shelf.entry.shown.key != compacted.task.key {
        return Ok(None);
    }
    let deleted_of = |path: &str| {
        let part = shelf.parts.iter().find(|part| part.path == path);
        part.map(|part| &part.deleted)
    };
    let mut find = connection.prepare_cached("SELECT removed IS NULL FROM record WHERE id = ?1")?;
    Output::of(compacted, deleted_of, |record| {
        // One that is gone by now was removed long ago.
        let is_live: Option<bool> = find.query_row([signed(record.id)], |row| row.get(0)).optional()?;
        Ok(is_live.unwrap_or(false))
    })
}

/// The types of all parts on the shelf.
pub(super) fn union(connection: &Connection, shelf: &Shelf) -> Fallible<TableSchema> {
    let mut statement = connection.prepare_cached("SELECT schema FROM dataset_part WHERE id = ?1")?;
    let mut schema = TableSchema::default();
    for part in &shelf.parts {
        let mut rows = statement.query([part.id])?;
        if let Some(row) = rows.next()? {
            schema = schema.union(&serde_json::from_str(text(row, 0)?)?);
        }
    }
    Ok(schema)
}
