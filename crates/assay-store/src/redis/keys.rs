//! The names of the keys. They are a contract: other programs may read what lies under them.
//!
//! Every name begins with the tag of the store in braces, so that a cluster keeps all of them on one node, and several
//! stores can share a database.

mod data;
mod notices;

use assay_core::{DatasetName, JobId, ScheduleName, State, UserName, WorkerId};

pub(super) use data::DataKeys;

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

    /// STRING: the id of the store, which the place of its objects carries as well.
    pub(super) fn id(&self) -> String {
        self.named("id")
    }

    /// STRING: there once the objects have a place.
    pub(super) fn has_place(&self) -> String {
        self.named("placed")
    }

    /// STRING: written to find out whether all that was written before is on disk.
    pub(super) fn barrier(&self) -> String {
        self.named("barrier")
    }

    /// HASH: there while the store is moved to or from another place, and after it was: the `id` of the move, which
    /// scripts of everybody else are refused for, and `mark` (JSON).
    pub(super) fn moving(&self) -> String {
        self.named("moving")
    }

    /// STREAM: every event; the numbers of those that are of no job lie in LIST `events:others`, which only the script
    /// knows that tells them. The id of an entry is `<number of the event>-0`; the field `event` holds CloudEvents JSON.
    pub(super) fn events(&self) -> String {
        self.named("events")
    }

    /// STRING: the number of the newest event.
    pub(super) fn event_number(&self) -> String {
        self.named("event:number")
    }

    /// STRING: the number with which the kept events begin; absent while all are kept.
    pub(super) fn oldest_event(&self) -> String {
        self.named("event:oldest")
    }

    /// ZSET of the numbers of the events of one job.
    pub(super) fn events_of(&self, job: &JobId) -> String {
        self.of("job:events", job.as_str())
    }

    /// STREAM: jobs that other programs ask for. An entry goes when it is answered.
    pub(super) fn inbox(&self) -> String {
        self.named("inbox")
    }

    /// What the names of lists for answers to them begin with, of those that are under the prefix of the store.
    pub(super) fn replies(&self) -> String {
        self.of("reply", "")
    }

    /// STREAM: wake-ups that are no events. Hints only; losing one costs the time to the next poll.
    pub(super) fn wakes(&self) -> String {
        self.named("wakes")
    }
}

/// Jobs, one by one.
impl Keys {
    /// HASH: a job and where it stands. `v` is the number of its writes, on which every further write is conditional.
    pub(super) fn job(&self, job: &JobId) -> String {
        self.of("job", job.as_str())
    }

    /// HASH: the rows of an answer (`rows_json`, `data`) that are kept beside its job.
    pub(super) fn answer(&self, job: &JobId) -> String {
        self.of("job:answer", job.as_str())
    }

    /// HASH: fence → attempt as JSON.
    pub(super) fn attempts(&self, job: &JobId) -> String {
        self.of("job:attempts", job.as_str())
    }

    /// SET: unfinished jobs that wait for this one.
    pub(super) fn children(&self, job: &JobId) -> String {
        self.of("job:children", job.as_str())
    }

    /// ZSET by rank: unfinished jobs that are answered by the run of this one.
    pub(super) fn followers(&self, job: &JobId) -> String {
        self.of("job:followers", job.as_str())
    }

    /// STRING: the number of the newest job.
    pub(super) fn job_number(&self) -> String {
        self.named("job:number")
    }
}

/// Jobs by what they are listed under: ZSETs of ids, all with score 0, so that they are in the order of the ids.
impl Keys {
    /// ZSET: all jobs.
    pub(super) fn jobs(&self) -> String {
        self.named("jobs")
    }

    /// ZSET: jobs in a state.
    pub(super) fn jobs_in(&self, state: State) -> String {
        self.of("jobs:state", state.as_str())
    }

    /// ZSET: jobs of an owner.
    pub(super) fn jobs_of(&self, owner: &UserName) -> String {
        self.of("jobs:owner", owner.as_str())
    }

    /// ZSET: jobs that run an analysis.
    pub(super) fn jobs_with(&self, analysis: &str) -> String {
        self.of("jobs:analysis", analysis)
    }

    /// ZSET: jobs that read or write a data set, by its name in lower case.
    pub(super) fn jobs_on(&self, dataset: &DatasetName) -> String {
        self.of("jobs:dataset", &dataset.folded())
    }

    /// ZSET: jobs with a tag. `%` and `=` in its name are written as in a URL.
    pub(super) fn jobs_tagged(&self, name: &str, value: &str) -> String {
        let name = name.replace('%', "%25").replace('=', "%3D");
        self.of("jobs:tag", &format!("{name}={value}"))
    }

    /// ZSET: jobs that schedules of this name submitted.
    pub(super) fn jobs_from(&self, schedule: &ScheduleName) -> String {
        self.of("jobs:schedule", schedule.as_str())
    }

    /// SET: the analyses that jobs were submitted for.
    pub(super) fn analyses(&self) -> String {
        self.named("analyses")
    }
}

