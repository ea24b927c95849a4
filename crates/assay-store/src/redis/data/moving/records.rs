//! Records that no part holds: those of the newest version, and former ones by the version that they left.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use assay_core::Version;

use super::{next_name, oldest, raise};
use crate::moving::{Item, PAGE_BYTES, Page, RecordItem, cursor, place_of};
use crate::redis::Inner;
use crate::redis::data::hot::{self, Hot, Meta, Touched, former_field, former_member};
use crate::redis::data::versions::{self, score};
use crate::redis::failure::Fallible;
use crate::redis::keys::DataKeys;
use crate::redis::step::Step;

/// Later than every version: where records begin that no version removed.
const LIVE: u64 = u64::MAX;
/// Versions of which former records are read together, unless they are many.
const VERSIONS: usize = 100;
const MANY: usize = 5_000;

/// Records under their fields, by the version that they left.
type Leaving = BTreeMap<u64, Vec<(String, Hot)>>;

/// Records by data set and by the version that removed them; those that none removed come last. What a version left or
/// holds together comes in one page, as it does for every reader.
pub(in crate::redis) async fn records(store: &Inner, after: Option<&str>) -> Fallible<Page> {
    let (dataset, left) = match place_of::<(String, u64)>(after)? {
        Some(place) => place,
        None => match next_name(store, "").await? {
            Some(first) => (first, 0),
            None => return Ok(Page::default()),
        },
    };
    let keys = store.keys.of_dataset(&dataset);
    let oldest = oldest(store, &dataset).await?;
    if left == LIVE {
        let items = items_of(store, &keys, oldest, None, live(store, &keys).await?).await?;
        let next = next_name(store, &dataset).await?;
        let next = next.map(|next| cursor(&(next, 0_u64))).transpose()?;
        return Ok(Page { items, next });
    }
    let (leaving, until) = former(store, &keys, left.max(oldest.0)).await?;
    let mut items = Vec::new();
    for (version, records) in leaving {
        items.extend(items_of(store, &keys, oldest, Some(Version(version)), records).await?);
    }
    Ok(Page {
        items,
        next: Some(cursor(&(&dataset, until))?),
    })
}

async fn live(store: &Inner, keys: &DataKeys) -> Fallible<Vec<(String, Hot)>> {
    let mut pipeline = redis::pipe();
    pipeline.atomic().cmd("HGETALL").arg(keys.hot());
    pipeline.cmd("HGETALL").arg(keys.hot_meta());
    let (texts, metas): (HashMap<_, _>, HashMap<_, _>) = store.connection.pipe(&pipeline).await?;
    hot::unite(texts, &metas, Version(LIVE))
}

/// Records that left some versions after `left`, and the last of these versions.
async fn former(store: &Inner, keys: &DataKeys, left: u64) -> Fallible<(Leaving, u64)> {
    let mut command = redis::cmd("ZRANGE");
    command.arg(keys.touched()).arg(format!("({left}")).arg("+inf");
    command.arg("BYSCORE").arg("LIMIT").arg(0).arg(VERSIONS);
    let found: Vec<String> = store.connection.query(&command).await?;
    let mut until = if found.len() < VERSIONS { LIVE } else { left };
    let mut fields = Vec::new();
    for text in found {
        let touched: Touched = serde_json::from_str(&text)?;
        let version = touched.version;
        fields.extend(touched.retired.into_iter().map(|key| (version, key)));
        if until < LIVE || fields.len() > MANY {
            until = version.0;
        }
        if fields.len() > MANY {
            break;
        }
    }
    until = within_a_page(store, keys, &fields, until).await?;
    let mut bundle = redis::cmd("ZRANGE");
    bundle.arg(keys.retired()).arg(format!("({left}")).arg("+inf");
    bundle.arg("BYSCORE").arg("LIMIT").arg(0).arg(1).arg("WITHSCORES");
    let bundle: Vec<(String, u64)> = store.connection.query(&bundle).await?;
    let bundle = bundle
        .first()
        .map(|(_, version)| *version)
        .filter(|version| *version <= until);
    until = bundle.unwrap_or(until);
    fields.retain(|(version, _)| version.0 <= until);

    let mut leaving = Leaving::new();
    for (version, key, hot) in hot::read_fields(store, keys, &fields).await? {
        leaving.entry(version.0).or_default().push((key, hot));
    }
    if let Some(version) = bundle {
        let records = hot::read_bundle(store, keys, Version(version), Version(LIVE)).await?;
        leaving.entry(version).or_default().extend(records);
    }
    Ok((leaving, until))
}

/// The last version up to which former records, which come in the order of the versions that they left, do not take much
/// more than a page. A version comes whole, however much it takes.
async fn within_a_page(store: &Inner, keys: &DataKeys, fields: &[(Version, String)], until: u64) -> Fallible<u64> {
    if fields.is_empty() {
        return Ok(until);
    }
    let mut pipeline = redis::pipe();
    for (version, field) in fields {
        pipeline
            .cmd("HSTRLEN")
            .arg(keys.former())
            .arg(former_field(field, *version));
    }
    let lengths: Vec<usize> = store.connection.pipe(&pipeline).await?;
    let (mut bytes, mut last) = (0, None);
    for ((version, _), length) in fields.iter().zip(lengths) {
        match last {
            Some(last) if last < version.0 && bytes >= PAGE_BYTES => return Ok(last),
            _ => last = Some(version.0),
        }
        bytes += length;
    }
    Ok(until)
}

