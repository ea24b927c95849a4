//! Rows as bytes in the formats of [`assay_core::Format`], and JSON values as columns.
//!
//! It writes into buffers; where the bytes go is the business of `store`.

mod csv;
mod documents;
mod finite;
pub(crate) mod from_json;
pub(crate) mod json;
pub(crate) mod temporal;
mod writer;

pub(crate) use documents::Documents;
pub(crate) use finite::NotFinite;
pub(crate) use writer::BatchWriter;
