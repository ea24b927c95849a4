//! The whole server, put together: store, engine processes, workers and the HTTP interface; and taken apart in the
//! order in which nothing is lost.

use std::ffi::OsString;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use assay_core::{Clock, Code, Error, Limits, ObjectsAccess, Reach, SystemClock};
use assay_server::{ServerSettings, Services, fire_schedules_until};
use assay_store::{EmbeddedStore, Objects, ObjectsUrl, StoreSettings};
use assay_worker::{
    Authorities, EngineSettings, MailSettings, NoticePorts, NoticeSettings, ProcessRunner, WorkerPool, WorkerPorts,
    WorkerSettings, compact_until, deliver_until, reap_until, sweep_until,
};
use async_trait::async_trait;
use serde_json::json;
use tokio::net::TcpListener;
use tokio::sync::watch;

use crate::cli::{EngineArgs, Host, NoticeArgs, Running, ServeArgs};
use crate::{engine_process, objects};

/// Reads of records and checks that run beside the jobs.
const READ_SLOTS: usize = 2;

/// How much later than its time limit an attempt may still write.
const PARTING_MS: u64 = 3_600_000;

/// How long a start waits for a store that is in use, and how often it looks.
const LOCK_PATIENCE: Duration = Duration::from_secs(2);
const LOCK_STEP: Duration = Duration::from_millis(50);

/// This process as the one that serves.
pub struct ThisProcess;

#[async_trait]
impl Host for ThisProcess {
    async fn serve(&self, args: ServeArgs) -> anyhow::Result<()> {
        log_to_stderr("info");
        let mut data = args.store.display().to_string();
        if args.objects.is_some() {
            data = format!("{data} and {}", objects::access(&args)?.1);
        }
        let running = self.start(args).await?;
        println!("assay listens on {} and keeps its data in {data}", running.base_url);
        let shutdown = running.shutdown.clone();
        let mut stopped = running.stopped;
        tokio::select! {
            ended = &mut stopped => return ended,
            () = asked_to_stop() => {}
        }
        eprintln!("stopping: running jobs have 10 seconds to end; press Ctrl-C again to leave at once");
        shutdown.send_replace(true);
        tokio::select! {
            ended = stopped => ended,
            // What ran is run again at the next start.
            () = asked_to_stop() => anyhow::bail!("stopped while jobs were running; they run again at the next start"),
        }
    }

    async fn start(&self, args: ServeArgs) -> anyhow::Result<Running> {
        start(args).await
    }

    fn engine(&self, args: EngineArgs) -> anyhow::Result<()> {
        // Its server listens, and takes what is said about a fault into its own log.
        log_to_stderr("warn");
        engine_process::run(args.memory_bytes, args.threads)
    }
}

async fn start(args: ServeArgs) -> anyhow::Result<Running> {
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let notice_settings = notice_settings(&args.notices)?;
    let (access, place) = objects::access(&args)?;
    let store = open(&args, &access, &clock).await?;
    let listener = TcpListener::bind(args.listen).await.with_context(|| {
        format!(
            "could not listen on {}; try another `--listen`, e.g. 127.0.0.1:0",
            args.listen
        )
    })?;
    let base_url = format!("http://{}", listener.local_addr()?);
    let worker_settings = worker_settings(args.workers);
    let runner = Arc::new(ProcessRunner::start(engine_settings(
        &args,
        access,
        worker_settings.slots,
    )?)?);
    runner.ready().await?;

    let (shutdown, told) = watch::channel(false);
    let ports = WorkerPorts {
        jobs: Arc::new(store.clone()),
        catalog: Arc::new(store.clone()),
        events: Arc::new(store.clone()),
        history: Arc::new(store.clone()),
        runner: runner.clone(),
        objects: store.objects(),
        clock: clock.clone(),
    };
    let notice_ports = NoticePorts {
        outbox: Arc::new(store.clone()),
        hooks: Arc::new(store.clone()),
        jobs: ports.jobs.clone(),
        clock: clock.clone(),
    };
    let notices = tokio::spawn(deliver_until(notice_ports, notice_settings, told.clone()));
    let reaper = tokio::spawn(reap_until(ports.jobs.clone(), clock, told.clone()));
    let sweeper = tokio::spawn(sweep_until(Arc::new(store.clone()), store.objects(), told.clone()));
    let compactor = tokio::spawn(compact_until(
        Arc::new(store.clone()),
        runner.clone(),
        store.objects(),
        told.clone(),
    ));
    let services = services(&args, &place, &ports, &store, told.clone());
    let workers = tokio::spawn(WorkerPool::new(ports, worker_settings).run(told));
    let firing = tokio::spawn(fire_schedules_until(services.clone()));
    let server = tokio::spawn(assay_server::serve(listener, services));
    let stop = shutdown.clone();
    let stopped = Box::pin(async move {
        let served = server.await;
        // Also when the listener failed: the rest must not go on alone.
        stop.send_replace(true);
        firing.await.context("the firing of schedules panicked")?;
        workers.await.context("the workers panicked")?;
        reaper.await.context("the reaper panicked")?;
        sweeper.await.context("the sweeper panicked")?;
        compactor.await.context("the compactor panicked")?;
        // What the workers finished last is stored, and told at the next start.
        notices.await.context("the sender of notices panicked")?;
        runner.shutdown().await;
        store.close().await;
        Ok(served.context("the server panicked")??)
    });
    Ok(Running {
        base_url,
        shutdown,
        stopped,
    })
}

