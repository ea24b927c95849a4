//! What the writer remembers of the data sets it writes to: the newest version, its parts, and which of their rows are
//! deleted.

use std::collections::HashMap;

use assay_core::{DatasetName, Part, RowSet, TableSchema, Timestamp, Version};
use rusqlite::{Connection, params};

use super::{entries, snapshots};
use crate::data::Entry;
use crate::embedded::failure::Fallible;
use crate::embedded::rows::{json, signed, unsigned};

/// Data sets that are remembered; beyond that all are forgotten.
const MOST: usize = 256;
/// After so many additions the rows deleted of a part are written as a whole.
const PIECES: u32 = 128;

/// The newest state by folded name.
#[derive(Debug, Default)]
pub(in crate::embedded) struct Shelves(HashMap<String, Shelf>);

/// The newest state of one data set.
#[derive(Debug)]
pub(super) struct Shelf {
    pub entry: Entry,
    pub parts: Vec<ShelvedPart>,
    pub hot_rows: u64,
    pub hot_bytes: u64,
}

/// A part of the newest version.
#[derive(Debug, Clone)]
pub(super) struct ShelvedPart {
    pub id: i64,
    pub path: String,
    pub rows: u64,
    pub deleted: RowSet,
    /// How often rows were added to `deleted` since it was written as a whole.
    pieces: u32,
}

impl Shelves {
    pub(in crate::embedded) fn clear(&mut self) {
        self.0.clear();
    }

    pub(super) fn forget(&mut self, name: &DatasetName) {
        self.0.remove(&name.folded());
    }

    /// # Errors
    /// `UnknownDataset`.
    pub(super) fn get(&mut self, connection: &Connection, name: &DatasetName) -> Fallible<&mut Shelf> {
        let folded = name.folded();
        if !self.0.contains_key(&folded) {
            if self.0.len() >= MOST {
                self.0.clear();
            }
            let shelf = Shelf::load(connection, entries::get(connection, name)?)?;
            self.0.insert(folded.clone(), shelf);
        }
        let known = self.0.get_mut(&folded);
        known.ok_or_else(|| crate::embedded::failure::Fault::Stored("a shelf is not there".to_owned()))
    }
}

impl Shelf {
    /// Of a data set that is not there yet.
    pub(super) fn empty(entry: Entry) -> Self {
        Self {
            entry,
            parts: Vec::new(),
            hot_rows: 0,
            hot_bytes: 0,
        }
    }

    fn load(connection: &Connection, entry: Entry) -> Fallible<Self> {
        let folded = entry.shown.name.folded();
        let (hot_rows, hot_bytes): (i64, i64) = connection
            .prepare_cached("SELECT hot_rows, hot_bytes FROM dataset WHERE folded = ?1")?
            .query_row([&folded], |row| Ok((row.get(0)?, row.get(1)?)))?;
        let mut statement = connection.prepare_cached(
            "SELECT id, path, rows FROM dataset_part
             WHERE dataset = ?1 AND removed IS NULL ORDER BY id",
        )?;
        let mut rows = statement.query([&folded])?;
        let mut parts = Vec::new();
        while let Some(row) = rows.next()? {
            let id = row.get(0)?;
            let (deleted, pieces) = snapshots::deleted_rows(connection, id, entry.shown.version)?;
            parts.push(ShelvedPart {
                id,
                path: row.get(1)?,
                rows: unsigned(row.get(2)?),
                deleted,
                pieces,
            });
        }
        Ok(Self {
            entry,
            parts,
            hot_rows: unsigned(hot_rows),
            hot_bytes: unsigned(hot_bytes),
        })
    }

    pub(super) fn folded(&self) -> String {
        self.entry.shown.name.folded()
    }

    pub(super) fn version(&self) -> Version {
        self.entry.shown.version
    }

    pub(super) fn next_version(&self) -> Version {
        Version(self.version().0 + 1)
    }

