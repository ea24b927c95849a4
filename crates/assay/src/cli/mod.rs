//! The command line: what can be typed, and which file answers it. Commands talk to a server over HTTP only; what
//! needs the server's inside comes in through [`Host`].

mod analyses;
mod answer;
mod completions;
mod context;
mod datasets;
mod doctor;
mod export;
mod failure;
mod follow;
mod hook;
mod host;
mod job;
mod link;
mod load;
mod migrate;
mod notify;
mod params;
mod place;
mod query;
mod queue;
mod reading;
mod records;
mod rejects;
mod retype;
mod rules;
mod run;
mod schedule;
mod serve;
mod submission;
mod units;
mod versions;
mod work;

use std::process::ExitCode;

use assay_core::UserName;
use clap::{Args, Parser, Subcommand};

pub use context::Context;
pub use doctor::ExamineArgs;
pub use failure::Failure;
pub use follow::verdict;
pub use host::{EngineArgs, Host, Running};
pub use load::rows_loaded;
pub use migrate::MigrateArgs;
pub use place::{PlaceArgs, StorePlace};
pub use serve::{DEFAULT_LISTEN, Hidden, JobArgs, NoticeArgs, ServeArgs, parse_listen, parse_workers};
pub use work::WorkArgs;

use crate::demo;

const AFTER_HELP: &str = "\
Exit codes:
  0    done
  1    the job failed, the request was refused, or `assay doctor` found a problem
  2    the command line is wrong
  3    what was named does not exist
  4    no server answers
  5    the job was canceled
  6    what was to be drained was resumed by somebody
  130  stopped with Ctrl-C

Answers go to stdout, all else to stderr. Answers are tables on a terminal and NDJSON elsewhere;
`--format` and `--json` choose. Tables round doubles to six digits; every other format is exact.

Ctrl-C while a job is followed asks whether to detach, cancel or wait on. Without a terminal to
ask on, it cancels the job.

Begin with `assay demo`, or with `assay serve` and `assay load FILE --as NAME`.";

/// Turns data sets into an analysis service with durable background jobs.
#[derive(Debug, Parser)]
#[command(name = "assay", version, after_help = AFTER_HELP, disable_help_subcommand = true, arg_required_else_help = true)]
pub struct Cli {
    #[command(flatten)]
    pub global: GlobalArgs,
    #[command(subcommand)]
    pub command: Command,
}

#[derive(Debug, Clone, Args)]
pub struct GlobalArgs {
    /// Address of the server
    #[arg(
        long,
        global = true,
        env = "ASSAY_SERVER",
        default_value = "http://127.0.0.1:7373",
        value_name = "URL"
    )]
    #[arg(hide_env_values = true)]
    pub server: String,
    /// Ask in the name of this user, who sees only their own jobs [default: you see those of all]
    #[arg(long, global = true, env = "ASSAY_USER", value_name = "NAME", value_parser = parse_user)]
    #[arg(hide_env_values = true)]
    pub user: Option<UserName>,
    /// Give answers as JSON
    #[arg(long, global = true)]
    pub json: bool,
    /// Say nothing but answers and errors
    #[arg(short, long, global = true)]
    pub quiet: bool,
    /// Use no colors
    #[arg(long, global = true, env = "NO_COLOR", hide_env_values = true)]
    #[arg(value_parser = clap::builder::FalseyValueParser::new())]
    pub no_color: bool,
}

fn parse_user(text: &str) -> Result<UserName, String> {
    text.parse()
        .map_err(|error: assay_core::Error| error.hint.unwrap_or(error.message))
}

#[derive(Debug, Subcommand)]
pub enum Command {
    /// Show it all: start a server, load real data, run analyses side by side
    Demo(demo::DemoArgs),
    /// Start a server
    Serve(ServeArgs),
    /// Load files into a data set
    Load(load::LoadArgs),
    /// List the data sets, or show one
    Datasets(datasets::DatasetsArgs),
    /// Make a data set without records
    Create(versions::CreateArgs),
    /// Change the description, the mode and the rules of a data set
    Alter(rules::AlterArgs),
    /// Remove a data set with all its versions
    Drop(versions::DropArgs),
    /// Make a data set of the keys of a Redis server
    Link(link::LinkArgs),
    /// Read the keys of a linked data set again
    Refresh(link::RefreshArgs),
    /// Write the records of a data set, or the rows of an answer, to a Redis server
    Publish(link::PublishArgs),
    /// Read, write and delete single records
    #[command(subcommand)]
    Records(records::RecordsCommand),
    /// Write all records to a file
    Export(export::ExportArgs),
    /// Show the attributes of a data set and their types
    Schema(versions::SchemaArgs),
    /// Give attributes other types, without loading again
    Retype(retype::RetypeArgs),
    /// Show the records that loads have left out and kept
    Rejects(rejects::RejectsArgs),
    /// List the versions of a data set
    Versions(versions::VersionsArgs),
    /// Compare two versions of a data set
    Diff(versions::DiffArgs),
    /// Bring the records of an older version back
    Restore(versions::RestoreArgs),
    /// Run an analysis on a data set
    Run(run::RunArgs),
    /// Ask in SQL
    Query(query::QueryArgs),
    /// Look after jobs
    #[command(subcommand)]
    Job(job::JobCommand),
    /// Have jobs submitted again and again
    #[command(subcommand)]
    Schedule(schedule::ScheduleCommand),
    /// Look after hooks: webhooks that are told of every job
    #[command(subcommand)]
    Hook(hook::HookCommand),
    /// Show the queue, set shares of users, pause and resume
    Queue(queue::QueueArgs),
    /// Show figures of the queue
    Stats(queue::StatsArgs),
    /// Look whether everything is well
    Doctor(doctor::DoctorArgs),
    /// List the analyses, or show one
    Analyses(analyses::AnalysesArgs),
    /// Run jobs of a store in Redis, beside its servers
    Work(work::WorkArgs),
    /// Move a whole store to another place
    Migrate(migrate::MigrateArgs),
    /// Print a completion script for a shell
    Completions(completions::CompletionsArgs),
    /// The inside of an engine process
    #[command(hide = true)]
    Engine(EngineArgs),
}

