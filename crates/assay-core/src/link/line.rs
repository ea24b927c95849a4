//! A record as it grows, member by member.

use std::borrow::Cow;
use std::collections::{HashMap, HashSet};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;

use super::LINK_KEY;

pub(super) const EXPIRES_AT: &str = "expires_at";

const TYPE: &str = "type";
const ENCODING: &str = "encoding";
const BASE64: &str = "base64";
/// What no member of a document and no field of a hash is called.
const OURS: [&str; 4] = [LINK_KEY, TYPE, EXPIRES_AT, ENCODING];

/// A JSON object that grows member by member.
pub(super) struct Line {
    text: String,
    /// Members that are called like those of every record, but for `_` behind them, and what they are called here.
    renamed: HashMap<String, String>,
    taken: HashSet<String>,
    has_bytes: bool,
    pub(super) has_renamed: bool,
}

impl Line {
    pub(super) fn new(key: &str, kind: &str) -> Self {
        Self {
            text: format!("{{\"{LINK_KEY}\":{},\"{TYPE}\":\"{kind}\"", Value::from(key)),
            renamed: HashMap::new(),
            taken: HashSet::new(),
            has_bytes: false,
            has_renamed: false,
        }
    }

    /// Adds a member that is ours.
    pub(super) fn push(&mut self, name: &str, json: &str) {
        self.text.push(',');
        self.text.push_str(&Value::from(name).to_string());
        self.text.push(':');
        self.text.push_str(json);
    }

    /// Adds a member of a document or a field of a hash. One that is called like a member of every record gets a `_`
    /// behind its name. Answers what it is called.
    pub(super) fn push_member<'n>(&mut self, name: &'n str, json: &str) -> Cow<'n, str> {
        let mut name = Cow::Borrowed(name);
        if OURS.contains(&name.trim_end_matches('_')) {
            name = Cow::Owned(self.rename(&name));
        }
        self.push(&name, json);
        name
    }

    /// The same for a name that comes again: a document may have a member many times.
    fn rename(&mut self, name: &str) -> String {
        if let Some(known) = self.renamed.get(name) {
            return known.clone();
        }
        let mut free = name.to_owned();
        while OURS.contains(&free.as_str()) || self.taken.contains(&free) {
            self.has_renamed = true;
            free.push('_');
        }
        self.taken.insert(free.clone());
        self.renamed.insert(name.to_owned(), free.clone());
        free
    }

    /// Bytes as text; those that are no UTF-8 in base64, which the record says then.
    pub(super) fn decode<'b>(&mut self, bytes: &'b [u8]) -> Cow<'b, str> {
        match str::from_utf8(bytes) {
            Ok(text) => Cow::Borrowed(text),
            Err(_) => {
                self.has_bytes = true;
                Cow::Owned(STANDARD.encode(bytes))
            }
        }
    }

    pub(super) fn list(&mut self, elements: &[Vec<u8>]) -> String {
        let list: Vec<Value> = elements.iter().map(|element| self.decode(element).into()).collect();
        Value::Array(list).to_string()
    }

    pub(super) fn finish(mut self) -> String {
        if self.has_bytes {
            self.push(ENCODING, &format!("\"{BASE64}\""));
        }
        self.text.push('}');
        self.text
    }
}
