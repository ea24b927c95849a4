//! The line that shows how far a job has come.

use std::fmt;
use std::time::Duration;

use assay_client::{Job, Progress};
use assay_core::State;
use indicatif::{DecimalBytes, ProgressBar, ProgressDrawTarget, ProgressState, ProgressStyle};

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
    style(
        "{spinner} {prefix} sending ▕{bar:24}▏ {decimal_bytes}/{decimal_total_bytes} · {decimal_bytes_per_sec} · {eta} left",
    )
    .progress_chars("█▌ ")
}

pub fn endless_upload_style() -> ProgressStyle {
    style("{spinner} {prefix} sending {decimal_bytes} · {decimal_bytes_per_sec}")
}

/// Of a job that reads so many bytes of so many. It tells them in leaps, so the speed is that since the stage began.
fn reading_style() -> ProgressStyle {
    style("{spinner} {prefix} {msg} ▕{bar:24}▏ {percent} % · {speed} · {rest} left")
        .progress_chars("█▌ ")
        .with_key("speed", |state: &ProgressState, out: &mut dyn fmt::Write| {
            let speed = DecimalBytes(speed(state.pos(), state.elapsed()));
            // What cannot be written is not shown.
            let _ = write!(out, "{speed}/s");
        })
        .with_key("rest", |state: &ProgressState, out: &mut dyn fmt::Write| {
            let rest = rest(state.pos(), state.len().unwrap_or(0), state.elapsed());
            let _ = match rest {
                Some(rest) => out.write_str(&text::duration(rest)),
                None => out.write_char('?'),
            };
        })
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_precision_loss,
    clippy::cast_sign_loss,
    reason = "a speed for display"
)]
fn speed(done: u64, taken: Duration) -> u64 {
    (done as f64 / taken.as_secs_f64().max(0.001)) as u64
}

/// The time that the rest will take when it takes as long as what is done; in whole seconds, as it is a guess.
fn rest(done: u64, total: u64, taken: Duration) -> Option<Duration> {
    let rest = u128::from(total.saturating_sub(done)) * taken.as_millis() / u128::from(done).max(1);
    let millis = u64::try_from(rest).ok().filter(|_| done > 0)?;
    Some(Duration::from_secs(millis.div_ceil(1_000)))
}

/// A line for one job, which shows rows, speed and the rest of time where the job tells bytes.
pub struct JobLine {
    bar: ProgressBar,
    /// What the bytes belong to: a file is read several times in some stages.
    stage: Option<String>,
}

impl JobLine {
    pub fn new(bar: ProgressBar) -> Self {
        Self { bar, stage: None }
    }

    pub fn show(&mut self, job: &Job) {
        let Some((progress, total)) = bytes_of(job) else {
            self.stage = None;
            self.bar.set_style(job_style());
            self.bar.set_message(describe(job));
            return;
        };
        let mut words = text::printable(&progress.stage);
        if progress.rows > 0 {
            words.push_str(&format!(" · {}", text::counted(progress.rows, "row")));
        }
        if self.stage.as_ref() != Some(&progress.stage) {
            self.bar.set_style(reading_style());
            self.bar.set_length(total);
            self.bar.set_position(progress.done);
            self.bar.reset_elapsed();
            self.stage = Some(progress.stage.clone());
        }
        self.bar.set_position(progress.done);
        self.bar.set_message(words);
    }
}

/// The bytes that a running job tells, with how many there are.
fn bytes_of(job: &Job) -> Option<(&Progress, u64)> {
    let progress = job.progress.as_ref().filter(|progress| progress.unit == "bytes")?;
    let is_running = job.state == State::Running && !job.cancel_requested;
    progress.total.filter(|_| is_running).map(|total| (progress, total))
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
    fn a_job_that_reads_bytes_shows_rows_and_how_far_it_is() {
        let bar = ProgressBar::hidden();
        let mut line = JobLine::new(bar.clone());
        line.show(&job(r#""state":"queued""#));
        assert_eq!(bar.message(), "queued");
        let reading = |stage: &str, done: u64| {
            let progress = format!(r#"{{"stage":"{stage}","done":{done},"total":200,"unit":"bytes","rows":1234}}"#);
            job(&format!(r#""state":"running","progress":{progress}"#))
        };
        line.show(&reading("looking", 200));
        line.show(&reading("reading", 50));
        assert_eq!(
            (bar.message().as_str(), bar.position(), bar.length()),
            ("reading · 1,234 rows", 50, Some(200))
        );
    }

    #[test]
    fn the_rest_takes_as_long_as_what_is_done() {
        let taken = Duration::from_secs(10);
        assert_eq!(speed(50_000_000, taken), 5_000_000);
        assert_eq!(rest(25, 100, taken), Some(Duration::from_secs(30)));
        assert_eq!(rest(100, 100, taken), Some(Duration::ZERO));
        assert_eq!(rest(0, 100, taken), None);
    }

    #[test]
    fn templates_are_sound() {
        for template in [
            job_style,
            ended_style,
            upload_style,
            endless_upload_style,
            reading_style,
        ] {
            let _ = template();
        }
        assert!(ProgressStyle::with_template("{spinner} {prefix} {wide_msg} {elapsed}").is_ok());
    }
}
