//! Stores of Assay in a linked database: what belongs to them is neither read nor written, since others' jobs and secrets
//! lie there.

use std::collections::HashMap;

use assay_core::{Code, Error, Result};
use redis::Pipeline;

use super::connection::Connection;

/// Tags that are remembered.
const MOST_TAGS: usize = 1_000;
/// Of these a store has one at least, or a place of objects.
const MARKS: [&[u8]; 3] = [b"placed", b"id", b"objects:names"];

/// What is known of the tags that names in the database begin with.
#[derive(Debug, Default)]
pub(super) struct Stores(HashMap<Vec<u8>, bool>);

impl Stores {
    /// Whether the name is one of a store of Assay.
    ///
    /// # Errors
    /// `LinkFailed`.
    pub(super) async fn have(&mut self, connection: &mut Connection, name: &[u8]) -> Result<bool> {
        let Some(prefix) = prefix(name) else {
            return Ok(false);
        };
        if let Some(known) = self.0.get(prefix) {
            return Ok(*known);
        }
        let mut question = Pipeline::new();
        question.cmd("EXISTS").arg(&MARKS.map(|mark| [prefix, mark].concat()));
        let (marks,): (u64,) = connection.ask(&question).await?;
        if self.0.len() < MOST_TAGS {
            self.0.insert(prefix.to_vec(), marks > 0);
        }
        Ok(marks > 0)
    }
}

/// The tag in braces and the colon that names of a store begin with.
fn prefix(name: &[u8]) -> Option<&[u8]> {
    let end = name.strip_prefix(b"{")?.windows(2).position(|pair| pair == b"}:")?;
    name.get(..end + 3)
}

pub(super) fn refused(name: &str) -> Error {
    let message = format!("`{name}` is the name of a key of a store of Assay");
    Error::new(Code::LinkRefused, message).hint("give the records another object type with `prefix`")
}
