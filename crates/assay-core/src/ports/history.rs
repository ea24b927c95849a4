//! Jobs, attempts and events as tables.

use async_trait::async_trait;
use serde_json::{Map, Value};

use crate::{Result, UserName};

/// A table of the history.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum HistoryTable {
    Jobs,
    Attempts,
    Events,
}

#[async_trait]
pub trait History: Send + Sync {
    /// The newest `limit` rows of a table, oldest first; of the jobs of one owner when given. The members of each row
    /// are the columns of the table.
    async fn rows(
        &self,
        table: HistoryTable,
        owner: Option<&UserName>,
        limit: usize,
    ) -> Result<Vec<Map<String, Value>>>;
}
