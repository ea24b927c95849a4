//! Tables over pinned versions, SQL, encoding of answers, and ingest: everything that names DataFusion, Arrow or Parquet.
//!
//! It runs inside an engine process under a hard memory limit. It knows neither catalog nor queue: what it may read
//! comes with the order, what it writes goes under the order's own folder of the object store.

mod adapter;
mod answer;
mod bins;
mod compact;
mod conform;
mod describe;
mod engine;
mod execute;
mod failure;
mod functions;
mod import;
mod origin;
mod records;
mod rest;
mod session;
mod sql;
mod store;
mod streamed;
mod table;
mod tally;
#[cfg(test)]
mod tests;

pub use answer::Answer;
pub use bins::Bins;
pub use describe::Detail;
pub use engine::{Engine, EngineSettings};
pub use session::{Plan, Session, SqlParams};
pub use sql::{quote_identifier, quote_literal};
