//! What every route works with.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use assay_core::{
    AnalysisSpec, Catalog, Changes, Clock, Code, Error, Events, Hooks, Jobs, Limits, Links, Outbox, Queue, Reach,
    Records, Result, Runner, Schedules, names,
};
use jsonschema::Validator;
use object_store::ObjectStore;
use serde_json::Value;
use tokio::sync::{Semaphore, watch};

use crate::blocks::Blocks;
use crate::exports::Exports;
use crate::params;
use crate::rules::Checkers;
use crate::wait::Waits;

/// Pieces of uploads that are taken at a time; larger ones count as several.
pub(crate) const MAX_APPENDS: usize = 32;

/// The ports and what the server is told about itself.
#[derive(Clone)]
pub struct Services {
    pub catalog: Arc<dyn Catalog>,
    pub records: Arc<dyn Records>,
    pub jobs: Arc<dyn Jobs>,
    pub queue: Arc<dyn Queue>,
    pub changes: Arc<dyn Changes>,
    pub events: Arc<dyn Events>,
    pub schedules: Arc<dyn Schedules>,
    pub outbox: Arc<dyn Outbox>,
    pub hooks: Arc<dyn Hooks>,
    pub runner: Arc<dyn Runner>,
    pub links: Arc<dyn Links>,
    pub objects: Arc<dyn ObjectStore>,
    pub analyses: Arc<Vec<AnalysisSpec>>,
    pub clock: Arc<dyn Clock>,
    pub settings: ServerSettings,
    /// Becomes true when the server should end; waiting requests and streams are then answered.
    pub shutdown: watch::Receiver<bool>,
}

/// How the server behaves. The defaults suit one on loopback.
#[derive(Debug, Clone, PartialEq)]
pub struct ServerSettings {
    /// Largest JSON body.
    pub max_body_bytes: usize,
    /// Largest uploaded file, as it is sent.
    pub max_upload_bytes: u64,
    /// Resumable uploads that may be there at a time.
    pub max_uploads: usize,
    /// Limits of a job that names none.
    pub default_limits: Limits,
    /// What a job may ask for at most.
    pub max_limits: Limits,
    /// Limits of a page of records or an export.
    pub read_limits: Limits,
    /// Longest `Prefer: wait`.
    pub max_wait: Duration,
    /// How long the check of a job may hold up its submission.
    pub check_timeout: Duration,
    /// Refuse requests that name another host than this machine, so that no web page can reach the server by DNS.
    pub loopback_only: bool,
    /// Addresses that notices may be sent to.
    pub reach: Reach,
    /// What `/readyz` says about the store.
    pub store_description: Value,
}

impl Default for ServerSettings {
    fn default() -> Self {
        let default_limits = Limits::default();
        Self {
            max_body_bytes: 1 << 20,
            max_upload_bytes: 8 << 30,
            max_uploads: 1_000,
            default_limits,
            max_limits: Limits {
                timeout_ms: 24 * 3_600_000,
                memory_bytes: 64 << 30,
                rows: 100_000_000,
                result_bytes: 8 << 30,
            },
            read_limits: Limits {
                timeout_ms: 60_000,
                ..default_limits
            },
            max_wait: Duration::from_secs(60),
            check_timeout: Duration::from_secs(2),
            loopback_only: true,
            reach: Reach::default(),
            store_description: Value::Null,
        }
    }
}

/// The services with what is made of them once.
pub(crate) struct App {
    pub(crate) services: Services,
    validators: HashMap<String, Validator>,
    pub(crate) openapi: Value,
    pub(crate) waits: Arc<Waits>,
    pub(crate) exports: Exports,
    /// Turns to take pieces of uploads, each of which is held in memory.
    pub(crate) appends: Arc<Semaphore>,
    pub(crate) checkers: Checkers,
    /// Texts of records that parts hold.
    pub(crate) blocks: Blocks,
}

pub(crate) type Shared = Arc<App>;

impl std::ops::Deref for App {
    type Target = Services;

    fn deref(&self) -> &Services {
        &self.services
    }
}

impl App {
    /// Must be called inside a Tokio runtime.
    pub(crate) fn new(services: Services, openapi: Value) -> Self {
        let mut validators = HashMap::new();
        for spec in services.analyses.iter() {
            match jsonschema::validator_for(&spec.params) {
                Ok(validator) => {
                    validators.insert(spec.name.clone(), validator);
                }
                // The engine reads the parameters strictly as well, so nothing unchecked is run.
                Err(cause) => tracing::error!(analysis = spec.name, %cause, "the schema of an analysis is not valid"),
            }
        }
        let waits = Waits::over(services.events.subscribe());
        Self {
            services,
            validators,
            openapi,
            waits,
            exports: Exports::default(),
            appends: Arc::new(Semaphore::new(MAX_APPENDS)),
            checkers: Checkers::default(),
            blocks: Blocks::default(),
        }
    }

    /// # Errors
    /// `UnknownAnalysis` with the nearest names.
    pub(crate) fn analysis(&self, name: &str) -> Result<&AnalysisSpec> {
        self.analyses.iter().find(|spec| spec.name == name).ok_or_else(|| {
            let known = self.analyses.iter().map(|spec| spec.name.as_str());
            Error::new(Code::UnknownAnalysis, format!("there is no analysis `{name}`"))
                .hint(names::suggest(name, known))
        })
    }

    /// All that is wrong with the parameters of an analysis, each with its place.
    ///
    /// # Errors
    /// `InvalidParameter`.
    pub(crate) fn validate(&self, spec: &AnalysisSpec, params: &Value) -> Result<()> {
        let Some(validator) = self.validators.get(&spec.name) else {
            return Ok(());
        };
        params::check(spec, validator, params)
    }
}
