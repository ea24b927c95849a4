//! Both stores, asked for the same, answer the same: states, refusals, who is claimed, what is charged, and the log.

use std::sync::Arc;

use assay_core::{
    AttemptOutcome, Beat, Code, Directive, Error, EventId, EventKind, JobChange, JobId, Lease, NewJob, Outcome, Reaped,
    Retry, Sharing, State, TagChange, Timestamp,
};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::test_runner::TestRunner;

use super::queue::TIMEOUT_MS;
use super::steps::{Change, End, Step, Submission, crowded_step, step};
use super::{cases, runtime};
use crate::redis::{RedisHarness, Server};
use crate::support::{EmbeddedHarness, Scene, canceled, failed, new_job, succeeded, usage};

/// One of the two, with everything that was ever given.
pub(super) struct Twin {
    pub scene: Scene,
    pub jobs: Vec<JobId>,
    pub leases: Vec<Lease>,
}

/// What a step brought about, with jobs by their places: ids and fences differ.
#[derive(Debug, PartialEq)]
pub(super) enum Answer {
    Nothing,
    Refused(Code),
    Job(usize, State, u64),
    Claimed(Vec<usize>),
    Told(Vec<Directive>),
    Reaped(Reaped),
}

/// A job as it is and what the log says of it, without what differs.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Seen {
    job: Option<Standing>,
    attempts: Vec<(u32, Option<AttemptOutcome>, Option<Timestamp>)>,
    told: Vec<(u64, Timestamp, EventKind)>,
}

#[derive(Debug, PartialEq)]
struct Standing {
    state: State,
    revision: u64,
    attempt: u32,
    cancel_requested: bool,
    shares: Option<usize>,
    /// When it runs, began and ended.
    times: [Option<Timestamp>; 3],
    /// Messages name jobs, whose ids differ.
    error: Option<Code>,
}

impl Twin {
    pub(super) fn new(scene: Scene) -> Self {
        Self {
            scene,
            jobs: Vec::new(),
            leases: Vec::new(),
        }
    }

    fn place(&self, id: &JobId) -> usize {
        self.jobs.iter().position(|known| known == id).unwrap()
    }

    fn job(&self, place: usize) -> Option<&JobId> {
        (!self.jobs.is_empty()).then(|| &self.jobs[place % self.jobs.len()])
    }

    fn lease(&self, place: usize) -> Option<&Lease> {
        (!self.leases.is_empty()).then(|| &self.leases[place % self.leases.len()])
    }

    fn told(&self, answer: assay_core::Result<assay_core::Job>) -> Answer {
        match answer {
            Ok(job) => Answer::Job(self.place(&job.id), job.state, job.revision),
            Err(error) => Answer::Refused(error.code),
        }
    }

    pub(super) async fn take(&mut self, step: &Step) -> Answer {
        match step {
            Step::Submit(submission) => self.submit(submission).await,
            Step::Claim { max } => {
                let claimed = self.scene.claim(*max).await;
                let places = claimed.iter().map(|(lease, _)| self.place(&lease.job)).collect();
                self.leases.extend(claimed.into_iter().map(|(lease, _)| lease));
                Answer::Claimed(places)
            }
            Step::Beat { lease } => {
                let Some(lease) = self.lease(*lease).cloned() else {
                    return Answer::Nothing;
                };
                let beat = Beat { lease, progress: None };
                Answer::Told(self.scene.jobs().beat(vec![beat]).await.unwrap())
            }
            Step::Finish { lease, end } => {
                let Some(lease) = self.lease(*lease) else {
                    return Answer::Nothing;
                };
                let outcome: Outcome = match end {
                    End::Succeeded => succeeded(),
                    End::Failed => failed(Code::UnknownColumn),
                    // The pause before the next attempt depends on the id.
                    End::Crashed => Outcome::Failed {
                        error: Error::new(Code::UnknownFunction, "it went wrong"),
                        usage: usage(),
                    },
                    End::Canceled => canceled(),
                };
                self.told(self.scene.jobs().finish(lease, outcome).await)
            }
            Step::Release { lease } => {
                let Some(lease) = self.lease(*lease) else {
                    return Answer::Nothing;
                };
                match self.scene.jobs().release(lease).await {
                    Ok(()) => Answer::Nothing,
                    Err(error) => Answer::Refused(error.code),
                }
            }
            Step::Cancel { job } => match self.job(*job) {
                Some(id) => self.told(self.scene.jobs().cancel(id).await),
                None => Answer::Nothing,
            },
            Step::RunNow { job } => match self.job(*job) {
                Some(id) => self.told(self.scene.queue().run_now(id).await),
                None => Answer::Nothing,
            },
            Step::Change(change) => self.change(change).await,
            Step::Remove { job } => match self.job(*job) {
                Some(id) => match self.scene.changes().remove(id).await {
                    Ok(_) => Answer::Nothing,
                    Err(error) => Answer::Refused(error.code),
                },
                None => Answer::Nothing,
            },
            Step::Pause => {
                self.scene.queue().pause(None, "").await.unwrap();
                Answer::Nothing
            }
            Step::Resume => {
                self.scene.queue().resume(None).await.unwrap();
                Answer::Nothing
            }
            Step::Advance { milliseconds } => {
                self.scene.advance(*milliseconds);
                Answer::Nothing
            }
            Step::Reap => Answer::Reaped(self.scene.jobs().reap().await.unwrap()),
            // The one loses its running jobs at once, the other when their leases run out.
            Step::Reopen => Answer::Nothing,
        }
    }

