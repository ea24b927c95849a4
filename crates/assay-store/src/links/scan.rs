//! Going through the keys of a database, a step at a time and no faster than is allowed.
//!
//! Every step asks for some names, then for the types and sizes of those that match, then for the values. A value is read
//! by one command, so it is one that the key had at a moment. What is gone or another type by then is looked at again.

use std::collections::{HashSet, VecDeque};
use std::time::Duration;

use assay_core::{Code, Error, FoundKey, KeyBatch, KeyScan, KeySource, KeyValue, Result, Timestamp};
use async_trait::async_trait;
use redis::{Pipeline, Value};
use tokio::time::{Interval, MissedTickBehavior, interval};

use super::connection::Connection;
use super::stores::Stores;
use super::values::{self, Look, Unread};

/// Keys that are looked at in a step, at most.
const MOST: u32 = 1_000;
/// Steps in a second when few keys are looked at.
const STEPS: u32 = 10;
/// Memory of the values of a batch.
const BATCH_BYTES: u64 = 16 << 20;
/// Memory of the largest value that is read, which is also about the size of the largest record.
const MAX_VALUE_BYTES: u64 = 64 << 20;
/// What a value counts for whose size the server does not tell.
const UNKNOWN_BYTES: u64 = 1 << 20;
/// Names that a scan remembers so that each key comes once.
const MAX_KEYS: usize = 5_000_000;
/// Looks at a key that changes its type all the time.
const TRIES: u32 = 3;

pub(super) struct Scan {
    connection: Connection,
    stores: Stores,
    pattern: String,
    step: u32,
    pace: Interval,
    /// Absent at the end.
    cursor: Option<u64>,
    /// Keys that match and were not read yet.
    waiting: VecDeque<Named>,
    seen: HashSet<[u8; 16]>,
    scanned: u64,
    total: u64,
}

/// A key whose type and size are known.
struct Named {
    name: Vec<u8>,
    look: Look,
    tries: u32,
}

impl Scan {
    pub(super) async fn begin(mut connection: Connection, source: &KeySource) -> Result<Self> {
        let rate = source.keys_per_second();
        let step = (rate / STEPS).clamp(1, MOST);
        let mut pace = interval(Duration::from_secs_f64(f64::from(step) / f64::from(rate)));
        pace.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut count = Pipeline::new();
        count.cmd("DBSIZE");
        let (total,): (u64,) = connection.ask(&count).await?;
        Ok(Self {
            connection,
            stores: Stores::default(),
            pattern: source.pattern.clone(),
            step,
            pace,
            cursor: Some(0),
            waiting: VecDeque::new(),
            seen: HashSet::new(),
            scanned: 0,
            total,
        })
    }

    /// Asks for further names. A server may name a key several times; it is taken once.
    async fn go_on(&mut self, cursor: u64) -> Result<()> {
        self.pace.tick().await;
        let mut scan = Pipeline::new();
        scan.cmd("SCAN").arg(cursor).arg("MATCH").arg(&self.pattern);
        scan.arg("COUNT").arg(self.step);
        let ((next, names),): ((u64, Vec<Vec<u8>>),) = self.connection.ask(&scan).await?;
        self.cursor = Some(next).filter(|next| *next != 0);
        self.scanned = match self.cursor {
            Some(_) => (self.scanned + u64::from(self.step)).min(self.total),
            None => self.total,
        };
        let new: Vec<_> = names.into_iter().filter(|name| self.seen.insert(hash(name))).collect();
        if self.seen.len() > MAX_KEYS {
            let message = format!("more than {MAX_KEYS} keys match `{}`", self.pattern);
            return Err(Error::new(Code::TooLarge, message).hint("link parts of them as data sets of their own"));
        }
        self.stores.learn(&mut self.connection, &new).await?;
        let others = new.into_iter().filter(|name| !self.stores.have(name));
        let others = others.map(|name| (name, 0)).collect();
        self.look(others).await
    }

