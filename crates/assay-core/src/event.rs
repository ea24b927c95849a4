//! What happened, in one order, for everyone who wants to be told.

use serde::{Deserialize, Serialize};

use crate::{EventId, JobId, Progress, State, Timestamp, UserName};

/// An entry of the event log.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Event {
    pub id: EventId,
    pub at: Timestamp,
    pub job: JobId,
    /// The owner of the job: who may be told.
    pub owner: UserName,
    /// The revision of the job after the change; the job's ETag.
    pub revision: u64,
    #[serde(flatten)]
    pub kind: EventKind,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type")]
pub enum EventKind {
    #[serde(rename = "job.state")]
    State { state: State, cancel_requested: bool },
    #[serde(rename = "job.progress")]
    Progress { progress: Progress },
}

impl EventKind {
    /// The name under which the event is sent, e.g. as the `event:` field of SSE.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            EventKind::State { .. } => "job.state",
            EventKind::Progress { .. } => "job.progress",
        }
    }

    /// Whether nothing more will happen to the job.
    #[must_use]
    pub fn is_last(&self) -> bool {
        matches!(self, EventKind::State { state, .. } if state.is_terminal())
    }
}
