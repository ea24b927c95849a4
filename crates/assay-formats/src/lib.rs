//! File formats and columns: uploads become Parquet parts, rows become the bytes of an answer, kinds become Arrow types.
//!
//! It names Arrow and Parquet, but no query engine, so its readers are built, tested and fuzzed without one. It runs
//! inside an engine process, and knows neither catalog nor queue nor SQL.

pub mod encode;
mod fault;
pub mod ingest;
pub mod kinds;

pub use fault::{fault, hexadecimal, store_fault};
