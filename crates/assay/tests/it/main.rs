//! End-to-end tests: the real program over HTTP and the command line, and the shape of the workspace.

#![allow(clippy::unwrap_used, reason = "a test may fail")]

mod bad_input;
mod chain;
mod changes;
mod chaos;
mod cli;
mod cli_doctor;
mod cli_doctor_store;
mod cli_drain;
mod cli_queue;
mod cli_records;
mod cli_why;
mod compose;
mod contract;
mod contract_jobs;
mod crashes;
mod engine_limits;
mod figures;
mod fleet;
mod floors;
mod history;
mod inbox;
mod jobs;
mod links;
mod loading;
mod migrate;
mod notices;
mod notices_tls;
mod objects;
mod partner;
mod queue;
#[path = "../../../assay-worker/tests/it/receivers.rs"]
mod receivers;
mod records;
mod records_files;
mod records_model;
mod records_pages;
#[path = "../../../assay-store/tests/it/redis_port.rs"]
mod redis_port;
mod rejects;
mod resumable;
mod resumable_cli;
mod retention;
mod retype;
mod schedules;
#[path = "../../../assay-store/tests/it/services.rs"]
mod services;
mod several_files;
mod shared;
mod strict;
mod support;
mod uploads;
mod wide;
