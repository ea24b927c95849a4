//! Parts, their deleted rows, and records that no part holds.

use assay_core::{IndexFile, Version};
use rusqlite::{Connection, OptionalExtension as _, Row, params};

use super::catalog::names;
use crate::embedded::data::{deleted_rows, part_of};
use crate::embedded::failure::Fallible;
use crate::embedded::rows::{json, signed, unsigned};
use crate::moving::{DeletionItem, Item, PAGE_BYTES, PAGE_ITEMS, Page, PartItem, RecordItem, cursor, place_of};

/// Later than every version: where records begin that no version removed.
const LIVE: u64 = i64::MAX.unsigned_abs();

/// What the numbers of the parts, or records, of a data set begin beyond here; elsewhere they begin at 1.
pub(super) fn base(connection: &Connection, of: &str, dataset: &str) -> Fallible<u64> {
    let base: Option<i64> = connection
        .prepare_cached("SELECT value FROM meta WHERE name = ?1")?
        .query_row([format!("{of}_base:{dataset}")], |row| row.get(0))
        .optional()?;
    Ok(base.map_or(0, unsigned))
}

/// As [`base`], for who writes: beyond everything of the data sets before.
fn base_beyond(connection: &Connection, of: &str, newest: &str, dataset: &str) -> Fallible<u64> {
    let sql =
        format!("INSERT OR IGNORE INTO meta (name, value) VALUES (?1, (SELECT coalesce(max(id), 0) FROM {newest}))");
    connection
        .prepare_cached(&sql)?
        .execute([format!("{of}_base:{dataset}")])?;
    base(connection, of, dataset)
}

pub(super) fn parts(connection: &Connection, after: Option<&str>) -> Fallible<Page> {
    let (dataset, last): (String, u64) = place_of(after)?.unwrap_or_default();
    let mut statement = connection.prepare_cached(
        "SELECT id, path, dataset_part.rows, dataset_part.bytes, checksum, schema, index_bytes, index_checksum, born,
                dataset, added, removed,
                id - coalesce((SELECT value FROM meta WHERE meta.name = 'part_base:' || dataset), 0) AS number
         FROM dataset_part JOIN dataset ON folded = dataset
         WHERE (dataset, number) > (?1, ?2) AND (removed IS NULL OR removed > oldest)
         ORDER BY dataset, number LIMIT ?3",
    )?;
    let mut rows = statement.query(params![dataset, signed(last), signed(PAGE_ITEMS as u64)])?;
    let mut page = Page::default();
    while let Some(row) = rows.next()? {
        let (_, part, born) = part_of(row)?;
        let item = PartItem {
            dataset: row.get(9)?,
            number: unsigned(row.get(12)?),
            part,
            added: Version(unsigned(row.get(10)?)),
            born,
            removed: row.get::<_, Option<i64>>(11)?.map(|version| Version(unsigned(version))),
        };
        page.next = Some(cursor(&(&item.dataset, item.number))?);
        page.items.push(Item::Part(Box::new(item)));
    }
    if page.items.len() < PAGE_ITEMS {
        page.next = None;
    }
    Ok(page)
}

pub(super) fn write_part(connection: &Connection, item: &PartItem) -> Fallible<()> {
    let PartItem {
        dataset,
        number,
        part,
        added,
        born,
        removed,
    } = item;
    let index: Option<&IndexFile> = part.index.as_ref();
    let base = base_beyond(connection, "part", "dataset_part", dataset)?;
    connection
        .prepare_cached(
            "INSERT OR REPLACE INTO dataset_part (id, dataset, added, removed, path, rows, bytes, checksum, schema, born,
                                                  index_bytes, index_checksum)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12)",
        )?
        .execute(params![
            signed(base + number),
            dataset,
            signed(added.0),
            removed.map(|version| signed(version.0)),
            part.path,
            signed(part.rows),
            signed(part.bytes),
            part.checksum,
            json(&part.schema)?,
            signed(born.0),
            index.map(|index| signed(index.bytes)),
            index.map(|index| &index.checksum),
        ])?;
    Ok(())
}

pub(super) fn deletions(connection: &Connection, after: Option<&str>) -> Fallible<Page> {
    let (dataset, part, last): (String, u64, u64) = place_of(after)?.unwrap_or_default();
    let mut statement = connection.prepare_cached(
        "SELECT dataset, id - coalesce((SELECT value FROM meta WHERE meta.name = 'part_base:' || dataset), 0) AS number,
                part_deletion.version, whole, part_deletion.rows
         FROM dataset_part JOIN dataset ON folded = dataset JOIN part_deletion ON part = id
         WHERE (dataset, number, part_deletion.version) > (?1, ?2, ?3) AND (removed IS NULL OR removed > oldest)
         ORDER BY dataset, number, part_deletion.version LIMIT ?4",
    )?;
    let mut rows = statement.query(params![dataset, signed(part), signed(last), signed(PAGE_ITEMS as u64)])?;
    let mut page = Page::default();
    let mut size = 0;
    while size < PAGE_BYTES
        && let Some(row) = rows.next()?
    {
        let item = DeletionItem {
            dataset: row.get(0)?,
            part: unsigned(row.get(1)?),
            version: Version(unsigned(row.get(2)?)),
            is_whole: row.get(3)?,
            rows: row.get(4)?,
        };
        size += item.rows.len();
        page.next = Some(cursor(&(&item.dataset, item.part, item.version))?);
        page.items.push(Item::Deletion(item));
    }
    if size < PAGE_BYTES && page.items.len() < PAGE_ITEMS {
        page.next = None;
    }
    Ok(page)
}

