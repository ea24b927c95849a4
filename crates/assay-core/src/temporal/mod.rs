//! Dates and points in time as the texts that users write and read.

pub mod read;
pub mod write;
