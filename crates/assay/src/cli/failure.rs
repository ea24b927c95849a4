//! Why a command did not do what was asked, how that is told, and with which exit code.

use std::process::ExitCode;

use assay_client::ClientError;
use assay_core::{Code, Error};

use super::GlobalArgs;
use crate::output::{self, Screen, errors, text};

#[derive(Debug)]
pub enum Failure {
    /// The server refused, or is not there. `source` is the SQL, when that was what was sent.
    Client { error: ClientError, source: Option<String> },
    /// The job ran and failed.
    Job { error: Error, source: Option<String> },
    /// The job was canceled before its end.
    Canceled { id: String },
    /// Something is wrong with the queue. `tried` says that a repair was asked for.
    Unsound { left: u64, tried: bool },
    /// Something is wrong with the store; each problem was told.
    Unwell { problems: u64 },
    /// The server refused some of many records; each was told.
    Refused { records: u64 },
    /// Somebody ended the pause of `thing` while it was drained.
    Resumed { thing: String },
    /// The command line asks for what cannot be.
    Usage(Error),
    /// Something of ours: the store, a file, the terminal.
    Other(anyhow::Error),
    /// Whoever read our answer has gone, as `head` does.
    ReaderGone,
    /// Ctrl-C.
    Interrupted,
    /// Ctrl-C, and the wish that the job goes on.
    Detached,
}

impl Failure {
    pub fn usage(message: impl Into<String>, hint: impl Into<String>) -> Self {
        Failure::Usage(Error::new(Code::InvalidRequest, message).hint(hint))
    }

    /// Adds the SQL that the places in the error count in.
    pub fn in_sql(self, sql: &str) -> Self {
        let source = Some(sql.to_owned());
        match self {
            Failure::Client { error, .. } => Failure::Client { error, source },
            Failure::Job { error, .. } => Failure::Job { error, source },
            other => other,
        }
    }

    /// The exit code, as `--help` documents it.
    pub fn code(&self) -> u8 {
        match self {
            Failure::ReaderGone | Failure::Detached => 0,
            Failure::Usage(_)
            | Failure::Client {
                error: ClientError::Address { .. },
                ..
            } => 2,
            Failure::Client {
                error: ClientError::Unreachable { .. } | ClientError::Interrupted { .. },
                ..
            } => 4,
            Failure::Client { error, .. } => error.problem().map_or(1, code_of),
            Failure::Job { error, .. } => code_of(error),
            Failure::Other(error) => error.downcast_ref().map_or(1, code_of),
            Failure::Unsound { .. } | Failure::Unwell { .. } | Failure::Refused { .. } => 1,
            Failure::Canceled { .. } => 5,
            Failure::Resumed { .. } => 6,
            Failure::Interrupted => 130,
        }
    }

    /// What is told on stderr; nothing when there is nobody to tell or nothing to add.
    pub fn render(&self, screen: &Screen) -> String {
        match self {
            Failure::ReaderGone | Failure::Interrupted | Failure::Detached => String::new(),
            Failure::Client { error, source } => errors::render(&explain(error), source.as_deref(), screen),
            Failure::Job { error, source } => errors::render(error, source.as_deref(), screen),
            Failure::Canceled { id } => {
                let error = Error::new(Code::Canceled, format!("job `{id}` was canceled"));
                errors::render(
                    &error.hint(format!("`assay job show {id}` tells how far it came")),
                    None,
                    screen,
                )
            }
            Failure::Unsound { left, tried } => errors::render(&unsound(*left, *tried), None, screen),
            Failure::Unwell { problems } => {
                let message = format!("not everything is well: {}", text::counted(*problems, "problem"));
                let error = Error::new(Code::Internal, message);
                errors::render(&error.hint("what to do is told with each"), None, screen)
            }
            Failure::Resumed { thing } => {
                let error = Error::new(
                    Code::Conflict,
                    format!("{thing} was resumed before nothing of it ran any more"),
                );
                errors::render(&error.hint("`assay queue` shows what is paused now"), None, screen)
            }
            Failure::Refused { records } => {
                let error = Error::new(
                    Code::InvalidRequest,
                    format!("refused {}", text::counted(*records, "record")),
                );
                errors::render(
                    &error.hint("the others are written; `--json` tells of each"),
                    None,
                    screen,
                )
            }
            Failure::Usage(error) => errors::render(error, None, screen),
            Failure::Other(error) => errors::render(&of_ours(error), None, screen),
        }
    }
}

fn code_of(error: &Error) -> u8 {
    match error.code {
        Code::NotFound
        | Code::UnknownDataset
        | Code::UnknownRecord
        | Code::UnknownVersion
        | Code::UnknownAnalysis
        | Code::UnknownJob
        | Code::UnknownSchedule
        | Code::UnknownHook
        | Code::UnknownDelivery => 3,
        Code::Canceled => 5,
        _ => 1,
    }
}

