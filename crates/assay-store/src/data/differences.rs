//! What two versions of a data set do not have in common, by where it lies.

use std::collections::{HashMap, HashSet};

use assay_core::{Code, Difference, Error, LivePart, Result, RowSet, Side, Snapshot};

use super::no_key;

/// The two sides of a comparison.
///
/// # Errors
/// `InvalidRequest` when the records of one have no key; `Conflict` when the two have different ones.
pub(crate) fn difference(before: &Snapshot, after: &Snapshot) -> Result<Difference> {
    let (Some(key), Some(new)) = (&before.key, &after.key) else {
        return Err(no_key(&after.name));
    };
    let (from, to) = (before.version, after.version);
    if key != new {
        let name = &after.name;
        let message = format!("the key of `{name}` is `{key}` in version {from} and `{new}` in version {to}");
        return Err(Error::new(Code::Conflict, message).hint("compare them by SQL"));
    }
    Ok(Difference {
        dataset: after.name.clone(),
        key: key.clone(),
        from,
        to,
        before: only_in(before, after),
        after: only_in(after, before),
    })
}

fn only_in(this: &Snapshot, other: &Snapshot) -> Side {
    let theirs: HashMap<&str, &LivePart> = other.parts.iter().map(|part| (part.part.path.as_str(), part)).collect();
    let hot: HashSet<u64> = other.hot.iter().map(|record| record.id).collect();
    let parts = this.parts.iter().filter_map(|part| {
        let mut part = part.clone();
        if let Some(known) = theirs.get(part.part.path.as_str()) {
            let only: RowSet = known.deleted.without(&part.deleted);
            part.deleted = only.complement(u32::try_from(part.part.rows).unwrap_or(u32::MAX));
        }
        (part.live_rows() > 0).then_some(part)
    });
    Side {
        parts: parts.collect(),
        hot: this
            .hot
            .iter()
            .filter(|record| !hot.contains(&record.id))
            .cloned()
            .collect(),
    }
}
