//! Random operations on a store and on a reference model of it, which must agree after each; and stores that are broken
//! on purpose, each of which must be found out.

mod faults;
mod moved;
mod on_redis;
mod one_by_one;
mod queue;
mod records;
mod steps;
mod twins;

use std::collections::BTreeSet;

use assay_core::{
    Beat, Code, Directive, EventId, Fence, Job, JobChange, Lease, NewJob, Outcome, Retry, Sharing, State, TagChange,
    Timestamp,
};
use proptest::collection::vec;
use proptest::prelude::*;

use crate::support::{EmbeddedHarness, LEASE_MS, Scene, canceled, failed, new_job, refused, state_of, succeeded};
use queue::{Known, Queue, TIMEOUT_MS};
use steps::{Change, End, Step, Submission, crowded_step, step};

struct Model {
    scene: Scene,
    queue: Queue,
    /// Every lease that was ever given.
    leases: Vec<Lease>,
    /// Each job as it was last read from the store.
    seen: Vec<Option<Job>>,
}

impl Model {
    fn new(scene: Scene) -> Self {
        let queue = Queue {
            now: scene.clock_now(),
            ..Queue::default()
        };
        Self {
            scene,
            queue,
            leases: Vec::new(),
            seen: Vec::new(),
        }
    }

    fn lease(&self, place: usize) -> Option<Lease> {
        (!self.leases.is_empty()).then(|| self.leases[place % self.leases.len()].clone())
    }

    fn job(&self, place: usize) -> Option<usize> {
        (!self.queue.jobs.is_empty()).then(|| place % self.queue.jobs.len())
    }

    async fn take(&mut self, step: Step) {
        match step {
            Step::Submit(submission) => self.submit(submission).await,
            Step::Claim { max } => self.claim(max).await,
            Step::Beat { lease } => self.beat(lease).await,
            Step::Finish { lease, end } => self.finish(lease, end).await,
            Step::Release { lease } => self.release(lease).await,
            Step::Cancel { job } => self.cancel(job).await,
            Step::RunNow { job } => self.run_now(job).await,
            Step::Change(change) => self.change(change).await,
            Step::Remove { job } => self.remove(job).await,
            Step::Pause => {
                self.scene.queue().pause(None, "").await.unwrap();
                self.queue.is_paused = true;
            }
            Step::Resume => {
                self.scene.queue().resume(None).await.unwrap();
                self.queue.is_paused = false;
            }
            Step::Advance { milliseconds } => {
                self.scene.advance(milliseconds);
                self.queue.now = self.scene.clock_now();
            }
            Step::Reap => self.reap().await,
            Step::Reopen => {
                self.scene.reopen();
                if self.scene.loses_at_once() {
                    self.queue.lose_all();
                }
            }
        }
    }

    fn asked(&self, submission: &Submission, parents: &[usize]) -> NewJob {
        let mut new = new_job(self.queue.now);
        new.spec.owner = format!("user-{}", submission.owner).parse().unwrap();
        new.spec.priority = submission.priority;
        new.spec.retry = Retry {
            max_attempts: submission.max_attempts,
            base_ms: 200,
            max_ms: 60_000,
        };
        new.spec.limits.timeout_ms = TIMEOUT_MS as u64;
        new.spec.run_at = submission.run_in.map(|ms| self.queue.now.plus_millis(ms));
        new.spec.deadline = submission.deadline_in.map(|ms| self.queue.now.plus_millis(ms));
        new.spec.unique_key = submission.unique.map(|key| key.to_string());
        new.spec.depends_on = parents.iter().map(|place| self.queue.jobs[*place].id.clone()).collect();
        new.sharing = submission.share.map(|(key, max_age)| Sharing {
            key: key.to_string(),
            finished_after: (max_age >= 0).then(|| Timestamp(self.queue.now.0 - max_age)),
        });
        new
    }

