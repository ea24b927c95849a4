//! A seat of the pool: keeps one engine process alive and has it carry out one order after the other.
//!
//! Everything that ends an order is decided here: its answer, its limits, a cancel, the death of the process.

use std::sync::Arc;
use std::time::Duration;

use assay_core::{Code, Completion, EngineMessage, EngineReply, Error, Order, Result, RunControl, Task, Usage};
use tokio::sync::{oneshot, watch};
use tokio::time::{sleep, timeout};

use super::EngineSettings;
use super::death;
use super::idle::{HOPELESS_STARTS, IdleSeats, Request};
use super::process::EngineProcess;
use super::usage::{Meter, resident_bytes};

/// A process that has grown beyond this is replaced: allocators give memory back late or never.
const RETIRE_BYTES: u64 = 512 << 20;
/// A process that has served so many orders is replaced, so that nothing small can leak for ever.
const RETIRE_ORDERS: u32 = 10_000;
/// Pause between starts when nothing starts.
const PAUSE: Duration = Duration::from_secs(1);

pub(super) struct Seat {
    settings: Arc<EngineSettings>,
    idle: Arc<IdleSeats>,
    shutdown: watch::Receiver<bool>,
    /// Processes in a row that ended without having served an order.
    useless: u32,
}

/// How the watch over an order ended.
enum End {
    Replied(Box<Result<Completion>>),
    Died,
    TimedOut,
    /// Asked to stop, and it did not within the grace.
    Canceled,
    /// Nobody waits for the outcome any more.
    Abandoned,
    ShuttingDown,
}

enum Next {
    Request(Request),
    /// The process has ended, perhaps just after it was given an order.
    Died(Option<Request>),
    ShuttingDown,
}

impl Seat {
    pub(super) fn new(settings: Arc<EngineSettings>, idle: Arc<IdleSeats>, shutdown: watch::Receiver<bool>) -> Self {
        Self {
            settings,
            idle,
            shutdown,
            useless: 0,
        }
    }

    /// Keeps a process alive until shutdown.
    pub(super) async fn keep(mut self) {
        let mut left_over = None;
        while let Some(started) = self.start().await {
            match started {
                Ok(process) => {
                    self.idle.note_start();
                    left_over = self.serve(process, left_over).await;
                }
                Err(cause) => {
                    tracing::warn!(error = %cause, "could not start an engine process");
                    self.idle.note_failed_start();
                    self.useless = self.useless.saturating_add(1);
                    answer(left_over.take(), death::crashed());
                }
            }
            self.pause_when_useless().await;
        }
        answer(left_over, death::shutting_down());
    }

    /// A new process; `None` at shutdown.
    async fn start(&mut self) -> Option<std::io::Result<EngineProcess>> {
        let EngineSettings {
            program,
            args,
            objects,
            start_timeout,
            ..
        } = &*self.settings;
        tokio::select! {
            biased;
            () = asked_to_shut_down(&mut self.shutdown) => None,
            started = EngineProcess::start(program, args, objects, *start_timeout) => Some(started),
        }
    }

    async fn pause_when_useless(&mut self) {
        if self.useless < HOPELESS_STARTS {
            return;
        }
        tokio::select! {
            () = asked_to_shut_down(&mut self.shutdown) => {}
            () = sleep(PAUSE) => {}
        }
    }

    /// Serves orders, `first` before all others, until the process has ended. Gives an order back that it could not
    /// begin.
    async fn serve(&mut self, mut process: EngineProcess, mut first: Option<Request>) -> Option<Request> {
        let mut orders = 0;
        loop {
            let next = match first.take() {
                Some(request) => Next::Request(request),
                None => self.next(&mut process).await,
            };
            match next {
                Next::Request(request) => {
                    orders += 1;
                    self.useless = 0;
                    if !self.carry_out(&mut process, request).await {
                        return None;
                    }
                }
                Next::Died(request) => {
                    self.useless = if orders == 0 { self.useless.saturating_add(1) } else { 0 };
                    let last_words = process.last_words().await;
                    tracing::warn!(engine.pid = process.pid(), last_words, "an idle engine process ended");
                    return request;
                }
                Next::ShuttingDown => {
                    process.end(self.settings.grace).await;
                    return None;
                }
            }
            if orders >= RETIRE_ORDERS || resident_bytes(process.pid()).is_some_and(|bytes| bytes > RETIRE_BYTES) {
                tracing::debug!(engine.pid = process.pid(), orders, "retired an engine process");
                process.end(self.settings.grace).await;
                return None;
            }
        }
    }

    async fn next(&mut self, process: &mut EngineProcess) -> Next {
        let mut request = self.idle.offer();
        tokio::select! {
            biased;
            // The sender is only dropped with the pool itself.
            request = &mut request => match request {
                // It died a moment ago: the order has not been touched and suits the next process.
                Ok(request) if process.has_exited() => Next::Died(Some(request)),
                Ok(request) => Next::Request(request),
                Err(_) => Next::ShuttingDown,
            },
            () = asked_to_shut_down(&mut self.shutdown) => Next::ShuttingDown,
            _ = process.exited() => {
                request.close();
                Next::Died(request.try_recv().ok())
            }
        }
    }

