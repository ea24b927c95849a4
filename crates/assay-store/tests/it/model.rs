//! Random operations on a store and on a small model of it, which must agree after each.
//!
//! The model says what may happen to a job; it knows no events, results or data sets.

use assay_core::{Beat, Clock as _, Code, Directive, Fence, Job, JobId, Lease, Outcome, Retry, State, Timestamp};
use proptest::collection::vec;
use proptest::prelude::*;

use crate::support::{EmbeddedHarness, LEASE_MS, Scene, canceled, failed, refused, state_of, succeeded};

#[derive(Debug, Clone, Copy)]
enum End {
    Succeeded,
    Failed,
    Crashed,
    Canceled,
}

/// Places are taken modulo what there is.
#[derive(Debug, Clone)]
enum Step {
    Submit { priority: u8, max_attempts: u32 },
    Claim { max: usize },
    Beat { lease: usize },
    Finish { lease: usize, end: End },
    Release { lease: usize },
    Cancel { job: usize },
    Advance { milliseconds: i64 },
    Reap,
    Reopen,
}

fn step() -> impl Strategy<Value = Step> {
    let end = prop_oneof![
        Just(End::Succeeded),
        Just(End::Failed),
        Just(End::Crashed),
        Just(End::Canceled)
    ];
    prop_oneof![
        4 => (0_u8..3, 1_u32..4).prop_map(|(priority, max_attempts)| Step::Submit { priority, max_attempts }),
        5 => (1_usize..4).prop_map(|max| Step::Claim { max }),
        2 => any::<usize>().prop_map(|lease| Step::Beat { lease }),
        4 => (any::<usize>(), end).prop_map(|(lease, end)| Step::Finish { lease, end }),
        1 => any::<usize>().prop_map(|lease| Step::Release { lease }),
        2 => any::<usize>().prop_map(|job| Step::Cancel { job }),
        3 => prop_oneof![Just(50_i64), Just(300), Just(10_000), Just(LEASE_MS)]
            .prop_map(|milliseconds| Step::Advance { milliseconds }),
        2 => Just(Step::Reap),
        1 => Just(Step::Reopen),
    ]
}

#[derive(Debug, Clone)]
struct Known {
    id: JobId,
    priority: u8,
    max_attempts: u32,
    state: State,
    attempt: u32,
    cancel_requested: bool,
    run_at: Option<Timestamp>,
    /// Fence and end of the lease of a running job.
    held: Option<(Fence, Timestamp)>,
    /// As last read from the store.
    seen: Option<Job>,
}

impl Known {
    fn end(&mut self, state: State) {
        self.state = state;
        self.cancel_requested = false;
        self.run_at = None;
        self.held = None;
    }

    fn lose(&mut self) {
        match () {
            () if self.cancel_requested => self.end(State::Canceled),
            () if self.attempt >= self.max_attempts => self.end(State::Failed),
            () => self.end(State::Queued),
        }
    }
}

struct Model {
    scene: Scene,
    /// In order of submission.
    jobs: Vec<Known>,
    /// Every lease that was ever given.
    leases: Vec<Lease>,
}

impl Model {
    fn find(&mut self, id: &JobId) -> &mut Known {
        self.jobs.iter_mut().find(|job| job.id == *id).unwrap()
    }

    /// The job of the lease, when the lease is the newest and has not run out.
    fn holder(&mut self, lease: &Lease) -> Option<&mut Known> {
        let now = self.scene.clock.now();
        let job = self.find(&lease.job);
        let (fence, until) = job.held?;
        (fence == lease.fence && now < until).then_some(job)
    }

    fn lease(&self, place: usize) -> Option<Lease> {
        (!self.leases.is_empty()).then(|| self.leases[place % self.leases.len()].clone())
    }

    fn lease_end(&self) -> Timestamp {
        Timestamp(self.scene.clock.now().0 + LEASE_MS)
    }

    async fn take(&mut self, step: Step) {
        match step {
            Step::Submit { priority, max_attempts } => self.submit(priority, max_attempts).await,
            Step::Claim { max } => self.claim(max).await,
            Step::Beat { lease } => self.beat(lease).await,
            Step::Finish { lease, end } => self.finish(lease, end).await,
            Step::Release { lease } => self.release(lease).await,
            Step::Cancel { job } => self.cancel(job).await,
            Step::Advance { milliseconds } => self.scene.advance(milliseconds),
            Step::Reap => self.reap().await,
            Step::Reopen => {
                self.scene.reopen();
                let running = self.jobs.iter_mut().filter(|job| job.state == State::Running);
                running.for_each(Known::lose);
            }
        }
    }

    async fn submit(&mut self, priority: u8, max_attempts: u32) {
        let retry = Retry {
            max_attempts,
            base_ms: 200,
            max_ms: 60_000,
        };
        let id = self
            .scene
            .submit_as(|job| {
                job.priority = priority;
                job.retry = retry;
            })
            .await;
        self.jobs.push(Known {
            id,
            priority,
            max_attempts,
            state: State::Queued,
            attempt: 0,
            cancel_requested: false,
            run_at: None,
            held: None,
            seen: None,
        });
    }

    async fn claim(&mut self, max: usize) {
        let mut queued: Vec<&Known> = self.jobs.iter().filter(|job| job.state == State::Queued).collect();
        queued.sort_by_key(|job| job.priority);
        let expected: Vec<JobId> = queued.iter().take(max).map(|job| job.id.clone()).collect();
        let claimed = self.scene.claim(max).await;
        let ids: Vec<JobId> = claimed.iter().map(|(lease, _)| lease.job.clone()).collect();
        assert_eq!(ids, expected);
        let until = self.lease_end();
        for (lease, _) in claimed {
            assert!(self.leases.iter().all(|old| old.fence < lease.fence), "fences grow");
            let job = self.find(&lease.job);
            job.state = State::Running;
            job.attempt += 1;
            job.held = Some((lease.fence, until));
            self.leases.push(lease);
        }
    }