    async fn submit(&mut self, submission: Submission) {
        let parents: Vec<usize> = submission.parents.iter().filter_map(|place| self.job(*place)).collect();
        let new = self.asked(&submission, &parents);
        let answer = self.scene.jobs().submit(new.clone(), None).await;
        let Submission {
            owner, unique, share, ..
        } = submission;
        if unique.is_some_and(|key| self.queue.holder_of_key(owner, key).is_some()) {
            assert_eq!(refused(answer), Code::UniqueKeyTaken);
            return;
        }
        let refusal = |place: &usize| match &self.queue.jobs[*place] {
            parent if parent.is_removed => Some(Code::UnknownJob),
            parent if matches!(parent.state, State::Failed | State::Canceled) => Some(Code::DependencyFailed),
            _ => None,
        };
        if let Some(code) = parents.iter().find_map(refusal) {
            assert_eq!(refused(answer), code);
            return;
        }
        let parents: BTreeSet<usize> = parents
            .into_iter()
            .filter(|place| !self.queue.jobs[*place].is_over())
            .collect();
        let share = share.filter(|_| parents.is_empty() && new.spec.run_at.is_none());
        let is_answered = share.is_some_and(|(key, max_age)| {
            max_age >= 0
                && self
                    .queue
                    .finished(key, Timestamp(self.queue.now.0 - max_age))
                    .is_some()
        });
        let told = answer.unwrap().job;
        let leader = share
            .filter(|_| !is_answered)
            .and_then(|(key, _)| self.queue.leader(key));
        // Who of two owners comes first is for the store to say.
        let overtaken = leader.filter(|_| told.shares.is_none());
        if let Some(takes_over) = leader.and_then(|leader| self.queue.takes_over(leader, owner, submission.priority)) {
            assert_eq!(overtaken.is_some(), takes_over, "{submission:#?}");
        }
        let follows = leader.filter(|_| overtaken.is_none());
        let state = match () {
            () if is_answered => State::Succeeded,
            () if !parents.is_empty() || new.spec.run_at.is_some() => State::Scheduled,
            () => State::Queued,
        };
        self.queue.jobs.push(Known {
            id: told.id,
            owner,
            priority: submission.priority,
            max_attempts: submission.max_attempts,
            state,
            attempt: 0,
            cancel_requested: false,
            run_at: new.spec.run_at,
            deadline: new.spec.deadline,
            unique,
            parents,
            leads: share.filter(|_| !is_answered && follows.is_none()).map(|(key, _)| key),
            follows,
            held: None,
            finished_at: is_answered.then_some(self.queue.now),
            is_removed: false,
        });
        if let Some(overtaken) = overtaken {
            self.queue.follow(overtaken, self.seen.len());
        }
        self.seen.push(None);
    }

    async fn claim(&mut self, max: usize) {
        let expected = self.queue.claimable().len().min(max);
        let claimed = self.scene.claim(max).await;
        assert_eq!(claimed.len(), expected);
        for (lease, _) in claimed {
            assert!(self.leases.iter().all(|old| old.fence < lease.fence), "fences grow");
            let place = self.queue.place(&lease.job);
            assert!(self.queue.is_first_of_its_owner(place), "{:#?}", self.queue.jobs[place]);
            self.queue.claim(place, lease.fence);
            self.leases.push(lease);
        }
    }

    async fn beat(&mut self, place: usize) {
        let Some(lease) = self.lease(place) else { return };
        let expected = match self.queue.holder(lease.fence) {
            None => Directive::Lost,
            Some(holder) => {
                let until = self.queue.now.plus_millis(LEASE_MS as u64);
                let job = &mut self.queue.jobs[holder];
                job.held.as_mut().unwrap().until = until;
                match job.cancel_requested {
                    true => Directive::Cancel,
                    false => Directive::Continue,
                }
            }
        };
        let beat = Beat { lease, progress: None };
        assert_eq!(self.scene.jobs().beat(vec![beat]).await.unwrap(), [expected]);
    }

    async fn finish(&mut self, place: usize, end: End) {
        let Some(lease) = self.lease(place) else { return };
        let outcome: Outcome = match end {
            End::Succeeded => succeeded(),
            End::Failed => failed(Code::UnknownColumn),
            End::Crashed => failed(Code::EngineCrashed),
            End::Canceled => canceled(),
        };
        let answer = self.scene.jobs().finish(&lease, outcome).await;
        let Some(holder) = self.queue.holder(lease.fence) else {
            assert_eq!(refused(answer), Code::LeaseLost);
            return;
        };
        let told = answer.unwrap();
        let now = self.queue.now;
        let job = &mut self.queue.jobs[holder];
        match end {
            End::Succeeded => self.queue.end(holder, State::Succeeded),
            End::Canceled => self.queue.end(holder, State::Canceled),
            End::Failed | End::Crashed if job.cancel_requested => self.queue.end(holder, State::Canceled),
            End::Crashed if job.attempt < job.max_attempts => {
                let (least, pause) = (200 << (job.attempt - 1), told.run_at.unwrap().0 - now.0);
                assert!((least..=least + least / 5).contains(&pause), "{pause} of {least}");
                (job.state, job.held, job.run_at) = (State::Scheduled, None, told.run_at);
            }
            End::Crashed => self.queue.give_up(holder),
            End::Failed => self.queue.end(holder, State::Failed),
        }
    }

