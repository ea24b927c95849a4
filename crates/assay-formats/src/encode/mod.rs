//! Rows as bytes in the formats of [`assay_core::Format`], and JSON values as columns.
//!
//! It writes into buffers; where the bytes go is the business of `store`.

mod csv;
mod documents;
pub(crate) mod finite;
pub mod from_json;
pub mod json;
mod writer;

pub use documents::Documents;
pub use finite::NotFinite;
pub use writer::BatchWriter;