    /// Adds a part to the version `version` and those after it. `born` is the first version that had it.
    pub(super) fn add_part(
        &mut self,
        connection: &Connection,
        part: &Part,
        version: Version,
        born: Version,
    ) -> Fallible<()> {
        let Part {
            path,
            rows,
            bytes,
            checksum,
            schema,
            index,
        } = part;
        connection
            .prepare_cached(
                "INSERT INTO dataset_part (dataset, added, path, rows, bytes, checksum, schema, born, index_bytes,
                                           index_checksum)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)",
            )?
            .execute(params![
                self.folded(),
                signed(version.0),
                path,
                signed(*rows),
                signed(*bytes),
                checksum,
                json(schema)?,
                signed(born.0),
                index.as_ref().map(|index| signed(index.bytes)),
                index.as_ref().map(|index| &index.checksum),
            ])?;
        self.parts.push(ShelvedPart {
            id: connection.last_insert_rowid(),
            path: path.clone(),
            rows: *rows,
            deleted: RowSet::new(),
            pieces: 0,
        });
        self.entry.shown.bytes += bytes;
        Ok(())
    }

    /// Leaves the parts that `keep` does not want out of `version` and those after it.
    pub(super) fn retain_parts(
        &mut self,
        connection: &Connection,
        version: Version,
        keep: impl Fn(&ShelvedPart) -> bool,
    ) -> Fallible<()> {
        let mut end =
            connection.prepare_cached("UPDATE dataset_part SET removed = ?2 WHERE id = ?1 RETURNING bytes")?;
        let (kept, gone): (Vec<_>, Vec<_>) = std::mem::take(&mut self.parts).into_iter().partition(|part| keep(part));
        self.parts = kept;
        for part in gone {
            let bytes: i64 = end.query_row(params![part.id, signed(version.0)], |row| row.get(0))?;
            self.entry.shown.bytes = self.entry.shown.bytes.saturating_sub(unsigned(bytes));
        }
        Ok(())
    }

    /// Deletes rows of the part at `index` from `version` on. They were there before.
    pub(super) fn delete_rows(
        &mut self,
        connection: &Connection,
        index: usize,
        version: Version,
        rows: &RowSet,
    ) -> Fallible<()> {
        let Some(part) = self.parts.get_mut(index).filter(|_| !rows.is_empty()) else {
            return Ok(());
        };
        part.deleted.union_with(rows);
        part.pieces += 1;
        if part.pieces >= PIECES {
            return part.write_whole(connection, version);
        }
        write_deletion(connection, part.id, version, false, rows)?;
        part.note_deleted(connection)
    }

    /// Makes `deleted` the deleted rows of the part at `index` from `version` on.
    pub(super) fn set_deleted(
        &mut self,
        connection: &Connection,
        index: usize,
        version: Version,
        deleted: RowSet,
    ) -> Fallible<()> {
        let Some(part) = self.parts.get_mut(index) else {
            return Ok(());
        };
        if part.deleted == deleted {
            return Ok(());
        }
        part.deleted = deleted;
        part.write_whole(connection, version)
    }

    /// Notes the types of the parts from `version` on.
    pub(super) fn write_schema(&self, connection: &Connection, version: Version, schema: &TableSchema) -> Fallible<()> {
        connection
            .prepare_cached("INSERT OR REPLACE INTO dataset_schema (dataset, version, schema) VALUES (?1, ?2, ?3)")?
            .execute(params![self.folded(), signed(version.0), json(schema)?])?;
        Ok(())
    }

    /// Counts hot records anew, after many came or went.
    pub(super) fn count_hot(&mut self, connection: &Connection) -> Fallible<()> {
        let (rows, bytes): (i64, i64) = connection
            .prepare_cached(
                "SELECT count(*), coalesce(sum(octet_length(json)), 0) FROM record WHERE dataset = ?1 AND removed IS NULL",
            )?
            .query_row([self.folded()], |row| Ok((row.get(0)?, row.get(1)?)))?;
        (self.hot_rows, self.hot_bytes) = (unsigned(rows), unsigned(bytes));
        Ok(())
    }

    /// Records in the parts and beside them.
    pub(super) fn count_rows(&self) -> u64 {
        let live = |part: &ShelvedPart| part.rows.saturating_sub(part.deleted.len());
        self.hot_rows + self.parts.iter().map(live).sum::<u64>()
    }

    /// Makes `version` the newest one, and writes the entry.
    pub(super) fn advance(&mut self, connection: &Connection, version: Version, now: Timestamp) -> Fallible<()> {
        self.entry.shown.version = version;
        self.entry.shown.updated_at = now;
        self.entry.shown.rows = self.count_rows();
        entries::write(connection, &self.entry, self.hot_rows, self.hot_bytes)
    }
}

impl ShelvedPart {
    fn write_whole(&mut self, connection: &Connection, version: Version) -> Fallible<()> {
        self.pieces = 0;
        write_deletion(connection, self.id, version, true, &self.deleted)?;
        self.note_deleted(connection)
    }

    fn note_deleted(&self, connection: &Connection) -> Fallible<()> {
        connection
            .prepare_cached("UPDATE dataset_part SET deleted = ?2 WHERE id = ?1")?
            .execute(params![self.id, signed(self.deleted.len())])?;
        Ok(())
    }
}

fn write_deletion(connection: &Connection, part: i64, version: Version, whole: bool, rows: &RowSet) -> Fallible<()> {
    connection
        .prepare_cached("INSERT OR REPLACE INTO part_deletion (part, version, whole, rows) VALUES (?1, ?2, ?3, ?4)")?
        .execute(params![part, signed(version.0), whole, rows.to_bytes()])?;
    Ok(())
}