    async fn release(&mut self, place: usize) {
        let Some(lease) = self.lease(place) else { return };
        let answer = self.scene.jobs().release(&lease).await;
        let Some(holder) = self.queue.holder(lease.fence) else {
            assert_eq!(refused(answer), Code::LeaseLost);
            return;
        };
        answer.unwrap();
        let job = &mut self.queue.jobs[holder];
        job.attempt -= 1;
        if job.cancel_requested {
            self.queue.end(holder, State::Canceled);
        } else {
            (job.state, job.held) = (State::Queued, None);
        }
    }

    async fn cancel(&mut self, place: usize) {
        let Some(place) = self.job(place) else { return };
        let job = &self.queue.jobs[place];
        let answer = self.scene.jobs().cancel(&job.id).await;
        if job.is_removed {
            assert_eq!(refused(answer), Code::UnknownJob);
            return;
        }
        if matches!(job.state, State::Succeeded | State::Failed) {
            assert_eq!(refused(answer), Code::JobFinished);
            return;
        }
        answer.unwrap();
        if !job.is_over() {
            self.queue.cancel(place);
        }
    }

    async fn run_now(&mut self, place: usize) {
        let Some(place) = self.job(place) else { return };
        let job = &mut self.queue.jobs[place];
        let answer = self.scene.queue().run_now(&job.id).await;
        if job.is_removed {
            assert_eq!(refused(answer), Code::UnknownJob);
        } else if job.is_over() {
            assert_eq!(refused(answer), Code::JobFinished);
        } else if job.state == State::Scheduled && job.parents.is_empty() {
            assert_eq!(answer.unwrap().state, State::Queued);
            (job.state, job.run_at) = (State::Queued, None);
        } else {
            assert_eq!(refused(answer), Code::Conflict);
        }
    }

    async fn change(&mut self, change: Change) {
        let Some(place) = self.job(change.job) else { return };
        let now = self.queue.now;
        let seen = self.seen[place].as_ref();
        let revision = seen.map_or(0, |job| job.revision);
        let asked = JobChange {
            priority: change.priority,
            deadline: change.deadline_in.map(|at| at.map(|ms| now.plus_millis(ms))),
            tags: TagChange::Merge(
                change
                    .tag
                    .map(|value| ("team".to_owned(), value.map(|value| value.to_string())))
                    .into_iter()
                    .collect(),
            ),
            revisions: Some(vec![revision.saturating_sub(u64::from(change.is_late))]).filter(|_| seen.is_some()),
        };
        let answer = self
            .scene
            .changes()
            .change(&self.queue.jobs[place].id, asked.clone())
            .await;
        let job = &self.queue.jobs[place];
        let begins_at = job.run_at.filter(|_| job.attempt == 0).unwrap_or(now).max(now);
        let refusal = match () {
            () if job.is_removed => Some(Code::UnknownJob),
            () if job.is_over() => Some(Code::JobFinished),
            () if change.is_late => Some(Code::PreconditionFailed),
            () if asked.deadline.flatten().is_some_and(|at| at <= begins_at) => Some(Code::InvalidParameter),
            () => None,
        };
        if let Some(code) = refusal {
            assert_eq!(refused(answer), code);
            return;
        }
        let told = answer.unwrap();
        let is_other = asked.priority.is_some_and(|priority| priority != job.priority);
        self.queue.change(place, asked.priority, asked.deadline);
        if let Some(tag) = change.tag {
            assert_eq!(told.spec.tags.get("team"), tag.map(|tag| tag.to_string()).as_ref());
        }
        if !is_other {
            return;
        }
        if let Some((leader, follower)) = self.queue.contest(place) {
            let shares = self.scene.get(&self.queue.jobs[follower].id).await.shares;
            let owner = self.queue.jobs[follower].owner;
            // Who of two owners comes first is for the store to say.
            if self.queue.jobs[leader].owner == owner || self.queue.jobs[leader].state != State::Queued {
                let rank = |place: usize| (self.queue.jobs[place].priority, place);
                let overtakes = self.queue.jobs[leader].state == State::Queued && rank(follower) < rank(leader);
                assert_eq!(shares.is_none(), overtakes, "{asked:?}");
            }
            if shares.is_none() {
                self.queue.overtake(leader, follower);
            }
        }
    }