    async fn submit(&mut self, submission: &Submission) -> Answer {
        let now = self.scene.clock_now();
        // Equal times are ordered by id, which is random: every job comes at a time of its own.
        self.scene.advance(1);
        let mut new: NewJob = new_job(now);
        new.spec.owner = format!("user-{}", submission.owner).parse().unwrap();
        new.spec.priority = submission.priority;
        new.spec.retry = Retry {
            max_attempts: submission.max_attempts,
            ..Retry::default()
        };
        new.spec.limits.timeout_ms = TIMEOUT_MS as u64;
        new.spec.run_at = submission.run_in.map(|ms| now.plus_millis(ms));
        new.spec.deadline = submission.deadline_in.map(|ms| now.plus_millis(ms));
        new.spec.unique_key = submission.unique.map(|key| key.to_string());
        let parents = submission.parents.iter().filter_map(|place| self.job(*place).cloned());
        new.spec.depends_on = parents.collect();
        new.sharing = submission.share.map(|(key, max_age)| Sharing {
            key: key.to_string(),
            finished_after: (max_age >= 0).then(|| Timestamp(now.0 - max_age)),
        });
        let answer = self.scene.jobs().submit(new, None).await;
        if let Ok(submitted) = &answer {
            self.jobs.push(submitted.job.id.clone());
        }
        self.told(answer.map(|submitted| submitted.job))
    }

    async fn change(&self, change: &Change) -> Answer {
        let Some(id) = self.job(change.job) else {
            return Answer::Nothing;
        };
        let now = self.scene.clock_now();
        let tags = change
            .tag
            .map(|value| ("team".to_owned(), value.map(|value| value.to_string())));
        let asked = JobChange {
            priority: change.priority,
            deadline: change.deadline_in.map(|at| at.map(|ms| now.plus_millis(ms))),
            tags: TagChange::Merge(tags.into_iter().collect()),
            revisions: None,
        };
        self.told(self.scene.changes().change(id, asked).await)
    }

    pub(super) async fn seen(&self) -> Vec<Seen> {
        let mut all = Vec::new();
        for id in &self.jobs {
            // Of a removed job one store keeps the newest event of all.
            let Ok((job, attempts)) = self.scene.jobs().get(id).await else {
                all.push(Seen::default());
                continue;
            };
            let told = self.scene.events().list(EventId(0), Some(id), 1_000).await.unwrap();
            let told = told.into_iter().map(|event| (event.revision, event.at, event.kind));
            let shares = job
                .shares
                .as_ref()
                .and_then(|id| self.jobs.iter().position(|known| known == id));
            let attempts = attempts
                .iter()
                .map(|attempt| (attempt.number, attempt.outcome, attempt.ended_at));
            all.push(Seen {
                job: Some(Standing {
                    state: job.state,
                    revision: job.revision,
                    attempt: job.attempt,
                    cancel_requested: job.cancel_requested,
                    shares,
                    times: [job.run_at, job.started_at, job.finished_at],
                    error: job.error.map(|error| error.code),
                }),
                attempts: attempts.collect(),
                told: told.collect(),
            });
        }
        all
    }

    pub(super) async fn charged(&self) -> Vec<(String, u64, u64, u64)> {
        let shares = self.scene.queue().shares().await.unwrap();
        let charged = shares.into_iter();
        charged
            .map(|share| (share.user.to_string(), share.running, share.waiting, share.charged_ms))
            .collect()
    }
}

async fn compare(one: Scene, other: Scene, steps: Vec<Step>) {
    let (mut one, mut other) = (Twin::new(one), Twin::new(other));
    for step in &steps {
        assert_eq!(one.take(step).await, other.take(step).await, "{step:?}");
        assert_eq!(one.charged().await, other.charged().await, "{step:?}");
    }
    assert_eq!(one.seen().await, other.seen().await);
}

fn check(steps: impl Strategy<Value = Step>) {
    let server = Arc::new(Server::start());
    let history = std::cell::Cell::new(0);
    let config = ProptestConfig {
        cases: cases() / 2,
        failure_persistence: None,
        ..ProptestConfig::default()
    };
    let agreed = TestRunner::new(config).run(&vec(steps, 1..80), |steps| {
        history.set(history.get() + 1);
        let on_redis = RedisHarness::on(server.clone(), &format!("twin-{}", history.get()));
        let scenes = || async { compare(Scene::new(EmbeddedHarness::new()), Scene::new(on_redis), steps).await };
        runtime().block_on(scenes());
        Ok(())
    });
    if let Err(error) = agreed {
        panic!("{error}");
    }
}

#[test]
fn both_stores_do_the_same() {
    check(step());
}

#[test]
fn both_stores_do_the_same_with_identical_jobs() {
    check(crowded_step());
}
