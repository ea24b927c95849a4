//! Files as they come in the body of a request: the bytes, and what can be wrong with them.

use std::error::Error as StdError;
use std::io;
use std::time::Duration;

use assay_core::{Code, Error, Result};
use axum::body::{BodyDataStream, Bytes};
use futures::StreamExt as _;
use http::{HeaderMap, header};

use crate::extract;

/// How long a client may be silent in the middle of an upload.
const SILENCE: Duration = Duration::from_secs(60);

/// The next bytes of a body; `None` at its end.
///
/// # Errors
/// `InvalidRequest` when nothing comes any more.
pub(crate) async fn next(chunks: &mut BodyDataStream) -> Result<Option<Bytes>> {
    match tokio::time::timeout(SILENCE, chunks.next()).await {
        Ok(Some(Ok(chunk))) => Ok(Some(chunk)),
        Ok(None) => Ok(None),
        Ok(Some(Err(_))) | Err(_) => Err(broken_off()),
    }
}

/// # Errors
/// `InvalidRequest` when the header is no text.
pub(crate) fn content_length(headers: &HeaderMap) -> Result<Option<u64>> {
    Ok(extract::text(headers, &header::CONTENT_LENGTH)?.and_then(|text| text.parse().ok()))
}

pub(crate) fn empty() -> Error {
    Error::new(Code::FileEmpty, "the uploaded file is empty")
        .hint("send the file as the body, e.g. `curl --data-binary @FILE`")
}

pub(crate) fn too_large(limit: u64) -> Error {
    Error::new(
        Code::BodyTooLarge,
        format!("the file is larger than the limit of {limit} bytes"),
    )
    .hint("compress it with gzip, or load it in pieces with `mode=append`")
}

fn broken_off() -> Error {
    Error::new(Code::InvalidRequest, "the upload was broken off").hint("send it again; nothing was loaded")
}

#[expect(clippy::needless_pass_by_value, reason = "as `map_err` gives it")]
pub(crate) fn not_stored(cause: object_store::Error) -> Error {
    tracing::error!(error = %cause, "could not store an upload");
    if is_full(&cause) {
        return Error::new(Code::StorageFull, "no space is left for the file")
            .hint("free some space and send it again");
    }
    Error::new(Code::StoreFailed, "the file could not be stored").hint("try again; the server's log has the cause")
}

fn is_full(cause: &object_store::Error) -> bool {
    std::iter::successors(Some(cause as &dyn StdError), |&cause| cause.source())
        .filter_map(|cause| cause.downcast_ref::<io::Error>())
        .any(|cause| cause.kind() == io::ErrorKind::StorageFull)
}
