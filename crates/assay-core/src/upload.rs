//! Uploads that are sent piece by piece: their ids, where their objects lie, and what the names and sizes of those tell.
//!
//! An upload is a folder of objects that are made once and never changed. A piece is called by the place of its first
//! byte, so of two clients that append at the same place only one can make it. An empty object in that row is the seal:
//! nothing can be appended where it lies.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::ids::{is_prefixed_ulid, prefixed_ulid};
use crate::{Code, Error, Timestamp};

/// How long an upload is kept after it was begun: a day.
pub const UPLOAD_TTL_MS: u64 = 24 * 3_600_000;
/// The folder of all uploads in the object store.
pub const UPLOADS: &str = "uploads";

const UPLOAD: &str = "upload_";
/// Digits of the place in the name of a piece.
const DIGITS: usize = 20;

/// `upload_` and a ULID in lower case.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct UploadId(String);

impl UploadId {
    /// A new id whose time part is `now`.
    #[must_use]
    pub fn generate(now: Timestamp) -> Self {
        Self(prefixed_ulid(UPLOAD, now))
    }

    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// When the upload is not known any more. The id alone tells it, so no stored time can be lost.
    #[must_use]
    pub fn expires_at(&self) -> Timestamp {
        let ulid = self
            .0
            .strip_prefix(UPLOAD)
            .and_then(|text| ulid::Ulid::from_string(text).ok());
        let millis = ulid.map_or(0, |ulid| ulid.timestamp_ms());
        Timestamp(i64::try_from(millis).unwrap_or(i64::MAX)).plus_millis(UPLOAD_TTL_MS)
    }

    /// Where its objects lie.
    #[must_use]
    pub fn folder(&self) -> String {
        format!("{UPLOADS}/{self}")
    }

    /// The object that tells what is known of it beside its bytes.
    #[must_use]
    pub fn about(&self) -> String {
        format!("{UPLOADS}/{self}/about.json")
    }

    /// The object of the piece that begins at `offset`.
    #[must_use]
    pub fn piece(&self, offset: u64) -> String {
        format!("{UPLOADS}/{self}/{offset:0DIGITS$}")
    }

    /// The object that names the `number`th job to load it: the one of the highest number has it.
    #[must_use]
    pub fn claim(&self, number: u64) -> String {
        format!("{UPLOADS}/{self}/claim-{number}")
    }

    /// The place in the name of an object of this upload, when it is a piece.
    fn place(&self, object: &str) -> Option<u64> {
        let name = object.strip_prefix(UPLOADS)?.strip_prefix('/')?;
        let name = name.strip_prefix(self.as_str())?.strip_prefix('/')?;
        let is_place = name.len() == DIGITS && name.bytes().all(|byte| byte.is_ascii_digit());
        name.parse().ok().filter(|_| is_place)
    }
}

impl FromStr for UploadId {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        if is_prefixed_ulid(text, UPLOAD) {
            return Ok(Self(text.to_owned()));
        }
        let shown: String = text.chars().take(80).collect();
        Err(
            Error::new(Code::UnknownUpload, format!("upload `{shown}` does not exist"))
                .hint("ids look like `upload_01jd…`; `POST /v1/uploads` gives one"),
        )
    }
}

impl TryFrom<String> for UploadId {
    type Error = Error;

    fn try_from(text: String) -> Result<Self, Error> {
        text.parse()
    }
}

impl From<UploadId> for String {
    fn from(id: UploadId) -> Self {
        id.0
    }
}

impl fmt::Display for UploadId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A finished upload that an import loads.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct UploadedFile {
    pub upload: UploadId,
    /// What messages call it.
    pub name: String,
    pub bytes: u64,
}

/// An object that holds some bytes of a file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Piece {
    pub path: String,
    pub bytes: u64,
}

/// How far an upload has come.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Pieces {
    /// From the first byte on, without a gap.
    pub pieces: Vec<Piece>,
    /// Bytes of all pieces: where the next one begins.
    pub offset: u64,
    /// The seal lies behind them.
    pub is_complete: bool,
}

impl Pieces {
    /// What the objects of an upload tell, given by path and size in any order. Others than pieces do not count.
    ///
    /// A listing may miss an object that is made meanwhile; the row ends there then, and is never wrong.
    #[must_use]
    pub fn of(id: &UploadId, objects: impl IntoIterator<Item = (String, u64)>) -> Self {
        let mut by_place: BTreeMap<u64, Piece> = BTreeMap::new();
        for (path, bytes) in objects {
            if let Some(place) = id.place(&path) {
                by_place.insert(place, Piece { path, bytes });
            }
        }
        let mut found = Self::default();
        while let Some(piece) = by_place.remove(&found.offset) {
            if piece.bytes == 0 {
                found.is_complete = true;
                break;
            }
            found.offset += piece.bytes;
            found.pieces.push(piece);
        }
        found
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(id: &UploadId, objects: &[(u64, u64)]) -> (usize, u64, bool) {
        let objects = objects.iter().map(|(place, bytes)| (id.piece(*place), *bytes));
        let others = [(id.about(), 5), (format!("{}.partial-1-1", id.piece(7)), 3)];
        let Pieces {
            pieces,
            offset,
            is_complete,
        } = Pieces::of(id, objects.chain(others));
        (pieces.len(), offset, is_complete)
    }

    #[test]
    fn the_names_and_sizes_of_pieces_tell_how_far_an_upload_is() {
        let id = UploadId::generate(Timestamp(1_000));
        assert_eq!(found(&id, &[]), (0, 0, false));
        assert_eq!(found(&id, &[(4, 3), (0, 4)]), (2, 7, false));
        assert_eq!(found(&id, &[(0, 4), (4, 3), (7, 0)]), (2, 7, true));
        // A gap, which a listing at the wrong time may show.
        assert_eq!(found(&id, &[(0, 4), (7, 3), (10, 0)]), (1, 4, false));
        let other = UploadId::generate(Timestamp(2_000));
        let of_other = Pieces::of(&id, [(other.piece(0), 4)]);
        assert_eq!(of_other, Pieces::default());
    }

    #[test]
    fn ids_tell_when_they_expire_and_are_no_paths() {
        let id = UploadId::generate(Timestamp(1_000));
        assert_eq!(id.expires_at(), Timestamp(1_000 + 24 * 3_600_000));
        assert_eq!(id.as_str().parse::<UploadId>().unwrap(), id);
        for wrong in ["", "upload_", "upload_../x", "job_01jd0000000000000000000000"] {
            assert_eq!(
                wrong.parse::<UploadId>().unwrap_err().code,
                Code::UnknownUpload,
                "{wrong}"
            );
        }
    }
}
