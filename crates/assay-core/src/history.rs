//! The tables of the history: which there are, what they hold, and which of them an SQL text may read.
//!
//! Where their rows come from is the business of the port [`History`](crate::History).

use crate::{Attribute, Kind, Seen, TableSchema};

/// Rows of a table of the history that a job is given at most: the newest ones.
pub const HISTORY_ROWS: usize = 100_000;

/// A table of the history.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum HistoryTable {
    Jobs,
    Attempts,
    Events,
}

impl HistoryTable {
    pub const ALL: [HistoryTable; 3] = [HistoryTable::Jobs, HistoryTable::Attempts, HistoryTable::Events];

    /// The name by which SQL calls it. No data set can have it: their names hold no dot.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            HistoryTable::Jobs => "assay.jobs",
            HistoryTable::Attempts => "assay.attempts",
            HistoryTable::Events => "assay.events",
        }
    }

    /// Its columns, the same whether there are rows or not.
    #[must_use]
    pub fn schema(self) -> TableSchema {
        let columns = match self {
            HistoryTable::Jobs => JOBS,
            HistoryTable::Attempts => ATTEMPTS,
            HistoryTable::Events => EVENTS,
        };
        let attribute = |(name, kind): &(&str, Kind)| Attribute {
            name: (*name).to_owned(),
            kind: kind.clone(),
            seen: Seen::default(),
        };
        TableSchema {
            attributes: columns.iter().map(attribute).collect(),
            ..TableSchema::default()
        }
    }

    /// The tables that `sql` may read: perhaps more than it does, never less, for whatever stands between the two
    /// words of a name, both of them are in the text.
    #[must_use]
    pub fn mentioned(sql: &str) -> Vec<HistoryTable> {
        let sql = sql.to_lowercase();
        let is_mentioned = |table: &HistoryTable| table.as_str().split('.').all(|word| sql.contains(word));
        Self::ALL.into_iter().filter(is_mentioned).collect()
    }
}

const JOBS: &[(&str, Kind)] = &[
    ("id", Kind::Text),
    ("owner", Kind::Text),
    ("analysis", Kind::Text),
    ("state", Kind::Text),
    ("priority", Kind::Int64),
    ("submitted_at", Kind::Timestamp),
    ("started_at", Kind::Timestamp),
    ("finished_at", Kind::Timestamp),
    ("wait_ms", Kind::Int64),
    ("run_ms", Kind::Int64),
    ("cpu_ms", Kind::Int64),
    ("peak_bytes", Kind::Int64),
    ("rows_read", Kind::Int64),
    ("attempts", Kind::Int64),
    ("result_rows", Kind::Int64),
    ("result_bytes", Kind::Int64),
    ("error_code", Kind::Text),
    ("error_message", Kind::Text),
    ("inputs", Kind::Json),
    ("input_job", Kind::Text),
    ("tags", Kind::Json),
    ("schedule", Kind::Text),
    ("shares", Kind::Text),
];

const ATTEMPTS: &[(&str, Kind)] = &[
    ("job", Kind::Text),
    ("number", Kind::Int64),
    ("worker", Kind::Text),
    ("started_at", Kind::Timestamp),
    ("ended_at", Kind::Timestamp),
    ("outcome", Kind::Text),
    ("error_code", Kind::Text),
    ("error_message", Kind::Text),
    ("run_ms", Kind::Int64),
    ("cpu_ms", Kind::Int64),
    ("peak_bytes", Kind::Int64),
];

const EVENTS: &[(&str, Kind)] = &[
    ("id", Kind::Int64),
    ("at", Kind::Timestamp),
    ("job", Kind::Text),
    ("type", Kind::Text),
    ("state", Kind::Text),
    ("cancel_requested", Kind::Bool),
    ("revision", Kind::Int64),
    ("progress", Kind::Json),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tables_are_found_however_their_names_are_written() {
        for sql in [
            "SELECT * FROM assay.jobs",
            "select * from ASSAY.Jobs",
            "SELECT * FROM \"assay\" . \"jobs\"",
            "SELECT * FROM assay/* here */.jobs",
        ] {
            assert_eq!(HistoryTable::mentioned(sql), [HistoryTable::Jobs], "{sql}");
        }
        let both = "SELECT * FROM assay.jobs AS j JOIN assay.attempts AS a ON a.job = j.id";
        assert_eq!(
            HistoryTable::mentioned(both),
            [HistoryTable::Jobs, HistoryTable::Attempts]
        );
        assert_eq!(HistoryTable::mentioned("SELECT * FROM jobs"), []);
    }

    #[test]
    fn columns_have_names_of_their_own() {
        for table in HistoryTable::ALL {
            let schema = table.schema();
            let mut names: Vec<&str> = schema.attributes.iter().map(|column| column.name.as_str()).collect();
            names.sort_unstable();
            let all = names.len();
            names.dedup();
            assert_eq!(names.len(), all, "{}", table.as_str());
        }
    }
}