fn unsound(left: u64, tried: bool) -> Error {
    let findings = text::counted(left, "finding");
    let hint = match tried {
        false => "`assay doctor jobs --fix` repairs what can be",
        true => "what is left needs a person: keep a copy of the store, and look at these jobs",
    };
    Error::new(Code::Internal, format!("the queue is not sound: {findings} not fixed")).hint(hint)
}

/// What the client met, with what to try next.
fn explain(error: &ClientError) -> Error {
    if let Some(problem) = error.problem() {
        return problem.clone();
    }
    let hint = match error {
        ClientError::Unreachable { .. } => {
            "start one with `assay serve` or `assay demo`, or name another with `--server URL`"
        }
        ClientError::Interrupted { .. } => "see `assay job list` for what was begun, then try again",
        ClientError::Protocol { .. } => "is it an Assay server? `--server URL` names another",
        ClientError::Address { .. } => "addresses look like `http://127.0.0.1:7373`",
        ClientError::File { .. } => "check the name of the file and the right to read it",
        ClientError::Output(_) | ClientError::Problem { .. } => "try again",
    };
    Error::new(Code::InvalidRequest, error.to_string()).hint(hint)
}

/// An error of the core keeps its hint on its way through `anyhow`.
fn of_ours(error: &anyhow::Error) -> Error {
    let known = error.chain().find_map(|cause| cause.downcast_ref::<Error>());
    known
        .cloned()
        .unwrap_or_else(|| Error::new(Code::Internal, format!("{error:#}")))
}

impl From<ClientError> for Failure {
    fn from(error: ClientError) -> Self {
        match error {
            ClientError::Output(error) => error.into(),
            error => Failure::Client { error, source: None },
        }
    }
}

impl From<std::io::Error> for Failure {
    fn from(error: std::io::Error) -> Self {
        if error.kind() == std::io::ErrorKind::BrokenPipe {
            return Failure::ReaderGone;
        }
        Failure::Other(anyhow::Error::from(error).context("writing the answer"))
    }
}

impl From<anyhow::Error> for Failure {
    fn from(error: anyhow::Error) -> Self {
        Failure::Other(error)
    }
}

/// Tells what went wrong and gives the exit code.
pub fn exit(done: Result<(), Failure>, global: &GlobalArgs) -> ExitCode {
    let Err(failure) = done else { return ExitCode::SUCCESS };
    let text = failure.render(&Screen::stderr(global.no_color));
    if !text.is_empty() {
        output::talk(text.trim_end());
    }
    ExitCode::from(failure.code())
}

#[cfg(test)]
mod tests {
    use super::*;

    const PLAIN: Screen = Screen {
        is_terminal: false,
        color: false,
        width: None,
    };

    fn refused(code: Code) -> Failure {
        let error = Box::new(Error::new(code, "x"));
        Failure::from(ClientError::Problem {
            status: 400,
            error,
            job: None,
        })
    }

    #[test]
    fn exit_codes_are_those_of_the_help() {
        let job = |code| Failure::Job {
            error: Error::new(code, "x"),
            source: None,
        };
        assert_eq!(refused(Code::SqlSyntax).code(), 1);
        assert_eq!(job(Code::MemoryExceeded).code(), 1);
        assert_eq!(Failure::usage("x", "y").code(), 2);
        assert_eq!(refused(Code::UnknownDataset).code(), 3);
        assert_eq!(Failure::Canceled { id: "job_1".into() }.code(), 5);
        assert_eq!(Failure::Interrupted.code(), 130);
        let unsound = Failure::Unsound { left: 2, tried: false };
        assert_eq!(unsound.code(), 1);
        assert_eq!(
            unsound.render(&PLAIN),
            "error: the queue is not sound: 2 findings not fixed\nhint: `assay doctor jobs --fix` repairs what can be\n"
        );
        let gone = std::io::Error::from(std::io::ErrorKind::BrokenPipe);
        assert_eq!(Failure::from(gone).code(), 0);
    }

    #[test]
    fn errors_of_the_core_keep_their_hint_through_anyhow() {
        let locked = Error::new(Code::StoreLocked, "the store `x` is in use").hint("stop the other server");
        let failure = Failure::from(anyhow::Error::from(locked).context("opening the store"));
        assert_eq!(
            failure.render(&PLAIN),
            "error: the store `x` is in use\nhint: stop the other server\n"
        );
    }

    #[test]
    fn the_sql_is_shown_with_the_error() {
        let error = Error::new(Code::SqlSyntax, "expected an expression").at(1, Some(8));
        let failure = Failure::Job { error, source: None }.in_sql("SELECT ,");
        assert!(failure.render(&PLAIN).contains(" 1 | SELECT ,\n   |        ^\n"));
    }
}