/// Records with a key by it, others by their number.
async fn items_of(
    store: &Inner,
    keys: &DataKeys,
    oldest: Version,
    removed: Option<Version>,
    records: Vec<(String, Hot)>,
) -> Fallible<Vec<Item>> {
    let keyed = keyed(store, keys, oldest, &records).await?;
    let mut items: Vec<RecordItem> = Vec::with_capacity(records.len());
    for (field, Hot { meta, json }) in records {
        let Meta {
            id,
            added,
            written,
            bytes: _,
        } = meta;
        items.push(RecordItem {
            dataset: keys.folded.clone(),
            removed,
            key: keyed.contains(&added.max(oldest)).then_some(field),
            number: id,
            added,
            written,
            json,
        });
    }
    items.sort_by(|a, b| {
        (a.key.as_deref().unwrap_or_default(), a.number).cmp(&(b.key.as_deref().unwrap_or_default(), b.number))
    });
    Ok(items.into_iter().map(Item::Record).collect())
}

/// Versions among those that have the records first, as far as they are kept, whose records have a key.
async fn keyed(
    store: &Inner,
    keys: &DataKeys,
    oldest: Version,
    records: &[(String, Hot)],
) -> Fallible<BTreeSet<Version>> {
    let asked: BTreeSet<Version> = records.iter().map(|(_, hot)| hot.meta.added.max(oldest)).collect();
    let mut keyed = BTreeSet::new();
    if asked.is_empty() {
        return Ok(keyed);
    }
    let mut pipeline = redis::pipe();
    for version in &asked {
        pipeline.cmd("ZRANGE").arg(keys.versions()).arg(version.0);
        pipeline.arg(version.0).arg("BYSCORE");
    }
    let found: Vec<Vec<String>> = store.connection.pipe(&pipeline).await?;
    for text in found.iter().flatten() {
        let version = versions::read(text)?;
        if version.key.is_some() {
            keyed.insert(version.version);
        }
    }
    Ok(keyed)
}

/// Stores records, which may leave any versions of any data sets.
pub(in crate::redis) async fn write_records(step: &mut Step, store: &Inner, items: &[&RecordItem]) -> Fallible<()> {
    let mut groups: BTreeMap<(&str, Option<Version>), Vec<&RecordItem>> = BTreeMap::new();
    for item in items {
        groups.entry((&item.dataset, item.removed)).or_default().push(item);
    }
    let numbers = items.iter().map(|item| (item.dataset.as_str(), item.number));
    raise(store, step, "last_record", numbers).await?;
    for ((dataset, removed), items) in groups {
        let keys = store.keys.of_dataset(dataset);
        match removed {
            None => hot::put(
                step,
                &keys,
                &items.iter().map(|item| fields_of(item)).collect::<Vec<_>>(),
            ),
            Some(version) => write_former(step, store, &keys, version, &items).await?,
        }
    }
    Ok(())
}

/// The field of a record, what is known of it, and its text.
fn fields_of(item: &RecordItem) -> (String, Meta, String) {
    let RecordItem {
        dataset: _,
        removed: _,
        key,
        number,
        added,
        written,
        json,
    } = item;
    let meta = Meta {
        id: *number,
        added: *added,
        written: *written,
        bytes: json.len() as u64,
    };
    (key.clone().unwrap_or_else(|| number.to_string()), meta, json.clone())
}

/// A version of single writes left its records one by one, any other left them together.
async fn write_former(
    step: &mut Step,
    store: &Inner,
    keys: &DataKeys,
    version: Version,
    items: &[&RecordItem],
) -> Fallible<()> {
    let mut pipeline = redis::pipe();
    for key in [keys.touched(), keys.retired()] {
        pipeline
            .cmd("ZRANGE")
            .arg(key)
            .arg(version.0)
            .arg(version.0)
            .arg("BYSCORE");
    }
    let (touched, bundle): (Vec<String>, Vec<String>) = store.connection.pipe(&pipeline).await?;
    let Some(text) = touched.first() else {
        let known = hot::bundle_since(&bundle)?;
        let since = items
            .iter()
            .map(|item| item.added)
            .chain(known)
            .min()
            .unwrap_or(version);
        for member in &bundle {
            step.zrem(&keys.retired(), member);
        }
        hot::note_bundle(step, keys, version, since);
        let (hot, meta) = (keys.retired_hot(version), keys.retired_meta(version));
        hot::put_under(
            step,
            &hot,
            &meta,
            &items.iter().map(|item| fields_of(item)).collect::<Vec<_>>(),
        );
        return Ok(());
    };
    let mut touched: Touched = serde_json::from_str(text)?;
    let mut retired: BTreeSet<String> = std::mem::take(&mut touched.retired).into_iter().collect();
    for item in items {
        let (field, meta, json) = fields_of(item);
        step.hset(&keys.former(), &former_field(&field, version), meta.former_text(&json));
        step.zadd(&keys.former_keys(), 0, former_member(&field, version));
        retired.insert(field);
    }
    touched.retired = retired.into_iter().collect();
    step.zrem_scores(
        &keys.touched(),
        &score(version).to_string(),
        &score(version).to_string(),
    );
    touched.write(step, keys)
}
