//! End-to-end tests: the real program over HTTP and the command line, and the shape of the workspace.

#![allow(clippy::unwrap_used, reason = "a test may fail")]

mod bad_input;
mod chain;
mod cli;
mod cli_queue;
mod crashes;
mod engine_limits;
mod figures;
mod floors;
mod history;
mod jobs;
mod queue;
mod schedules;
mod support;
