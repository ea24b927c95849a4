//! Why an engine process died, told from what it left behind: its exit status and its last words.
//!
//! The last words go to the log; users are told which limit was met and what to try.

use std::os::unix::process::ExitStatusExt as _;
use std::process::ExitStatus;

use assay_core::{Code, Error, Limits};

const SIGKILL: i32 = 9;
const SIGBUS: i32 = 7;
const SIGSEGV: i32 = 11;

const MIB: u64 = 1 << 20;

/// What a process says when an allocation or the start of a thread is refused.
const OUT_OF_MEMORY: [&str; 3] = [
    "memory allocation of",
    "Cannot allocate memory",
    "failed to spawn thread",
];

/// The error of an order whose process died without having been killed by us.
pub(super) fn explain(status: Option<ExitStatus>, last_words: &str, limits: &Limits) -> Error {
    let signal = status.and_then(|status| status.signal());
    if last_words.contains("overflowed its stack") || matches!(signal, Some(SIGSEGV | SIGBUS)) {
        return too_complex();
    }
    if OUT_OF_MEMORY.iter().any(|words| last_words.contains(words)) {
        return memory_exceeded(limits);
    }
    if signal == Some(SIGKILL) {
        return killed();
    }
    crashed()
}

pub(super) fn crashed() -> Error {
    Error::new(Code::EngineCrashed, "the engine process ended before it had an answer")
        .hint("this is a fault of the server; its log has the last words of the process")
}

pub(super) fn not_starting() -> Error {
    Error::new(Code::EngineCrashed, "the engine processes do not start")
        .hint("this is a fault of the server; its log has the last words of the processes")
}

pub(super) fn timed_out(limits: &Limits) -> Error {
    let limit = limits.timeout_ms;
    Error::new(
        Code::Timeout,
        format!("the attempt took longer than its limit of {limit} ms"),
    )
    .hint("ask for less data, or raise the time limit")
}

pub(super) fn canceled() -> Error {
    Error::new(Code::Canceled, "the job was canceled while it ran").hint("submit it again to run it")
}

pub(super) fn shutting_down() -> Error {
    Error::new(Code::Overloaded, "the server is shutting down").hint("try again when it has started")
}

fn memory_exceeded(limits: &Limits) -> Error {
    let limit = limits.memory_bytes.div_ceil(MIB);
    Error::new(
        Code::MemoryExceeded,
        format!("the attempt needed more memory than its limit of {limit} MiB"),
    )
    .hint("filter or aggregate earlier, select fewer columns, or raise the memory limit")
}

/// We did not send that signal. The kernel does when the memory of the machine or of the container runs out, and does not
/// say so to the process.
fn killed() -> Error {
    Error::new(
        Code::MemoryExceeded,
        "the engine process was killed, as the system does when its memory runs out",
    )
    .hint("run fewer jobs at the same time, give the machine or container more memory, or ask for less data")
}

fn too_complex() -> Error {
    Error::new(Code::QueryTooComplex, "the query is nested too deeply to be planned")
        .hint("split it into smaller steps, or shorten long chains of operators")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn code(status: i32, last_words: &str) -> Code {
        explain(Some(ExitStatus::from_raw(status)), last_words, &Limits::default()).code
    }

    #[test]
    fn deaths_are_told_apart() {
        let aborted = 6;
        assert_eq!(
            code(aborted, "memory allocation of 10737418240 bytes failed"),
            Code::MemoryExceeded
        );
        assert_eq!(code(SIGKILL, ""), Code::MemoryExceeded);
        assert_eq!(
            code(aborted, "thread 'engine' has overflowed its stack"),
            Code::QueryTooComplex
        );
        assert_eq!(code(SIGSEGV, ""), Code::QueryTooComplex);
        assert_eq!(code(3 << 8, "thread 'main' panicked"), Code::EngineCrashed);
    }

    #[test]
    fn limits_are_named() {
        let limits = Limits {
            timeout_ms: 1_500,
            memory_bytes: 64 * MIB,
            ..Limits::default()
        };
        assert!(timed_out(&limits).message.contains("1500 ms"));
        assert!(memory_exceeded(&limits).message.contains("64 MiB"));
    }
}