    async fn remove(&mut self, place: usize) {
        let Some(place) = self.job(place) else { return };
        let job = &mut self.queue.jobs[place];
        let answer = self.scene.changes().remove(&job.id).await;
        if job.is_removed {
            assert_eq!(refused(answer), Code::UnknownJob);
        } else if job.is_over() {
            assert_eq!(answer.unwrap(), Vec::<String>::new());
            job.is_removed = true;
            self.seen[place] = None;
        } else {
            assert_eq!(refused(answer), Code::JobNotFinished);
        }
    }

    async fn reap(&mut self) {
        let (told, next_at) = one_by_one::reap_all(&self.scene).await;
        let expected = self.queue.reap();
        assert_eq!((told.0, told.1), (expected.0, expected.1));
        // Who is ended with others may reach a deadline before its turn when they end one by one.
        assert!(told.2 == expected.2 || self.scene.bounds().max_together == 1 && told.2 > expected.2);
        assert_eq!(next_at, self.queue.next_at());
    }

    /// Compares every job with the store, and the store with its invariants.
    async fn agree(&mut self) {
        for (known, seen) in self.queue.jobs.iter().zip(&mut self.seen) {
            if known.is_removed {
                assert_eq!(refused(self.scene.jobs().get(&known.id).await), Code::UnknownJob);
                continue;
            }
            let (job, attempts) = self.scene.jobs().get(&known.id).await.unwrap();
            assert_eq!(
                (job.spec.priority, job.spec.deadline),
                (known.priority, known.deadline),
                "{known:#?}"
            );
            let expected = (known.state, known.attempt, known.cancel_requested, known.run_at);
            assert_eq!(
                (job.state, job.attempt, job.cancel_requested, job.run_at),
                expected,
                "{known:#?}"
            );
            assert_eq!(job.state.is_terminal(), job.finished_at.is_some());
            assert!(job.attempt <= job.spec.retry.max_attempts);
            assert_eq!(job.result.is_some(), job.state == State::Succeeded);
            if !known.is_over() {
                let leader = known.follows.map(|place| self.queue.jobs[place].id.clone());
                assert_eq!(job.shares, leader, "{known:#?}");
            }
            let open = attempts.iter().filter(|attempt| attempt.ended_at.is_none());
            let open: Vec<Fence> = open.map(|attempt| attempt.fence).collect();
            assert_eq!(open, known.held.map(|held| held.fence).into_iter().collect::<Vec<_>>());
            if let Some(before) = seen {
                assert!(before.state == job.state || !before.state.is_terminal());
                assert_eq!(
                    *before == job,
                    before.revision == job.revision,
                    "a change is a revision"
                );
                assert!(before.revision <= job.revision);
            }
            *seen = Some(job);
        }
        assert!(self.queue.has_one_leader_for_each_key(), "{:#?}", self.queue.jobs);
        self.scene.is_sound().await;
    }

    /// The log tells of each job all its revisions, in order, by legal moves, and ends with its state.
    async fn check_log(&self) {
        for job in self.seen.iter().flatten() {
            let events = self
                .scene
                .events()
                .list(EventId(0), Some(&job.id), 1_000)
                .await
                .unwrap();
            let revisions: Vec<u64> = events.iter().map(|event| event.revision).collect();
            assert_eq!(revisions, (1..=job.revision).collect::<Vec<_>>());
            let states: Vec<State> = events.iter().filter_map(state_of).collect();
            assert_eq!(states.last(), Some(&job.state));
            for pair in states.windows(2) {
                // A running job is asked to stop, a queued one follows another from now on, any is changed.
                let stays = pair[0] == pair[1] && !pair[0].is_terminal();
                assert!(stays || pair[0].may_become(pair[1]), "{} to {}", pair[0], pair[1]);
            }
        }
    }
}

async fn compare(scene: Scene, steps: Vec<Step>) {
    let mut model = Model::new(scene);
    for step in steps {
        model.take(step).await;
        model.agree().await;
    }
    model.check_log().await;
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .unwrap()
}

/// `PROPTEST_CASES`, or few enough for every day.
fn cases() -> u32 {
    std::env::var_os("PROPTEST_CASES").map_or(64, |_| ProptestConfig::default().cases)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: cases(), failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn the_store_agrees_with_its_model(steps in vec(step(), 1..60)) {
        runtime().block_on(compare(Scene::new(EmbeddedHarness::new()), steps));
    }

    #[test]
    fn identical_jobs_agree_with_the_model(steps in vec(crowded_step(), 1..60)) {
        runtime().block_on(compare(Scene::new(EmbeddedHarness::new()), steps));
    }
}
