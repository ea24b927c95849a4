//! The line that shows how far a job has come.

use assay_client::Job;
use assay_core::State;
use indicatif::{ProgressDrawTarget, ProgressStyle};

use super::{chart, text};

const METER_WIDTH: usize = 24;

/// What a job is doing, in a few words.
pub fn describe(job: &Job) -> String {
    if job.cancel_requested && !job.state.is_terminal() {
        return "canceling".to_owned();
    }
    match job.state {
        State::Running => running(job),
        State::Scheduled if job.attempt > 0 => format!("waits for attempt {}", job.attempt + 1),
        state => state.to_string(),
    }
}

fn running(job: &Job) -> String {
    let progress = job.progress.clone().unwrap_or_default();
    let stage = if progress.stage.is_empty() {
        "running"
    } else {
        &progress.stage
    };
    let mut words = text::printable(stage);
    let known = progress.fraction.or_else(|| fraction(progress.done, progress.total?));
    if let Some(fraction) = known {
        words.push_str(&format!(
            " {} {:.0} %",
            chart::meter(fraction, METER_WIDTH),
            fraction * 100.0
        ));
    }
    if progress.rows > 0 {
        words.push_str(&format!(" · {}", text::counted(progress.rows, "row")));
    }
    words
}

fn fraction(done: u64, total: u64) -> Option<f64> {
    #[expect(clippy::cast_precision_loss, reason = "a fraction for display")]
    (total > 0).then(|| done as f64 / total as f64)
}

/// Bars go to stderr, and nowhere when that is no terminal or nobody wants them.
pub fn target(quiet: bool) -> ProgressDrawTarget {
    if quiet {
        ProgressDrawTarget::hidden()
    } else {
        ProgressDrawTarget::stderr()
    }
}

pub fn job_style() -> ProgressStyle {
    style("{spinner} {prefix} {wide_msg} {elapsed}")
}

/// Of a job that has ended, beside others that run.
pub fn ended_style() -> ProgressStyle {
    style("  {prefix} {wide_msg}")
}

pub fn upload_style() -> ProgressStyle {
    style("{spinner} {prefix} sending ▕{bar:24}▏ {bytes}/{total_bytes} {bytes_per_sec}").progress_chars("█▌ ")
}

pub fn endless_upload_style() -> ProgressStyle {
    style("{spinner} {prefix} sending {bytes} {bytes_per_sec}")
}

fn style(template: &str) -> ProgressStyle {
    ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_spinner())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn job(rest: &str) -> Job {
        serde_json::from_str(&format!(r#"{{"id":"job_1","analysis":"import",{rest}}}"#)).unwrap()
    }

    #[test]
    fn jobs_say_what_they_do() {
        let running =
            r#""state":"running","progress":{"stage":"reading","done":1,"total":2,"unit":"bytes","rows":1234}"#;
        assert_eq!(
            describe(&job(running)),
            "reading ▕████████████            ▏ 50 % · 1,234 rows"
        );
        assert_eq!(describe(&job(r#""state":"running","progress":null"#)), "running");
        assert_eq!(
            describe(&job(r#""state":"scheduled","attempt":1"#)),
            "waits for attempt 2"
        );
        assert_eq!(
            describe(&job(r#""state":"running","cancel_requested":true"#)),
            "canceling"
        );
    }

    #[test]
    fn templates_are_sound() {
        for template in [job_style, ended_style, upload_style, endless_upload_style] {
            let _ = template();
        }
        assert!(ProgressStyle::with_template("{spinner} {prefix} {wide_msg} {elapsed}").is_ok());
    }
}
