//! Orders in processes that answer, stall, die and do not listen.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use assay_core::{
    Code, Completion, Error, Limits, ObjectsAccess, Order, Progress, Result, RunControl, Runner, StoredResult, Task,
};
use assay_worker::{EngineSettings, ProcessRunner};
use serde_json::json;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;

fn program() -> PathBuf {
    let test = std::env::current_exe().unwrap();
    let program = test
        .parent()
        .and_then(Path::parent)
        .unwrap()
        .join("examples/scripted_engine");
    assert!(program.exists(), "build the examples first: `cargo build --examples`");
    program
}

/// The script of the processes does not look there.
fn objects() -> ObjectsAccess {
    ObjectsAccess {
        url: "/nowhere".to_owned(),
        options: BTreeMap::new(),
        authorities: None,
        cache_folder: "/nowhere".into(),
        cache_bytes: 0,
    }
}

fn settings() -> EngineSettings {
    EngineSettings::new(program(), Vec::new(), objects())
}

fn start() -> Pool {
    Pool(std::sync::Arc::new(ProcessRunner::start(settings()).unwrap()))
}

#[derive(Clone)]
struct Pool(std::sync::Arc<ProcessRunner>);

/// A run that goes on beside the test.
struct Going {
    outcome: JoinHandle<Result<Completion>>,
    reports: mpsc::Receiver<Progress>,
    cancel: watch::Sender<bool>,
}

impl Pool {
    async fn run(&self, command: &str) -> Result<Completion> {
        self.run_within(command, Limits::default()).await
    }

    async fn run_within(&self, command: &str, limits: Limits) -> Result<Completion> {
        self.0.run(analyze(command, limits), RunControl::unattended()).await
    }

    async fn error(&self, command: &str) -> Error {
        self.run(command).await.unwrap_err()
    }

    /// The process that answers now.
    async fn pid(&self) -> u64 {
        pid(&stored(self.run("answer").await))
    }

    fn begin(&self, command: &str) -> Going {
        let (progress, reports) = mpsc::channel(8);
        let (cancel, told) = watch::channel(false);
        let control = RunControl::new(progress, told);
        let (pool, order) = (self.clone(), analyze(command, Limits::default()));
        let outcome = tokio::spawn(async move { pool.0.run(order, control).await });
        Going {
            outcome,
            reports,
            cancel,
        }
    }
}

impl Going {
    /// Returns when the order has reached its process: the id of that.
    async fn reached(&mut self) -> u64 {
        self.reports.recv().await.unwrap().done
    }
}

fn analyze(command: &str, limits: Limits) -> Order {
    let task = Task::Analyze {
        analysis: "scripted".into(),
        params: json!(command),
        inputs: Vec::new(),
        known_datasets: Vec::new(),
    };
    Order {
        scratch: "results/test".into(),
        task,
        limits,
        threads: 1,
    }
}

fn check() -> Order {
    let mut order = analyze("answer", Limits::default());
    order.task = Task::Check {
        analysis: "scripted".into(),
        params: json!("answer"),
        inputs: Vec::new(),
        known_datasets: Vec::new(),
    };
    order
}

fn stored(completion: Result<Completion>) -> StoredResult {
    match completion.unwrap() {
        Completion::Stored { result, .. } => result,
        other => panic!("{other:?}"),
    }
}

fn pid(result: &StoredResult) -> u64 {
    result.set.summary["pid"].as_u64().unwrap()
}

fn is_alive(pid: u64) -> bool {
    Path::new(&format!("/proc/{pid}")).exists()
}

/// Kills a process and returns when it is dead, whether anybody has noticed or not.
fn kill(pid: u64) {
    assert!(
        std::process::Command::new("kill")
            .args(["-9", &pid.to_string()])
            .status()
            .unwrap()
            .success()
    );
    let has_other_threads = || std::fs::read_dir(format!("/proc/{pid}/task")).is_ok_and(|threads| threads.count() > 1);
    let is_zombie = || std::fs::read_to_string(format!("/proc/{pid}/stat")).is_ok_and(|stat| stat.contains(") Z "));
    while is_alive(pid) && (has_other_threads() || !is_zombie()) {
        std::thread::yield_now();
    }
}

#[tokio::test]
async fn a_process_serves_one_order_after_the_other() {
    let pool = start();
    let first = pool.pid().await;
    assert_eq!(pool.error("refuse").await.code, Code::EvaluationFailed);
    assert!(is_alive(first));
    let mut seen = std::collections::HashSet::new();
    for _ in 0..20 {
        seen.insert(pool.pid().await);
    }
    assert!(seen.len() <= 2, "two processes serve all: {seen:?}");
}

#[tokio::test]
async fn usage_is_measured_from_outside() {
    let completion = start().run("answer").await.unwrap();
    let Completion::Stored { usage, .. } = completion else {
        panic!("{completion:?}")
    };
    assert!(usage.peak_bytes > 100_000, "{usage:?}");
}

#[tokio::test]
async fn the_environment_of_the_server_stays_with_the_server() {
    let result = stored(start().run("answer").await);
    let variables: Vec<&str> = result.set.summary["variables"]
        .as_array()
        .unwrap()
        .iter()
        .filter_map(|v| v.as_str())
        .collect();
    assert!(std::env::var_os("CARGO_MANIFEST_DIR").is_some());
    assert!(!variables.contains(&"CARGO_MANIFEST_DIR"), "{variables:?}");
    assert!(variables.contains(&"PATH"), "{variables:?}");
}

