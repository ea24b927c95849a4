//! Workers: they claim jobs, have them run in engine processes under limits, finish them, and tell who wants to know.
//!
//! It knows the queue, the catalog and the border to an engine; it knows no route, no SQL and no analysis.

mod compactor;
mod engine_pool;
mod notices;
mod pool;
mod reaper;
mod trouble;

pub use compactor::compact_until;
pub use engine_pool::{EngineSettings, ProcessRunner};
pub use notices::{Authorities, MailSettings, NoticePorts, NoticeSettings, deliver_until};
pub use pool::{WorkerPool, WorkerPorts, WorkerSettings};
pub use reaper::{reap_until, sweep_until};
