//! Jobs, attempts and events as tables.

use async_trait::async_trait;

use crate::{HistoryTable, Result, UserName};

/// Rows of a table of the history.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HistoryRows {
    pub table: HistoryTable,
    pub rows: u64,
    /// One JSON array per line: the values of a row in the order of the table's columns. Points in time are RFC 3339.
    pub lines: Vec<u8>,
    /// There are older rows beyond the limit.
    pub truncated: bool,
}

#[async_trait]
pub trait History: Send + Sync {
    /// The newest `limit` rows of each of `tables`, in their order; of the jobs of one owner when given. All are on one
    /// state of a store that belongs to one process; of another, each row is.
    async fn rows(&self, tables: &[HistoryTable], owner: Option<&UserName>, limit: usize) -> Result<Vec<HistoryRows>>;
}