#[tokio::test]
async fn progress_is_passed_on() {
    let pool = start();
    let mut going = pool.begin("report");
    assert_eq!(going.reports.recv().await.unwrap().stage, "half");
    stored(going.outcome.await.unwrap());
}

#[tokio::test]
async fn a_process_that_listens_survives_a_cancel() {
    let pool = start();
    let mut going = pool.begin("wait");
    let pid = going.reached().await;
    going.cancel.send_replace(true);
    assert_eq!(going.outcome.await.unwrap().unwrap_err().code, Code::Canceled);
    assert!(is_alive(pid));
}

#[tokio::test]
async fn a_process_that_does_not_listen_is_killed_within_a_second() {
    let pool = start();
    let mut going = pool.begin("ignore");
    let pid = going.reached().await;
    going.cancel.send_replace(true);
    let outcome = tokio::time::timeout(Duration::from_secs(1), going.outcome)
        .await
        .unwrap();
    assert_eq!(outcome.unwrap().unwrap_err().code, Code::Canceled);
    assert!(!is_alive(pid));
    assert_ne!(pool.pid().await, pid);
}

#[tokio::test]
async fn a_cancel_ends_the_wait_for_a_slot() {
    let pool = start();
    let mut first = pool.begin("wait");
    first.reached().await;
    let second = pool.begin("answer");
    second.cancel.send_replace(true);
    assert_eq!(second.outcome.await.unwrap().unwrap_err().code, Code::Canceled);
    first.cancel.send_replace(true);
    assert_eq!(first.outcome.await.unwrap().unwrap_err().code, Code::Canceled);
}

#[tokio::test]
async fn what_takes_too_long_is_killed_and_the_limit_named() {
    let pool = start();
    let limits = Limits {
        timeout_ms: 50,
        ..Limits::default()
    };
    let error = pool.run_within("ignore", limits).await.unwrap_err();
    assert_eq!(error.code, Code::Timeout);
    assert!(error.message.contains("50 ms"), "{error}");
    pool.pid().await;
}

#[tokio::test]
async fn deaths_are_typed_and_the_process_is_replaced() {
    let pool = start();
    let limits = Limits {
        memory_bytes: 3 << 20,
        ..Limits::default()
    };
    let error = pool.run_within("exhaust", limits).await.unwrap_err();
    assert_eq!(error.code, Code::MemoryExceeded);
    assert!(error.message.contains("3 MiB") && error.hint.is_some(), "{error:?}");
    assert_eq!(pool.error("recurse").await.code, Code::QueryTooComplex);
    assert_eq!(pool.error("exit").await.code, Code::EngineCrashed);
    assert_eq!(pool.error("stammer").await.code, Code::EngineCrashed);
    pool.pid().await;
}

#[tokio::test]
async fn a_process_that_dies_while_idle_is_replaced_unnoticed() {
    let pool = start();
    for _ in 0..5 {
        let idle = pool.pid().await;
        kill(idle);
        assert_ne!(pool.pid().await, idle);
    }
}

#[tokio::test]
async fn a_process_that_has_grown_is_retired() {
    let pool = start();
    let grown = pid(&stored(pool.run("grow, then answer").await));
    for _ in 0..4 {
        assert_ne!(pool.pid().await, grown);
    }
}

#[tokio::test]
async fn reads_go_on_while_all_job_slots_are_busy() {
    let pool = start();
    let mut job = pool.begin("wait");
    job.reached().await;
    for _ in 0..3 {
        let completion = pool.0.run(check(), RunControl::unattended()).await.unwrap();
        assert_eq!(completion, Completion::Checked);
    }
    assert!(!job.outcome.is_finished());
    job.cancel.send_replace(true);
    assert_eq!(job.outcome.await.unwrap().unwrap_err().code, Code::Canceled);
}

#[tokio::test]
async fn dropping_a_run_kills_its_process() {
    let pool = start();
    let mut going = pool.begin("ignore");
    let pid = going.reached().await;
    going.outcome.abort();
    assert!(going.outcome.await.unwrap_err().is_cancelled());
    // The progress channel closes when the seat has let go of the order, after the kill.
    while going.reports.recv().await.is_some() {}
    pool.0.shutdown().await;
    assert!(!is_alive(pid));
}

#[tokio::test]
async fn programs_that_never_start_are_reported_and_not_waited_for() {
    let mut sick = settings();
    sick.args = vec!["sick".into()];
    let missing = EngineSettings::new("/nowhere/engine".into(), Vec::new(), objects());
    for settings in [sick, missing] {
        let pool = ProcessRunner::start(settings).unwrap();
        assert_eq!(pool.ready().await.unwrap_err().code, Code::EngineCrashed);
        let outcome = pool.run(check(), RunControl::unattended()).await;
        assert_eq!(outcome.unwrap_err().code, Code::EngineCrashed);
        pool.shutdown().await;
    }
}

#[tokio::test]
async fn shutdown_ends_all_processes_and_refuses_further_orders() {
    let pool = start();
    pool.0.ready().await.unwrap();
    let idle = pool.pid().await;
    let mut going = pool.begin("ignore");
    let busy = going.reached().await;
    pool.0.shutdown().await;
    assert_eq!(going.outcome.await.unwrap().unwrap_err().code, Code::Overloaded);
    assert_eq!(pool.error("answer").await.code, Code::Overloaded);
    assert!(!is_alive(idle) && !is_alive(busy));
}

#[tokio::test]
async fn a_pool_without_slots_is_refused() {
    let refused = ProcessRunner::start(EngineSettings {
        job_slots: 0,
        ..settings()
    });
    assert_eq!(refused.err().unwrap().code, Code::InvalidParameter);
}
