//! Columns that are there as other types: each value is read again from the text by which it is given out.

use arrow::array::ArrayRef;
use assay_core::rules::members;
use assay_core::{Attribute, Code, Detail, Error, Kind, Result, Rules, TypeHint};

use super::chunk::Chunk;
use super::keys::of_column;
use super::strict::{Strict, batch, texts};
use super::{ColumnFault, json};

/// Misfits that are told.
const TOLD: usize = 50;
/// So many characters of a value are shown.
const SHOWN: usize = 60;

/// New types for attributes, and what did not fit them so far.
pub struct Retyping {
    types: Vec<(String, TypeHint)>,
    /// The key attribute.
    key: Option<String>,
    rules: Option<Strict>,
    misfits: Vec<Detail>,
    count: u64,
}

impl Retyping {
    /// # Errors
    /// `InvalidParameter` for rules that are none.
    pub fn new(types: &[(String, TypeHint)], key: Option<&str>, rules: Option<&Rules>) -> Result<Self> {
        // Records that are there may be older than declared types; a JSON Schema is asked about what they become.
        let rules = rules.filter(|rules| matches!(rules, Rules::Schema(_)));
        Ok(Self {
            types: types.to_vec(),
            key: key.map(ToOwned::to_owned),
            rules: rules.map(|rules| Strict::new(rules, &[])).transpose()?,
            misfits: Vec::new(),
            count: 0,
        })
    }

    /// The records of `chunk`, which begins after `before` others, with the new types. What does not fit is noted, and
    /// stays out of the columns.
    ///
    /// # Errors
    /// `Internal`.
    pub fn apply(&mut self, mut chunk: Chunk, before: u64) -> Result<Chunk> {
        let keys = self.keys(&chunk)?;
        let mut arrays: Vec<ArrayRef> = chunk.batch.columns().to_vec();
        let mut changed = Vec::new();
        for (at, attribute) in chunk.schema.attributes.iter_mut().enumerate() {
            let hint = self.types.iter().find(|(name, _)| *name == attribute.name);
            let Some((name, hint)) = hint.cloned() else { continue };
            let before_texts = texts(&arrays[at], attribute)?;
            let fitting = self.fitting(&name, &hint, before_texts, before, &keys);
            let (array, seen) = json::of_texts(&name, &hint, &fitting, |row| before + u64::from(row) + 1)?;
            let null = attribute.seen.null;
            *attribute = Attribute {
                kind: hint.kind(),
                seen: assay_core::Seen { null, ..seen },
                name,
            };
            arrays[at] = array;
            chunk.schema.spans.remove(&attribute.name);
            changed.push((attribute.clone(), at));
        }
        chunk.batch = batch(&chunk.schema, arrays, chunk.batch.num_rows())?;
        rewrite_documents(&mut chunk, &changed)?;
        if let Some(rules) = &self.rules {
            for (row, looked) in rules.faults(&chunk)?.into_iter().enumerate() {
                if let Some(fault) = looked.fault {
                    let place = place(before, row, &keys);
                    self.note(
                        format!("{place}: {}", fault.message),
                        String::new(),
                        before + row as u64 + 1,
                    );
                }
            }
        }
        Ok(chunk)
    }

    /// What did not fit, when something did not.
    ///
    /// # Errors
    /// `TypeMismatch` with the keys or numbers of the first records.
    pub fn finish(self) -> Result<()> {
        let Some(first) = self.misfits.first() else {
            return Ok(());
        };
        let message = match self.count {
            1 => first.message.clone(),
            count => format!("{count} values do not fit; the first: {}", first.message),
        };
        let mut error = Error::new(Code::TypeMismatch, message)
            .hint("nothing was changed: mend these records, or choose a wider type such as `text` or `json`");
        error.errors = self.misfits;
        Err(error)
    }

    /// The keys of the records, for messages.
    fn keys(&self, chunk: &Chunk) -> Result<Option<arrow::array::StringArray>> {
        let attribute = self.key.as_ref().and_then(|key| chunk.schema.find(key));
        let Some(attribute) = attribute else { return Ok(None) };
        let Some(values) = chunk.batch.column_by_name(&attribute.name) else {
            return Ok(None);
        };
        match of_column(&attribute.name, values, &attribute.kind) {
            Ok(keys) => Ok(Some(keys)),
            Err(ColumnFault::Kind(_) | ColumnFault::Value { .. }) => Ok(None),
        }
    }

    /// The texts that can be read as `hint`; the others are noted. A key stays the text that it is.
    fn fitting(
        &mut self,
        name: &str,
        hint: &TypeHint,
        mut values: Vec<Option<String>>,
        before: u64,
        keys: &Option<arrow::array::StringArray>,
    ) -> Vec<Option<String>> {
        let is_key = self.key.as_deref() == Some(name);
        if !is_key && json::of_texts(name, hint, &values, |_| 1).is_ok() {
            return values;
        }
        for (row, value) in values.iter_mut().enumerate() {
            let Some(text) = value else { continue };
            let fits = json::of_texts(name, hint, &[Some(text.clone())], |_| 1).is_ok();
            let plain = text.trim_matches('"');
            let is_same = !is_key
                || *hint != TypeHint::Int64
                || plain.parse::<i64>().is_ok_and(|number| number.to_string() == plain);
            if fits && is_same {
                continue;
            }
            let shown: String = text.chars().take(SHOWN).collect();
            let message = format!(
                "{}: `{name}` holds `{shown}`, which is no {hint}",
                place(before, row, keys)
            );
            *value = None;
            let pointer = format!("/{}", name.replace('~', "~0").replace('/', "~1"));
            self.note(message, pointer, before + row as u64 + 1);
        }
        values
    }

    fn note(&mut self, message: String, pointer: String, number: u64) {
        self.count += 1;
        if self.misfits.len() < TOLD {
            self.misfits.push(Detail {
                message,
                pointer: Some(pointer),
                line: Some(number),
                column: None,
            });
        }
    }
}

/// What a record is called: by its key where it has one.
fn place(before: u64, row: usize, keys: &Option<arrow::array::StringArray>) -> String {
    use arrow::array::Array as _;
    match keys {
        Some(keys) if !keys.is_null(row) => format!("record `{}`", keys.value(row)),
        _ => format!("record number {}", before + row as u64 + 1),
    }
}

/// The texts of records that columns do not give back tell the new values, too.
fn rewrite_documents(chunk: &mut Chunk, changed: &[(Attribute, usize)]) -> Result<()> {
    let Some(documents) = chunk.documents.take() else {
        return Ok(());
    };
    let mut columns = Vec::new();
    for (attribute, at) in changed.iter().filter(|(attribute, _)| attribute.kind != Kind::Json) {
        columns.push((attribute.name.as_str(), texts(chunk.batch.column(*at), attribute)?));
    }
    let rewritten = documents.iter().enumerate().map(|(row, text)| {
        let Some(text) = text else { return Ok(None) };
        let told = members(text)?.into_iter().map(|(name, value)| {
            let new = columns.iter().find(|(known, _)| *known == name);
            let new = new.and_then(|(_, texts)| texts.get(row)?.as_deref());
            let name = serde_json::Value::from(name.as_ref());
            match new {
                Some(new) if value.get() != "null" => format!("{name}:{new}"),
                _ => format!("{name}:{}", value.get()),
            }
        });
        Ok(Some(format!("{{{}}}", told.collect::<Vec<_>>().join(","))))
    });
    chunk.documents = Some(rewritten.collect::<Result<_>>()?);
    Ok(())
}
