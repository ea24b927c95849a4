//! Secrets that sign webhooks, after Standard Webhooks 1.0.

use std::fmt;
use std::str::FromStr;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Serialize};

use crate::{Code, Error, Result};

const PREFIX: &str = "whsec_";
/// How long a secret of ours is.
const BYTES: usize = 32;

/// `whsec_` and 24 to 64 bytes in base64. It is shown to its owner and to nobody else, and never enters a log.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct SigningSecret(String);

impl SigningSecret {
    /// A new secret from the operating system's source of randomness.
    ///
    /// # Errors
    /// `Internal` when that has none.
    pub fn generate() -> Result<Self> {
        let mut bytes = [0; BYTES];
        getrandom::fill(&mut bytes).map_err(|_| Error::internal("making a secret"))?;
        Ok(Self(format!("{PREFIX}{}", STANDARD.encode(bytes))))
    }

    /// The whole secret, for its owner and for the store.
    #[must_use]
    pub fn reveal(&self) -> &str {
        &self.0
    }

    /// The key of the signature.
    #[must_use]
    pub fn key(&self) -> Vec<u8> {
        decode(&self.0).unwrap_or_default()
    }
}

fn decode(text: &str) -> Option<Vec<u8>> {
    let bytes = STANDARD.decode(text.strip_prefix(PREFIX)?).ok()?;
    (24..=64).contains(&bytes.len()).then_some(bytes)
}

impl FromStr for SigningSecret {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        match decode(text) {
            Some(_) => Ok(Self(text.to_owned())),
            // Whatever it is, it may be a secret: it is not repeated.
            None => Err(
                Error::new(Code::InvalidParameter, "the secret is not one that can sign webhooks")
                    .hint("a secret is `whsec_` and 24 to 64 random bytes in base64; leave it out to have one made"),
            ),
        }
    }
}

impl TryFrom<String> for SigningSecret {
    type Error = Error;

    fn try_from(text: String) -> Result<Self, Error> {
        text.parse()
    }
}

impl From<SigningSecret> for String {
    fn from(secret: SigningSecret) -> Self {
        secret.0
    }
}

impl fmt::Debug for SigningSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("whsec_…")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_are_checked_and_never_shown_by_accident() {
        let secret = SigningSecret::generate().unwrap();
        assert_eq!(secret.reveal().parse::<SigningSecret>().unwrap(), secret);
        assert_eq!(secret.key().len(), BYTES);
        assert_ne!(secret, SigningSecret::generate().unwrap());
        assert_eq!(format!("{secret:?}"), "whsec_…");
        for bad in [
            "",
            "whsec_",
            "whsec_!!!",
            "whsec_c2hvcnQ=",
            "MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
        ] {
            let error = bad.parse::<SigningSecret>().unwrap_err();
            assert!(bad.is_empty() || !error.message.contains(bad), "{bad}");
        }
    }
}
