//! What opens the place where objects lie.

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

/// Where objects lie and how to get there. It may hold secrets: it goes to engine processes through their pipe, and
/// never into a log or on a command line.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ObjectsAccess {
    /// A folder, `s3://bucket/prefix` or `redis://host:port/db`.
    pub url: String,
    /// Settings of the service by their names in the environment, e.g. `AWS_REGION`.
    pub options: BTreeMap<String, String>,
    /// Certificates in PEM whose authorities vouch for the service.
    pub authorities: Option<String>,
    /// Folder on the local disk for copies of what lies far away. Processes may share it.
    pub cache_folder: PathBuf,
    /// Most bytes that the copies may take.
    pub cache_bytes: u64,
}

impl fmt::Debug for ObjectsAccess {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ObjectsAccess(…)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_are_never_shown_by_accident() {
        let access = ObjectsAccess {
            url: "redis://assay:geheim@db:6379/0".to_owned(),
            options: BTreeMap::from([("AWS_SECRET_ACCESS_KEY".to_owned(), "geheim".to_owned())]),
            authorities: None,
            cache_folder: PathBuf::from("cache"),
            cache_bytes: 1,
        };
        assert!(!format!("{access:?}").contains("geheim"));
    }
}
