//! Writing records as keys of a Redis server: an engine process gives them out as JSON lines, and they are written a batch
//! at a time.

use assay_core::{
    Code, Completion, Error, Format, Input, InputSource, KeyWrite, KeyWriter, Limits, Progress, PublishParams,
    RecordsTask, Result, ResultData, Task, Usage,
};
use futures::TryStreamExt as _;
use object_store::ObjectStoreExt as _;
use object_store::path::Path;
use serde_json::json;
use tokio::io::{AsyncBufRead, AsyncBufReadExt as _};
use tokio_util::io::StreamReader;

use super::work::{Done, Work};
use super::{inputs, leftovers};

/// Keys that are written in one step, and about how many bytes.
const BATCH: usize = 200;
const BATCH_BYTES: usize = 1 << 20;
/// So many records that were left out are told.
const TOLD: usize = 50;

/// # Errors
/// `LinkRefused`, `LinkFailed`; those of reading the input.
pub(super) async fn run(work: Work<'_>, usage: &mut Usage) -> Result<Done> {
    let params: PublishParams = serde_json::from_value(work.job.spec.params.clone()).map_err(|fault| {
        let message = format!("the parameters of the publication could not be read: {fault}");
        Error::new(Code::InvalidParameter, message).hint("submit it again")
    })?;
    let writer = work.step(work.ports.links.writer(&params.to)).await?;
    let order = work.order(
        task(work).await?,
        Limits {
            rows: u64::MAX,
            result_bytes: u64::MAX,
            ..work.job.spec.limits
        },
    );
    let Completion::Encoded { data, rows } = work.obey(order, usage).await? else {
        return Err(work.astray());
    };
    let mut publication = Publication {
        work,
        params,
        writer,
        batch: Vec::new(),
        bytes: 0,
        written: 0,
        left_out: Vec::new(),
        left_out_count: 0,
        total: rows,
    };
    let published = match &data {
        ResultData::Inline(bytes) => publication.write(bytes.as_slice()).await,
        ResultData::Object { path, .. } => publication.write_object(path).await,
    };
    if let ResultData::Object { path, .. } = &data {
        leftovers::delete(&*work.ports.objects, path).await;
    }
    published?;
    publication.report(usage).await
}

/// The order that gives the records out.
async fn task(work: Work<'_>) -> Result<Task> {
    let spec = &work.job.spec;
    let input: Input = match (&spec.input_job, spec.inputs.first()) {
        (Some(id), _) => inputs::answer_of(work.ports, id).await?,
        (None, Some(input)) => work
            .ports
            .catalog
            .snapshot(&input.name, Some(input.version))
            .await?
            .into(),
        (None, None) => {
            let error = Error::new(Code::InvalidParameter, "the publication names nothing to publish");
            return Err(error.hint("submit it again"));
        }
    };
    Ok(match input.source {
        InputSource::Answer(data) => Task::Export {
            data,
            format: Format::Ndjson,
            offset: 0,
            limit: None,
        },
        _ => Task::Records(Box::new(RecordsTask {
            input,
            select: Vec::new(),
            filters: Vec::new(),
            condition: None,
            order: Vec::new(),
            offset: 0,
            limit: u64::MAX,
            format: Format::Ndjson,
        })),
    })
}

struct Publication<'a> {
    work: Work<'a>,
    params: PublishParams,
    writer: Box<dyn KeyWriter>,
    batch: Vec<KeyWrite>,
    bytes: usize,
    written: u64,
    /// The numbers of the first records that were left out, from 1, and why.
    left_out: Vec<(u64, &'static str)>,
    left_out_count: u64,
    total: u64,
}

impl Publication<'_> {
    async fn write_object(&mut self, path: &str) -> Result<()> {
        let found = self.work.ports.objects.get(&Path::from(path)).await;
        let found = found.map_err(|cause| unreadable(&cause))?;
        let chunks = found.into_stream().map_err(std::io::Error::other);
        self.write(StreamReader::new(chunks)).await
    }

    /// Writes the records of JSON lines.
    async fn write(&mut self, lines: impl AsyncBufRead + Unpin) -> Result<()> {
        let mut lines = lines.lines();
        let mut number = 0;
        while let Some(line) = lines.next_line().await.map_err(|cause| unreadable(&cause))? {
            if line.is_empty() {
                continue;
            }
            number += 1;
            match self.params.write(&line)? {
                Ok(write) => {
                    self.bytes += write.bytes();
                    self.batch.push(write);
                }
                Err(reason) => {
                    self.left_out_count += 1;
                    if self.left_out.len() < TOLD {
                        self.left_out.push((number, reason));
                    }
                }
            }
            if self.batch.len() >= BATCH || self.bytes >= BATCH_BYTES {
                self.flush().await?;
            }
        }
        self.flush().await
    }

    async fn flush(&mut self) -> Result<()> {
        let batch = std::mem::take(&mut self.batch);
        self.bytes = 0;
        let count = batch.len() as u64;
        self.work.step(self.writer.write(batch)).await?;
        self.written += count;
        self.work.note(Progress {
            stage: "writing keys".to_owned(),
            done: self.written + self.left_out_count,
            total: Some(self.total),
            unit: "records".to_owned(),
            rows: self.written,
        });
        Ok(())
    }

    async fn report(self, usage: &mut Usage) -> Result<Done> {
        let counts = [("written", self.written), ("left_out", self.left_out_count)];
        let mut result = self.work.report(&counts, usage).await?;
        let shown = |(record, reason): &(u64, &str)| json!({"record": record, "reason": reason});
        let summary = &mut result.set.summary;
        summary.insert("reasons".to_owned(), self.left_out.iter().map(shown).collect());
        summary.insert("to".to_owned(), json!(self.params.to));
        Ok(Done { result, commit: None })
    }
}

fn unreadable(cause: &dyn std::fmt::Display) -> Error {
    tracing::error!(error = %cause, "the records to publish cannot be read");
    Error::new(
        Code::StoreFailed,
        "the records to publish cannot be read from the store",
    )
    .hint("the log of the server has the cause")
}
