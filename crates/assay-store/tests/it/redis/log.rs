//! What the log says of a server that goes and comes back: once each, though many ask for it all the time.

use std::fmt::{Debug, Write as _};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use assay_core::{Code, Jobs as _};
use tracing::field::{Field, Visit};
use tracing::span;
use tracing::{Event, Level, Metadata, Subscriber};

use super::faults::{submit, submit_at_last};
use super::{Server, open};
use crate::support::{refused, worker};

/// The lines of a log.
#[derive(Debug, Clone, Default)]
struct Log(Arc<Mutex<Vec<(Level, String)>>>);

impl Log {
    /// Takes those of a level.
    fn take(&self, level: Level) -> Vec<String> {
        let mut lines = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let (taken, rest): (Vec<_>, Vec<_>) = std::mem::take(&mut *lines)
            .into_iter()
            .partition(|line| line.0 == level);
        *lines = rest;
        taken.into_iter().map(|(_, line)| line).collect()
    }
}

struct Line(String);

impl Visit for Line {
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        write!(self.0, "{field}={value:?} ").unwrap();
    }
}

impl Subscriber for Log {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.target().starts_with("assay_store")
    }

    fn event(&self, event: &Event<'_>) {
        let mut line = Line(String::new());
        event.record(&mut line);
        let mut lines = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        lines.push((*event.metadata().level(), line.0));
    }

    fn new_span(&self, _: &span::Attributes<'_>) -> span::Id {
        span::Id::from_u64(1)
    }

    fn record(&self, _: &span::Id, _: &span::Record<'_>) {}
    fn record_follows_from(&self, _: &span::Id, _: &span::Id) {}
    fn enter(&self, _: &span::Id) {}
    fn exit(&self, _: &span::Id) {}
}

#[tokio::test]
async fn a_server_that_goes_and_comes_back_is_told_once_each() {
    let log = Log::default();
    // While there is one alone, a line that another thread comes by first is never asked for again.
    let _second = tracing::Dispatch::new(Log::default());
    let _heard = tracing::subscriber::set_default(log.clone());
    let mut server = Server::start();
    let store = open(&server, |settings| settings.timeout = Duration::from_secs(3))
        .await
        .unwrap();
    let inbox = store.inbox();
    let mut reader = inbox.reader();
    submit(&store).await.unwrap();
    // The first read of all makes the group.
    assert_eq!(reader.next().await.unwrap(), None);
    log.take(Level::WARN);
    server.kill();
    for _ in 0..2 {
        assert_eq!(refused(reader.next().await), Code::StoreFailed);
        assert_eq!(refused(inbox.left(None).await), Code::StoreFailed);
        assert_eq!(refused(store.claim(&worker(), 1, None).await), Code::StoreFailed);
    }
    let told = log.take(Level::ERROR);
    assert!(
        matches!(&told[..], [line] if line.contains("the server of the store is away")),
        "{told:#?}"
    );
    log.take(Level::INFO);
    server.start_again();
    submit_at_last(&store).await;
    assert_eq!(store.claim(&worker(), 1, None).await.unwrap().len(), 1);
    reader.next().await.unwrap();
    let told = log.take(Level::INFO);
    let back = told
        .iter()
        .filter(|line| line.contains("the server of the store is there again"));
    assert_eq!(back.count(), 1, "{told:#?}");
    assert_eq!(log.take(Level::ERROR), [""; 0]);
}
