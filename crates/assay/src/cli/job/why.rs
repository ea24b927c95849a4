//! `assay job why`: what a job waits for, in sentences.

use assay_client::{Job, Queue, Wait, WaitCause};
use assay_core::State;

use super::ShowArgs;
use crate::cli::Failure;
use crate::cli::context::{Context, FormatArgs, OutputFormat};
use crate::output::{self, text};

pub(super) async fn run(context: &Context, args: ShowArgs) -> Result<(), Failure> {
    let wait = context.client.explain(&args.id).await?;
    match context.format(args.format) {
        OutputFormat::Table => {
            let job = context.client.job(&args.id).await?;
            let queue = queue_for(context, &wait).await?;
            Ok(output::print(&sentences(&job, &wait, queue.as_ref()))?)
        }
        OutputFormat::Json | OutputFormat::Ndjson => Ok(output::print(&format!("{}\n", wait.text.get()))?),
        _ => Err(Failure::usage(
            "the reason comes as table, json or ndjson",
            "leave out `--format`",
        )),
    }
}

/// Below a job that people read: why it waits, when it does.
pub(super) async fn append(context: &Context, job: &Job, format: FormatArgs) -> Result<(), Failure> {
    let waits = matches!(job.state, State::Scheduled | State::Queued);
    if !waits || context.format(format) != OutputFormat::Table {
        return Ok(());
    }
    let wait = context.client.explain(&job.id).await?;
    // It may have begun since it was shown.
    if wait.cause.is_none() {
        return Ok(());
    }
    let queue = queue_for(context, &wait).await?;
    Ok(output::print(&format!("\n{}", sentences(job, &wait, queue.as_ref())))?)
}

/// The queue, when the cause is explained by it.
async fn queue_for(context: &Context, wait: &Wait) -> Result<Option<Queue>, Failure> {
    match wait.cause {
        Some(WaitCause::Paused | WaitCause::UserLimit) => Ok(Some(context.client.queue().await?.value)),
        _ => Ok(None),
    }
}

fn sentences(job: &Job, wait: &Wait, queue: Option<&Queue>) -> String {
    let mut told = vec![cause(job, wait, queue)];
    if let Some(position) = wait.position.filter(|position| *position > 1) {
        told.push(format!("It is number {position} of the waiting jobs of its owner."));
    }
    if let Some(at) = &wait.estimated_start {
        told.push(format!("It will presumably begin at {at}."));
    }
    told.iter()
        .map(|sentence| format!(" {}\n", text::printable(sentence)))
        .collect()
}

fn cause(job: &Job, wait: &Wait, queue: Option<&Queue>) -> String {
    let id = &job.id;
    let jobs = wait.jobs.join(", ");
    let at = wait.until.as_deref().unwrap_or("a later time");
    match wait.cause {
        None => format!("{id} does not wait: it is {}.", job.state),
        Some(WaitCause::RunAt) => format!("{id} waits for its time, {at}. `assay job run {id}` runs it now."),
        Some(WaitCause::Retry) => {
            let error = job.attempts.last().and_then(|attempt| attempt.error.as_ref());
            let because = error.map_or_else(String::new, |error| format!(": {}", error.to_error().message));
            format!(
                "Attempt {} failed{because}. The next one begins at {at}; `assay job retry {id}` begins it now.",
                job.attempt
            )
        }
        Some(WaitCause::Dependencies) => format!("{id} waits until these have succeeded: {jobs}."),
        Some(WaitCause::Paused) => paused(job, queue),
        Some(WaitCause::UserLimit) => limited(job, queue),
        Some(WaitCause::SharesRun) => format!("An identical job is under way and answers this one too: {jobs}."),
        Some(WaitCause::NoWorker) => format!(
            "No worker that takes jobs of `{}` has looked for any lately. `assay stats` tells of the workers.",
            job.analysis
        ),
        Some(WaitCause::Queue) if wait.ahead == 0 => format!("{id} is the next one."),
        Some(WaitCause::Queue) => {
            let are = if wait.ahead == 1 { "is" } else { "are" };
            format!(
                "All workers are busy, and {} {are} ahead of {id}.",
                text::counted(wait.ahead, "job")
            )
        }
        Some(WaitCause::Other) => format!("{}.", wait.explanation),
    }
}

