//! The ports: small traits between the rooms. Who implements one keeps the promises in its comments, and the
//! conformance suite of `assay-store` proves them for stores.

mod catalog;
mod clock;
mod events;
mod jobs;
mod runner;

pub use catalog::Catalog;
pub use clock::{Clock, ManualClock, SystemClock};
pub use events::Events;
pub use jobs::{Beat, Directive, Jobs, Reaped};
pub use runner::{RunControl, Runner};
