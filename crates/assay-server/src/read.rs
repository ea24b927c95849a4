//! Reading through an engine process: pages of records and results in other formats, streamed out.

use std::sync::Arc;

use assay_core::{
    Completion, CountTask, Counted, Error, Input, Limits, Order, Result, ResultData, RunControl, TableSchema, Task,
};
use axum::body::Body;
use bytes::Bytes;
use futures::stream::{self, BoxStream, StreamExt as _, TryStreamExt as _};
use object_store::path::Path;
use object_store::{ObjectStore, ObjectStoreExt as _};

use crate::app::App;

/// Encoded rows on their way out.
pub(crate) struct Encoded {
    pub(crate) rows: u64,
    bytes: BoxStream<'static, std::io::Result<Bytes>>,
}

/// A place in the object store for the output of one read.
pub(crate) fn scratch() -> String {
    format!("exports/{}", ulid::Ulid::new().to_string().to_ascii_lowercase())
}

/// Runs a read.
///
/// # Errors
/// Whatever the engine meets, e.g. an unknown column; `StoreFailed` when its output cannot be opened.
pub(crate) async fn run(app: &App, task: Task, limits: Limits) -> Result<Encoded> {
    let order = Order {
        scratch: scratch(),
        task,
        limits,
        threads: 1,
    };
    match app.runner.run(order, RunControl::unattended()).await? {
        Completion::Encoded { data, rows } => Ok(Encoded {
            rows,
            bytes: open(app, data).await?,
        }),
        _ => Err(astray()),
    }
}

pub(crate) fn astray() -> Error {
    tracing::error!("the engine answered another question than it was asked");
    Error::internal("reading the data")
}

/// How many records pass filters.
///
/// # Errors
/// Whatever the engine meets, e.g. an unknown column.
pub(crate) async fn count(app: &App, task: CountTask) -> Result<Counted> {
    let order = Order {
        scratch: scratch(),
        task: Task::Count(Box::new(task)),
        limits: app.settings.read_limits,
        threads: 1,
    };
    match app.runner.run(order, RunControl::unattended()).await? {
        Completion::Counted(counted) => Ok(counted),
        _ => Err(astray()),
    }
}

/// The attributes of a data set, those of its hot records among them.
///
/// # Errors
/// Whatever the engine meets.
pub(crate) async fn schema(app: &App, input: Input) -> Result<TableSchema> {
    let order = Order {
        scratch: scratch(),
        task: Task::Schema(Box::new(input)),
        limits: app.settings.read_limits,
        threads: 1,
    };
    match app.runner.run(order, RunControl::unattended()).await? {
        Completion::Schema(schema) => Ok(schema),
        _ => Err(astray()),
    }
}

async fn open(app: &App, data: ResultData) -> Result<BoxStream<'static, std::io::Result<Bytes>>> {
    match data {
        ResultData::Inline(bytes) => Ok(stream::once(async { Ok(Bytes::from(bytes)) }).boxed()),
        ResultData::Object { path, .. } => {
            let leftover = Leftover::new(app, path);
            let found = app.objects.get(&leftover.path).await.map_err(|cause| {
                tracing::error!(error = %cause, "could not open the output of a read");
                Error::internal("reading the data")
            })?;
            let bytes = found.into_stream().map_err(std::io::Error::other);
            // Kept until the last byte is out or the client is gone.
            Ok(bytes
                .inspect(move |_| {
                    let _ = &leftover;
                })
                .boxed())
        }
    }
}

impl Encoded {
    /// The rows alone.
    pub(crate) fn into_body(self) -> Body {
        Body::from_stream(self.bytes)
    }

    /// The rows as a member of a JSON object: between `head` and `tail`.
    pub(crate) fn between(self, head: String, tail: String) -> Body {
        let around = |text: String| stream::once(async move { Ok(Bytes::from(text)) });
        Body::from_stream(around(head).chain(self.bytes).chain(around(tail)))
    }
}

/// An object that nobody refers to; deleted when dropped.
pub(crate) struct Leftover {
    objects: Arc<dyn ObjectStore>,
    path: Path,
}

impl Leftover {
    pub(crate) fn new(app: &App, path: String) -> Self {
        Self {
            objects: Arc::clone(&app.objects),
            path: Path::from(path),
        }
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for Leftover {
    fn drop(&mut self) {
        let Ok(runtime) = tokio::runtime::Handle::try_current() else {
            // The sweep at the next start finds it.
            return;
        };
        let (objects, path) = (Arc::clone(&self.objects), std::mem::take(&mut self.path));
        runtime.spawn(async move {
            if let Err(cause) = objects.delete(&path).await {
                tracing::warn!(error = %cause, "could not delete the output of a read");
            }
        });
    }
}
