//! A typed client of Assay's HTTP API, for the command line, the tests and other Rust programs.
//!
//! It speaks plain HTTP and nothing else: no retries of requests that change something, no state, no output.

mod client;
mod error;
mod events;
mod exact;
mod hooks;
mod jobs;
mod links;
mod queue;
mod records;
mod resume;
mod schedules;
mod upload;
mod wire;

pub use client::Client;
pub use error::ClientError;
pub use events::{Event, EventStream};
pub use exact::{Exact, Row};
pub use hooks::{Delivery, DeliveryTry, Hook, NewHook};
pub use links::{Publication, Source};
pub use queue::{
    AnalysisStats, Canceled, Checkup, Finding, Pause, Queue, Share, ShareLimits, Stats, Wait, WaitCause, WorkerInfo,
};
pub use records::{
    DatasetRules, DeletedRecords, DiffItem, DiffPage, Expected, NewDataset, OutcomeError, Record, RecordOutcome,
    RejectedRecord, VersionEntry, WrittenRecord, WrittenRecords,
};
pub use schedules::{LastRun, NewSchedule, Run, Runs, Schedule, ScheduledJob};
pub use upload::{ImportOptions, Upload};
pub use wire::{
    Analysis, Attempt, Attribute, Column, Dataset, DatasetVersion, Input, Job, JobChange, JobFilter, JobLinks,
    JobQuery, JobResult, NewJob, NewQuery, NewRetry, Page, Problem, Progress, RecordPage, ResultPage, Schema, SeenIn,
    SeenTypes, Target, Usage,
};

pub type Result<T, E = ClientError> = std::result::Result<T, E>;
