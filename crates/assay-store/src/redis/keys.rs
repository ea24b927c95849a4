//! The names of the keys. They are a contract: other programs may read what lies under them.
//!
//! Every name begins with the tag of the store in braces, so that a cluster keeps all of them on one node, and several
//! stores can share a database.

use assay_core::{JobId, UserName};

/// Gives the names of one store.
#[derive(Debug, Clone)]
pub(super) struct Keys {
    prefix: String,
}

impl Keys {
    pub(super) fn new(tag: &str) -> Self {
        Self {
            prefix: format!("{{{tag}}}:"),
        }
    }

    /// What all names begin with.
    pub(super) fn prefix(&self) -> &str {
        &self.prefix
    }

    fn named(&self, name: &str) -> String {
        format!("{}{name}", self.prefix)
    }

    fn of(&self, kind: &str, name: &str) -> String {
        format!("{}{kind}:{name}", self.prefix)
    }

    /// STREAM: every event. The id of an entry is `<number of the event>-0`; the field `event` holds CloudEvents JSON.
    pub(super) fn events(&self) -> String {
        self.named("events")
    }

    /// STRING: the number of the newest event.
    pub(super) fn event_number(&self) -> String {
        self.named("event:number")
    }

    /// ZSET of the numbers of the events of one job.
    pub(super) fn events_of(&self, job: &JobId) -> String {
        self.of("job:events", job.as_str())
    }

    /// STREAM: wake-ups that are no events. Hints only; losing one costs the time to the next poll.
    pub(super) fn wakes(&self) -> String {
        self.named("wakes")
    }

    /// HASH: what is known of a user of the queue, e.g. limits, running jobs and pass.
    pub(super) fn user(&self, user: &UserName) -> String {
        self.of("user", user.as_str())
    }
}
