//! What every store refuses in the same words.

use assay_core::{Code, Commit, DatasetName, Error, names};

/// `known` are the names of the data sets that there are.
pub(crate) fn unknown_dataset(name: &DatasetName, known: &[String]) -> Error {
    let error = Error::new(Code::UnknownDataset, format!("data set `{name}` does not exist"));
    error.hint(names::suggest(name.as_str(), known.iter().map(String::as_str)))
}

pub(crate) fn taken_name(name: &DatasetName) -> Error {
    let message = format!("there is a data set `{name}` already");
    Error::new(Code::Conflict, message).hint("choose another name, or remove it first")
}

/// A data set loaded before there were indexes, which compaction will give them.
pub(crate) fn not_indexed(name: &DatasetName) -> Error {
    let message = format!("the keys of data set `{name}` are being indexed");
    Error::new(Code::Overloaded, message).hint("try again in a moment")
}

pub(crate) fn no_key(name: &DatasetName) -> Error {
    Error::new(Code::InvalidRequest, format!("the records of `{name}` have no key"))
        .hint("load the data set with `key=ATTRIBUTE`, or filter its records")
}

/// When the parts changed again and again.
pub(crate) fn restless(name: &DatasetName) -> Error {
    let message = format!("data set `{name}` goes on being loaded and compacted");
    Error::new(Code::Overloaded, message).hint("try again in a moment")
}

/// The fault of records that were checked with other rules than those that hold now.
pub(crate) fn ruled_otherwise(name: &DatasetName) -> Error {
    let message = format!("the rules of data set `{name}` were changed meanwhile");
    Error::new(Code::Conflict, message).hint("send it again")
}

/// What a rewrite was made of is not there any more.
pub(crate) fn changed_meanwhile(name: &DatasetName) -> Error {
    let message = format!("data set `{name}` was loaded, restored or compacted meanwhile");
    Error::new(Code::Conflict, message).hint("submit it again")
}

pub(crate) fn there_already(commit: &Commit, count: u64, example: Option<&str>) -> Error {
    let example = example.map_or_else(String::new, |key| format!("; one of them is `{key}`"));
    let message = format!(
        "keys of the file are in data set `{}` already: {count}{example}",
        commit.name
    );
    Error::new(Code::DuplicateKey, message).hint("load with `mode=upsert` to let the new records take their place")
}
