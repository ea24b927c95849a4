//! Stores behind the ports of `assay-core`: where jobs, data sets, events and files are kept.
//!
//! It keeps what it is given: it runs no analysis, reads no Parquet, and looks at a clock only through `Clock`.

pub mod embedded;
pub mod objects;

pub use embedded::{EmbeddedStore, StoreSettings};
pub use objects::{DurableFolder, Objects, ObjectsUrl};
