//! Following a job to its end, with a line that shows how far it is, and Ctrl-C.
//!
//! On a terminal Ctrl-C asks: detach, cancel, or go on waiting. Elsewhere nobody can be asked, and the job is canceled:
//! a script that is stopped leaves nothing running.

use std::io::IsTerminal as _;
use std::time::Duration;

use assay_client::{Client, ClientError, Exact, Job};
use assay_core::{Code, Error, State};
use indicatif::ProgressBar;

use super::{Context, Failure};
use crate::output::progress::{self, JobLine};
use crate::output::talk;

const TICK: Duration = Duration::from_millis(100);
/// How long a canceled job is waited for before a script is let go.
const PARTING: Duration = Duration::from_secs(5);

enum Choice {
    Detach,
    Cancel,
    GoOn,
}

/// Waits for the end of a job that was submitted here.
///
/// # Errors
/// `Job` when it failed, `Canceled`, `Detached` or `Interrupted`; `Client` when the server stays away.
pub async fn to_end(context: &Context, job: Exact<Job>) -> Result<Exact<Job>, Failure> {
    if job.state.is_terminal() {
        return verdict(job);
    }
    let bar = ProgressBar::with_draw_target(None, progress::target(context.quiet))
        .with_style(progress::job_style())
        .with_prefix(job.analysis.clone());
    let mut line = JobLine::new(bar.clone());
    line.show(&job);
    bar.enable_steady_tick(TICK);
    let ended = follow(context, &job.id, &bar, line).await;
    bar.finish_and_clear();
    verdict(ended?)
}

/// What has become of a job that has ended.
pub fn verdict(job: Exact<Job>) -> Result<Exact<Job>, Failure> {
    match job.state {
        State::Canceled => Err(Failure::Canceled { id: job.id.clone() }),
        State::Failed => {
            let told = job.error.as_ref().map(assay_client::Problem::to_error);
            let error = told.unwrap_or_else(|| Error::new(Code::Internal, format!("job `{}` failed", job.id)));
            Err(Failure::Job { error, source: None })
        }
        _ => Ok(job),
    }
}

async fn follow(context: &Context, id: &str, bar: &ProgressBar, mut line: JobLine) -> Result<Exact<Job>, Failure> {
    let wait = context.client.wait(id, |job| line.show(job));
    tokio::pin!(wait);
    loop {
        tokio::select! {
            job = &mut wait => return Ok(job?),
            pressed = tokio::signal::ctrl_c() => pressed?,
        }
        if !can_ask() {
            leave(context, id).await;
            return Err(Failure::Interrupted);
        }
        match ask(bar, id).await? {
            Choice::GoOn => {}
            Choice::Cancel => {
                bar.set_message("canceling");
                cancel(&context.client, id).await?;
            }
            Choice::Detach => {
                context.say(&format!(
                    "`{id}` goes on; `assay job wait {id}` waits for it, `assay job result {id}` shows its answer"
                ));
                return Err(Failure::Detached);
            }
        }
    }
}

fn can_ask() -> bool {
    std::io::stdin().is_terminal() && std::io::stderr().is_terminal()
}

/// A second Ctrl-C is no answer to the question and stops the program; the job goes on.
async fn ask(bar: &ProgressBar, id: &str) -> Result<Choice, Failure> {
    bar.set_draw_target(indicatif::ProgressDrawTarget::hidden());
    talk(&format!(
        "\n`{id}` is running. [d]etach and let it run, [c]ancel it, or [w]ait on?"
    ));
    let answer = tokio::task::spawn_blocking(|| {
        let mut line = String::new();
        std::io::stdin().read_line(&mut line).map(|_| line)
    });
    let line = tokio::select! {
        line = answer => line.map_err(std::io::Error::other)??,
        _ = tokio::signal::ctrl_c() => return Err(Failure::Interrupted),
    };
    let choice = match line.trim_start().chars().next() {
        Some('d' | 'D') => Choice::Detach,
        Some('c' | 'C') => Choice::Cancel,
        _ => Choice::GoOn,
    };
    bar.set_draw_target(progress::target(false));
    Ok(choice)
}

/// A job that has ended in the meantime needs no canceling.
async fn cancel(client: &Client, id: &str) -> Result<(), ClientError> {
    match client.cancel(id).await {
        Err(error) if error.problem().is_some_and(|problem| problem.code == Code::JobFinished) => Ok(()),
        other => other.map(drop),
    }
}

async fn leave(context: &Context, id: &str) {
    let parting = tokio::time::timeout(PARTING, async {
        cancel(&context.client, id).await?;
        context.client.wait(id, |_| {}).await
    });
    match parting.await {
        Ok(Ok(job)) if job.state == State::Canceled => context.say(&format!("`{id}` was canceled")),
        Ok(Ok(job)) => context.say(&format!("`{id}` had ended: {}", job.state)),
        _ => context.say(&format!(
            "`{id}` was asked to stop; `assay job show {id}` tells whether it has"
        )),
    }
}

/// Does something that Ctrl-C may stop without a trace.
///
/// # Errors
/// `Interrupted`, or what the work itself met.
pub async fn unless_interrupted<T>(work: impl Future<Output = Result<T, Failure>>) -> Result<T, Failure> {
    tokio::select! {
        done = work => done,
        _ = tokio::signal::ctrl_c() => Err(Failure::Interrupted),
    }
}
