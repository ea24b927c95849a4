//! The HTTP interface over the ports of `assay-core`: routes, wire forms, problem documents, event streams.
//!
//! It holds no state of its own but what the ports keep; any number of servers may stand before one store.

mod answer;
mod app;
mod asker;
mod blocks;
mod cursor;
mod digest;
mod document;
mod exports;
mod extract;
mod firing;
mod guard;
mod negotiate;
mod openapi;
mod params;
mod pins;
mod prefer;
mod problem;
mod read;
mod receive;
mod refreshing;
mod routes;
mod rules;
mod sharing;
mod sse;
mod stored;
mod submissions;
mod submit;
mod uploads;
mod wait;
mod when;
mod wire;

pub use app::{ServerSettings, Services};
pub use firing::fire_schedules_until;
pub use openapi::openapi;
pub use problem::{Fault, Problem, status};
pub use refreshing::refresh_linked_until;
pub use routes::{router, serve};
pub use submissions::{Accepted, Submissions};
