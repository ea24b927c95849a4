//! Records that cannot be read: the end of the load, or left out and told.

use std::sync::Arc;

use assay_core::{Code, Error, OnError, Rejects, Result};
use object_store::path::Path;
use object_store::{ObjectStore, ObjectStoreExt, WriteMultipart};
use serde_json::json;
use tokio::runtime::Handle;

/// So many of them are told in the report.
const TOLD: usize = 100;
/// So many uploads of kept text may be under way.
const IN_FLIGHT: usize = 2;

/// A record that was left out.
#[derive(Debug, Clone)]
pub struct Refusal {
    /// The name of the file, when there are several.
    pub file: Option<String>,
    pub line: u64,
    pub reason: String,
}

/// What is done with faulty records of one load. Blocks the thread.
pub(super) struct Refusals {
    policy: OnError,
    told: Vec<Refusal>,
    count: u64,
    /// The file that is being read, when there are several.
    file: Option<String>,
    kept: Option<Kept>,
    objects: Arc<dyn ObjectStore>,
    folder: String,
    handle: Handle,
}

/// Where the text of faulty records goes.
struct Kept {
    path: Path,
    writer: WriteMultipart,
}

/// What was refused before a file, to go back to.
#[derive(Clone, Copy)]
pub(super) struct Mark {
    told: usize,
    count: u64,
}

impl Refusals {
    pub(super) fn new(policy: OnError, objects: Arc<dyn ObjectStore>, folder: &str) -> Self {
        Self {
            policy,
            told: Vec::new(),
            count: 0,
            file: None,
            kept: None,
            objects,
            folder: folder.to_owned(),
            handle: Handle::current(),
        }
    }

    /// What was refused up to now; `None` where the texts of the records are kept.
    pub(super) fn mark(&self) -> Option<Mark> {
        (self.policy != OnError::Quarantine).then_some(Mark {
            told: self.told.len(),
            count: self.count,
        })
    }

    /// Forgets what was refused since `mark`.
    pub(super) fn go_back(&mut self, mark: Mark) {
        let Mark { told, count } = mark;
        self.told.truncate(told);
        self.count = count;
    }

    /// From now on the file called `name` is read.
    pub(super) fn enter(&mut self, name: Option<&str>) {
        self.file = name.map(ToOwned::to_owned);
    }

    /// Whether the first fault is the last.
    pub(super) fn ends_load(&self) -> bool {
        self.policy == OnError::Abort
    }

    pub(super) fn count(&self) -> u64 {
        self.count
    }

    /// The first ones.
    pub(super) fn told(&self) -> &[Refusal] {
        &self.told
    }

    /// Takes the fault of the record that begins on `line`.
    ///
    /// # Errors
    /// The fault itself, when it ends the load; those of the store.
    pub(super) fn refuse(&mut self, fault: Error, line: u64, text: &[u8]) -> Result<()> {
        if self.policy == OnError::Abort {
            return Err(fault);
        }
        self.leave_out(&fault, line, text)
    }

    /// As [`Self::refuse`], for what never ends the load.
    ///
    /// # Errors
    /// Those of the store.
    pub(super) fn leave_out(&mut self, fault: &Error, line: u64, text: &[u8]) -> Result<()> {
        self.count += 1;
        let reason = fault.message.clone();
        if self.policy == OnError::Quarantine {
            self.keep(line, &reason, text)?;
        }
        if self.told.len() < TOLD {
            let file = self.file.clone();
            self.told.push(Refusal { file, line, reason });
        }
        Ok(())
    }

    fn keep(&mut self, line: u64, reason: &str, text: &[u8]) -> Result<()> {
        let kept = match &mut self.kept {
            Some(kept) => kept,
            None => {
                let path = Path::from(format!("{}/{}.rejects.ndjson", self.folder, ulid::Ulid::new()));
                let upload = self
                    .handle
                    .block_on(self.objects.put_multipart(&path))
                    .map_err(failed)?;
                let writer = WriteMultipart::new(upload);
                self.kept.insert(Kept { path, writer })
            }
        };
        let mut record = json!({"line": line, "reason": reason, "text": String::from_utf8_lossy(text)});
        if let Some(file) = &self.file {
            record["file"] = file.as_str().into();
        }
        let mut record = record.to_string();
        record.push('\n');
        self.handle
            .block_on(kept.writer.wait_for_capacity(IN_FLIGHT))
            .map_err(failed)?;
        // The pieces of an upload are tasks of the runtime.
        let _inside = self.handle.enter();
        kept.writer.write(record.as_bytes());
        Ok(())
    }

    /// What was kept, whole in the store.
    ///
    /// # Errors
    /// Those of the store.
    pub(super) fn finish(&mut self) -> Result<Option<Rejects>> {
        let Some(Kept { path, writer }) = self.kept.take() else {
            return Ok(None);
        };
        self.handle.block_on(writer.finish()).map_err(failed)?;
        Ok(Some(Rejects {
            path: path.to_string(),
            count: self.count,
        }))
    }

    /// Takes back what was kept, after an error.
    pub(super) fn delete(&mut self) {
        if let Some(Kept { path, writer }) = self.kept.take()
            && let Err(error) = self.handle.block_on(writer.abort())
        {
            tracing::warn!(%error, %path, "the records that a failed load left out are left for the next sweep");
        }
    }
}

#[expect(clippy::needless_pass_by_value, reason = "as `map_err` gives it")]
fn failed(error: object_store::Error) -> Error {
    tracing::error!(%error, "cannot store the records that were left out");
    Error::new(Code::StoreFailed, "the records that were left out cannot be stored").hint("see the log of the server")
}

/// The error of a file of which nothing was read: so many records were left out, `first` of them the first.
pub(super) fn no_records(left_out: u64, first: Option<&Refusal>) -> Error {
    match first {
        None => Error::new(Code::NoRecords, "the file has no records").hint("load a file with at least one record"),
        Some(first) => {
            let message = format!(
                "none of the {left_out} records could be read; the first: {}",
                first.reason
            );
            Error::new(Code::NoRecords, message)
                .hint("look whether the options suit the file")
                .at(first.line, None)
        }
    }
}
