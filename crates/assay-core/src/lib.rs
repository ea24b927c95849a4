//! The words, the pure rules and the ports of Assay.
//!
//! Everything else depends on this crate and it depends on nothing of ours: it does no I/O, reads no clock but through
//! [`Clock`], and names no database, engine or web framework.

mod address;
mod analysis;
mod change;
mod checksum;
mod dataset;
mod error;
mod event;
mod frame;
mod hint;
mod history;
mod ids;
mod import;
mod job;
mod keyindex;
mod link;
pub mod names;
mod notice;
pub mod number;
mod objects;
mod octets;
mod order;
mod ports;
mod queue;
mod reading;
mod record;
mod result;
mod retype;
mod rowset;
pub mod rules;
mod schedule;
mod schema;
mod secret;
pub mod temporal;
mod time;
mod upload;

pub use address::{Network, Reach, WebhookUrl, check_email, is_public};
pub use analysis::AnalysisSpec;
pub use change::{JobChange, MAX_TAGS, TagChange};
pub use checksum::checksum;
pub use dataset::{
    Commit, CommitMode, Dataset, DatasetChange, IndexFile, LivePart, NewDataset, Part, RejectedLoad, Rejects, Snapshot,
};
pub use error::{Code, Detail, Error, Result};
pub use event::{Event, EventKind};
pub use frame::{read_frame, read_frame_blocking, write_frame};
pub use hint::TypeHint;
pub use history::{HISTORY_ROWS, HistoryTable};
pub use ids::{DatasetName, DeliveryId, EventId, Fence, HookId, JobId, ScheduleName, UserName, Version, WorkerId};
pub use import::{IMPORT, ImportParams};
pub use job::{
    Attempt, AttemptOutcome, Idempotency, Job, JobFilter, JobSpec, Lease, Limits, NewJob, Outcome, Page, PageRequest,
    PinnedInput, Progress, RESULT_TTL_MS, Retry, Sharing, State, Submitted, Usage,
};
pub use keyindex::{KeyEntry, KeyHash, KeyIndex};
pub use link::{
    FoundKey, KeyBatch, KeyForm, KeySource, KeyValue, KeyWrite, LINK_KEY, MAX_RATE, PUBLISH, PublishParams, REFRESH,
    Records as KeyRecords, RedisAddress, RefreshParams, WrittenValue,
};
pub use notice::{
    Delivery, DeliveryOutcome, DeliveryState, DeliveryTry, Destination, Hook, HookFormat, LOGGED_TRIES, Notice, Target,
    delivery_pause_ms,
};
pub use objects::ObjectsAccess;
pub use order::{
    Completion, CountTask, Counted, EngineMessage, EngineReply, Facet, FacetValue, ImportFile, ImportFormat,
    ImportTask, Input, InputSource, Order, RecordFilter, RecordsTask, Task,
};
pub use ports::{
    Beat, Catalog, Changes, Clock, DeliveryFilter, Directive, Events, History, HistoryRows, Hooks, Jobs, KeyScan,
    KeyWriter, Links, ManualClock, Outbox, Queue, Reaped, Records, RunControl, Runner, Schedules, Swept, SystemClock,
    Upkeep, Workers,
};
pub use queue::{AnalysisStats, Finding, KnownWorker, Pause, QueueStats, Share, ShareLimits, Wait, WaitCause};
pub use reading::{Decimal, Encoding, OnError, Quote, Ragged, ReadOptions};
pub use record::{
    Author, Change, CompactTask, Compacted, Condition, Difference, Found, FoundRecord, HotRecord, Operation, Place,
    RecordChange, RecordWrite, Side, VersionChanges, VersionEntry, WriteOutcome, Written,
};
pub use result::{Column, Format, ResultData, ResultSet, StoredResult};
pub use retype::{RETYPE, RetypeParams, RetypeTask};
pub use rowset::RowSet;
pub use rules::{DeclaredTypes, Rules};
pub use schedule::{Fired, Misfire, Overlap, Plan, Schedule, Timing};
pub use schema::{Attribute, Field, Kind, Seen, Span, Spans, TableSchema};
pub use secret::SigningSecret;
pub use time::Timestamp;
pub use upload::{Piece, Pieces, UPLOAD_TTL_MS, UPLOADS, UploadId, UploadedFile};
