//! Answers what services ask for through Redis alone: the inbox of a store that many share, read by every server of it.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use assay_core::Error;
use assay_server::{Problem, Submissions};
use assay_store::{Inbox, InboxEntry};
use futures::stream::{self, StreamExt as _};
use serde_json::{Value, json};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::sleep;

/// Entries that are dealt with at the same time.
const AT_ONCE: usize = 16;
/// Entries that this server has put off before it reads no further ones, so that they wait in the stream.
const MAX_PUT_OFF: usize = 200;
/// Time between two looks for what was put off or left by others, and the pause after a fault.
const PAUSE: Duration = Duration::from_secs(1);

struct Desk {
    inbox: Inbox,
    submissions: Submissions,
    /// Entries that were put off since the last look for such.
    put_off: AtomicUsize,
}

/// Answers until `shutdown` becomes true or its sender is gone; then what was begun.
pub async fn answer_until(inbox: Inbox, submissions: Submissions, shutdown: watch::Receiver<bool>) {
    let desk = Arc::new(Desk {
        inbox,
        submissions,
        put_off: AtomicUsize::new(0),
    });
    tokio::join!(answer_new(&desk, shutdown.clone()), answer_left(&desk, shutdown),);
}

async fn answer_new(desk: &Arc<Desk>, mut shutdown: watch::Receiver<bool>) {
    let mut reader = desk.inbox.reader();
    let mut answering = JoinSet::new();
    loop {
        while answering.len() >= AT_ONCE {
            note(answering.join_next().await);
        }
        let read = async {
            if desk.put_off.load(Ordering::Relaxed) >= MAX_PUT_OFF {
                sleep(PAUSE).await;
                return Ok(None);
            }
            reader.next().await
        };
        let read = tokio::select! {
            stopped = shutdown.wait_for(|stop| *stop) => {
                drop(stopped);
                break;
            }
            read = read => read,
        };
        match read {
            Ok(Some(entry)) => {
                let desk = Arc::clone(desk);
                answering.spawn(async move { desk.deal_with(entry).await });
            }
            Ok(None) => {}
            // The store has told the cause.
            Err(_) => sleep(PAUSE).await,
        }
        while let Some(ended) = answering.try_join_next() {
            note(Some(ended));
        }
    }
    while let Some(ended) = answering.join_next().await {
        note(Some(ended));
    }
}

/// An entry whose task panicked is read again a few times, then refused.
fn note(ended: Option<Result<(), tokio::task::JoinError>>) {
    if let Some(Err(cause)) = ended {
        tracing::error!(error = %cause, "the task of a request from the inbox panicked");
    }
}

async fn answer_left(desk: &Desk, mut shutdown: watch::Receiver<bool>) {
    loop {
        tokio::select! {
            stopped = shutdown.wait_for(|stop| *stop) => {
                drop(stopped);
                return;
            }
            () = sleep(PAUSE) => {}
        }
        desk.put_off.store(0, Ordering::Relaxed);
        let mut from = None;
        // The store has told the cause of a fault, and the next look may fare better.
        while let Ok((entries, next)) = desk.inbox.left(from).await {
            let dealing = stream::iter(entries).map(|entry| desk.deal_with(entry));
            dealing.buffer_unordered(AT_ONCE).collect::<()>().await;
            if next.is_none() || *shutdown.borrow() {
                break;
            }
            from = next;
        }
    }
}

impl Desk {
    async fn deal_with(&self, entry: InboxEntry) {
        let accepted = match &entry.request {
            Ok(request) => {
                let user = request.user.as_deref();
                self.submissions
                    .submit(user, &request.job, &request.idempotency_key)
                    .await
            }
            Err(fault) => Err(fault.clone()),
        };
        let told = match accepted {
            Ok(accepted) => serde_json::to_value(accepted),
            Err(error) if is_passing(&error) => return self.put_off(&entry).await,
            Err(error) => {
                tracing::info!(inbox.entry = entry.id, code = %error.code, "refused a request from the inbox");
                serde_json::to_value(Problem::from(error))
            }
        };
        if self.inbox.answer(&entry, &answer(&entry.id, told)).await.is_err() {
            tracing::warn!(inbox.entry = entry.id, "a request from the inbox is answered later");
        }
    }

    async fn put_off(&self, entry: &InboxEntry) {
        self.put_off.fetch_add(1, Ordering::Relaxed);
        if self.inbox.put_off(entry).await.is_err() {
            tracing::warn!(
                inbox.entry = entry.id,
                "a request from the inbox counts as read though it waits"
            );
        }
    }
}

/// Whether the request may pass when it comes again: what would be `429` or `503` over HTTP.
fn is_passing(error: &Error) -> bool {
    matches!(assay_server::status(error.code).as_u16(), 429 | 503)
}

/// The answer to an entry, which it names.
fn answer(entry: &str, told: serde_json::Result<Value>) -> String {
    let mut answer = json!({ "entry": entry });
    // Structs of text and numbers: they always serialize, as objects.
    if let (Value::Object(answer), Ok(Value::Object(told))) = (&mut answer, told) {
        answer.extend(told);
    }
    answer.to_string()
}
