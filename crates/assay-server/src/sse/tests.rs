//! Streams over a real store whose log is short.

use std::sync::Arc;

use assay_core::{Code, Completion, JobSpec, NewJob, Order, RunControl, Runner, SystemClock};
use assay_store::{EmbeddedStore, RedisLinks, StoreSettings};
use axum::body::{Body, to_bytes};
use serde_json::Value;
use tokio::sync::watch;

use super::*;
use crate::app::{App, Services};
use crate::{ServerSettings, asker::Asker};

/// More events than a listener may be behind.
const FLOOD: usize = 2_500;

/// Long beyond what anything here takes.
const PATIENCE: Duration = Duration::from_secs(60);

struct NoEngine;

#[async_trait::async_trait]
impl Runner for NoEngine {
    async fn run(&self, _: Order, _: RunControl) -> Result<Completion> {
        Err(Error::new(Code::EngineCrashed, "there is no engine here"))
    }
}

fn services(store: &EmbeddedStore, shutdown: watch::Receiver<bool>) -> Services {
    Services {
        catalog: Arc::new(store.clone()),
        records: Arc::new(store.clone()),
        jobs: Arc::new(store.clone()),
        queue: Arc::new(store.clone()),
        changes: Arc::new(store.clone()),
        events: Arc::new(store.clone()),
        schedules: Arc::new(store.clone()),
        outbox: Arc::new(store.clone()),
        hooks: Arc::new(store.clone()),
        runner: Arc::new(NoEngine),
        links: Arc::new(RedisLinks::default()),
        objects: store.objects(),
        analyses: Arc::new(Vec::new()),
        clock: Arc::new(SystemClock),
        settings: ServerSettings::default(),
        shutdown,
    }
}

struct Setting {
    _folder: tempfile::TempDir,
    _open: watch::Sender<bool>,
    app: Shared,
}

fn setting() -> Setting {
    setting_with(StoreSettings {
        kept_events: 10,
        ..StoreSettings::default()
    })
}

fn setting_with(settings: StoreSettings) -> Setting {
    let folder = tempfile::tempdir().unwrap();
    let store = EmbeddedStore::open(folder.path(), Arc::new(SystemClock), settings).unwrap();
    let (open, shutdown) = watch::channel(false);
    let app = Arc::new(App::new(services(&store, shutdown), Value::Null));
    Setting {
        _folder: folder,
        _open: open,
        app,
    }
}

async fn submit(app: &Shared, owner: &str) -> JobId {
    let spec = JobSpec {
        owner: owner.parse().unwrap(),
        ..JobSpec::new("ping", Value::Object(serde_json::Map::new()))
    };
    let job = NewJob {
        id: JobId::generate(app.clock.now()),
        spec,
        sharing: None,
    };
    app.jobs.submit(job, None).await.unwrap().job.id
}

async fn come_and_go(app: &Shared) {
    let id = submit(app, "other").await;
    app.jobs.cancel(&id).await.unwrap();
}

/// More happens than a listener may be behind, and than the log keeps.
async fn flood(app: &Shared) {
    futures::future::join_all((0..FLOOD).map(|_| come_and_go(app))).await;
}

/// What comes until the stream ends by itself.
async fn text(body: Body) -> String {
    let whole = tokio::time::timeout(PATIENCE, to_bytes(body, 1 << 24)).await;
    let whole = whole.expect("the stream ends").unwrap();
    String::from_utf8(whole.to_vec()).unwrap()
}

fn names(text: &str) -> Vec<&str> {
    text.lines().filter_map(|line| line.strip_prefix("event: ")).collect()
}

#[tokio::test]
async fn a_stream_ends_although_the_end_of_its_job_left_the_log_unread() {
    let Setting { _folder, _open, app } = setting();
    let id = submit(&app, "anna").await;
    let keeper = Asker::of("anna".parse().unwrap());
    let stream = of_job(app.clone(), &keeper, id.clone(), None).await.unwrap();
    app.jobs.cancel(&id).await.unwrap();
    flood(&app).await;
    let text = text(stream.into_body()).await;
    assert_eq!(names(&text), ["job.snapshot", "job.snapshot"], "{text}");
    assert!(
        text.trim_end()
            .rsplit("data: ")
            .next()
            .unwrap()
            .contains(r#""state":"canceled""#),
        "{text}"
    );
}

#[tokio::test]
async fn a_stream_ends_although_its_job_was_removed_unread() {
    let Setting { _folder, _open, app } = setting_with(StoreSettings::default());
    // The log goes back to before the job.
    come_and_go(&app).await;
    let id = submit(&app, "anna").await;
    let keeper = Asker::of("anna".parse().unwrap());
    let stream = of_job(app.clone(), &keeper, id.clone(), None).await.unwrap();
    app.jobs.cancel(&id).await.unwrap();
    // The newest event of all would stay.
    come_and_go(&app).await;
    app.changes.remove(&id).await.unwrap();
    flood(&app).await;
    let text = text(stream.into_body()).await;
    assert_eq!(names(&text), ["job.snapshot"], "{text}");
}

#[tokio::test]
async fn a_stream_of_a_job_that_goes_on_tells_it_again_and_then_its_end() {
    let Setting { _folder, _open, app } = setting();
    let id = submit(&app, "anna").await;
    let keeper = Asker::of("anna".parse().unwrap());
    let stream = of_job(app.clone(), &keeper, id.clone(), None).await.unwrap();
    flood(&app).await;
    let reading = tokio::spawn(text(stream.into_body()));
    app.jobs.cancel(&id).await.unwrap();
    let text = reading.await.unwrap();
    assert_eq!(names(&text).first(), Some(&"job.snapshot"), "{text}");
    assert!(text.contains(r#""state":"canceled""#), "{text}");
}
