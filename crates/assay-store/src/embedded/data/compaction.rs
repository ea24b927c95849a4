//! Hot records become parts, and many small parts few: what wants it, and how it takes effect.

use assay_core::{
    Author, CompactTask, Compacted, DatasetName, JobId, LivePart, Operation, RowSet, TableSchema, Timestamp, Version,
};
use rusqlite::{Connection, OptionalExtension as _, params};

use super::futile::Futile;
use super::shelf::Shelf;
use super::versions::{self, Counts};
use super::{entries, snapshots};
use crate::embedded::desk::Desk;
use crate::embedded::failure::{Fallible, Fault};
use crate::embedded::rows::{parsed, signed, text};

/// Hot records of a data set become a part when there are so many,
const HOT_ROWS: u64 = 1_000;
/// or when they take so much.
const HOT_BYTES: u64 = 1 << 20;
/// Parts of at least so many rows are not merged any more.
const LARGE_ROWS: u64 = 100_000;
/// So many parts of one class of size become one. Each class is eight times the one before, so a record is written
/// again at most once for each class.
const ALIKE: i64 = 8;
/// When nothing was written for so long, already so few hot records become a part,
const QUIET_MS: i64 = 5_000;
const QUIET_HOT_ROWS: u64 = 64;
/// and so few small parts of any size become one.
const FEW: i64 = 3;
/// So many data sets are looked at for one whose parts can be joined.
const CANDIDATES: i64 = 100;
/// Most parts, and most rows, of one turn.
const MAX_PARTS: usize = 64;
const MAX_ROWS: u64 = 1_000_000;

/// Hot records of one turn, by their text.
const MAX_HOT_BYTES: usize = 16 << 20;

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
        is_sparse,
    ),
];

pub(super) fn is_sparse(part: &LivePart) -> bool {
    part.deleted.len() * 3 > part.part.rows
}

fn is_small(part: &LivePart) -> bool {
    part.part.rows < LARGE_ROWS
}

/// 0 below 4,000 rows, then one more for each factor of eight.
fn class_of(rows: u64) -> i64 {
    match rows {
        0..4_000 => 0,
        4_000..32_000 => 1,
        _ => 2,
    }
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
    let names = statement.query_map(params![signed(LARGE_ROWS), before, FEW, CANDIDATES], |row| row.get(0))?;
    Ok(names.collect::<Result<_, _>>()?)
}

/// Data sets with too many parts of one class of size, and the class.
fn crowded(connection: &Connection) -> Fallible<Vec<(String, i64)>> {
    let mut statement = connection.prepare_cached(
        "SELECT dataset.name, CASE WHEN dataset_part.rows < 4000 THEN 0 WHEN dataset_part.rows < 32000 THEN 1 ELSE 2 END
                AS class
         FROM dataset_part JOIN dataset ON dataset.folded = dataset_part.dataset
         WHERE removed IS NULL AND dataset_part.rows < ?1 GROUP BY dataset, class HAVING count(*) >= ?2
         ORDER BY random() LIMIT ?3",
    )?;
    let found = statement.query_map(params![signed(LARGE_ROWS), ALIKE, CANDIDATES], |row| {
        Ok((row.get(0)?, row.get(1)?))
    })?;
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
    let mut rows = 0;
    let mut parts = snapshots::live_parts(connection, &folded, version)?;
    parts.retain(|part| {
        let is_taken = choose(part) && (rows == 0 || rows + part.live_rows() <= MAX_ROWS);
        rows += if is_taken { part.live_rows() } else { 0 };
        is_taken
    });
    parts.truncate(MAX_PARTS);
    let mut hot = match with_hot {
        true => snapshots::hot(connection, &folded, version)?,
        false => Vec::new(),
    };
    let mut bytes = 0;
    let taken = hot.iter().take_while(|record| {
        bytes += record.json.len();
        bytes <= MAX_HOT_BYTES || bytes == record.json.len()
    });
    hot.truncate(taken.count());
    Ok(CompactTask {
        dataset: entry.shown.name,
        key: entry.shown.key,
        version,
        parts,
        hot,
        folder: format!("datasets/{folded}"),
        declared: entry
            .shown
            .rules
            .map_or_else(Vec::new, |rules| rules.declared().to_vec()),
    })
}

/// Rows of the new parts, numbered through, as rows of each.
struct Output {
    /// Rows before each part, and in all.
    begins: Vec<u64>,
    deleted: Vec<RowSet>,
}

impl Output {
    fn delete(&mut self, at: u64) {
        let index = self.begins.partition_point(|begin| *begin <= at) - 1;
        if let Some(rows) = self.deleted.get_mut(index) {
            rows.insert(u32::try_from(at - self.begins[index]).unwrap_or(u32::MAX));
        }
    }
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

/// Which rows of the new parts were written anew or deleted while they were made. `None` when something they were made
/// of is not there any more, or the rows are not as many.
fn output(connection: &Connection, shelf: &Shelf, compacted: &Compacted) -> Fallible<Option<Output>> {
    let Compacted { task, parts } = compacted;
    if shelf.entry.shown.key != task.key {
        return Ok(None);
    }
    let (mut begins, mut rows) = (vec![0], 0);
    for part in parts.iter().filter(|part| part.rows > 0) {
        rows += part.rows;
        begins.push(rows);
    }
    let expected = task.parts.iter().map(LivePart::live_rows).sum::<u64>() + task.hot.len() as u64;
    if rows != expected {
        tracing::error!(dataset = %task.dataset, rows, expected, "compaction gave another number of records");
        return Ok(None);
    }
    let mut output = Output {
        deleted: vec![RowSet::new(); begins.len() - 1],
        begins,
    };
    let mut base = 0;
    let mut is_news = !task.parts.is_empty();
    for old in &task.parts {
        let Some(part) = shelf.parts.iter().find(|part| part.path == old.part.path) else {
            return Ok(None);
        };
        // Rows that came back by a restore would be lost.
        if !old.deleted.without(&part.deleted).is_empty() {
            return Ok(None);
        }
        for row in part.deleted.without(&old.deleted).iter() {
            output.delete(base + u64::from(row) - old.deleted.count_below(row));
        }
        base += old.live_rows();
    }
    let mut find = connection.prepare_cached("SELECT removed IS NULL FROM record WHERE id = ?1")?;
    for (record, at) in task.hot.iter().zip(base..) {
        // One that is gone by now was removed long ago.
        let is_live: Option<bool> = find.query_row([signed(record.id)], |row| row.get(0)).optional()?;
        let is_live = is_live.unwrap_or(false);
        is_news |= is_live;
        if !is_live {
            output.delete(at);
        }
    }
    Ok(is_news.then_some(output))
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_of_new_parts_are_found_by_their_place_in_all() {
        let mut output = Output {
            begins: vec![0, 3, 5],
            deleted: vec![RowSet::new(), RowSet::new()],
        };
        [0, 2, 3, 4].into_iter().for_each(|at| output.delete(at));
        let rows: Vec<Vec<u32>> = output.deleted.iter().map(|rows| rows.iter().collect()).collect();
        assert_eq!(rows, [vec![0, 2], vec![0, 1]]);
    }

    #[test]
    fn classes_grow_by_eight() {
        assert_eq!([0, 3_999, 4_000, 31_999, 32_000].map(class_of), [0, 0, 1, 1, 2]);
    }
}
