//! The program that ties the rooms together: one binary that is server, command line and engine process.

mod background;
mod cli;
mod demo;
mod engine_process;
mod inbox;
mod moving;
mod objects;
mod output;
mod server;
mod store;

use std::process::ExitCode;

fn main() -> ExitCode {
    cli::main(&server::ThisProcess)
}
