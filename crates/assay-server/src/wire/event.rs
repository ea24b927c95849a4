//! Events as they are sent in streams.

use assay_core::{Event, EventKind};
use serde::Serialize;
use utoipa::ToSchema;

use super::job::Progress;

/// The data of an event.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Event)]
pub(crate) struct EventForm {
    pub(crate) id: u64,
    pub(crate) at: String,
    pub(crate) job: String,
    /// The owner of the job.
    pub(crate) owner: String,
    /// The revision of the job after the change.
    pub(crate) revision: u64,
    /// `job.state` or `job.progress`.
    #[serde(rename = "type")]
    pub(crate) kind: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) state: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) cancel_requested: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) progress: Option<Progress>,
}

impl From<Event> for EventForm {
    fn from(event: Event) -> Self {
        let kind = event.kind.name();
        let (state, cancel_requested, progress) = match event.kind {
            EventKind::State {
                state,
                cancel_requested,
            } => (Some(state.as_str()), Some(cancel_requested), None),
            EventKind::Progress { progress } => (None, None, Some(Progress::from(progress))),
        };
        Self {
            id: event.id.0,
            at: event.at.to_string(),
            job: event.job.to_string(),
            owner: event.owner.to_string(),
            revision: event.revision,
            kind,
            state,
            cancel_requested,
            progress,
        }
    }
}