/// Where jobs wait and run.
impl Keys {
    /// ZSET by rank: jobs of a user that wait for a worker.
    pub(super) fn ready(&self, user: &UserName) -> String {
        self.of("ready", user.as_str())
    }

    /// ZSET by rank: those of them that run an analysis, for workers that take no others.
    pub(super) fn ready_for(&self, user: &UserName, analysis: &str) -> String {
        self.of("ready", &format!("{user} {analysis}"))
    }

    /// HASH: paused analysis → JSON with `since` and `reason`; the empty name stands for all.
    pub(super) fn pauses(&self) -> String {
        self.named("pauses")
    }

    /// SET: analyses that have parked jobs.
    pub(super) fn parked_analyses(&self) -> String {
        self.named("parked")
    }

    /// ZSET by rank: jobs that a claim came upon while their analysis was paused.
    pub(super) fn parked(&self, analysis: &str) -> String {
        self.of("parked", analysis)
    }

    /// ZSET by time: jobs that wait for their time.
    pub(super) fn scheduled(&self) -> String {
        self.named("scheduled")
    }

    /// ZSET by time: running jobs, by the end of their leases.
    pub(super) fn leases(&self) -> String {
        self.named("leases")
    }

    /// HASH: fence → running job.
    pub(super) fn fences(&self) -> String {
        self.named("fences")
    }

    /// ZSET by time: unfinished jobs that are ended at their deadline, or whose worker is not waited for any longer.
    pub(super) fn alarms(&self) -> String {
        self.named("alarms")
    }

    /// ZSET by time: jobs that have ended badly, while jobs that waited for them have still to end.
    pub(super) fn ending(&self) -> String {
        self.named("ending")
    }

    /// HASH: digest of a request → the unfinished job that runs for all identical ones.
    pub(super) fn flights(&self) -> String {
        self.named("flights")
    }

    /// ZSET by number: succeeded jobs whose kept answer is the answer to a request with this digest.
    pub(super) fn answers_to(&self, digest: &str) -> String {
        self.of("answers", digest)
    }

    /// HASH: `<owner> <unique key>` → the unfinished job that holds it.
    pub(super) fn unique(&self) -> String {
        self.named("unique")
    }

    /// STRING: fingerprint, job and time of the submission with this key of the owner, parted by spaces.
    pub(super) fn idempotency(&self, owner: &UserName, key: &str) -> String {
        self.of("idempotency", &format!("{owner} {key}"))
    }
}

/// What has its time.
impl Keys {
    /// ZSET by time: ended jobs, by when their answer is removed.
    pub(super) fn expiry(&self) -> String {
        self.named("expiry")
    }

    /// ZSET by time: ended jobs, by when their record is removed.
    pub(super) fn forget(&self) -> String {
        self.named("forget")
    }

    /// ZSET by number: jobs whose answer is kept.
    pub(super) fn results(&self) -> String {
        self.named("results")
    }

    /// STRING: bytes of all answers that are kept.
    pub(super) fn result_bytes(&self) -> String {
        self.named("results:bytes")
    }

    /// SET: jobs whose answer is the object at this path.
    pub(super) fn jobs_with_object(&self, path: &str) -> String {
        self.of("object:jobs", path)
    }
}

/// Shares and workers. Of these the scripts alone know: STRING `present`, the pass of the latest claim.
impl Keys {
    /// STRING: the newest fence.
    pub(super) fn newest_fence(&self) -> String {
        self.named("fence")
    }

    /// HASH: a user of the queue: `waiting`, `running`, `charged_ms`, `pass`, `since`, where they stand in `place`, limits of
    /// their own, and under `cost:<analysis>` the microseconds that their jobs took of late.
    pub(super) fn user(&self, user: &UserName) -> String {
        self.of("user", user.as_str())
    }

    /// SET: users who have limits of their own, or jobs that have not ended.
    pub(super) fn users(&self) -> String {
        self.named("users")
    }

    /// ZSET by pass: users who have a job that waits for a worker, and a free place.
    pub(super) fn ring(&self) -> String {
        self.named("ring")
    }

    /// SET: users who have a job that waits for a worker, and no free place.
    pub(super) fn full(&self) -> String {
        self.named("full")
    }

    /// HASH: microseconds that jobs took of late: of work under `work:<analysis>`, from begin to end under
    /// `run:<analysis>`.
    pub(super) fn costs(&self) -> String {
        self.named("costs")
    }

    /// ZSET by time: workers, by when they were last heard of.
    pub(super) fn workers(&self) -> String {
        self.named("workers")
    }

    /// HASH: worker → how many jobs it runs at most.
    pub(super) fn worker_slots(&self) -> String {
        self.named("workers:slots")
    }

    /// HASH: worker → the analyses whose jobs it takes, parted by spaces; absent for one that takes all.
    pub(super) fn worker_analyses(&self) -> String {
        self.named("workers:analyses")
    }

    /// SET: jobs that a worker runs.
    pub(super) fn worker_jobs(&self, worker: &WorkerId) -> String {
        self.of("worker:jobs", &worker.0)
    }
}
