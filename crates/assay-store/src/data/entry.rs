//! The entry of a data set as the stores know it, and which of its versions can be read.

use assay_core::{Code, Dataset, Error, Result, Version};

/// An entry, and what only the store needs to know.
#[derive(Debug, Clone)]
pub(crate) struct Entry {
    pub shown: Dataset,
    /// The newest version that changed the parts.
    pub layout: Version,
    /// The oldest version that is kept.
    pub oldest: Version,
}

/// How many records a version changed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Counts {
    pub created: u64,
    pub replaced: u64,
    pub deleted: u64,
}

impl Entry {
    /// The version that is meant, when it is there; the newest one when none is named.
    ///
    /// # Errors
    /// `UnknownVersion`, `VersionExpired`.
    pub(crate) fn resolve(&self, version: Option<Version>) -> Result<Version> {
        let newest = self.shown.version;
        let wanted = version.unwrap_or(newest);
        if wanted < self.oldest && wanted.0 > 0 {
            return Err(self.expired(&format!("version `{wanted}`")));
        }
        if wanted > newest || wanted.0 == 0 {
            let message = format!("data set `{}` has no version `{wanted}`", self.shown.name);
            let hint = format!("its newest version is `{newest}`");
            return Err(Error::new(Code::UnknownVersion, message).hint(hint));
        }
        Ok(wanted)
    }

    /// The version after which the feed of changes begins; 0 stands for all that is kept.
    ///
    /// # Errors
    /// `VersionExpired` when versions after it are not kept any more.
    pub(crate) fn changes_after(&self, after: Version) -> Result<Version> {
        let after = match after.0 {
            0 => Version(self.oldest.0.saturating_sub(1)),
            _ => after,
        };
        if after.0 + 1 < self.oldest.0 {
            return Err(self.expired(&format!("what followed version `{after}`")));
        }
        Ok(after)
    }

    pub(crate) fn expired(&self, what: &str) -> Error {
        let message = format!("{what} of data set `{}` is not kept any more", self.shown.name);
        let hint = format!(
            "its oldest version is `{}`, its newest `{}`",
            self.oldest, self.shown.version
        );
        Error::new(Code::VersionExpired, message).hint(hint)
    }

    /// There was no version at some time: not yet, or not any more.
    pub(crate) fn not_at(&self, at: assay_core::Timestamp) -> Error {
        if at >= self.shown.created_at {
            return self.expired("the version of that time");
        }
        let message = format!("data set `{}` was not there at that time", self.shown.name);
        Error::new(Code::UnknownVersion, message).hint(format!("its oldest version is `{}`", self.oldest))
    }
}
