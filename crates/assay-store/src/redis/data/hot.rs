//! Hot records: those that no part holds. The newest lie under their keys, former ones beside them by version.

use std::collections::{BTreeSet, HashMap};

use assay_core::{HotRecord, Version};
use serde::{Deserialize, Serialize};

use super::versions::score;
use crate::redis::Inner;
use crate::redis::failure::{Fallible, Fault};
use crate::redis::keys::DataKeys;
use crate::redis::step::{BATCH, Step};

/// What is known of a hot record beside its text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Meta {
    pub id: u64,
    /// The first version from here on that has it.
    pub added: Version,
    /// The version that wrote it first.
    pub written: Version,
    pub bytes: u64,
}

impl Meta {
    pub(super) fn parse(text: &str) -> Fallible<Self> {
        let mut numbers = text.split(' ').map(str::parse::<u64>);
        let mut next = || numbers.next().and_then(Result::ok);
        let meta = (|| {
            Some(Self {
                id: next()?,
                added: Version(next()?),
                written: Version(next()?),
                bytes: next()?,
            })
        })();
        meta.ok_or_else(|| Fault::Stored(format!("`{text}` tells nothing of a hot record")))
    }

    fn text(&self) -> String {
        let Self {
            id,
            added,
            written,
            bytes,
        } = self;
        format!("{id} {added} {written} {bytes}")
    }

    /// A record as it is stored once it has left, as the server writes it too.
    pub(super) fn former_text(&self, json: &str) -> String {
        let Self {
            id,
            added,
            written,
            bytes: _,
        } = self;
        format!("{id} {added} {written} {json}")
    }
}

/// A hot record of some version.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Hot {
    pub meta: Meta,
    pub json: String,
}

impl Hot {
    pub(super) fn record(self, field: String, has_keys: bool) -> HotRecord {
        HotRecord {
            id: self.meta.id,
            key: has_keys.then_some(field),
            written: self.meta.written,
            json: self.json,
        }
    }

    /// Reads what the server made of a record that left.
    fn parse_former(text: &str) -> Fallible<Self> {
        let mut parts = text.splitn(4, ' ');
        let mut next = || parts.next();
        let hot = (|| {
            let (id, added, written, json) = (next()?, next()?, next()?, next()?);
            Some(Self {
                meta: Meta {
                    id: id.parse().ok()?,
                    added: Version(added.parse().ok()?),
                    written: Version(written.parse().ok()?),
                    bytes: json.len() as u64,
                },
                json: json.to_owned(),
            })
        })();
        hot.ok_or_else(|| Fault::Stored("a former record".to_owned()))
    }
}

/// The keys of records that a version changed.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Touched {
    pub version: Version,
    /// In the order of the numbers of the records.
    pub put: Vec<String>,
    pub deleted: Vec<String>,
    /// Of hot records that it does not have any more, as far as they lie one by one.
    pub retired: Vec<String>,
}

impl Touched {
    /// Nothing yet.
    pub(super) fn by(version: Version) -> Self {
        Self {
            version,
            put: Vec::new(),
            deleted: Vec::new(),
            retired: Vec::new(),
        }
    }

    pub(super) fn write(&self, step: &mut Step, keys: &DataKeys) -> Fallible<()> {
        step.zadd(&keys.touched(), score(self.version), serde_json::to_string(self)?);
        Ok(())
    }
}

/// A version as a part of a name.
fn padded(version: Version) -> String {
    format!("{:016}", version.0)
}

/// The field of a record that was hot until `removed`.
pub(super) fn former_field(key: &str, removed: Version) -> String {
    format!("{}:{key}", padded(removed))
}

/// The member of the index of former records.
pub(super) fn former_member(key: &str, removed: Version) -> String {
    format!("{}:{key}:{}", key.len(), padded(removed))
}

/// Puts records under their keys.
pub(super) fn put(step: &mut Step, keys: &DataKeys, records: &[(String, Meta, String)]) {
    put_under(step, &keys.hot(), &keys.hot_meta(), records);
}

/// As [`put`], into two hashes: of texts, and of what is known of them.
pub(super) fn put_under(step: &mut Step, hot: &str, meta: &str, records: &[(String, Meta, String)]) {
    for records in records.chunks(BATCH) {
        let texts = records
            .iter()
            .map(|(key, _, json)| (key.as_str(), json.clone().into_bytes()));
        step.hset_all(hot, &texts.collect::<Vec<_>>());
        let metas = records
            .iter()
            .map(|(key, meta, _)| (key.as_str(), meta.text().into_bytes()));
        step.hset_all(meta, &metas.collect::<Vec<_>>());
    }
}