    /// Answers `request`; whether the process can serve another one.
    async fn carry_out(&mut self, process: &mut EngineProcess, request: Request) -> bool {
        let Request {
            order,
            mut control,
            mut answer,
        } = request;
        let limits = order.limits;
        process.forget_words();
        let meter = is_measured(&order.task).then(|| Meter::start(process.pid()));
        let outcome = match self.watch(process, order, &mut control, &mut answer).await {
            End::Replied(outcome) => {
                if matches!(&*outcome, Err(error) if error.code == Code::Internal) {
                    let (pid, words) = (process.pid(), process.words().await);
                    tracing::error!(engine.pid = pid, words, "an engine process met a fault of its own");
                }
                let used = note_usage(&control, meter.as_ref());
                // An error means that nobody waits for it any more.
                let _ = answer.send(outcome.map(|completion| measured(completion, used)));
                return true;
            }
            End::Died => {
                let status = process.ended().await;
                let last_words = process.last_words().await;
                let error = death::explain(status, &last_words, &limits);
                let status = status.map(|status| status.to_string());
                tracing::warn!(
                    engine.pid = process.pid(), status, last_words, code = %error.code,
                    "an engine process died during an order"
                );
                error
            }
            End::TimedOut => death::timed_out(&limits),
            End::Canceled | End::Abandoned => death::canceled(),
            End::ShuttingDown => death::shutting_down(),
        };
        note_usage(&control, meter.as_ref());
        process.kill().await;
        let _ = answer.send(Err(outcome));
        false
    }

    async fn watch(
        &mut self,
        process: &mut EngineProcess,
        order: Order,
        control: &mut RunControl,
        answer: &mut oneshot::Sender<Result<Completion>>,
    ) -> End {
        let progress = control.clone();
        let limit = Duration::from_millis(order.limits.timeout_ms);
        let ending = async {
            tokio::select! {
                () = sleep(limit) => End::TimedOut,
                () = answer.closed() => End::Abandoned,
                () = asked_to_shut_down(&mut self.shutdown) => End::ShuttingDown,
                () = control.canceled() => End::Canceled,
            }
        };
        tokio::pin!(ending);
        let message = EngineMessage::Run(Box::new(order));
        let sent = tokio::select! {
            biased;
            end = &mut ending => return end,
            sent = process.send(&message) => sent,
        };
        if sent.is_err() {
            return End::Died;
        }
        let end = tokio::select! {
            end = &mut ending => end,
            end = outcome(process, &progress) => end,
        };
        match end {
            End::Canceled => stop(process, &progress, self.settings.grace).await,
            end => end,
        }
    }
}

/// Waits for the outcome of the order that was sent, passing progress on.
async fn outcome(process: &mut EngineProcess, control: &RunControl) -> End {
    loop {
        match process.reply().await {
            Some(EngineReply::Progress(progress)) => control.report(progress),
            Some(EngineReply::Completed(completion)) => return End::Replied(Box::new(Ok(*completion))),
            Some(EngineReply::Failed(error)) => return End::Replied(Box::new(Err(error))),
            // Out of turn: a process that has lost count cannot be trusted with a further order.
            Some(EngineReply::Ready) | None => return End::Died,
        }
    }
}

/// Asks the process to stop its order. It may still answer with its outcome.
async fn stop(process: &mut EngineProcess, control: &RunControl, grace: Duration) -> End {
    let listening = async {
        if process.send(&EngineMessage::Cancel).await.is_err() {
            return End::Canceled;
        }
        match outcome(process, control).await {
            End::Replied(outcome) => End::Replied(outcome),
            _ => End::Canceled,
        }
    };
    timeout(grace, listening).await.unwrap_or(End::Canceled)
}

fn answer(request: Option<Request>, error: Error) {
    if let Some(request) = request {
        // An error means that nobody waits for it any more.
        let _ = request.answer.send(Err(error));
    }
}

/// Reads are too short for the clock of the kernel, and nobody is told what they used.
fn is_measured(task: &Task) -> bool {
    matches!(task, Task::Analyze { .. } | Task::Import(_) | Task::Retype(_))
}

/// Tells what the order has used, as far as it can be measured: nothing of a process that is gone.
fn note_usage(control: &RunControl, meter: Option<&Meter>) -> Usage {
    let mut used = Usage::default();
    if let Some(meter) = meter {
        used.cpu_ms = meter.cpu_ms().unwrap_or(0);
        used.peak_bytes = meter.peak_bytes().unwrap_or(0);
        control.usage.send_replace(used);
    }
    used
}

fn measured(mut completion: Completion, used: Usage) -> Completion {
    if let Completion::Stored { usage, .. } = &mut completion {
        usage.cpu_ms = usage.cpu_ms.max(used.cpu_ms);
        usage.peak_bytes = usage.peak_bytes.max(used.peak_bytes);
    }
    completion
}

async fn asked_to_shut_down(shutdown: &mut watch::Receiver<bool>) {
    // An error means that the pool is gone.
    let _ = shutdown.wait_for(|shutdown| *shutdown).await;
}