/// Parses the command line, does what it says, and gives the exit code. What `main` is made of.
pub fn main(host: &dyn Host) -> ExitCode {
    let cli = Cli::parse();
    // An engine process sets up its own threads, and has no server to talk to.
    if let Command::Engine(args) = cli.command {
        return failure::exit(host.engine(args).map_err(Failure::from), &cli.global);
    }
    let global = cli.global.clone();
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return failure::exit(Err(Failure::from(anyhow::Error::from(error))), &global),
    };
    let done = runtime.block_on(run(cli, host));
    // A thread that still waits for an answer on stdin must not keep the process.
    runtime.shutdown_background();
    failure::exit(done, &global)
}

/// Does what the command line says.
///
/// # Errors
/// Whatever kept it from being done; [`Failure::code`] has the exit code.
pub async fn run(cli: Cli, host: &dyn Host) -> Result<(), Failure> {
    let context = || Context::new(&cli.global);
    match cli.command {
        Command::Demo(args) => demo::run(&cli.global, args, host).await,
        Command::Serve(args) => Ok(host.serve(args).await?),
        Command::Load(args) => load::run(&context()?, args).await,
        Command::Datasets(args) => datasets::run(&context()?, args).await,
        Command::Create(args) => versions::create(&context()?, args).await,
        Command::Alter(args) => rules::alter(&context()?, args).await,
        Command::Drop(args) => versions::drop(&context()?, args).await,
        Command::Link(args) => link::link(&context()?, args).await,
        Command::Refresh(args) => link::refresh(&context()?, args).await,
        Command::Publish(args) => link::publish(&context()?, args).await,
        Command::Records(command) => records::run(&context()?, command).await,
        Command::Export(args) => export::run(&context()?, args).await,
        Command::Schema(args) => versions::schema(&context()?, args).await,
        Command::Retype(args) => retype::run(&context()?, args).await,
        Command::Rejects(args) => rejects::run(&context()?, args).await,
        Command::Versions(args) => versions::list(&context()?, args).await,
        Command::Diff(args) => versions::diff(&context()?, args).await,
        Command::Restore(args) => versions::restore(&context()?, args).await,
        Command::Run(args) => run::run(&context()?, args).await,
        Command::Query(args) => query::run(&context()?, args).await,
        Command::Job(command) => job::run(&context()?, command).await,
        Command::Schedule(command) => schedule::run(&context()?, command).await,
        Command::Hook(command) => hook::run(&context()?, command).await,
        Command::Queue(args) => queue::run(&context()?, args).await,
        Command::Stats(args) => queue::stats(&context()?, args).await,
        Command::Doctor(args) => doctor::run(&context()?, args, host).await,
        Command::Analyses(args) => analyses::run(&context()?, args).await,
        Command::Work(args) => Ok(host.work(args).await?),
        Command::Migrate(args) => migrate::run(&cli.global, args, host).await,
        Command::Completions(args) => completions::run(&args),
        Command::Engine(args) => Ok(host.engine(args)?),
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn global_options_may_stand_before_and_after_the_command() {
        for line in [["assay", "--json", "datasets"], ["assay", "datasets", "--json"]] {
            assert!(Cli::try_parse_from(line).unwrap().global.json);
        }
    }

    #[test]
    fn the_format_of_answers_stands_among_the_plain_options() {
        let cli = Cli::command();
        let heading = |command: &str, option: &str| {
            let mut options = cli.find_subcommand(command).unwrap().get_arguments();
            options
                .find(|known| known.get_id() == option)
                .unwrap()
                .get_help_heading()
        };
        for command in ["run", "query"] {
            assert_eq!(heading(command, "format"), None, "{command}");
            assert_eq!(heading(command, "after"), Some("When and how it is run"), "{command}");
        }
    }

    #[test]
    fn a_user_is_named_before_or_after_the_command() {
        let user = |line: [&str; 5]| Cli::try_parse_from(line).map(|cli| cli.global.user);
        let anna: UserName = "anna".parse().unwrap();
        assert_eq!(
            user(["assay", "--user", "anna", "job", "list"]).unwrap(),
            Some(anna.clone())
        );
        assert_eq!(user(["assay", "job", "list", "--user", "anna"]).unwrap(), Some(anna));
        assert!(user(["assay", "job", "list", "--user", "an na"]).is_err());
    }

    #[test]
    fn addresses_beyond_this_machine_are_refused() {
        let error = Cli::try_parse_from(["assay", "serve", "--listen", "0.0.0.0:80"])
            .unwrap_err()
            .to_string();
        assert!(error.contains("has no keys"), "{error}");
    }
}
