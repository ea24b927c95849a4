//! What an attempt works with, and the steps that attempts are made of.

use std::time::Duration;

use assay_core::{
    Code, Commit, Completion, Error, Job, Lease, Limits, Order, Progress, Result, RunControl, StoredResult, Task, Usage,
};
use serde_json::{Map, Value, json};
use tokio::sync::mpsc;
use tokio::time::timeout;

use super::running::Place;
use super::{WorkerPorts, orders};

/// Progress that waits to be noted; what does not fit is dropped, newer progress follows.
const PROGRESS: usize = 16;

/// One attempt.
#[derive(Clone, Copy)]
pub(super) struct Work<'a> {
    pub ports: &'a WorkerPorts,
    pub place: &'a Place,
    pub lease: &'a Lease,
    pub job: &'a Job,
    pub threads: usize,
}

/// What came of an attempt that went well.
pub(super) struct Done {
    pub result: StoredResult,
    pub commit: Option<Commit>,
}

impl Work<'_> {
    /// Where the attempt may write.
    pub(super) fn scratch(&self) -> String {
        orders::scratch(self.lease)
    }

    pub(super) fn order(&self, task: Task, limits: Limits) -> Order {
        Order {
            scratch: self.scratch(),
            task,
            limits,
            threads: self.threads,
        }
    }

    pub(super) fn note(&self, progress: Progress) {
        self.place.note(progress);
    }

    /// Has an engine process carry out an order, and adds what that used.
    ///
    /// # Errors
    /// What the order meets.
    pub(super) async fn obey(&self, order: Order, usage: &mut Usage) -> Result<Completion> {
        let (progress, mut reports) = mpsc::channel(PROGRESS);
        let control = RunControl::new(progress, self.place.cancel.clone());
        let used = control.usage.subscribe();
        let mut running = self.ports.runner.run(order, control);
        let completion = loop {
            tokio::select! {
                completion = &mut running => break completion,
                Some(report) = reports.recv() => self.place.note(report),
            }
        };
        let used = match &completion {
            Ok(Completion::Stored { usage, .. }) => *usage,
            _ => *used.borrow(),
        };
        add(usage, used);
        completion
    }

    /// The result in a completion.
    ///
    /// # Errors
    /// `Internal` for the completion of another kind of order.
    pub(super) fn stored(&self, completion: Completion) -> Result<Done> {
        match completion {
            Completion::Stored { result, commit, .. } => Ok(Done { result, commit }),
            _ => Err(self.astray()),
        }
    }

    /// An engine process that answers something else than it was asked.
    pub(super) fn astray(&self) -> Error {
        tracing::error!(job.id = %self.job.id, "the engine answered another question than it was asked");
        Error::internal("running the job")
    }

    /// One step of a long way: ends early when a user wants the job to stop.
    ///
    /// # Errors
    /// `Canceled`; those of the step.
    pub(super) async fn step<T>(&self, step: impl Future<Output = Result<T>>) -> Result<T> {
        tokio::select! {
            biased;
            () = self.place.canceled() => {
                Err(Error::new(Code::Canceled, "the job was canceled while it ran").hint("submit it again to run it"))
            }
            done = step => done,
        }
    }

    /// What runs outside of engine processes has the time of an attempt as well.
    ///
    /// # Errors
    /// `Timeout`; those of `run`.
    pub(super) async fn in_time<T>(&self, run: impl Future<Output = Result<T>>) -> Result<T> {
        let limit = self.job.spec.limits.timeout_ms;
        match timeout(Duration::from_millis(limit), run).await {
            Ok(done) => done,
            Err(_) => {
                let message = format!("the attempt took longer than its limit of {limit} ms");
                Err(Error::new(Code::Timeout, message).hint("ask for less data, or raise the time limit"))
            }
        }
    }

    /// A result of one row that tells `counts`. An engine process makes it, so that it is an answer as any other.
    ///
    /// # Errors
    /// Those of [`Self::obey`].
    pub(super) async fn report(&self, counts: &[(&str, u64)], usage: &mut Usage) -> Result<StoredResult> {
        let columns: Vec<String> = counts
            .iter()
            .map(|(name, count)| format!("{count} AS {name}"))
            .collect();
        let task = Task::Analyze {
            analysis: orders::SQL.to_owned(),
            params: json!({"sql": format!("SELECT {}", columns.join(", "))}),
            inputs: Vec::new(),
            known_datasets: Vec::new(),
        };
        let order = self.order(task, self.job.spec.limits);
        let Done { mut result, .. } = self.stored(self.obey(order, usage).await?)?;
        let told = counts
            .iter()
            .map(|(name, count)| ((*name).to_owned(), Value::from(*count)));
        result.set.summary = told.collect::<Map<_, _>>();
        Ok(result)
    }
}

fn add(usage: &mut Usage, used: Usage) {
    let Usage {
        run_ms: _,
        cpu_ms,
        peak_bytes,
        rows_read,
        bytes_read,
    } = used;
    usage.cpu_ms += cpu_ms;
    usage.peak_bytes = usage.peak_bytes.max(peak_bytes);
    usage.rows_read += rows_read;
    usage.bytes_read += bytes_read;
}
