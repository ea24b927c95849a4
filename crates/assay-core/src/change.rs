//! What a user may change of a job that has not ended, and what of it makes sense.

use std::collections::BTreeMap;

use crate::{Code, Error, Job, Result, Timestamp};

/// Most tags of a job.
pub const MAX_TAGS: usize = 32;

/// A change of a job; what is not named stays as it is.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct JobChange {
    pub priority: Option<u8>,
    /// `Some(None)` takes the deadline away.
    pub deadline: Option<Option<Timestamp>>,
    pub tags: TagChange,
    /// The change is made only of a job that is at one of these revisions.
    pub revisions: Option<Vec<u64>>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TagChange {
    /// Sets those with a value and takes the others away.
    Merge(BTreeMap<String, Option<String>>),
    /// Takes all away.
    Clear,
}

impl Default for TagChange {
    fn default() -> Self {
        Self::Merge(BTreeMap::new())
    }
}

impl JobChange {
    /// Changes what was asked of the job.
    ///
    /// # Errors
    /// `JobFinished` when it has ended; `PreconditionFailed` when it is at another revision; `InvalidParameter` for a
    /// deadline that leaves it no time, and for too many tags. Then the job is as it was.
    pub fn apply(&self, job: &mut Job, now: Timestamp) -> Result<()> {
        let Self {
            priority,
            deadline,
            tags,
            revisions,
        } = self;
        if job.state.is_terminal() {
            let error = Error::new(Code::JobFinished, format!("job `{}` has {} already", job.id, job.state));
            return Err(error.hint("only jobs that wait or run can be changed"));
        }
        if revisions.as_ref().is_some_and(|known| !known.contains(&job.revision)) {
            let message = format!("job `{}` has changed and is at revision {} now", job.id, job.revision);
            return Err(Error::new(Code::PreconditionFailed, message).hint("look at it again, then change what it is"));
        }
        if let Some(at) = deadline.flatten() {
            refuse_too_early(job, at, now)?;
        }
        let tags = tags.merged(&job.spec.tags)?;
        job.spec.priority = priority.unwrap_or(job.spec.priority);
        job.spec.deadline = deadline.unwrap_or(job.spec.deadline);
        job.spec.tags = tags;
        Ok(())
    }
}

fn refuse_too_early(job: &Job, at: Timestamp, now: Timestamp) -> Result<()> {
    // Before a further attempt it has begun already.
    let begins_at = job.run_at.filter(|_| job.attempt == 0).unwrap_or(now).max(now);
    if at > begins_at {
        return Ok(());
    }
    let message = format!("the deadline `{at}` comes before the job can begin");
    Err(Error::new(Code::InvalidParameter, message)
        .hint("give a later one")
        .pointing("/deadline"))
}

impl TagChange {
    fn merged(&self, before: &BTreeMap<String, String>) -> Result<BTreeMap<String, String>> {
        let Self::Merge(changes) = self else {
            return Ok(BTreeMap::new());
        };
        let mut tags = before.clone();
        for (name, value) in changes {
            match value {
                Some(value) => tags.insert(name.clone(), value.clone()),
                None => tags.remove(name),
            };
        }
        if tags.len() > MAX_TAGS {
            let message = format!("the job would have {} tags, but may have {MAX_TAGS}", tags.len());
            return Err(Error::new(Code::InvalidParameter, message)
                .hint("take some away by `null`")
                .pointing("/tags"));
        }
        Ok(tags)
    }
}