/// Takes hot records out of `version` and those after it, one by one.
pub(super) fn retire(step: &mut Step, keys: &DataKeys, version: Version, leaving: &[String]) {
    for leaving in leaving.chunks(BATCH) {
        let names = [
            keys.hot(),
            keys.hot_meta(),
            keys.former(),
            keys.former_keys(),
            padded(version),
        ];
        let args = names.iter().chain(leaving).map(|text| text.clone().into_bytes());
        step.own("retire", args.collect());
    }
}

/// Takes all hot records but `staying` out of `version` and those after it, at once. `since` is the version before
/// which none of them was added.
pub(super) fn retire_all(step: &mut Step, keys: &DataKeys, version: Version, since: Version, staying: &[String]) {
    let names = [
        keys.hot(),
        keys.hot_meta(),
        keys.retired_hot(version),
        keys.retired_meta(version),
    ];
    let args = |more: &[String]| names.iter().chain(more).map(|text| text.clone().into_bytes()).collect();
    step.own("retire all", args(&[]));
    for staying in staying.chunks(BATCH) {
        step.own("reinstate", args(staying));
    }
    note_bundle(step, keys, version, since);
}

/// Notes that records left a version together, none of which was added before `since`.
pub(super) fn note_bundle(step: &mut Step, keys: &DataKeys, version: Version, since: Version) {
    step.zadd(&keys.retired(), score(version), format!("{since}:{version}"));
}

/// The version before which none of the records was added that are noted to have left together.
pub(super) fn bundle_since(found: &[String]) -> Fallible<Option<Version>> {
    let Some(member) = found.first() else { return Ok(None) };
    let since = member.split_once(':').and_then(|(since, _)| since.parse().ok());
    let since = since.ok_or_else(|| Fault::Stored(format!("`{member}` are no former records")))?;
    Ok(Some(Version(since)))
}

/// The versions which records left together of which `version` may have some. `found` are members of the set of those
/// after it.
pub(super) fn bundles(found: &[String], version: Version) -> Fallible<Vec<Version>> {
    let mut bundles = Vec::new();
    for member in found {
        let parsed = member
            .split_once(':')
            .map(|(since, left)| (since.parse(), left.parse()));
        let Some((Ok(since), Ok(left))) = parsed else {
            return Err(Fault::Stored(format!("`{member}` are no former records")));
        };
        if Version(since) <= version {
            bundles.push(Version(left));
        }
    }
    Ok(bundles)
}

/// Unites texts and what is known of them; fields that were added after `version` are left out.
pub(super) fn unite(
    mut texts: HashMap<String, String>,
    metas: &HashMap<String, String>,
    version: Version,
) -> Fallible<Vec<(String, Hot)>> {
    let mut records = Vec::with_capacity(metas.len());
    for (field, meta) in metas {
        let meta = Meta::parse(meta)?;
        if meta.added <= version {
            // Both are read at once.
            let text = texts.remove_entry(field);
            let (field, json) = text.ok_or_else(|| Fault::Stored("a hot record has no text".to_owned()))?;
            records.push((field, Hot { meta, json }));
        }
    }
    Ok(records)
}

/// Records of `version` that left later: those of `touched` versions after it one by one, those of `bundles` together.
pub(super) async fn read_former(
    store: &Inner,
    keys: &DataKeys,
    version: Version,
    touched: &[String],
    bundled: &[Version],
) -> Fallible<Vec<(String, Hot)>> {
    let mut records = Vec::new();
    let mut fields = BTreeSet::new();
    for text in touched {
        let touched: Touched = serde_json::from_str(text)?;
        fields.extend(touched.retired.into_iter().map(|key| (touched.version, key)));
    }
    let fields: Vec<(Version, String)> = fields.into_iter().collect();
    let former = read_fields(store, keys, &fields).await?.into_iter();
    let former = former.filter(|(_, _, hot)| hot.meta.added <= version);
    records.extend(former.map(|(_, key, hot)| (key, hot)));
    for left in bundled {
        records.extend(read_bundle(store, keys, *left, version).await?);
    }
    Ok(records)
}

