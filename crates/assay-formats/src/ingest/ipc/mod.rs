//! Arrow IPC: the form of files and that of streams.

mod claims;

use std::io::{BufReader, Seek as _};

use arrow::error::ArrowError;
use arrow::ipc::reader::{FileReader, StreamReader};
use assay_core::{Code, Error, Result};

use claims::CheckedStream;

use super::chunk::ChunkSize;
use super::source::{Upload, reading_failed};
use super::typed::{TypedRecords, own};

/// What the form of files begins with,
const FILE: &[u8] = b"ARROW1";
/// and what every message of a stream does.
const STREAM: &[u8] = b"\xff\xff\xff\xff";

pub(super) fn is_file(head: &[u8]) -> bool {
    head.starts_with(FILE)
}

pub(super) fn is_stream(head: &[u8]) -> bool {
    head.starts_with(STREAM)
}

/// # Errors
/// `FileDamaged`; `UnsupportedFormat` for types that have no kind here.
pub(super) fn open_file(upload: &Upload, size: ChunkSize) -> Result<TypedRecords> {
    // It is read from its end.
    let of_footer = |error| damaged(error, "its footer, the end of it, is wrong or was cut off");
    let mut file = BufReader::new(upload.spooled()?);
    claims::check_file(&mut file).map_err(of_footer)?;
    file.rewind().map_err(reading_failed)?;
    let reader = FileReader::try_new(file, None).map_err(of_footer)?;
    let schema = reader.schema();
    TypedRecords::new(Box::new(reader), &schema, size, "Arrow")
}

/// # Errors
/// As [`open_file`].
pub(super) fn open_stream(upload: &Upload, size: ChunkSize) -> Result<TypedRecords> {
    let reader = CheckedStream::new(BufReader::new(upload.open("reading")?));
    let reader = StreamReader::try_new(reader, None).map_err(|error| damaged(error, "its schema cannot be read"))?;
    let schema = reader.schema();
    TypedRecords::new(Box::new(reader), &schema, size, "Arrow")
}

fn damaged(error: ArrowError, what: &str) -> Error {
    own(error).unwrap_or_else(|error| {
        tracing::debug!(%error, "an Arrow file cannot be read");
        Error::new(Code::FileDamaged, format!("the Arrow file is damaged: {what}"))
            .hint("write it again, and load it again")
    })
}
