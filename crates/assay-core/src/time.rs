//! Points in time as Assay stores and shows them.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::{Code, Error};

/// Milliseconds since 1970-01-01T00:00:00Z. Shown as RFC 3339 in UTC with milliseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Timestamp(pub i64);

impl Timestamp {
    /// The moment `milliseconds` later; saturates instead of wrapping.
    #[must_use]
    pub fn plus_millis(self, milliseconds: u64) -> Self {
        Self(self.0.saturating_add_unsigned(milliseconds))
    }

    /// Reads the date of an HTTP header, e.g. `Wed, 26 Feb 2025 12:00:00 GMT`.
    #[must_use]
    pub fn from_http_date(text: &str) -> Option<Self> {
        let zoned = jiff::fmt::rfc2822::parse(text.trim()).ok()?;
        Some(Self(zoned.timestamp().as_millisecond()))
    }

    /// Milliseconds from `earlier` to `self`, zero when `earlier` is later.
    #[must_use]
    pub fn millis_since(self, earlier: Self) -> u64 {
        u64::try_from(self.0.saturating_sub(earlier.0)).unwrap_or(0)
    }
}

impl FromStr for Timestamp {
    type Err = Error;

    /// Reads RFC 3339, e.g. `2025-02-26T12:00:00Z`; an offset or a zone must be there.
    fn from_str(text: &str) -> Result<Self, Error> {
        let at: Result<jiff::Timestamp, _> = text.trim().parse();
        at.map(|at| Self(at.as_millisecond())).map_err(|_| {
            let shown: String = text.chars().take(80).collect();
            Error::new(Code::InvalidParameter, format!("`{shown}` is not a point in time"))
                .hint("write it as in `2025-02-26T12:00:00Z` or `2025-02-26T13:00:00+01:00`")
        })
    }
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match jiff::Timestamp::from_millisecond(self.0) {
            Ok(at) => write!(f, "{at:.3}"),
            Err(_) => write!(f, "{} ms", self.0),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn timestamps_read_as_rfc_3339_with_milliseconds() {
        assert_eq!(Timestamp(1_740_571_200_000).to_string(), "2025-02-26T12:00:00.000Z");
    }

    #[test]
    fn dates_of_http_are_read() {
        let read = Timestamp::from_http_date;
        assert_eq!(
            read("Wed, 26 Feb 2025 12:00:00 GMT"),
            Some(Timestamp(1_740_571_200_000))
        );
        assert_eq!(read("soon"), None);
    }

    #[test]
    fn times_are_read_with_their_offset() {
        for text in [
            "2025-02-26T12:00:00Z",
            "2025-02-26T13:00:00+01:00",
            " 2025-02-26T12:00:00.000Z",
        ] {
            assert_eq!(
                text.parse::<Timestamp>().unwrap(),
                Timestamp(1_740_571_200_000),
                "{text}"
            );
        }
        for text in [
            "",
            "tomorrow",
            "2025-02-26",
            "2025-02-26T12:00:00",
            "2025-13-26T12:00:00Z",
        ] {
            assert_eq!(
                text.parse::<Timestamp>().unwrap_err().code,
                Code::InvalidParameter,
                "{text}"
            );
        }
    }

    #[test]
    fn differences_never_go_below_zero() {
        assert_eq!(Timestamp(5).millis_since(Timestamp(9)), 0);
        assert_eq!(Timestamp(9).millis_since(Timestamp(5)), 4);
    }
}
