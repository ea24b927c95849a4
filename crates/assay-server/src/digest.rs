//! The digest of what comes in, and the one that a client sends of its bytes, after RFC 9530.

use assay_core::{Code, Error, Result};
use axum::body::Bytes;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::{HeaderMap, HeaderName};
use sha2::{Digest as _, Sha256};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use crate::cursor::hex;
use crate::extract;

static CONTENT_DIGEST: HeaderName = HeaderName::from_static("content-digest");
const SHA_256_BYTES: usize = 32;
/// Chunks that may wait to be digested.
const WAITING_CHUNKS: usize = 4;
/// How a digest is written.
pub(crate) const HOW: &str =
    "write its 32 bytes in base64 between colons, as in `sha-256=:RK/0qy18MlBSVnWgjwz6lZEWjP/lF5HF9bvEF8FabDg=:`";

/// A SHA-256 that is computed in a task of its own, while the same bytes are stored.
pub(crate) struct Digester {
    chunks: mpsc::Sender<Bytes>,
    digest: JoinHandle<String>,
}

impl Digester {
    pub(crate) fn start() -> Self {
        let (chunks, mut waiting) = mpsc::channel::<Bytes>(WAITING_CHUNKS);
        let digest = tokio::spawn(async move {
            let mut digest = Sha256::new();
            while let Some(chunk) = waiting.recv().await {
                digest.update(&chunk);
            }
            hex(&digest.finalize())
        });
        Self { chunks, digest }
    }

    pub(crate) async fn add(&self, chunk: Bytes) {
        // The task that receives them ends early only by a panic, which the end tells.
        let _ = self.chunks.send(chunk).await;
    }

    /// The digest of all chunks in hexadecimal digits.
    ///
    /// # Errors
    /// `Internal` when it could not be computed.
    pub(crate) async fn end(self) -> Result<String> {
        drop(self.chunks);
        self.digest.await.map_err(|cause| {
            tracing::error!(error = %cause, "could not compute a digest");
            Error::internal("computing the digest of the file")
        })
    }
}

/// The SHA-256 of the body in hexadecimal digits, when the client says it. Other digests are of no use here.
///
/// # Errors
/// `InvalidRequest` when it is not one.
pub(crate) fn read(headers: &HeaderMap) -> Result<Option<String>> {
    match extract::text(headers, &CONTENT_DIGEST)? {
        Some(text) => parse(text).map_err(|value| {
            Error::new(
                Code::InvalidRequest,
                format!("`Content-Digest` has `{value}`, which is not a SHA-256"),
            )
            .hint(HOW)
        }),
        None => Ok(None),
    }
}

/// The SHA-256 among digests, e.g. `sha-256=:…:`, in hexadecimal digits.
///
/// # Errors
/// What stands there and is none.
pub(crate) fn parse(text: &str) -> Result<Option<String>, &str> {
    let mut members = text.split(',').filter_map(|member| member.trim().split_once('='));
    let Some((_, value)) = members.find(|(name, _)| name.eq_ignore_ascii_case("sha-256")) else {
        return Ok(None);
    };
    let encoded = value.strip_prefix(':').and_then(|rest| rest.strip_suffix(':'));
    let digest = encoded.and_then(|encoded| STANDARD.decode(encoded).ok());
    let digest = digest.filter(|digest| digest.len() == SHA_256_BYTES);
    digest.map(|digest| Some(hex(&digest))).ok_or(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn digest(text: &str) -> Result<Option<String>> {
        let mut headers = HeaderMap::new();
        headers.insert(&CONTENT_DIGEST, text.parse().unwrap());
        read(&headers)
    }

    #[test]
    fn the_digest_is_found_among_others() {
        let hex = "44aff4ab2d7c3250525675a08f0cfa9591168cffe51791c5f5bbc417c15a6c38";
        let sent = "sha-256=:RK/0qy18MlBSVnWgjwz6lZEWjP/lF5HF9bvEF8FabDg=:";
        assert_eq!(digest(sent).unwrap().as_deref(), Some(hex));
        assert_eq!(digest(&format!("md5=:AAAA:, {sent}")).unwrap().as_deref(), Some(hex));
        assert_eq!(digest("sha-512=:AAAA:"), Ok(None));
        for wrong in ["sha-256=abc", "sha-256=:AAAA:", "sha-256=:?:"] {
            assert_eq!(digest(wrong).unwrap_err().code, Code::InvalidRequest, "{wrong}");
        }
    }
}
