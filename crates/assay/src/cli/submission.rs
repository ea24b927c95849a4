//! When and how a job is run: the options that `assay run` and `assay query` share.

use std::collections::BTreeMap;
use std::time::Duration;

use assay_client::{NewJob, NewRetry};
use assay_core::{Clock as _, SystemClock, Timestamp};
use clap::Args;

use super::{params, units};

#[derive(Debug, Clone, Default, Args)]
#[command(next_help_heading = "When and how it is run")]
pub struct SubmissionArgs {
    /// Job that must have succeeded before; may be repeated
    #[arg(long, value_name = "JOB")]
    pub after: Vec<String>,
    /// Not before this time, e.g. `2030-01-01T06:00:00Z`, or so long from now, e.g. `90m`
    #[arg(long, value_name = "TIME", value_parser = parse_time)]
    pub at: Option<Moment>,
    /// Let the job fail when it has not ended by this time, or in so long
    #[arg(long, value_name = "TIME", value_parser = parse_time)]
    pub deadline: Option<Moment>,
    /// Refuse the job while another unfinished one of yours has this key
    #[arg(long, value_name = "KEY")]
    pub unique: Option<String>,
    /// Run it even when an identical job has the answer already
    #[arg(long, conflicts_with = "max_age")]
    pub no_cache: bool,
    /// Take the answer of an identical job only when it is no older, e.g. `10m`; `0` takes that of one under way
    #[arg(long, value_name = "DURATION", value_parser = parse_age)]
    pub max_age: Option<Duration>,
    /// How long the answer is kept, e.g. `12h` or `30d` [default: 7d]
    #[arg(long, value_name = "DURATION", value_parser = units::parse_duration)]
    pub keep: Option<Duration>,
    /// How often it is tried in all when a failure may pass [default: as the analysis says]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=100))]
    pub attempts: Option<u32>,
    /// Place in your queue: 0 is first, 9 is last [default: 5]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u8).range(0..=9))]
    pub priority: Option<u8>,
    /// Label of your own; may be repeated
    #[arg(long, value_name = "NAME=VALUE", value_parser = params::parse_pair)]
    pub tag: Vec<(String, String)>,
}

/// A point in time, or one so long from now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Moment {
    At(Timestamp),
    In(Duration),
}

impl Moment {
    pub fn after(self, now: Timestamp) -> String {
        let at = match self {
            Moment::At(at) => at,
            Moment::In(time) => now.plus_millis(u64::try_from(time.as_millis()).unwrap_or(u64::MAX)),
        };
        at.to_string()
    }
}

pub fn parse_time(text: &str) -> Result<Moment, String> {
    if let Ok(at) = text.parse() {
        return Ok(Moment::At(at));
    }
    let wrong = || "write a time such as `2030-01-01T06:00:00Z`, or how long from now, such as `90m`".to_owned();
    units::parse_duration(text).map(Moment::In).map_err(|_| wrong())
}

fn parse_age(text: &str) -> Result<Duration, String> {
    match text.trim() {
        "0" | "0s" => Ok(Duration::ZERO),
        text => units::parse_duration(text),
    }
}

impl SubmissionArgs {
    /// Adds what was asked for to a job.
    pub fn onto(self, job: NewJob) -> NewJob {
        self.onto_at(job, SystemClock.now())
    }

    fn onto_at(self, job: NewJob, now: Timestamp) -> NewJob {
        let SubmissionArgs {
            after,
            at,
            deadline,
            unique,
            no_cache,
            max_age,
            keep,
            attempts,
            priority,
            tag,
        } = self;
        NewJob {
            depends_on: after,
            run_at: at.map(|at| at.after(now)),
            deadline: deadline.map(|at| at.after(now)),
            unique_key: unique,
            cache: no_cache.then_some(false),
            max_age_s: max_age.map(whole_seconds),
            result_ttl_s: keep.map(whole_seconds),
            retry: attempts.map(|attempts| NewRetry {
                max_attempts: Some(attempts),
                ..NewRetry::default()
            }),
            priority,
            tags: BTreeMap::from_iter(tag),
            ..job
        }
    }
}

/// Rounded up, so that nothing but nothing becomes nothing.
fn whole_seconds(time: Duration) -> u64 {
    time.as_secs() + u64::from(time.subsec_nanos() > 0)
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;

    use super::*;
    use crate::cli::{Cli, Command};

    fn job(line: &[&str]) -> NewJob {
        let cli = Cli::try_parse_from([&["assay", "run", "ping"], line].concat()).unwrap();
        let Command::Run(args) = cli.command else {
            panic!("a run")
        };
        args.submission.onto_at(NewJob::default(), Timestamp(0))
    }

    #[test]
    fn options_become_members_of_the_submission() {
        let job = job(&[
            "--after",
            "job_1",
            "--after",
            "job_2",
            "--at",
            "2030-01-01T07:00:00+01:00",
            "--deadline",
            "1d",
            "--unique",
            "u",
            "--max-age",
            "1500ms",
            "--keep",
            "30d",
            "--attempts",
            "4",
            "--priority",
            "0",
            "--tag",
            "team=blue",
        ]);
        assert_eq!(
            serde_json::to_value(&job).unwrap(),
            serde_json::json!({
                "analysis": "", "priority": 0, "tags": {"team": "blue"}, "retry": {"max_attempts": 4},
                "run_at": "2030-01-01T06:00:00.000Z", "deadline": "1970-01-02T00:00:00.000Z", "unique_key": "u",
                "depends_on": ["job_1", "job_2"], "result_ttl_s": 2_592_000, "max_age_s": 2,
            })
        );
    }

    #[test]
    fn nothing_is_said_that_was_not_asked_for() {
        assert_eq!(serde_json::to_string(&job(&[])).unwrap(), r#"{"analysis":""}"#);
        assert_eq!(job(&["--no-cache"]).cache, Some(false));
        assert_eq!(job(&["--max-age", "0"]).max_age_s, Some(0));
    }

    #[test]
    fn slips_are_refused() {
        for wrong in [
            &["--at", "tomorrow"][..],
            &["--priority", "10"],
            &["--attempts", "0"],
            &["--tag", "team"],
            &["--no-cache", "--max-age", "1h"],
        ] {
            assert!(
                Cli::try_parse_from([&["assay", "run", "ping"], wrong].concat()).is_err(),
                "{wrong:?}"
            );
        }
    }
}
