//! One job as people read it: its members, its attempts, and what went wrong.

use std::time::Duration;

use assay_client::{Attempt, Job};

use super::touched;
use crate::cli::Context;
use crate::output::table::{Heading, Sheet};
use crate::output::{Screen, errors, progress, text};

/// A usual priority, which is not worth a line.
const USUAL_PRIORITY: u8 = 5;

pub(super) fn render(context: &Context, job: &Job) -> String {
    about(&context.out, job)
}

fn about(screen: &Screen, job: &Job) -> String {
    let mut shown = format!(" {}\n\n", job.id);
    for (name, value) in members(job) {
        shown.push_str(&format!(" {name:<11}{}\n", text::printable(&value)));
    }
    if !job.attempts.is_empty() {
        shown.push('\n');
        shown.push_str(&attempts(&job.attempts).render(screen).text);
    }
    if let Some(error) = &job.error {
        shown.push('\n');
        shown.push_str(&errors::render(&error.to_error(), sql_of(job).as_deref(), screen));
    }
    shown
}

/// What is known of the job, in the order of its life.
fn members(job: &Job) -> Vec<(&'static str, String)> {
    let mut lines = vec![("analysis", job.analysis.clone()), ("state", progress::describe(job))];
    lines.extend(asked(job));
    let times = [
        ("submitted", &job.submitted_at),
        ("run at", &job.run_at),
        ("deadline", &job.deadline),
        ("started", &job.started_at),
        ("finished", &job.finished_at),
    ];
    lines.extend(times.into_iter().filter_map(|(name, at)| Some((name, at.clone()?))));
    if let Some(other) = &job.shares {
        lines.push(("shares", sharing(job, other)));
    }
    lines.push(("attempt", format!("{} of {}", job.attempt, job.max_attempts)));
    // What has not begun, or was answered by another job's run, has no time of its own.
    let has_run = job.attempts.iter().any(|attempt| attempt.ended_at.is_some());
    if let Some(usage) = job.usage.as_ref().filter(|_| has_run) {
        lines.push(("ran", text::duration(Duration::from_millis(usage.run_ms))));
    }
    if let Some(result) = &job.result {
        let (rows, size) = (text::counted(result.row_count, "row"), text::bytes(result.bytes));
        lines.push((
            "answer",
            format!("{rows}, {size}; `assay job result {}` shows it", job.id),
        ));
    }
    lines.extend(job.expires_at.clone().map(|at| ("expires", at)));
    lines
}

/// What was asked for when the job was submitted.
fn asked(job: &Job) -> Vec<(&'static str, String)> {
    let list = |items: &[String]| (!items.is_empty()).then(|| items.join(", "));
    let tags: Vec<String> = job.tags.iter().map(|(name, value)| format!("{name}={value}")).collect();
    let datasets = Some(touched(job)).filter(|named| !named.is_empty());
    let owner = Some(job.owner.clone()).filter(|owner| !owner.is_empty());
    let priority = job.priority.filter(|priority| *priority != USUAL_PRIORITY);
    let members = [
        ("owner", owner),
        ("data sets", datasets),
        ("input", job.input_job.as_ref().map(|id| format!("the answer of {id}"))),
        ("parameters", job.params.as_ref().map(|params| params.get().to_owned())),
        ("priority", priority.map(|priority| priority.to_string())),
        ("tags", list(&tags)),
        ("unique", job.unique_key.clone()),
        ("depends on", list(&job.depends_on)),
        ("schedule", job.schedule.clone()),
        ("retry of", job.retry_of.clone()),
    ];
    members
        .into_iter()
        .filter_map(|(name, value)| Some((name, value?)))
        .collect()
}

fn sharing(job: &Job, other: &str) -> String {
    if job.state.is_terminal() {
        format!("answered by the run of {other}")
    } else {
        format!("the run of {other} answers it too")
    }
}

fn attempts(attempts: &[Attempt]) -> Sheet {
    let headings = vec![
        Heading::number("attempt"),
        Heading::text("outcome"),
        Heading::text("worker"),
        Heading::number("ms"),
        Heading::number("cpu ms"),
        Heading::number("peak"),
        Heading::text("error"),
    ];
    let row = |attempt: &Attempt| {
        let usage = attempt.usage.clone().unwrap_or_default();
        let used = |amount: u64| attempt.ended_at.is_some().then(|| amount.to_string());
        let error = attempt.error.as_ref().map(|error| error.to_error().message);
        vec![
            Some(attempt.number.to_string()),
            Some(attempt.outcome.clone().unwrap_or_else(|| "running".to_owned())),
            Some(text::printable(&attempt.worker)),
            used(usage.run_ms),
            used(usage.cpu_ms),
            Some(usage.peak_bytes).filter(|peak| *peak > 0).map(text::bytes),
            error.as_deref().map(text::printable),
        ]
    };
    Sheet {
        headings,
        rows: attempts.iter().map(row).collect(),
    }
}

/// The SQL that places in the error of a query count in.
fn sql_of(job: &Job) -> Option<String> {
    let params: serde_json::Value = serde_json::from_str(job.params.as_ref()?.get()).ok()?;
    Some(params.get("sql")?.as_str()?.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    const PLAIN: Screen = Screen {
        is_terminal: false,
        color: false,
        width: None,
    };

    #[test]
    fn the_sql_of_a_failed_query_is_found_in_its_parameters() {
        let job: Job =
            serde_json::from_str(r#"{"id":"job_1","analysis":"sql","state":"failed","params":{"sql":"SELECT 1"}}"#)
                .unwrap();
        assert_eq!(sql_of(&job).as_deref(), Some("SELECT 1"));
    }

    #[test]
    fn a_job_is_shown_with_what_it_waits_for_and_its_attempts() {
        let job: Job = serde_json::from_str(
            r#"{"id":"job_3","owner":"anna","analysis":"ping","state":"scheduled","attempt":1,"max_attempts":3,
                "priority":2,"tags":{"team":"blue"},"depends_on":["job_1","job_2"],"deadline":"2030-01-01T00:00:00Z",
                "usage":{"run_ms":12,"cpu_ms":7,"peak_bytes":2048},
                "attempts":[{"number":1,"worker":"w1","outcome":"failed","ended_at":"x",
                    "error":{"code":"internal","detail":"it broke"},
                    "usage":{"run_ms":12,"cpu_ms":7,"peak_bytes":2048}}]}"#,
        )
        .unwrap();
        assert_eq!(
            about(&PLAIN, &job),
            concat!(
                " job_3\n\n",
                " analysis   ping\n",
                " state      waits for attempt 2\n",
                " owner      anna\n",
                " priority   2\n",
                " tags       team=blue\n",
                " depends on job_1, job_2\n",
                " deadline   2030-01-01T00:00:00Z\n",
                " attempt    1 of 3\n",
                " ran        12 ms\n",
                "\n",
                " attempt  outcome  worker  ms  cpu ms      peak  error\n",
                "──────────────────────────────────────────────────────────\n",
                "       1  failed   w1      12       7  2.00 KiB  it broke\n",
            )
        );
    }
    #[test]
    fn a_job_without_an_ended_attempt_has_not_run() {
        for attempts in ["[]", r#"[{"number":1,"worker":"w1"}]"#] {
            let job = format!(
                r#"{{"id":"job_1","analysis":"ping","state":"running","usage":{{"run_ms":0}},"attempts":{attempts}}}"#
            );
            let shown = about(&PLAIN, &serde_json::from_str(&job).unwrap());
            assert!(!shown.contains(" ran "), "{shown}");
        }
    }
}