    async fn beat(&mut self, place: usize) {
        let Some(lease) = self.lease(place) else { return };
        let until = self.lease_end();
        let expected = match self.holder(&lease) {
            None => Directive::Lost,
            Some(job) => {
                job.held = Some((lease.fence, until));
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
        let now = self.scene.clock.now();
        let Some(job) = self.holder(&lease) else {
            assert_eq!(refused(answer), Code::LeaseLost);
            return;
        };
        let told = answer.unwrap();
        match end {
            End::Succeeded => job.end(State::Succeeded),
            End::Canceled => job.end(State::Canceled),
            End::Failed | End::Crashed if job.cancel_requested => job.end(State::Canceled),
            End::Crashed if job.attempt < job.max_attempts => {
                let (least, pause) = (200 << (job.attempt - 1), told.run_at.unwrap().0 - now.0);
                assert!((least..=least + least / 5).contains(&pause), "{pause}");
                job.end(State::Scheduled);
                job.run_at = told.run_at;
            }
            End::Failed | End::Crashed => job.end(State::Failed),
        }
        assert_eq!(told.state, job.state);
    }

    async fn release(&mut self, place: usize) {
        let Some(lease) = self.lease(place) else { return };
        let answer = self.scene.jobs().release(&lease).await;
        let Some(job) = self.holder(&lease) else {
            assert_eq!(refused(answer), Code::LeaseLost);
            return;
        };
        answer.unwrap();
        job.attempt -= 1;
        let state = if job.cancel_requested {
            State::Canceled
        } else {
            State::Queued
        };
        job.end(state);
    }

    async fn cancel(&mut self, place: usize) {
        if self.jobs.is_empty() {
            return;
        }
        let place = place % self.jobs.len();
        let job = &mut self.jobs[place];
        let answer = self.scene.jobs().cancel(&job.id).await;
        match job.state {
            State::Scheduled | State::Queued => job.end(State::Canceled),
            State::Running => job.cancel_requested = true,
            State::Canceled => {}
            State::Succeeded | State::Failed => {
                assert_eq!(refused(answer), Code::JobFinished);
                return;
            }
        }
        assert_eq!(answer.unwrap().state, job.state);
    }

    async fn reap(&mut self) {
        let now = self.scene.clock.now();
        let (mut queued, mut lost) = (0, 0);
        for job in &mut self.jobs {
            if job.run_at.is_some_and(|at| at <= now) {
                job.end(State::Queued);
                queued += 1;
            } else if job.held.is_some_and(|(_, until)| until <= now) {
                job.lose();
                lost += 1;
            }
        }
        let reaped = self.scene.jobs().reap().await.unwrap();
        let ends = self
            .jobs
            .iter()
            .filter_map(|job| job.run_at.or(job.held.map(|(_, until)| until)));
        assert_eq!((reaped.queued, reaped.lost, reaped.next_at), (queued, lost, ends.min()));
    }

    /// The store shows every job as the model knows it, and keeps the rules that hold for any history.
    async fn check(&mut self) {
        for known in &mut self.jobs {
            let (job, attempts) = self.scene.ports().jobs.get(&known.id).await.unwrap();
            assert_eq!(
                (job.state, job.attempt, job.cancel_requested, job.run_at),
                (known.state, known.attempt, known.cancel_requested, known.run_at)
            );
            assert!(job.attempt <= job.spec.retry.max_attempts);
            assert_eq!(job.finished_at.is_some(), job.state.is_terminal());
            assert_eq!(job.result.is_some(), job.state == State::Succeeded);
            let open = attempts.iter().filter(|attempt| attempt.outcome.is_none()).count();
            assert_eq!(
                open,
                usize::from(job.state == State::Running),
                "one open attempt while it runs"
            );
            if let Some(before) = &known.seen {
                assert!(!before.state.is_terminal() || *before == job, "an end is the end");
                assert_eq!(
                    before == &job,
                    before.revision == job.revision,
                    "a change is a revision"
                );
                assert!(before.revision <= job.revision);
            }
            known.seen = Some(job);
        }
    }

    /// The log tells of each job all its revisions, in order, and ends with its state.
    async fn check_log(&self) {
        for known in &self.jobs {
            let job = known.seen.as_ref().unwrap();
            let events = self
                .scene
                .events()
                .list(Default::default(), Some(&known.id), 1_000)
                .await
                .unwrap();
            let revisions: Vec<u64> = events.iter().map(|event| event.revision).collect();
            assert_eq!(revisions, (1..=job.revision).collect::<Vec<_>>());
            assert_eq!(events.last().and_then(state_of), Some(job.state));
            let states: Vec<State> = events.iter().filter_map(state_of).collect();
            for pair in states.windows(2) {
                let asked_to_stop = pair[0] == State::Running && pair[1] == State::Running;
                assert!(
                    asked_to_stop || pair[0].may_become(pair[1]),
                    "{} to {}",
                    pair[0],
                    pair[1]
                );
            }
        }
    }
}

async fn agree(steps: Vec<Step>) {
    let mut model = Model {
        scene: Scene::new(EmbeddedHarness::new()),
        jobs: Vec::new(),
        leases: Vec::new(),
    };
    for step in steps {
        model.take(step).await;
        model.check().await;
    }
    model.check_log().await;
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn the_store_agrees_with_its_model(steps in vec(step(), 1..60)) {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        runtime.block_on(agree(steps));
    }
}
