//! What an operation works with: the time, what it has read, and the step that it makes of it.
//!
//! An operation reads, decides, and puts conditions on what it has read and the writes that follow into the step. When
//! the conditions do not hold any more, somebody else was first, and it is done again from the start.

use std::hash::{BuildHasher as _, Hasher as _, RandomState};
use std::sync::Arc;
use std::time::Duration;

use assay_core::{JobId, Result, Timestamp};

use super::failure::{Fallible, Fault};
use super::jobs::{Sheet, take, take_found};
use super::step::Step;
use super::{Inner, RedisStore};

/// How often an operation is tried while others are faster.
const TRIES: u32 = 50;
/// Longest pause before another try, in microseconds.
const MAX_PAUSE_US: u64 = 50_000;

pub(super) struct Desk {
    pub store: Arc<Inner>,
    pub now: Timestamp,
    pub step: Step,
    pub sheet: Sheet,
}

impl Desk {
    /// Reads the time, and jobs that will be needed.
    async fn open(store: &Arc<Inner>, ids: &[JobId]) -> Fallible<Self> {
        let mut desk = Self {
            now: Timestamp(0),
            store: Arc::clone(store),
            step: Step::default(),
            sheet: Sheet::default(),
        };
        let mut pipeline = redis::pipe();
        if store.clock.is_none() {
            pipeline.cmd("TIME");
        }
        for id in ids {
            Sheet::ask(&mut pipeline, &store.keys, id);
        }
        let mut found = Vec::new().into_iter();
        if !pipeline.is_empty() {
            let answers: Vec<redis::Value> = store.connection.pipe(&pipeline).await?;
            found = answers.into_iter();
        }
        desk.now = match &store.clock {
            Some(clock) => clock.now(),
            None => super::time_of(take(&mut found)?),
        };
        for id in ids {
            desk.sheet.put(id, take_found(&mut found)?)?;
        }
        Ok(desk)
    }

    async fn close(mut self) -> Fallible<()> {
        self.sheet.write(&mut self.step, &self.store.keys)?;
        self.step.apply(&self.store).await
    }
}

impl RedisStore {
    /// Does `work` at a desk and applies its step; again while others are faster.
    pub(super) async fn run<T, F, W>(&self, attempted: &'static str, work: F) -> Result<T>
    where
        F: Fn(Desk) -> W,
        W: Future<Output = (Desk, Fallible<T>)>,
    {
        self.run_on(attempted, &[], work).await
    }

    /// As `run`, with jobs that are read together with the time.
    pub(super) async fn run_on<T, F, W>(&self, attempted: &'static str, ids: &[JobId], work: F) -> Result<T>
    where
        F: Fn(Desk) -> W,
        W: Future<Output = (Desk, Fallible<T>)>,
    {
        let done = self.attempt(ids, work).await;
        done.map_err(|fault| fault.into_error(attempted))
    }

    pub(super) async fn attempt<T, F, W>(&self, ids: &[JobId], work: F) -> Fallible<T>
    where
        F: Fn(Desk) -> W,
        W: Future<Output = (Desk, Fallible<T>)>,
    {
        for number in 0..TRIES {
            let (desk, done) = work(Desk::open(&self.inner, ids).await?).await;
            let applied = match done {
                Ok(answer) => desk.close().await.map(|()| answer),
                refused => refused,
            };
            match applied {
                Err(Fault::Overtaken) => {
                    // What is out of date may have been remembered.
                    self.inner.known_hooks.clear();
                    pause(number).await;
                }
                done => return done,
            }
        }
        Err(Fault::Overtaken)
    }
}

/// A random pause that grows with every try, so that those who meet do not meet again.
async fn pause(number: u32) {
    let most = MAX_PAUSE_US.min(100 << number.min(16));
    let chosen = RandomState::new().build_hasher().finish() % most;
    tokio::time::sleep(Duration::from_micros(chosen)).await;
}
