//! Old versions go, with what only they held.

use assay_core::{Swept, Timestamp, Version};
use rusqlite::{Connection, OptionalExtension as _, params};

use super::{entries, rejects};
use crate::embedded::desk::Desk;
use crate::embedded::failure::Fallible;
use crate::embedded::rows::{signed, unsigned};

/// Data sets looked at in one sweep, and rows removed for each.
const MAX_DATASETS: u64 = 50;
const MAX_ROWS: u64 = 2_000;

/// Removes what is older than versions are kept, a bounded number of rows at a time.
pub(in crate::embedded) fn expire(desk: &mut Desk<'_>, swept: &mut Swept) -> Fallible<()> {
    let age = i64::try_from(desk.settings.keep_versions_ms).unwrap_or(i64::MAX);
    let until = Timestamp(desk.now.0.saturating_sub(age));
    let connection = desk.connection;
    let mut statement = connection.prepare_cached(
        "SELECT folded, version, oldest FROM dataset WHERE EXISTS
             (SELECT 1 FROM dataset_version AS old WHERE old.dataset = folded AND old.version < dataset.version
              AND old.version >= dataset.oldest AND old.created_at <= ?1
              AND EXISTS (SELECT 1 FROM dataset_version AS next WHERE next.dataset = folded
                          AND next.version = old.version + 1 AND next.created_at <= ?1))
         LIMIT ?2",
    )?;
    let found = statement.query_map(params![until.0, signed(MAX_DATASETS)], |row| {
        Ok((row.get::<_, String>(0)?, row.get(1)?, row.get(2)?))
    })?;
    let found: Vec<(String, i64, i64)> = found.collect::<Result<_, _>>()?;
    for (folded, newest, oldest) in found {
        let kept = keep_from(connection, &folded, until, Version(unsigned(newest)))?;
        if kept.0 <= unsigned(oldest) {
            continue;
        }
        connection
            .prepare_cached("UPDATE dataset SET oldest = ?2 WHERE folded = ?1")?
            .execute(params![folded, signed(kept.0)])?;
    }
    // What went out of sight above goes now or in a later sweep.
    prune(connection, swept)
}

/// The oldest version to keep: the one that was newest at `until`, or an older one that an unfinished job reads.
fn keep_from(connection: &Connection, folded: &str, until: Timestamp, newest: Version) -> Fallible<Version> {
    let at: Option<i64> = connection
        .prepare_cached("SELECT max(version) FROM dataset_version WHERE dataset = ?1 AND created_at <= ?2")?
        .query_row(params![folded, until.0], |row| row.get(0))
        .optional()?
        .flatten();
    let pinned: Option<i64> = connection
        .prepare_cached(
            "SELECT min(json_extract(input.value, '$.version'))
             FROM job_dataset JOIN job ON job.id = job_dataset.job JOIN job_spec ON job_spec.job = job.seq,
                  json_each(job_spec.spec, '$.inputs') AS input
             WHERE job_dataset.dataset = ?1 AND job.state IN ('scheduled', 'queued', 'running')
               AND lower(json_extract(input.value, '$.name')) = ?1",
        )?
        .query_row([folded], |row| row.get(0))
        .optional()?
        .flatten();
    let at = at.map_or(newest, |version| Version(unsigned(version)));
    Ok(pinned.map_or(at, |version| at.min(Version(unsigned(version)))))
}

fn prune(connection: &Connection, swept: &mut Swept) -> Fallible<()> {
    let parts = {
        let mut statement = connection.prepare_cached(
            "SELECT id FROM dataset_part JOIN dataset ON folded = dataset_part.dataset
             WHERE removed <= oldest LIMIT ?1",
        )?;
        let ids = statement.query_map([signed(MAX_ROWS)], |row| row.get(0))?;
        ids.collect::<Result<Vec<i64>, _>>()?
    };
    swept.more |= parts.len() as u64 == MAX_ROWS;
    for id in parts {
        let path: String = connection
            .prepare_cached("SELECT path FROM dataset_part WHERE id = ?1")?
            .query_row([id], |row| row.get(0))?;
        let objects = entries::part_objects(connection, "path = ?1", &path)?;
        connection
            .prepare_cached("DELETE FROM part_deletion WHERE part = ?1")?
            .execute([id])?;
        connection
            .prepare_cached("DELETE FROM dataset_part WHERE id = ?1")?
            .execute([id])?;
        let is_used: bool = connection
            .prepare_cached("SELECT EXISTS (SELECT 1 FROM dataset_part WHERE path = ?1)")?
            .query_row([&path], |row| row.get(0))?;
        if !is_used {
            swept.objects.extend(objects);
        }
    }
    let aside = rejects::expire(connection, MAX_ROWS)?;
    swept.more |= aside.len() as u64 == MAX_ROWS;
    swept.objects.extend(aside);
    for sql in [
        "DELETE FROM record WHERE id IN (SELECT record.id FROM dataset CROSS JOIN record
             ON record.dataset = folded AND record.removed <= oldest LIMIT ?1)",
        "DELETE FROM record_deletion WHERE (dataset, version, key) IN
             (SELECT gone.dataset, gone.version, gone.key FROM dataset CROSS JOIN record_deletion AS gone
              ON gone.dataset = folded AND gone.version < oldest LIMIT ?1)",
        "DELETE FROM dataset_schema WHERE (dataset, version) IN
             (SELECT old.dataset, old.version FROM dataset CROSS JOIN dataset_schema AS old
              ON old.dataset = folded AND old.version < oldest
              WHERE EXISTS (SELECT 1 FROM dataset_schema AS next WHERE next.dataset = folded
                            AND next.version > old.version AND next.version <= oldest) LIMIT ?1)",
        "DELETE FROM dataset_rules WHERE (dataset, version) IN
             (SELECT old.dataset, old.version FROM dataset CROSS JOIN dataset_rules AS old
              ON old.dataset = folded AND old.version < oldest
              WHERE EXISTS (SELECT 1 FROM dataset_rules AS next WHERE next.dataset = folded
                            AND next.version > old.version AND next.version <= oldest) LIMIT ?1)",
        "DELETE FROM dataset_version WHERE (dataset, version) IN
             (SELECT old.dataset, old.version FROM dataset CROSS JOIN dataset_version AS old
              ON old.dataset = folded AND old.version < oldest LIMIT ?1)",
    ] {
        let removed = connection.prepare_cached(sql)?.execute([signed(MAX_ROWS)])?;
        swept.more |= removed as u64 == MAX_ROWS;
    }
    Ok(())
}
