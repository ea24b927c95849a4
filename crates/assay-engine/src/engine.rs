//! The engine of one process: one memory pool, one set of caches, one object store; sessions are made from it cheaply.
//!
//! It holds no data set: each session sees only the inputs of its order.

use std::path::PathBuf;
use std::sync::Arc;

use assay_core::{Input, Result, TableSchema};
use assay_formats::fault;
use datafusion::execution::SessionState;
use datafusion::execution::disk_manager::{DiskManagerBuilder, DiskManagerMode};
use datafusion::execution::memory_pool::FairSpillPool;
use datafusion::execution::object_store::ObjectStoreUrl;
use datafusion::execution::runtime_env::RuntimeEnvBuilder;
use datafusion::execution::session_state::SessionStateBuilder;
use datafusion::prelude::SessionConfig;
use object_store::ObjectStore;

use crate::functions;
use crate::session::Session;
use crate::table::{self, HotCache, Opened};

/// The only object store that plans can reach. Users cannot name it: SQL knows tables, not addresses.
const OBJECTS_URL: &str = "assay://objects";
/// Footers of Parquet parts that are kept between orders.
const METADATA_CACHE_BYTES: usize = 32 << 20;

/// What an engine may use.
#[derive(Debug, Clone)]
pub struct EngineSettings {
    /// What sorts, joins and groups may hold in memory before they spill.
    pub pool_bytes: usize,
    /// Where they spill to; a temporary folder of the system when absent.
    pub spill_folder: Option<PathBuf>,
}

#[derive(Clone)]
pub struct Engine {
    pub(crate) objects: Arc<dyn ObjectStore>,
    template: SessionState,
    hot: Arc<HotCache>,
}

impl std::fmt::Debug for Engine {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Engine").finish_non_exhaustive()
    }
}

impl Engine {
    /// Sets up the pool, the caches and the functions that all sessions share.
    ///
    /// # Errors
    /// `Internal` when the spill folder cannot be used.
    pub fn new(objects: Arc<dyn ObjectStore>, settings: EngineSettings) -> Result<Self> {
        let EngineSettings {
            pool_bytes,
            spill_folder,
        } = settings;
        let mode = match spill_folder {
            Some(folder) => DiskManagerMode::Directories(vec![folder]),
            None => DiskManagerMode::OsTmpDirectory,
        };
        let runtime = RuntimeEnvBuilder::new()
            .with_memory_pool(Arc::new(FairSpillPool::new(pool_bytes)))
            .with_disk_manager_builder(DiskManagerBuilder::default().with_mode(mode))
            .with_metadata_cache_limit(METADATA_CACHE_BYTES)
            .build_arc()
            .map_err(|cause| fault("setting up the engine", &cause))?;
        let url = objects_url()?;
        runtime.register_object_store(url.as_ref(), Arc::clone(&objects));
        let mut template = SessionStateBuilder::new()
            .with_config(session_config())
            .with_runtime_env(runtime)
            .with_default_features()
            .build();
        functions::register(&mut template).map_err(|cause| fault("registering functions", &cause))?;
        Ok(Self {
            objects,
            template,
            hot: Arc::default(),
        })
    }

    /// A session that sees `inputs` as tables and nothing else. `known_datasets` only serve to suggest names.
    ///
    /// # Errors
    /// `Internal` when two inputs have the same name; those of hot records that cannot be read.
    pub async fn session(&self, inputs: &[Input], known_datasets: &[String], threads: usize) -> Result<Session> {
        let mut opened = Vec::with_capacity(inputs.len());
        for input in inputs {
            opened.push(self.open(input).await?);
        }
        Session::new(&self.template, opened, known_datasets, threads)
    }

    /// The attributes of all records of `input`.
    ///
    /// # Errors
    /// Those of hot records that cannot be read.
    pub async fn schema(&self, input: &Input) -> Result<TableSchema> {
        Ok(self.open(input).await?.input.schema)
    }

    pub(crate) async fn open(&self, input: &Input) -> Result<Opened> {
        table::open(input, &self.objects, &self.hot).await
    }
}

pub(crate) fn objects_url() -> Result<ObjectStoreUrl> {
    ObjectStoreUrl::parse(OBJECTS_URL).map_err(|cause| fault("naming the object store", &cause))
}

fn session_config() -> SessionConfig {
    let mut config = SessionConfig::new()
        .with_information_schema(false)
        .with_create_default_catalog_and_schema(false);
    let options = config.options_mut();
    // Names are resolved before planning, see `sql::names`; here they are taken as they come.
    options.sql_parser.enable_ident_normalization = false;
    options.sql_parser.collect_spans = true;
    options.sql_parser.map_string_types_to_utf8view = false;
    options.execution.parquet.schema_force_view_types = false;
    options.execution.parquet.skip_metadata = false;
    // It takes room for ten times the limit before it sees a row, and every answer has a limit: a few distinct values in
    // order then need more memory than a job may have.
    options.optimizer.enable_topk_aggregation = false;
    config
}
