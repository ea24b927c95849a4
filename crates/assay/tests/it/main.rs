//! End-to-end tests: the real program over HTTP and the command line, and the shape of the workspace.

#![allow(clippy::unwrap_used, reason = "a test may fail")]

mod bad_input;
mod cli;
mod crashes;
mod engine_limits;
mod figures;
mod floors;
mod jobs;
mod notices;
#[path = "../../../assay-worker/tests/it/receivers.rs"]
mod receivers;
mod support;
