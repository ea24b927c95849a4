//! Uploads as users see them.

use assay_core::{Code, Error, Result, UserName};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::digest;
use crate::receive::{empty, too_large};
use crate::uploads::{About, Upload};

const MAX_NAME_CHARS: usize = 255;

/// A file that will be sent piece by piece. All of it may be left out.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct NewUpload {
    /// What reports and errors call the file.
    #[serde(default)]
    #[schema(example = "2024-05.ndjson")]
    name: Option<String>,
    /// Bytes of the whole. The upload is complete when it has them.
    #[serde(default)]
    length: Option<u64>,
    /// SHA-256 of the whole, as in `Content-Digest`: `sha-256=:…:`.
    #[serde(default)]
    digest: Option<String>,
}

impl NewUpload {
    /// # Errors
    /// `InvalidParameter` with the place; `FileEmpty`; `BodyTooLarge`.
    pub(crate) fn checked(self, owner: UserName, limit: u64) -> Result<About> {
        let Self { name, length, digest } = self;
        if let Some(name) = &name
            && (name.is_empty() || name.chars().count() > MAX_NAME_CHARS || name.chars().any(char::is_control))
        {
            let message = format!("a file is called by 1 to {MAX_NAME_CHARS} characters without control characters");
            return Err(Error::new(Code::InvalidParameter, message).pointing("/name"));
        }
        match length {
            Some(0) => return Err(empty().pointing("/length")),
            Some(length) if length > limit => return Err(too_large(limit).pointing("/length")),
            _ => {}
        }
        Ok(About {
            owner,
            name,
            length,
            sha256: digest.as_deref().map(checked_digest).transpose()?,
        })
    }
}

fn checked_digest(text: &str) -> Result<String> {
    digest::parse(text).ok().flatten().ok_or_else(|| {
        let message = format!("`digest` is `{text}`, which has no SHA-256");
        Error::new(Code::InvalidParameter, message)
            .hint(digest::HOW)
            .pointing("/digest")
    })
}

/// How far an upload is.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct UploadForm {
    pub(crate) id: String,
    pub(crate) name: Option<String>,
    /// Bytes that are stored for good: where to go on.
    pub(crate) offset: u64,
    /// Bytes of the whole, when they were told.
    pub(crate) length: Option<u64>,
    /// It has all its bytes and can be loaded.
    pub(crate) complete: bool,
    /// When it is forgotten, unless a job is to load it.
    pub(crate) expires_at: String,
    pub(crate) href: String,
}

impl From<Upload> for UploadForm {
    fn from(upload: Upload) -> Self {
        let Upload { id, about, pieces } = upload;
        Self {
            name: about.name,
            offset: pieces.offset,
            length: about.length,
            complete: pieces.is_complete,
            expires_at: id.expires_at().to_string(),
            href: format!("/v1/uploads/{id}"),
            id: id.into(),
        }
    }
}
