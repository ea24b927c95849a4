//! The whole server, put together: store, engine processes, workers and the HTTP interface; and taken apart in the
//! order in which nothing is lost.

use std::sync::Arc;

use anyhow::Context as _;
use assay_core::{Clock, Code, Error, Limits, Links, Runner, SystemClock};
use assay_server::{ServerSettings, Services, Submissions, fire_schedules_until, refresh_linked_until};
use assay_store::doctor::Examined;
use assay_store::moving::{Moving, Place};
use assay_store::{Objects, Ports};
use async_trait::async_trait;
use serde_json::Value;
use tokio::net::TcpListener;
use tokio::sync::watch;

use crate::background::{self, Background};
use crate::cli::{EngineArgs, ExamineArgs, Host, MigrateArgs, Running, ServeArgs, StorePlace, WorkArgs};
use crate::store::Store;
use crate::{engine_process, inbox, moving, objects, store};

/// This process as the one that serves.
pub struct ThisProcess;

#[async_trait]
impl Host for ThisProcess {
    async fn serve(&self, args: ServeArgs) -> anyhow::Result<()> {
        log_to_stderr("info");
        let mut data = args.place.store.to_string();
        if args.place.objects.is_some() {
            let (_, place) = objects::access(&args.place, args.notices.ca_file.as_deref())?;
            data = format!("{data} and {place}");
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

    async fn work(&self, args: WorkArgs) -> anyhow::Result<()> {
        log_to_stderr("info");
        work(args).await
    }

    async fn moving(&self, args: &MigrateArgs) -> anyhow::Result<Moving> {
        log_to_stderr("warn");
        moving::both(args).await
    }

    async fn movable(&self, args: &MigrateArgs) -> anyhow::Result<(Place, Arc<dyn Objects>)> {
        log_to_stderr("warn");
        moving::source(args).await
    }

    async fn examine(&self, args: ExamineArgs) -> anyhow::Result<Vec<Examined>> {
        // The causes of what it finds.
        log_to_stderr("warn");
        let (access, at) = objects::access(&args.place, args.ca_file.as_deref())?;
        Ok(store::examine(&args.place, &access, &at).await?)
    }

    fn engine(&self, args: EngineArgs) -> anyhow::Result<()> {
        // Its server listens, and takes what is said about a fault into its own log.
        log_to_stderr("warn");
        engine_process::run(args.memory_bytes, args.threads)
    }
}

async fn start(args: ServeArgs) -> anyhow::Result<Running> {
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let notices = background::notice_settings(&args.notices)?;
    let work = background::worker_settings(&args.work)?;
    if let (StorePlace::Folder(_), Some(_)) = (&args.place.store, &work.only) {
        let error = Error::new(
            Code::InvalidParameter,
            "`--analyses` is for a store that several processes share",
        );
        return Err(error
            .hint("a store in a folder belongs to this one, so nobody would run the other jobs")
            .into());
    }
    let links = background::links(&args.work)?;
    let (access, place) = objects::access(&args.place, args.notices.ca_file.as_deref())?;
    let store = Store::open(&args.place, &args.work, &access, &clock).await?;
    let listener = TcpListener::bind(args.listen).await.with_context(|| {
        format!(
            "could not listen on {}; try another `--listen`, e.g. 127.0.0.1:0",
            args.listen
        )
    })?;
    let base_url = format!("http://{}", listener.local_addr()?);
    let runner = background::engines(work.slots, args.work.memory, access).await?;

    let (shutdown, told) = watch::channel(false);
    let ports = store.ports();
    let background = Background::start(
        &ports,
        runner.clone(),
        links.clone(),
        clock.clone(),
        work,
        notices,
        &told,
    );
    let description = store.description(&place);
    let services = services(&args, ports, runner, links, clock, description, told);
    let firing = tokio::spawn(fire_schedules_until(services.clone()));
    let refreshing = tokio::spawn(refresh_linked_until(services.clone()));
    let answering = store.inbox().map(|inbox| {
        let submissions = Submissions::new(services.clone());
        tokio::spawn(inbox::answer_until(inbox, submissions, services.shutdown.clone()))
    });
    let server = tokio::spawn(assay_server::serve(listener, services));
    let stop = shutdown.clone();
    let stopped = Box::pin(async move {
        let served = server.await;
        // Also when the listener failed: the rest must not go on alone.
        stop.send_replace(true);
        firing.await.context("the firing of schedules panicked")?;
        refreshing
            .await
            .context("the refreshing of linked data sets panicked")?;
        if let Some(answering) = answering {
            answering.await.context("the answering of the inbox panicked")?;
        }
        background.ended().await?;
        store.close().await;
        Ok(served.context("the server panicked")??)
    });
    Ok(Running {
        base_url,
        shutdown,
        stopped,
    })
}

/// Runs jobs until the process is told to stop.
async fn work(args: WorkArgs) -> anyhow::Result<()> {
    if let StorePlace::Folder(folder) = &args.place.store {
        let message = format!("the store in `{}` belongs to one process, the server", folder.display());
        let error = Error::new(Code::StoreLocked, message);
        let hint = "`assay serve --workers N` runs N jobs at the same time; a store in Redis, as in \
                    `--store redis://host:6379/0`, is shared by any number of servers and workers";
        return Err(error.hint(hint).into());
    }
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let notices = background::notice_settings(&args.notices)?;
    let work = background::worker_settings(&args.work)?;
    let links = background::links(&args.work)?;
    let (access, _) = objects::access(&args.place, args.notices.ca_file.as_deref())?;
    let store = Store::open(&args.place, &args.work, &access, &clock).await?;
    let runner = background::engines(work.slots, args.work.memory, access).await?;
    let (shutdown, told) = watch::channel(false);
    let background = Background::start(&store.ports(), runner, links, clock, work, notices, &told);
    println!("assay runs the jobs of {}", args.place.store);
    asked_to_stop().await;
    eprintln!("stopping: running jobs have 10 seconds to end; press Ctrl-C again to leave at once");
    shutdown.send_replace(true);
    tokio::select! {
        ended = background.ended() => ended?,
        // What ran is run again when its lease has run out.
        () = asked_to_stop() => anyhow::bail!("stopped while jobs were running; others run them again"),
    }
    store.close().await;
    Ok(())
}

fn services(
    args: &ServeArgs,
    store: Ports,
    runner: Arc<dyn Runner>,
    links: Arc<dyn Links>,
    clock: Arc<dyn Clock>,
    store_description: Value,
    shutdown: watch::Receiver<bool>,
) -> Services {
    let default = ServerSettings::default();
    let default_limits = Limits {
        memory_bytes: args.work.memory,
        timeout_ms: u64::try_from(args.work.timeout.as_millis()).unwrap_or(u64::MAX),
        ..Limits::default()
    };
    Services {
        catalog: store.catalog,
        records: store.records,
        jobs: store.jobs,
        queue: store.queue,
        changes: store.changes,
        events: store.events,
        schedules: store.schedules,
        outbox: store.outbox,
        hooks: store.hooks,
        runner,
        links,
        objects: store.objects,
        analyses: Arc::new(assay_analyses::specs()),
        clock,
        settings: ServerSettings {
            default_limits,
            // The server's own limits are the most a job may ask for.
            max_limits: Limits {
                timeout_ms: default.max_limits.timeout_ms.max(default_limits.timeout_ms),
                memory_bytes: args.work.memory,
                ..default.max_limits
            },
            read_limits: Limits {
                memory_bytes: args.work.memory,
                ..default.read_limits
            },
            loopback_only: args.listen.ip().is_loopback(),
            reach: background::reach(&args.notices),
            store_description,
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
