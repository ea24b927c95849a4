//! Stores of Assay in a linked database: what belongs to them is neither read nor written, since others' jobs and secrets
//! lie there.

use std::collections::{HashMap, HashSet};

use assay_core::{Code, Error, Result};
use redis::Pipeline;

use super::connection::Connection;

/// Tags that are remembered.
const MOST_TAGS: usize = 1_000;
/// The longest tag of a store, with braces and colon.
const MAX_PREFIX_BYTES: usize = 64 + 3;
/// Of these a store has one at least, or a place of objects.
const MARKS: [&[u8]; 3] = [b"placed", b"id", b"objects:names"];

/// What is known of the tags that names in the database begin with.
#[derive(Debug, Default)]
pub(super) struct Stores(HashMap<Vec<u8>, bool>);

impl Stores {
    /// Finds out which of the names are of a store of Assay.
    ///
    /// # Errors
    /// `LinkFailed`.
    pub(super) async fn learn(&mut self, connection: &mut Connection, names: &[impl AsRef<[u8]>]) -> Result<()> {
        if self.0.len() > MOST_TAGS {
            self.0.clear();
        }
        let prefixes: HashSet<&[u8]> = names.iter().filter_map(|name| prefix(name.as_ref())).collect();
        if prefixes.iter().all(|prefix| self.0.contains_key(*prefix)) {
            return Ok(());
        }
        let mut question = Pipeline::new();
        for prefix in &prefixes {
            question.cmd("EXISTS").arg(&MARKS.map(|mark| [*prefix, mark].concat()));
        }
        let marks: Vec<u64> = connection.ask(&question).await?;
        let known = prefixes.into_iter().zip(marks);
        self.0.extend(known.map(|(prefix, marks)| (prefix.to_vec(), marks > 0)));
        Ok(())
    }

    /// Whether the name is one of a store of Assay, as was learned.
    pub(super) fn have(&self, name: &[u8]) -> bool {
        prefix(name)
            .and_then(|prefix| self.0.get(prefix))
            .is_some_and(|is_of| *is_of)
    }
}

/// The tag in braces and the colon that names of a store begin with.
fn prefix(name: &[u8]) -> Option<&[u8]> {
    let begin = name.get(..MAX_PREFIX_BYTES).unwrap_or(name);
    let end = begin.strip_prefix(b"{")?.windows(2).position(|pair| pair == b"}:")?;
    begin.get(..end + 3)
}

pub(super) fn refused(name: &str) -> Error {
    let message = format!("`{name}` is the name of a key of a store of Assay");
    Error::new(Code::LinkRefused, message).hint("give the records another object type with `prefix`")
}
