//! Cursors of pages: opaque, bound to the request they were given for, and those of records to a version as well.

use assay_core::{Code, Error, Version};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

/// Where the next page begins. It grants nothing: whoever changes one reads another page of what they may read.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Cursor {
    #[serde(rename = "v")]
    pub(crate) version: Version,
    #[serde(rename = "o")]
    pub(crate) offset: u64,
    /// Fingerprint of the data set and the parameters.
    #[serde(rename = "q")]
    request: String,
}

impl Cursor {
    pub(crate) fn new(version: Version, offset: u64, request: &str) -> Self {
        Self {
            version,
            offset,
            request: fingerprint(request.as_bytes())[..16].to_owned(),
        }
    }

    pub(crate) fn encode(&self) -> String {
        encode(self)
    }

    /// # Errors
    /// `CursorInvalid` when it is damaged or was given for another request.
    pub(crate) fn decode(text: &str, request: &str) -> Result<Self, Error> {
        decode(text)
            .filter(|cursor: &Self| *cursor == Self::new(cursor.version, cursor.offset, request))
            .ok_or_else(not_given)
    }
}

/// Where the next page of a list begins.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct ListCursor {
    /// What was seen last.
    #[serde(rename = "a")]
    pub(crate) after: String,
    /// Fingerprint of what the list is of.
    #[serde(rename = "q")]
    request: String,
}

impl ListCursor {
    pub(crate) fn new(after: String, request: &str) -> Self {
        Self {
            after,
            request: fingerprint(request.as_bytes())[..16].to_owned(),
        }
    }

    pub(crate) fn encode(&self) -> String {
        encode(self)
    }

    /// # Errors
    /// `CursorInvalid` when it is damaged or was given for another list.
    pub(crate) fn decode(text: &str, request: &str) -> Result<Self, Error> {
        decode(text)
            .filter(|cursor: &Self| *cursor == Self::new(cursor.after.clone(), request))
            .ok_or_else(not_given)
    }
}

fn encode(cursor: &impl Serialize) -> String {
    // A struct of numbers and text always serializes.
    URL_SAFE_NO_PAD.encode(serde_json::to_vec(cursor).unwrap_or_default())
}

fn decode<T: DeserializeOwned>(text: &str) -> Option<T> {
    serde_json::from_slice(&URL_SAFE_NO_PAD.decode(text).ok()?).ok()
}

fn not_given() -> Error {
    Error::new(Code::CursorInvalid, "the cursor was not given for this request")
        .hint("follow `next` as it is, or begin again without a cursor")
}

/// SHA-256 in lower-case hexadecimal.
pub(crate) fn fingerprint(bytes: &[u8]) -> String {
    hex(&Sha256::digest(bytes))
}

pub(crate) fn hex(digest: &[u8]) -> String {
    use std::fmt::Write as _;
    digest.iter().fold(String::new(), |mut text, byte| {
        // Writing to a text cannot fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_serves_its_own_request_only() {
        let cursor = Cursor::new(Version(3), 200, "genes?a=eq.1");
        let text = cursor.encode();
        assert_eq!(Cursor::decode(&text, "genes?a=eq.1").unwrap(), cursor);
        assert_eq!(
            Cursor::decode(&text, "genes?a=eq.2").unwrap_err().code,
            Code::CursorInvalid
        );
        assert!(Cursor::decode("x", "genes?a=eq.1").is_err());
    }

    #[test]
    fn fingerprints_are_sha_256() {
        // FIPS 180-4, example of the empty message.
        assert!(fingerprint(b"").starts_with("e3b0c44298fc1c149afbf4c8996fb924"));
    }
}
