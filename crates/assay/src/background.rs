//! What servers and workers do alike, without being asked: they run jobs, take back lost ones, tell users of their ends,
//! compact data sets and remove what has had its time.

use std::ffi::OsString;
use std::path::Path;
use std::sync::Arc;

use anyhow::Context as _;
use assay_core::{Clock, Code, Error, IMPORT, Links, ObjectsAccess, PUBLISH, REFRESH, RETYPE, Reach, names};
use assay_store::{Ports, RedisLinks};
use assay_worker::{
    Authorities, EngineSettings, MailSettings, NoticePorts, NoticeSettings, ProcessRunner, WorkerPool, WorkerPorts,
    WorkerSettings, compact_until, deliver_until, reap_until, sweep_until,
};
use tokio::sync::watch;
use tokio::task::JoinHandle;

use crate::cli::{Hidden, JobArgs, NoticeArgs};

/// Reads of records and checks that run beside the jobs.
const READ_SLOTS: usize = 2;

/// What runs until it is told to stop.
pub struct Background {
    pub runner: Arc<ProcessRunner>,
    workers: JoinHandle<()>,
    reaper: JoinHandle<()>,
    sweeper: JoinHandle<()>,
    compactor: JoinHandle<()>,
    notices: JoinHandle<()>,
}

/// Starts the engine processes and returns when they are ready.
///
/// # Errors
/// When they do not start.
pub async fn engines(job_slots: usize, memory: u64, access: ObjectsAccess) -> anyhow::Result<Arc<ProcessRunner>> {
    let program = std::env::current_exe().context("finding this program, to start engine processes of it")?;
    let settings = EngineSettings {
        job_slots,
        read_slots: READ_SLOTS,
        ..EngineSettings::new(program, engine_args(memory), access)
    };
    let runner = Arc::new(ProcessRunner::start(settings)?);
    runner.ready().await?;
    Ok(runner)
}

impl Background {
    /// Begins to work. It ends when `told` becomes true; [`Self::ended`] waits for it.
    pub fn start(
        store: &Ports,
        runner: Arc<ProcessRunner>,
        links: Arc<dyn Links>,
        clock: Arc<dyn Clock>,
        work: WorkerSettings,
        notices: NoticeSettings,
        told: &watch::Receiver<bool>,
    ) -> Self {
        let worker_ports = WorkerPorts {
            jobs: store.jobs.clone(),
            workers: store.workers.clone(),
            catalog: store.catalog.clone(),
            events: store.events.clone(),
            history: store.history.clone(),
            runner: runner.clone(),
            links,
            objects: store.objects.clone(),
            clock: clock.clone(),
        };
        let notice_ports = NoticePorts {
            outbox: store.outbox.clone(),
            hooks: store.hooks.clone(),
            jobs: store.jobs.clone(),
            clock: clock.clone(),
        };
        let (records, objects) = (store.records.clone(), store.objects.clone());
        Self {
            workers: tokio::spawn(WorkerPool::new(worker_ports, work).run(told.clone())),
            reaper: tokio::spawn(reap_until(store.jobs.clone(), clock, told.clone())),
            sweeper: tokio::spawn(sweep_until(store.upkeep.clone(), objects.clone(), told.clone())),
            compactor: tokio::spawn(compact_until(records, runner.clone(), objects, told.clone())),
            notices: tokio::spawn(deliver_until(notice_ports, notices, told.clone())),
            runner,
        }
    }

    /// Returns when everything has ended and the engine processes are gone.
    ///
    /// # Errors
    /// When something panicked.
    pub async fn ended(self) -> anyhow::Result<()> {
        self.workers.await.context("the workers panicked")?;
        self.reaper.await.context("the reaper panicked")?;
        self.sweeper.await.context("the sweeper panicked")?;
        self.compactor.await.context("the compactor panicked")?;
        // What the workers finished last is stored, and told at the next start.
        self.notices.await.context("the sender of notices panicked")?;
        self.runner.shutdown().await;
        Ok(())
    }
}

/// The servers that keys may be read from and written to.
///
/// # Errors
/// `InvalidParameter` for what is no address of one.
pub fn links(jobs: &JobArgs) -> Result<Arc<dyn Links>, Error> {
    let named = jobs.links.iter().map(Hidden::reveal).filter(|url| !url.is_empty());
    let allowed: Result<_, Error> = named.map(str::parse).collect();
    Ok(Arc::new(RedisLinks::new(allowed?)))
}

/// How jobs are run.
///
/// # Errors
/// `UnknownAnalysis` for a name that no job can have.
pub fn worker_settings(jobs: &JobArgs) -> Result<WorkerSettings, Error> {
    let default = WorkerSettings::default();
    Ok(WorkerSettings {
        slots: jobs.workers.unwrap_or(default.slots),
        only: analyses(jobs)?,
        ..default
    })
}

/// The analyses whose jobs are run; all when absent.
fn analyses(jobs: &JobArgs) -> Result<Option<Vec<String>>, Error> {
    let Some(wanted) = &jobs.analyses else {
        return Ok(None);
    };
    let specs = assay_analyses::specs();
    let known = specs.iter().map(|spec| spec.name.as_str());
    let known: Vec<&str> = known.chain([IMPORT, RETYPE, REFRESH, PUBLISH]).collect();
    let mut chosen: Vec<String> = wanted.iter().map(|name| name.trim().to_owned()).collect();
    chosen.sort();
    chosen.dedup();
    for name in &chosen {
        if !known.contains(&name.as_str()) {
            let error = Error::new(Code::UnknownAnalysis, format!("there is no analysis `{name}`"));
            return Err(error.hint(names::suggest(name, known)));
        }
    }
    Ok(Some(chosen))
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

/// How users are told.
///
/// # Errors
/// `InvalidParameter` for options that cannot be.
pub fn notice_settings(args: &NoticeArgs) -> Result<NoticeSettings, Error> {
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

pub fn reach(args: &NoticeArgs) -> Reach {
    Reach {
        allowed: args.notify_allow.clone(),
    }
}
