//! What an order reads beside data sets: the answer of a job, and tables of the history.

use std::sync::Arc;

use assay_core::{
    Code, HISTORY_ROWS, History, HistoryRows, HistoryTable, InputSource, JobId, Result, ResultData, State, Task,
    UserName,
};
use async_trait::async_trait;
use serde_json::json;

use crate::support::{Call, Scene, settings};

fn inputs(call: &Call) -> &[assay_core::Input] {
    match &call.order.task {
        Task::Analyze { inputs, .. } => inputs,
        other => panic!("{other:?}"),
    }
}

async fn on(scene: &Scene, job: &JobId) -> JobId {
    scene
        .submit_as("describe", json!({}), |spec| spec.input_job = Some(job.clone()))
        .await
}

#[tokio::test]
async fn an_order_has_the_answer_of_the_job_it_reads() {
    let mut scene = Scene::new();
    let worker = scene.work(settings());
    let first = scene.submit().await;
    scene.call().await.succeed();
    scene.reaches(&first, State::Succeeded).await;
    let second = on(&scene, &first).await;
    let call = scene.call().await;
    let [input] = inputs(&call) else {
        panic!("{:?}", call.order)
    };
    assert_eq!(input.name, "input");
    assert_eq!(input.source, InputSource::Answer(ResultData::Inline(vec![1])));
    call.succeed();
    scene.reaches(&second, State::Succeeded).await;
    worker.stop().await;
}

#[tokio::test]
async fn a_job_on_one_that_has_no_answer_fails_without_reaching_the_engine() {
    let mut scene = Scene::new();
    let worker = scene.work(settings());
    let failing = scene.submit().await;
    scene.call().await.fail(Code::EvaluationFailed);
    scene.reaches(&failing, State::Failed).await;
    let unknown = JobId::generate(assay_core::Timestamp(1));
    for (job, code) in [(&failing, Code::DependencyFailed), (&unknown, Code::UnknownJob)] {
        let id = on(&scene, job).await;
        let (ended, _) = scene.reaches(&id, State::Failed).await;
        assert_eq!(ended.error.unwrap().code, code);
    }
    assert!(scene.is_quiet());
    worker.stop().await;
}

#[tokio::test]
async fn queries_that_name_the_history_are_given_the_rows_of_their_owner() {
    let mut scene = Scene::new();
    let worker = scene.work(settings());
    let sql = json!({"sql": "SELECT * FROM assay.jobs"});
    for (owner, rows) in [("anna", 1), ("bert", 1), ("local", 3)] {
        let id = scene
            .submit_as("sql", sql.clone(), |spec| spec.owner = owner.parse().unwrap())
            .await;
        let call = scene.call().await;
        let [input] = inputs(&call) else {
            panic!("{:?}", call.order)
        };
        assert_eq!((input.name.as_str(), input.rows), ("assay.jobs", rows), "{owner}");
        assert_eq!(input.schema, HistoryTable::Jobs.schema());
        call.succeed();
        scene.reaches(&id, State::Succeeded).await;
    }
    let other = scene.submit_as("sql", json!({"sql": "SELECT 1"}), |_| {}).await;
    let call = scene.call().await;
    assert!(inputs(&call).is_empty());
    call.succeed();
    scene.reaches(&other, State::Succeeded).await;
    worker.stop().await;
}

/// A history that is long.
struct Long;

#[async_trait]
impl History for Long {
    async fn rows(&self, tables: &[HistoryTable], _: Option<&UserName>, limit: usize) -> Result<Vec<HistoryRows>> {
        assert_eq!(limit, HISTORY_ROWS);
        let rows = |table: &HistoryTable| HistoryRows {
            table: *table,
            rows: 1,
            lines: vec![b' '; 1 << 20],
            truncated: true,
        };
        Ok(tables.iter().map(rows).collect())
    }
}

#[tokio::test]
async fn a_long_history_is_an_object_that_goes_with_the_attempt() {
    let mut scene = Scene::new();
    scene.ports.history = Arc::new(Long);
    let worker = scene.work(settings());
    for fails in [false, true] {
        let id = scene
            .submit_as("sql", json!({"sql": "SELECT * FROM assay.events"}), |_| {})
            .await;
        let call = scene.call().await;
        let [input] = inputs(&call) else {
            panic!("{:?}", call.order)
        };
        assert!(input.truncated);
        let InputSource::Lines(ResultData::Object { path, checksum }) = input.source.clone() else {
            panic!("{input:?}")
        };
        assert!(path.starts_with(&call.order.scratch), "{path}");
        assert_eq!(checksum.len(), 64);
        assert!(scene.has(&path).await);
        let state = if fails { State::Failed } else { State::Succeeded };
        match fails {
            true => call.fail(Code::EvaluationFailed),
            false => call.succeed(),
        }
        scene.reaches(&id, state).await;
        assert!(!scene.has(&path).await);
    }
    worker.stop().await;
}
