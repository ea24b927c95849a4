//! End-to-end tests: the real program over HTTP and the command line, and the shape of the workspace.

#![allow(clippy::unwrap_used, reason = "a test may fail")]

mod floors;
