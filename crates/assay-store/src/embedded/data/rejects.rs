//! What loads put aside: which version did, and where it lies. It is kept as long as the version.

use assay_core::{DatasetName, JobId, RejectedLoad, Rejects, Version};
use rusqlite::{Connection, params};

use super::entries;
use crate::embedded::failure::Fallible;
use crate::embedded::rows::{parsed, signed, unsigned};

/// Notes what the load that made `version` put aside.
pub(super) fn note(
    connection: &Connection,
    folded: &str,
    version: Version,
    job: &JobId,
    rejects: &Rejects,
) -> Fallible<()> {
    connection
        .prepare_cached("INSERT INTO dataset_reject (dataset, version, job, path, count) VALUES (?1, ?2, ?3, ?4, ?5)")?
        .execute(params![
            folded,
            signed(version.0),
            job.as_str(),
            rejects.path,
            signed(rejects.count)
        ])?;
    Ok(())
}

/// Newest first, from `newest` on.
pub(super) fn list(
    connection: &Connection,
    name: &DatasetName,
    newest: Option<Version>,
    limit: usize,
) -> Fallible<Vec<RejectedLoad>> {
    let entry = entries::get(connection, name)?;
    let newest = entry.resolve(newest)?;
    let mut statement = connection.prepare_cached(
        "SELECT version, job, path, count FROM dataset_reject
         WHERE dataset = ?1 AND version <= ?2 AND version >= ?3 ORDER BY version DESC LIMIT ?4",
    )?;
    let (newest, oldest) = (signed(newest.0), signed(entry.oldest.0));
    let mut rows = statement.query(params![name.folded(), newest, oldest, signed(limit as u64)])?;
    let mut loads = Vec::new();
    while let Some(row) = rows.next()? {
        let job: Option<String> = row.get(1)?;
        loads.push(RejectedLoad {
            version: Version(unsigned(row.get(0)?)),
            job: job.as_deref().map(parsed).transpose()?,
            rejects: Rejects {
                path: row.get(2)?,
                count: unsigned(row.get(3)?),
            },
        });
    }
    Ok(loads)
}

/// Forgets what versions that are not kept any more put aside, at most `limit` of them, and names their objects.
pub(super) fn expire(connection: &Connection, limit: u64) -> Fallible<Vec<String>> {
    let mut statement = connection.prepare_cached(
        "DELETE FROM dataset_reject WHERE (dataset, version) IN
             (SELECT old.dataset, old.version FROM dataset CROSS JOIN dataset_reject AS old
              ON old.dataset = folded AND old.version < oldest LIMIT ?1)
         RETURNING path",
    )?;
    let paths = statement.query_map([signed(limit)], |row| row.get(0))?;
    Ok(paths.collect::<Result<_, _>>()?)
}

/// Forgets all that loads of a data set put aside, and names the objects.
pub(super) fn remove(connection: &Connection, folded: &str) -> Fallible<Vec<String>> {
    let mut statement = connection.prepare_cached("DELETE FROM dataset_reject WHERE dataset = ?1 RETURNING path")?;
    let paths = statement.query_map([folded], |row| row.get(0))?;
    Ok(paths.collect::<Result<_, _>>()?)
}