/// Opens the store and removes what nobody refers to: leftovers of attempts and uploads that a kill cut short.
async fn open(args: &ServeArgs, access: &ObjectsAccess, clock: &Arc<dyn Clock>) -> Result<EmbeddedStore, Error> {
    let default = StoreSettings::default();
    let longest_ms = u64::try_from(args.timeout.as_millis()).unwrap_or(u64::MAX);
    let settings = StoreSettings {
        max_result_bytes: args.answers,
        // Attempts write their files some time before the answer refers to them.
        leftover_ms: default.leftover_ms.max(longest_ms.saturating_add(PARTING_MS)),
        ..default
    };
    let elsewhere = match args.objects {
        Some(_) => Some(assay_store::objects::open(access, clock.clone())?),
        None => None,
    };
    let store = take(&args.store, elsewhere.as_ref(), clock, &settings).await?;
    let removed = store.clear_leftovers().await?;
    if removed > 0 {
        tracing::info!(objects = removed, "removed what an earlier run left behind");
    }
    Ok(store)
}

/// Opens the store; waits a little while another process has it. A server that was killed while it started an engine
/// process leaves its lock to that one until it has begun, which takes a moment on a busy machine.
async fn take(
    folder: &Path,
    elsewhere: Option<&Arc<dyn Objects>>,
    clock: &Arc<dyn Clock>,
    settings: &StoreSettings,
) -> Result<EmbeddedStore, Error> {
    let end = tokio::time::Instant::now() + LOCK_PATIENCE;
    let mut is_first = true;
    loop {
        let opened = match elsewhere {
            Some(objects) => EmbeddedStore::open_with(folder, objects.clone(), clock.clone(), settings.clone()),
            None => EmbeddedStore::open(folder, clock.clone(), settings.clone()),
        };
        match opened {
            Err(error) if error.code == Code::StoreLocked && tokio::time::Instant::now() < end => {}
            opened => return opened,
        }
        if std::mem::take(&mut is_first) {
            tracing::info!(store = %folder.display(), "the store is in use; waiting a moment whether it is left");
        }
        tokio::time::sleep(LOCK_STEP).await;
    }
}

fn worker_settings(workers: Option<usize>) -> WorkerSettings {
    let default = WorkerSettings::default();
    WorkerSettings {
        slots: workers.unwrap_or(default.slots),
        ..default
    }
}

fn engine_settings(args: &ServeArgs, access: ObjectsAccess, job_slots: usize) -> anyhow::Result<EngineSettings> {
    let program = std::env::current_exe().context("finding this program, to start engine processes of it")?;
    let settings = EngineSettings::new(program, engine_args(args.memory), access);
    Ok(EngineSettings {
        job_slots,
        read_slots: READ_SLOTS,
        ..settings
    })
}

