//! Faults that are ours and not the user's, and checksums as text.

use std::fmt::Write as _;

use assay_core::{Code, Error};

/// An internal error about what was `attempted`; its cause goes to the log.
pub fn fault(attempted: &str, cause: &dyn std::error::Error) -> Error {
    tracing::error!(error = %cause, attempted, "the engine failed");
    Error::internal(attempted)
}

/// What it means that the place of the objects failed while something was `attempted`: another try may find it well.
pub fn store_fault(attempted: &str, cause: &object_store::Error) -> Error {
    tracing::error!(error = %cause, attempted, "the place of the objects failed");
    let is_full = std::iter::successors(Some(cause as &dyn std::error::Error), |cause| cause.source())
        .filter_map(|cause| cause.downcast_ref::<std::io::Error>())
        .any(|cause| cause.kind() == std::io::ErrorKind::StorageFull);
    if is_full {
        let message = format!("{attempted} failed: no space is left in the store");
        return Error::new(Code::StorageFull, message).hint("free some space and try again");
    }
    let message = format!("{attempted} failed: the store does not answer");
    Error::new(Code::StoreFailed, message).hint("try again; the log of the server has the cause")
}

/// Lower-case hexadecimal digits, two for each byte.
#[must_use]
pub fn hexadecimal(bytes: &[u8]) -> String {
    bytes
        .iter()
        .fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
            // Writing to a string cannot fail.
            let _ = write!(text, "{byte:02x}");
            text
        })
}
