//! Who writes records to the same data set at the same time, in this process: their writes become one step. So a busy
//! data set costs one round for many, and processes get into each other's way rarely.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use assay_core::{Code, DatasetName, Error, Result, Written};
use tokio::sync::oneshot;

use super::writes::{self, Request};
use crate::redis::{Inner, RedisStore};

/// Requests, records of them, and bytes of these, that become one step.
const MAX_REQUESTS: usize = 256;
const MAX_RECORDS: usize = 2_000;
const MAX_BYTES: usize = 8 << 20;
/// Requests that wait for one data set before further ones are refused.
const MAX_WAITING: usize = 4_096;

#[derive(Debug)]
struct Waiting {
    request: Request,
    answer: oneshot::Sender<Result<Written>>,
}

/// By folded name who waits. A name is there as long as a task writes for it.
#[derive(Debug, Default)]
pub(super) struct Writers(Mutex<HashMap<String, Vec<Waiting>>>);

impl Writers {
    fn lock(&self) -> MutexGuard<'_, HashMap<String, Vec<Waiting>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Puts a request in line. Answers whether nobody writes for it yet.
    fn push(&self, folded: &str, waiting: Waiting) -> Result<bool> {
        match self.lock().entry(folded.to_owned()) {
            Entry::Vacant(place) => {
                place.insert(vec![waiting]);
                Ok(true)
            }
            Entry::Occupied(mut line) if line.get().len() < MAX_WAITING => {
                line.get_mut().push(waiting);
                Ok(false)
            }
            Entry::Occupied(_) => {
                let message = format!("too many writes wait for data set `{folded}`");
                Err(Error::new(Code::Overloaded, message).hint("try again in a moment"))
            }
        }
    }

    /// Takes the next ones out; none when nobody waits, and then nobody writes for them any more.
    fn next(&self, folded: &str) -> Vec<Waiting> {
        let mut lines = self.lock();
        let Some(line) = lines.get_mut(folded) else {
            return Vec::new();
        };
        let (mut taken, mut records, mut bytes) = (0, 0, 0);
        for Waiting { request, .. } in line.iter().take(MAX_REQUESTS) {
            records += request.writes.len();
            bytes += request.bytes();
            if taken > 0 && (records > MAX_RECORDS || bytes > MAX_BYTES) {
                break;
            }
            taken += 1;
        }
        let next: Vec<Waiting> = line.drain(..taken).collect();
        if next.is_empty() {
            lines.remove(folded);
        }
        next
    }

    /// Takes all out who wait.
    fn rest(&self, folded: &str) -> Vec<Waiting> {
        self.lock().get_mut(folded).map(std::mem::take).unwrap_or_default()
    }
}

/// Lets those who still wait know when the task that writes for them ends before its time.
struct Turn {
    store: Arc<Inner>,
    folded: String,
    /// Nobody waits; another task may have the name already.
    is_over: bool,
}

impl Drop for Turn {
    fn drop(&mut self) {
        if !self.is_over {
            self.store.data.writers.lock().remove(&self.folded);
        }
    }
}

impl RedisStore {
    /// Makes the writes of a request, together with those of others.
    pub(super) async fn write_records(&self, name: &DatasetName, request: Request) -> Result<Written> {
        let (answer, answered) = oneshot::channel();
        let folded = name.folded();
        if self.inner.data.writers.push(&folded, Waiting { request, answer })? {
            // The task ends when nobody waits any more. Whoever gives up waiting does not take the others with him.
            let (store, name) = (self.clone(), name.clone());
            tokio::spawn(async move { store.write_for(&name).await });
        }
        answered.await.unwrap_or_else(|_| Err(Error::internal("write records")))
    }

    async fn write_for(self, name: &DatasetName) {
        let folded = name.folded();
        let mut turn = Turn {
            store: Arc::clone(&self.inner),
            folded: folded.clone(),
            is_over: false,
        };
        loop {
            let next = self.inner.data.writers.next(&folded);
            if next.is_empty() {
                turn.is_over = true;
                return;
            }
            let (requests, answers): (Vec<_>, Vec<_>) = next
                .into_iter()
                .map(|waiting| (waiting.request, waiting.answer))
                .unzip();
            let requests = &requests;
            let written = self
                .run("write records", |mut desk| async move {
                    let done = writes::write(&mut desk, name, requests).await;
                    (desk, done)
                })
                .await;
            if let Err(error) = &written
                && error.code == Code::StoreFailed
            {
                // Nobody waits for the same again and again.
                for waiting in self.inner.data.writers.rest(&folded) {
                    let _ = waiting.answer.send(Err(error.clone()));
                }
            }
            for (at, answer) in answers.into_iter().enumerate() {
                let result = match &written {
                    Ok(each) => each
                        .get(at)
                        .cloned()
                        .unwrap_or_else(|| Err(Error::internal("write records"))),
                    Err(error) => Err(error.clone()),
                };
                // Who does not wait any more needs no answer.
                let _ = answer.send(result);
            }
        }
    }
}
