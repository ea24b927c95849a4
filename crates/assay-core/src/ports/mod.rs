//! The ports: small traits between the rooms. Who implements one keeps the promises in its comments, and the
//! conformance suite of `assay-store` proves them for stores.

mod catalog;
mod changes;
mod clock;
mod events;
mod history;
mod jobs;
mod links;
mod outbox;
mod queue;
mod records;
mod runner;
mod schedules;
mod upkeep;
mod workers;

pub use catalog::Catalog;
pub use changes::Changes;
pub use clock::{Clock, ManualClock, SystemClock};
pub use events::Events;
pub use history::{History, HistoryRows};
pub use jobs::{Beat, Directive, Jobs, Reaped};
pub use links::{KeyScan, KeyWriter, Links};
pub use outbox::{DeliveryFilter, Hooks, Outbox};
pub use queue::Queue;
pub use records::Records;
pub use runner::{RunControl, Runner};
pub use schedules::Schedules;
pub use upkeep::{Swept, Upkeep};
pub use workers::Workers;