/// Everybody on the machine can read them: no secrets.
fn engine_args(memory: u64) -> Vec<OsString> {
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    vec![
        "engine".into(),
        "--memory-bytes".into(),
        memory.to_string().into(),
        "--threads".into(),
        threads.to_string().into(),
    ]
}

fn notice_settings(args: &NoticeArgs) -> Result<NoticeSettings, Error> {
    let authorities = match &args.ca_file {
        Some(file) => authorities(file)?,
        None => Authorities::default(),
    };
    let mail = match (&args.smtp_url, &args.smtp_from) {
        (Some(url), Some(from)) => Some(MailSettings::new(url.reveal(), from, &authorities)?),
        _ => None,
    };
    Ok(NoticeSettings {
        reach: reach(args),
        authorities,
        public_url: args.public_url.clone(),
        mail,
        mail_pause: args.mail_pause,
        ..NoticeSettings::default()
    })
}

fn authorities(file: &Path) -> Result<Authorities, Error> {
    let read = std::fs::read(file).map_err(|cause| {
        let message = format!("`{}` could not be read: {cause}", file.display());
        Error::new(Code::InvalidParameter, message).hint("`--ca-file` names a file of certificates in PEM")
    })?;
    Authorities::from_pem(&read).map_err(|mut error| {
        error.message = format!("`{}`: {}", file.display(), error.message);
        error
    })
}

fn reach(args: &NoticeArgs) -> Reach {
    Reach {
        allowed: args.notify_allow.clone(),
    }
}

fn services(
    args: &ServeArgs,
    place: &ObjectsUrl,
    ports: &WorkerPorts,
    store: &EmbeddedStore,
    shutdown: watch::Receiver<bool>,
) -> Services {
    let default = ServerSettings::default();
    let default_limits = Limits {
        memory_bytes: args.memory,
        timeout_ms: u64::try_from(args.timeout.as_millis()).unwrap_or(u64::MAX),
        ..Limits::default()
    };
    Services {
        catalog: ports.catalog.clone(),
        records: Arc::new(store.clone()),
        jobs: ports.jobs.clone(),
        queue: Arc::new(store.clone()),
        changes: Arc::new(store.clone()),
        events: ports.events.clone(),
        schedules: Arc::new(store.clone()),
        outbox: Arc::new(store.clone()),
        hooks: Arc::new(store.clone()),
        runner: ports.runner.clone(),
        objects: ports.objects.clone(),
        analyses: Arc::new(assay_analyses::specs()),
        clock: ports.clock.clone(),
        settings: ServerSettings {
            default_limits,
            // The server's own limits are the most a job may ask for.
            max_limits: Limits {
                timeout_ms: default.max_limits.timeout_ms.max(default_limits.timeout_ms),
                memory_bytes: args.memory,
                ..default.max_limits
            },
            read_limits: Limits {
                memory_bytes: args.memory,
                ..default.read_limits
            },
            loopback_only: args.listen.ip().is_loopback(),
            reach: reach(&args.notices),
            store_description: json!({"kind": "embedded", "durability": "fsync", "objects": place.kind()}),
            ..default
        },
        shutdown,
    }
}

/// Logs what happens, as much as `RUST_LOG` asks for.
fn log_to_stderr(default: &str) {
    let filter = tracing_subscriber::EnvFilter::try_from_default_env().unwrap_or_else(|_| default.into());
    let log = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_ansi(std::io::IsTerminal::is_terminal(&std::io::stderr()))
        .with_writer(std::io::stderr);
    if let Err(cause) = log.try_init() {
        eprintln!("warning: the log could not be set up: {cause}");
    }
}

/// Returns at Ctrl-C, or when the process is told to end.
async fn asked_to_stop() {
    use tokio::signal::unix::{SignalKind, signal};
    let Ok(mut terminate) = signal(SignalKind::terminate()) else {
        return std::future::pending().await;
    };
    tokio::select! {
        _ = terminate.recv() => {}
        heard = tokio::signal::ctrl_c() => {
            if heard.is_err() {
                std::future::pending::<()>().await;
            }
        }
    }
}