pub(super) fn write_deletion(connection: &Connection, item: &DeletionItem) -> Fallible<()> {
    let base = base(connection, "part", &item.dataset)?;
    connection
        .prepare_cached("INSERT OR REPLACE INTO part_deletion (part, version, whole, rows) VALUES (?1, ?2, ?3, ?4)")?
        .execute(params![
            signed(base + item.part),
            signed(item.version.0),
            item.is_whole,
            item.rows
        ])?;
    Ok(())
}

/// A place among the records: the data set, the version that removed them, key and row.
type Place = (String, u64, String, i64);

/// Records by data set and by the version that removed them; those that none removed come last.
pub(super) fn records(connection: &Connection, after: Option<&str>) -> Fallible<Page> {
    let place: Option<Place> = place_of(after)?;
    let (dataset, removed, key, id) = match place {
        Some(place) => place,
        None => match names(connection, "", 1)?.pop() {
            Some(first) => (first, 0, String::new(), 0),
            None => return Ok(Page::default()),
        },
    };
    let base = base(connection, "record", &dataset)?;
    let which = match removed {
        // Most records were removed long ago, so the index of those that were not is named.
        LIVE => "INDEXED BY record_hot WHERE dataset = ?1 AND removed IS NULL AND ?2 IS NOT NULL",
        _ => {
            "INDEXED BY record_removed WHERE dataset = ?1 AND removed >= ?2
             AND removed > (SELECT oldest FROM dataset WHERE folded = ?1)"
        }
    };
    let mut statement = connection.prepare_cached(&format!(
        "SELECT key, id, added, removed, written, json FROM record {which}
         AND (coalesce(removed, ?2), coalesce(key, ''), id) > (?2, ?3, ?4)
         ORDER BY removed, coalesce(key, ''), id LIMIT ?5"
    ))?;
    let mut rows = statement.query(params![dataset, signed(removed), key, id, signed(PAGE_ITEMS as u64)])?;
    let mut page = Page::default();
    let mut size = 0;
    while size < PAGE_BYTES
        && let Some(row) = rows.next()?
    {
        let item = record_of(row, &dataset, base)?;
        size += item.json.len();
        let left = item.removed.map_or(LIVE, |version| version.0);
        let key = item.key.clone().unwrap_or_default();
        page.next = Some(cursor(&(&dataset, left, key, row.get::<_, i64>(1)?))?);
        page.items.push(Item::Record(item));
    }
    if size < PAGE_BYTES && page.items.len() < PAGE_ITEMS {
        page.next = match removed {
            LIVE => match names(connection, &dataset, 1)?.pop() {
                Some(next) => Some(cursor(&(next, 0, "", 0))?),
                None => None,
            },
            _ => Some(cursor(&(dataset, LIVE, "", 0))?),
        };
    }
    Ok(page)
}

fn record_of(row: &Row<'_>, dataset: &str, base: u64) -> Fallible<RecordItem> {
    Ok(RecordItem {
        dataset: dataset.to_owned(),
        removed: row.get::<_, Option<i64>>(3)?.map(|version| Version(unsigned(version))),
        key: row.get(0)?,
        number: unsigned(row.get(1)?).saturating_sub(base),
        added: Version(unsigned(row.get(2)?)),
        written: Version(unsigned(row.get(4)?)),
        json: row.get(5)?,
    })
}

pub(super) fn write_record(connection: &Connection, item: &RecordItem) -> Fallible<()> {
    let RecordItem {
        dataset,
        removed,
        key,
        number,
        added,
        written,
        json,
    } = item;
    let base = base_beyond(connection, "record", "record", dataset)?;
    connection
        .prepare_cached(
            "INSERT OR REPLACE INTO record (id, dataset, key, added, removed, written, json)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
        )?
        .execute(params![
            signed(base + number),
            dataset,
            key,
            signed(added.0),
            removed.map(|version| signed(version.0)),
            signed(written.0),
            json
        ])?;
    Ok(())
}

/// Counts what data sets and parts hold.
pub(super) fn finish(connection: &Connection) -> Fallible<()> {
    connection.execute(
        "UPDATE dataset SET
             hot_rows = (SELECT count(*) FROM record WHERE record.dataset = folded AND removed IS NULL),
             hot_bytes = (SELECT coalesce(sum(octet_length(json)), 0) FROM record
                          WHERE record.dataset = folded AND removed IS NULL)",
        [],
    )?;
    let mut statement = connection.prepare(
        "SELECT id FROM dataset_part WHERE removed IS NULL AND EXISTS (SELECT 1 FROM part_deletion WHERE part = id)",
    )?;
    let ids: Vec<i64> = statement.query_map([], |row| row.get(0))?.collect::<Result<_, _>>()?;
    for id in ids {
        let (deleted, _) = deleted_rows(connection, id, Version(LIVE))?;
        connection
            .prepare_cached("UPDATE dataset_part SET deleted = ?2 WHERE id = ?1")?
            .execute(params![id, signed(deleted.len())])?;
    }
    Ok(())
}
