//! Figures of the queue, read beside the writer.

use assay_core::{AnalysisStats, QueueStats, State, Timestamp};
use rusqlite::Connection;

use super::failure::Fallible;
use super::rows::{state_of, text, unsigned};
use crate::rules::quantile;

/// Newest ended jobs of an analysis that its figures are made of.
const NEWEST: i64 = 1_000;

/// Everything but the workers, which only the writer knows.
pub(super) fn read(connection: &Connection) -> Fallible<QueueStats> {
    let oldest: Option<i64> = connection.query_row(
        "SELECT (SELECT submitted_at FROM job WHERE state = 'queued' ORDER BY id LIMIT 1)",
        [],
        |row| row.get(0),
    )?;
    let notices: i64 = connection.query_row("SELECT count(*) FROM delivery WHERE next_at IS NOT NULL", [], |row| {
        row.get(0)
    })?;
    let bytes: i64 = connection.query_row("SELECT coalesce(sum(bytes), 0) FROM result", [], |row| row.get(0))?;
    Ok(QueueStats {
        by_state: by_state(connection)?,
        by_analysis: by_analysis(connection)?,
        oldest_queued_at: oldest.map(Timestamp),
        workers: Vec::new(),
        notices_waiting: unsigned(notices),
        result_bytes: unsigned(bytes),
    })
}

fn by_state(connection: &Connection) -> Fallible<Vec<(State, u64)>> {
    let mut statement = connection.prepare_cached("SELECT state, count(*) FROM job GROUP BY state")?;
    let mut rows = statement.query([])?;
    let mut counts = State::ALL.map(|state| (state, 0_u64));
    while let Some(row) = rows.next()? {
        let state = state_of(text(row, 0)?)?;
        for entry in counts.iter_mut().filter(|entry| entry.0 == state) {
            entry.1 = unsigned(row.get(1)?);
        }
    }
    Ok(counts.to_vec())
}

fn by_analysis(connection: &Connection) -> Fallible<Vec<AnalysisStats>> {
    // Walks from one name to the next, so that many jobs of one analysis cost nothing.
    let mut names = connection.prepare_cached(
        "WITH RECURSIVE name (analysis) AS (
             SELECT min(analysis) FROM job
             UNION ALL SELECT (SELECT min(analysis) FROM job WHERE analysis > name.analysis) FROM name
                       WHERE name.analysis IS NOT NULL)
         SELECT analysis FROM name WHERE analysis IS NOT NULL",
    )?;
    let names = names
        .query_map([], |row| row.get(0))?
        .collect::<Result<Vec<String>, _>>()?;
    names.into_iter().map(|name| of_analysis(connection, name)).collect()
}

fn of_analysis(connection: &Connection, analysis: String) -> Fallible<AnalysisStats> {
    let mut statement = connection.prepare_cached(
        "SELECT state, json_extract(usage, '$.run_ms'), shares IS NULL FROM job
         WHERE analysis = ?1 AND +state IN ('succeeded', 'failed', 'canceled') ORDER BY id DESC LIMIT ?2",
    )?;
    let mut rows = statement.query(rusqlite::params![analysis, NEWEST])?;
    let (mut ended, mut failed, mut times) = (0, 0, Vec::new());
    while let Some(row) = rows.next()? {
        ended += 1;
        match state_of(text(row, 0)?)? {
            State::Failed => failed += 1,
            // What another job's run answered took no time of its own.
            State::Succeeded if row.get(2)? => times.push(unsigned(row.get(1)?)),
            _ => {}
        }
    }
    times.sort_unstable();
    Ok(AnalysisStats {
        analysis,
        ended,
        failed,
        run_ms_p50: quantile(&times, 50),
        run_ms_p95: quantile(&times, 95),
    })
}