    /// Finds the types and sizes of keys; those that are gone are forgotten.
    async fn look(&mut self, names: Vec<(Vec<u8>, u32)>) -> Result<()> {
        if names.is_empty() {
            return Ok(());
        }
        let mut looks = Pipeline::new();
        looks.ignore_errors();
        for (name, _) in &names {
            values::look(&mut looks, name);
        }
        let answers: Vec<Value> = self.connection.ask(&looks).await?;
        let mut answers = answers.into_iter();
        for (name, tries) in names {
            let look = Look::read(&mut answers).map_err(|cause| self.unread(cause))?;
            if let Some(look) = look {
                self.waiting.push_back(Named { name, look, tries });
            }
        }
        Ok(())
    }

    /// Reads the values of some of those that wait.
    async fn read(&mut self) -> Result<Vec<FoundKey>> {
        let (mut batch, mut bytes) = (Vec::new(), 0);
        let mut found = Vec::new();
        while let Some(named) = self.waiting.front() {
            let size = named.look.bytes.unwrap_or(UNKNOWN_BYTES);
            if !batch.is_empty() && bytes + size > BATCH_BYTES {
                break;
            }
            let Some(named) = self.waiting.pop_front() else { break };
            if let Some(reason) = left_out(&named) {
                found.push(key(named, KeyValue::LeftOut(reason)));
                continue;
            }
            bytes += size;
            batch.push(named);
        }
        if batch.is_empty() {
            return Ok(found);
        }
        let mut reads = Pipeline::new();
        reads.ignore_errors();
        for named in &batch {
            values::read(&mut reads, &named.name, &named.look.kind);
        }
        let answers: Vec<Value> = self.connection.ask(&reads).await?;
        let mut again = Vec::new();
        for (named, answer) in batch.into_iter().zip(answers) {
            match values::value(&named.look.kind, answer) {
                Ok(Some(value)) => {
                    let value = bounded(value);
                    found.push(key(named, value));
                }
                // Gone by now, or of another type.
                Ok(None) => again.push((named.name, named.tries + 1)),
                Err(cause) => return Err(self.unread(cause)),
            }
        }
        self.look(again).await?;
        Ok(found)
    }

    fn unread(&self, cause: Unread) -> Error {
        match cause {
            Unread::Refused(error) => self.connection.refused(error),
            Unread::Astray(cause) => self.connection.astray(&cause),
        }
    }
}

#[async_trait]
impl KeyScan for Scan {
    async fn next(&mut self) -> Result<Option<KeyBatch>> {
        if self.waiting.is_empty() {
            let Some(cursor) = self.cursor else { return Ok(None) };
            self.go_on(cursor).await?;
        }
        let keys = self.read().await?;
        Ok(Some(KeyBatch {
            keys,
            scanned: self.scanned,
            total: self.total,
        }))
    }
}

fn key(named: Named, value: KeyValue) -> FoundKey {
    FoundKey {
        name: named.name,
        expires_at: named.look.expires_at.map(Timestamp),
        value,
    }
}

fn left_out(named: &Named) -> Option<String> {
    let Look { kind, bytes, .. } = &named.look;
    if !values::is_read(kind) {
        return Some(format!("it is a {kind}, which is not read"));
    }
    if let Some(bytes) = bytes
        && *bytes > MAX_VALUE_BYTES
    {
        return Some(too_large(*bytes));
    }
    (named.tries >= TRIES).then(|| "it changed its type while it was read".to_owned())
}

/// What is larger than was estimated goes no further.
fn bounded(value: KeyValue) -> KeyValue {
    match values::size(&value) {
        bytes if bytes > MAX_VALUE_BYTES => KeyValue::LeftOut(too_large(bytes)),
        _ => value,
    }
}

fn too_large(bytes: u64) -> String {
    format!("it takes {bytes} bytes, and values of up to {MAX_VALUE_BYTES} are read")
}

fn hash(name: &[u8]) -> [u8; 16] {
    use sha2::{Digest as _, Sha256};
    let mut half = [0; 16];
    half.copy_from_slice(&Sha256::digest(name)[..16]);
    half
}
