//! Keys as they are found on a server, and as they are written to one.

use crate::Timestamp;

/// A key with what lay under it at one moment.
#[derive(Debug, Clone, PartialEq)]
pub struct FoundKey {
    pub name: Vec<u8>,
    /// Absent when the key stays, or the server cannot tell.
    pub expires_at: Option<Timestamp>,
    pub value: KeyValue,
}

/// The value of a key, by its type.
#[derive(Debug, Clone, PartialEq)]
pub enum KeyValue {
    String(Vec<u8>),
    /// Fields and their values.
    Hash(Vec<(Vec<u8>, Vec<u8>)>),
    List(Vec<Vec<u8>>),
    Set(Vec<Vec<u8>>),
    /// Members and their scores, by score.
    SortedSet(Vec<(Vec<u8>, f64)>),
    /// It was not read, for this reason.
    LeftOut(String),
}

/// Some keys of a scan.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct KeyBatch {
    pub keys: Vec<FoundKey>,
    /// About how many keys of the database were looked at so far.
    pub scanned: u64,
    /// How many there were when the scan began.
    pub total: u64,
}

/// A key to be written in the place of whatever lies under its name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyWrite {
    pub name: String,
    pub value: WrittenValue,
}

/// What is written under a key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum WrittenValue {
    /// Fields and their values; at least one.
    Hash(Vec<(String, String)>),
    String(String),
}

impl KeyWrite {
    /// About what it takes on the wire.
    #[must_use]
    pub fn bytes(&self) -> usize {
        let value = match &self.value {
            WrittenValue::Hash(fields) => fields.iter().map(|(name, value)| name.len() + value.len()).sum(),
            WrittenValue::String(text) => text.len(),
        };
        self.name.len() + value
    }
}