fn paused(job: &Job, queue: Option<&Queue>) -> String {
    let found = queue.and_then(|queue| queue.pause(None).or_else(|| queue.pause(Some(&job.analysis))));
    let Some(pause) = found else {
        return "Its analysis, or the whole queue, is paused.".to_owned();
    };
    let (what, named) = match &pause.analysis {
        Some(name) => (format!("The analysis `{name}`"), format!(" {name}")),
        None => ("The whole queue".to_owned(), String::new()),
    };
    let reason = Some(&pause.reason).filter(|reason| !reason.is_empty());
    let reason = reason.map_or_else(String::new, |reason| format!(": {reason}"));
    format!(
        "{what} is paused since {}{reason}. `assay queue resume{named}` lets it go on.",
        pause.since
    )
}

fn limited(job: &Job, queue: Option<&Queue>) -> String {
    let share = queue.and_then(|queue| queue.users.iter().find(|share| share.user == job.owner));
    let most = share.map_or_else(String::new, |share| {
        format!(" ({} of {})", share.running, share.limits.max_running)
    });
    format!(
        "{} runs as many jobs as allowed{most}; {} waits until one of them ends.",
        job.owner, job.id
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(wait: &str, queue: &str, expected: &str) {
        let job = r#"{"id":"job_9","owner":"anna","analysis":"ping","state":"queued","attempt":1,
            "attempts":[{"number":1,"error":{"code":"internal","detail":"it broke"}}]}"#;
        let job: Job = serde_json::from_str(job).unwrap();
        let wait: Wait = serde_json::from_str(wait).unwrap();
        let queue: Option<Queue> = serde_json::from_str(queue).unwrap();
        assert_eq!(sentences(&job, &wait, queue.as_ref()), expected);
    }

    #[test]
    fn waits_are_explained_in_sentences() {
        check(r#"{"cause":null}"#, "null", " job_9 does not wait: it is queued.\n");
        check(
            r#"{"cause":"queue","ahead":3,"position":2,"estimated_start":"2030-01-01T00:00:00Z"}"#,
            "null",
            " All workers are busy, and 3 jobs are ahead of job_9.\n \
             It is number 2 of the waiting jobs of its owner.\n \
             It will presumably begin at 2030-01-01T00:00:00Z.\n",
        );
        check(
            r#"{"cause":"retry","until":"soon"}"#,
            "null",
            " Attempt 1 failed: it broke. The next one begins at soon; `assay job retry job_9` begins it now.\n",
        );
        check(
            r#"{"cause":"dependencies","jobs":["job_1","job_2"]}"#,
            "null",
            " job_9 waits until these have succeeded: job_1, job_2.\n",
        );
        check(
            r#"{"cause":"moon","explanation":"the moon is new"}"#,
            "null",
            " the moon is new.\n",
        );
    }

    #[test]
    fn pauses_and_limits_are_explained_by_the_queue() {
        check(
            r#"{"cause":"paused"}"#,
            r#"{"pauses":[{"analysis":"ping","since":"today","reason":"repairs"}]}"#,
            " The analysis `ping` is paused since today: repairs. `assay queue resume ping` lets it go on.\n",
        );
        check(
            r#"{"cause":"user_limit"}"#,
            r#"{"users":[{"user":"anna","running":2,"limits":{"weight":1,"max_running":2,"max_waiting":9}}]}"#,
            " anna runs as many jobs as allowed (2 of 2); job_9 waits until one of them ends.\n",
        );
    }
}
