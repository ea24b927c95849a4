//! Faults that are ours and not the user's, and checksums as text.

use std::fmt::Write as _;

use assay_core::Error;

/// An internal error about what was `attempted`; its cause goes to the log.
pub fn fault(attempted: &str, cause: &dyn std::error::Error) -> Error {
    tracing::error!(error = %cause, attempted, "the engine failed");
    Error::internal(attempted)
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