/// Records that left versions one by one, given both versions and keys.
pub(super) async fn read_fields(
    store: &Inner,
    keys: &DataKeys,
    fields: &[(Version, String)],
) -> Fallible<Vec<(Version, String, Hot)>> {
    let mut records = Vec::with_capacity(fields.len());
    for fields in fields.chunks(BATCH) {
        let mut command = redis::cmd("HMGET");
        command.arg(keys.former());
        for (left, key) in fields {
            command.arg(former_field(key, *left));
        }
        let found: Vec<Option<String>> = store.connection.query(&command).await?;
        for ((left, key), text) in fields.iter().zip(found) {
            // It has expired meanwhile.
            let hot = Hot::parse_former(&text.ok_or(Fault::Overtaken)?)?;
            records.push((*left, key.clone(), hot));
        }
    }
    Ok(records)
}

/// The records of `version` among those that left another one together.
pub(super) async fn read_bundle(
    store: &Inner,
    keys: &DataKeys,
    left: Version,
    version: Version,
) -> Fallible<Vec<(String, Hot)>> {
    let mut pipeline = redis::pipe();
    pipeline.atomic().cmd("HGETALL").arg(keys.retired_hot(left));
    pipeline.cmd("HGETALL").arg(keys.retired_meta(left));
    let (texts, metas): (HashMap<_, _>, HashMap<_, _>) = store.connection.pipe(&pipeline).await?;
    if metas.is_empty() {
        return Err(Fault::Overtaken);
    }
    unite(texts, &metas, version)
}

/// Texts, what is known of them, and whether the hash was there.
type Columns = (Vec<Option<String>>, Vec<Option<String>>, bool);

/// What was read of some keys in one go, for a reader of `version`.
pub(super) struct Looked {
    pub texts: Vec<Option<String>>,
    pub metas: Vec<Option<String>>,
    /// For each key the first member of the index of former records after `version`, if any.
    pub former: Vec<Vec<String>>,
    /// Members of the set of versions that records left together.
    pub bundles: Vec<String>,
}

/// The hot records under some keys in `version`.
pub(super) async fn of_keys(
    store: &Inner,
    keys: &DataKeys,
    names: &[String],
    version: Version,
    looked: &Looked,
) -> Fallible<Vec<Option<Hot>>> {
    let mut records = Vec::with_capacity(names.len());
    for (meta, text) in looked.metas.iter().zip(&looked.texts) {
        let meta = meta.as_deref().map(Meta::parse).transpose()?;
        let hot = meta.zip(text.clone()).map(|(meta, json)| Hot { meta, json });
        records.push(hot.filter(|hot| hot.meta.added <= version));
    }
    let missing = |records: &[Option<Hot>]| {
        (0..records.len())
            .filter(|at| records[*at].is_none())
            .collect::<Vec<_>>()
    };
    for at in missing(&records) {
        let member = looked.former.get(at).and_then(|found| found.first());
        if let Some((_, left)) = member.and_then(|member| member.rsplit_once(':')) {
            let left = Version(left.parse().map_err(|_| Fault::Stored("a former record".to_owned()))?);
            let mut command = redis::cmd("HGET");
            command.arg(keys.former()).arg(former_field(&names[at], left));
            let text: Option<String> = store.connection.query(&command).await?;
            let hot = Hot::parse_former(&text.ok_or(Fault::Overtaken)?)?;
            records[at] = Some(hot).filter(|hot| hot.meta.added <= version);
        }
    }
    for left in bundles(&looked.bundles, version)? {
        let missing = missing(&records);
        if missing.is_empty() {
            break;
        }
        let fields: Vec<&String> = missing.iter().map(|at| &names[*at]).collect();
        let mut pipeline = redis::pipe();
        pipeline.atomic().cmd("HMGET").arg(keys.retired_hot(left)).arg(&fields);
        pipeline.cmd("HMGET").arg(keys.retired_meta(left)).arg(&fields);
        pipeline.cmd("EXISTS").arg(keys.retired_hot(left));
        let (texts, metas, is_there): Columns = store.connection.pipe(&pipeline).await?;
        if !is_there {
            return Err(Fault::Overtaken);
        }
        for ((at, text), meta) in missing.into_iter().zip(texts).zip(metas) {
            let meta = meta.as_deref().map(Meta::parse).transpose()?;
            let hot = meta.zip(text).map(|(meta, json)| Hot { meta, json });
            records[at] = hot.filter(|hot| hot.meta.added <= version);
        }
    }
    Ok(records)
}
