//! The `Prefer` header of RFC 7240: whether a client waits, and how long.

use std::time::Duration;

use assay_core::{Code, Error};
use http::{HeaderMap, HeaderName};

static PREFER: HeaderName = HeaderName::from_static("prefer");

/// What a client prefers. Other preferences are passed over, as RFC 7240 asks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Preferences {
    /// `wait=N`, at most what the server allows.
    pub(crate) wait: Option<Duration>,
    pub(crate) is_async: bool,
}

impl Preferences {
    /// # Errors
    /// `InvalidRequest` when `wait` is not a number of seconds.
    pub(crate) fn read(headers: &HeaderMap, longest: Duration) -> Result<Self, Error> {
        let mut preferences = Self::default();
        for value in headers.get_all(&PREFER) {
            let Ok(text) = value.to_str() else { continue };
            for preference in text.split(',') {
                let preference = preference.split(';').next().unwrap_or_default();
                let (name, value) = preference.split_once('=').unwrap_or((preference, ""));
                match name.trim().to_ascii_lowercase().as_str() {
                    "respond-async" => preferences.is_async = true,
                    "wait" => preferences.wait = Some(seconds(value)?.min(longest)),
                    _ => {}
                }
            }
        }
        Ok(preferences)
    }

    /// How long to wait for the end of a job; zero when it should not.
    pub(crate) fn wait_or(self, default: Duration) -> Duration {
        match self.wait {
            Some(wait) => wait,
            None if self.is_async => Duration::ZERO,
            None => default,
        }
    }

    /// What the answer says of the preferences that were heeded.
    pub(crate) fn applied(self) -> Option<String> {
        if let Some(wait) = self.wait {
            return Some(format!("wait={}", wait.as_secs()));
        }
        self.is_async.then(|| "respond-async".to_owned())
    }
}

fn seconds(text: &str) -> Result<Duration, Error> {
    let text = text.trim().trim_matches('"');
    text.parse().map(Duration::from_secs).map_err(|_| {
        Error::new(
            Code::InvalidRequest,
            format!("`wait={text}` in the header `Prefer` is not a number of seconds"),
        )
        .hint("e.g. `Prefer: wait=10`")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Preferences, Error> {
        let headers = HeaderMap::from_iter([(PREFER.clone(), text.parse().unwrap())]);
        Preferences::read(&headers, Duration::from_secs(60))
    }

    #[test]
    fn wait_is_read_and_bounded() {
        let preferences = read("respond-async, wait=90; x=1, foo").unwrap();
        assert_eq!(preferences.wait, Some(Duration::from_secs(60)));
        assert_eq!(preferences.applied().as_deref(), Some("wait=60"));
        assert_eq!(
            read("respond-async").unwrap().wait_or(Duration::from_secs(9)),
            Duration::ZERO
        );
        assert_eq!(
            Preferences::default().wait_or(Duration::from_secs(9)),
            Duration::from_secs(9)
        );
        assert!(read("wait=soon").is_err());
    }
}
