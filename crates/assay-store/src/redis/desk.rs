//! What an operation works with: the time, what it has read, and the step that it makes of it.
//!
//! An operation reads, decides, and puts conditions on what it has read and the writes that follow into the step. When
//! the conditions do not hold any more, somebody else was first, and it is done again from the start.

use std::hash::{BuildHasher as _, Hasher as _, RandomState};
use std::sync::Arc;
use std::time::Duration;

use assay_core::{Result, Timestamp};

use super::failure::{Fallible, Fault};
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
}

impl Desk {
    async fn open(store: &Arc<Inner>) -> Fallible<Self> {
        Ok(Self {
            now: store.now().await?,
            store: Arc::clone(store),
            step: Step::default(),
        })
    }
}

impl RedisStore {
    /// Does `work` at a desk and applies its step; again while others are faster.
    pub(super) async fn run<T, F, W>(&self, attempted: &'static str, work: F) -> Result<T>
    where
        F: Fn(Desk) -> W,
        W: Future<Output = (Desk, Fallible<T>)>,
    {
        let done = self.try_to(work).await;
        done.map_err(|fault| fault.into_error(attempted))
    }

    async fn try_to<T, F, W>(&self, work: F) -> Fallible<T>
    where
        F: Fn(Desk) -> W,
        W: Future<Output = (Desk, Fallible<T>)>,
    {
        for number in 0..TRIES {
            let (desk, done) = work(Desk::open(&self.inner).await?).await;
            let applied = match done {
                Ok(answer) => desk.step.apply(&self.inner).await.map(|()| answer),
                refused => refused,
            };
            match applied {
                Err(Fault::Overtaken) => pause(number).await,
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
