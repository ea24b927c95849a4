//! Files that were made of a data set, kept a while so that they can be fetched in pieces.
//!
//! The same question about the same version gives the same bytes, so a file that is gone is made again.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use assay_core::{Code, Completion, Error, Limits, Order, Result, ResultData, RunControl, Task};
use axum::body::Body;
use bytes::Bytes;
use futures::stream::{StreamExt as _, TryStreamExt as _};
use object_store::path::Path;
use object_store::{GetOptions, GetRange, ObjectStoreExt as _};
use tokio::sync::OnceCell;
use tokio::time::Instant;

use crate::app::App;
use crate::read::{self, Leftover};

/// How long a file is kept after it was last asked for.
const KEPT: Duration = Duration::from_secs(600);
/// Files that are kept.
const MOST: usize = 100;
/// A file of gigabytes may take a while.
const TIMEOUT_MS: u64 = 3_600_000;

/// The files by what they answer.
#[derive(Default)]
pub(crate) struct Exports(Mutex<HashMap<String, Kept>>);

struct Kept {
    file: Arc<OnceCell<Arc<Export>>>,
    asked: Instant,
}

/// One file.
pub(crate) struct Export {
    data: Data,
    size: u64,
}

enum Data {
    Inline(Bytes),
    /// Deleted when nobody reads it any more.
    Object(Leftover),
}

/// Bytes from `begin` to the one before `end`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Span {
    pub(crate) begin: u64,
    pub(crate) end: u64,
}

impl Exports {
    /// The file that `identity` stands for; it is made by `task` when it is not there, once for all who ask.
    ///
    /// # Errors
    /// Whatever the engine meets.
    pub(crate) async fn get(&self, app: &App, identity: &str, task: Task) -> Result<Arc<Export>> {
        let place = self.place(identity);
        let file = place.get_or_try_init(|| make(app, task)).await?;
        Ok(Arc::clone(file))
    }

    fn place(&self, identity: &str) -> Arc<OnceCell<Arc<Export>>> {
        let now = Instant::now();
        // Whole entries are inserted and removed, so what a panic left behind is sound.
        let mut files = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        files.retain(|_, kept| now.duration_since(kept.asked) < KEPT);
        if files.len() >= MOST && !files.contains_key(identity) {
            let oldest = files
                .iter()
                .min_by_key(|(_, kept)| kept.asked)
                .map(|(name, _)| name.clone());
            oldest.and_then(|name| files.remove(&name));
        }
        let kept = files.entry(identity.to_owned()).or_insert_with(|| Kept {
            file: Arc::default(),
            asked: now,
        });
        kept.asked = now;
        Arc::clone(&kept.file)
    }
}

async fn make(app: &App, task: Task) -> Result<Arc<Export>> {
    let order = Order {
        scratch: read::scratch(),
        task,
        limits: Limits {
            timeout_ms: TIMEOUT_MS,
            rows: u64::MAX,
            result_bytes: app.settings.max_limits.result_bytes,
            ..app.settings.read_limits
        },
        threads: 1,
    };
    let data = match app.runner.run(order, RunControl::unattended()).await? {
        Completion::Encoded { data, .. } => data,
        _ => return Err(read::astray()),
    };
    let (data, size) = match data {
        ResultData::Inline(bytes) => {
            let size = bytes.len() as u64;
            (Data::Inline(bytes.into()), size)
        }
        ResultData::Object { path, .. } => {
            let leftover = Leftover::new(app, path);
            let found = app
                .objects
                .head(leftover.path())
                .await
                .map_err(|cause| unreadable(&cause))?;
            (Data::Object(leftover), found.size)
        }
    };
    Ok(Arc::new(Export { data, size }))
}

fn unreadable(cause: &object_store::Error) -> Error {
    tracing::error!(error = %cause, "an export cannot be read");
    Error::new(Code::StoreFailed, "the export cannot be read from the store")
        .hint("try again; the log of the server has the cause")
}

impl Export {
    pub(crate) fn size(&self) -> u64 {
        self.size
    }

    /// A part of the file, streamed.
    ///
    /// # Errors
    /// `StoreFailed` when it cannot be read.
    pub(crate) async fn body(self: Arc<Self>, app: &App, span: Span) -> Result<Body> {
        let Span { begin, end } = span;
        match &self.data {
            Data::Inline(bytes) => {
                let range = usize::try_from(begin).unwrap_or(0)..usize::try_from(end).unwrap_or(bytes.len());
                Ok(Body::from(bytes.slice(range)))
            }
            Data::Object(_) if begin == end => Ok(Body::empty()),
            Data::Object(leftover) => {
                let path: Path = leftover.path().clone();
                let options = GetOptions {
                    range: Some(GetRange::Bounded(begin..end)),
                    ..GetOptions::default()
                };
                let found = app
                    .objects
                    .get_opts(&path, options)
                    .await
                    .map_err(|cause| unreadable(&cause))?;
                let kept = Arc::clone(&self);
                let bytes = found.into_stream().map_err(std::io::Error::other);
                // Kept until the last byte is out or the client is gone.
                let bytes = bytes.inspect(move |_| {
                    let _ = &kept;
                });
                Ok(Body::from_stream(bytes))
            }
        }
    }
}

impl Span {
    /// The part of a file of `size` bytes that a `Range` asks for; `Some(None)` when the file has none of it. Ranges of
    /// other units, and many at once, are passed over, as RFC 9110 allows.
    pub(crate) fn parse(range: &str, size: u64) -> Option<Option<Self>> {
        let (first, last) = range.strip_prefix("bytes=")?.split_once('-')?;
        let (first, last) = (first.trim(), last.trim());
        let span = match (first.parse::<u64>(), last.parse::<u64>()) {
            (Ok(begin), Ok(last)) if begin <= last => Self {
                begin,
                end: last.saturating_add(1).min(size),
            },
            (Ok(begin), Err(_)) if last.is_empty() => Self { begin, end: size },
            (Err(_), Ok(count)) if first.is_empty() => Self {
                begin: size.saturating_sub(count),
                end: size,
            },
            _ => return None,
        };
        Some((span.begin < span.end).then_some(span))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_are_those_of_the_rfc() {
        let span = |begin, end| Some(Some(Span { begin, end }));
        for (range, expected) in [
            ("bytes=0-0", span(0, 1)),
            ("bytes=2-99", span(2, 10)),
            ("bytes=3-", span(3, 10)),
            ("bytes=-3", span(7, 10)),
            ("bytes=-99", span(0, 10)),
            ("bytes=10-", Some(None)),
            ("bytes=-0", Some(None)),
            ("bytes=5-2", None),
            ("bytes=0-1,3-4", None),
            ("lines=0-1", None),
        ] {
            assert_eq!(Span::parse(range, 10), expected, "{range}");
        }
    }
}
