//! `assay job set` and `rm`: what is changed of jobs that are there.

use std::collections::BTreeMap;

use assay_client::JobChange;
use assay_core::{Clock as _, SystemClock, Timestamp};
use clap::{ArgGroup, Args};

use crate::cli::context::Context;
use crate::cli::submission::{Moment, parse_time};
use crate::cli::{Failure, params};
use crate::output;

#[derive(Debug, Clone, Args)]
#[command(group(ArgGroup::new("changes").required(true).multiple(true)
    .args(["priority", "deadline", "no_deadline", "tag", "untag"])))]
pub struct SetArgs {
    /// Id of the job, as `assay job list` shows it
    pub id: String,
    /// Place in your queue: 0 is first, 9 is last
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u8).range(0..=9))]
    pub priority: Option<u8>,
    /// Let the job fail when it has not ended by this time, or in so long, e.g. `90m`
    #[arg(long, value_name = "TIME", value_parser = parse_time)]
    pub deadline: Option<Moment>,
    /// Take the deadline away
    #[arg(long, conflicts_with = "deadline")]
    pub no_deadline: bool,
    /// Label of your own; may be repeated
    #[arg(long, value_name = "NAME=VALUE", value_parser = params::parse_pair)]
    pub tag: Vec<(String, String)>,
    /// Take a label away; may be repeated
    #[arg(long, value_name = "NAME")]
    pub untag: Vec<String>,
}

#[derive(Debug, Clone, Args)]
pub struct RemoveArgs {
    /// Ids of the jobs, as `assay job list` shows them
    #[arg(value_name = "ID", required = true)]
    pub ids: Vec<String>,
}

impl SetArgs {
    fn change(self, now: Timestamp) -> JobChange {
        let SetArgs {
            id: _,
            priority,
            deadline,
            no_deadline,
            tag,
            untag,
        } = self;
        let set = tag.into_iter().map(|(name, value)| (name, Some(value)));
        let taken = untag.into_iter().map(|name| (name, None));
        let deadline = deadline.map(|at| at.after(now));
        JobChange {
            priority,
            deadline: (no_deadline || deadline.is_some()).then_some(deadline),
            tags: BTreeMap::from_iter(taken.chain(set)),
        }
    }
}

pub(super) async fn set(context: &Context, args: SetArgs) -> Result<(), Failure> {
    let id = args.id.clone();
    let job = context.client.change(&id, &args.change(SystemClock.now())).await?;
    if context.wants_json() {
        output::print(&format!("{}\n", job.text.get()))?;
    }
    context.say(&format!("`{id}` is changed; `assay job show {id}` shows it"));
    Ok(())
}

pub(super) async fn remove(context: &Context, args: RemoveArgs) -> Result<(), Failure> {
    // One that has not ended must not keep the others from being removed.
    let mut first = None;
    for id in &args.ids {
        match context.client.remove(id).await {
            Ok(()) => context.say(&format!("`{id}` is removed")),
            Err(error) => {
                let failure = Failure::from(error);
                match first {
                    None => first = Some(failure),
                    Some(_) => output::talk(failure.render(&context.err).trim_end()),
                }
            }
        }
    }
    first.map_or(Ok(()), Err)
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;

    use super::*;
    use crate::cli::job::JobCommand;
    use crate::cli::{Cli, Command};

    fn parse(line: &[&str]) -> Result<JobChange, clap::Error> {
        let cli = Cli::try_parse_from([&["assay", "job", "set", "job_1"], line].concat())?;
        match cli.command {
            Command::Job(JobCommand::Set(args)) => Ok(args.change(Timestamp(0))),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn only_what_is_named_is_changed() {
        let change = |line: &[&str]| serde_json::to_value(parse(line).unwrap()).unwrap();
        assert_eq!(change(&["--priority", "0"]), serde_json::json!({"priority": 0}));
        assert_eq!(change(&["--no-deadline"]), serde_json::json!({"deadline": null}));
        assert_eq!(
            change(&["--deadline", "1h", "--tag", "a=b", "--untag", "c"]),
            serde_json::json!({"deadline": "1970-01-01T01:00:00.000Z", "tags": {"a": "b", "c": null}})
        );
    }

    #[test]
    fn a_change_changes_something() {
        for wrong in [
            &[][..],
            &["--priority", "10"],
            &["--deadline", "soon"],
            &["--no-deadline", "--deadline", "1h"],
        ] {
            assert!(parse(wrong).is_err(), "{wrong:?}");
        }
    }
}
