//! Attributes beyond those that have columns of their own: they are kept together, as one JSON object for each record.

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, RecordBatch, RecordBatchOptions, StringArray, StringBuilder};
use assay_core::{Attribute, Code, Column, Error, Kind, Result, Seen, TableSchema};

use super::chunk::Chunk;
use super::json::{self, Members};
use crate::encode::json::{Nulls, RowEncoder};
use crate::fault::fault;
use crate::kinds::{self, REST_NAME};

/// Attributes of a part, and of all that one load makes, that have columns of their own.
pub const MAX_ATTRIBUTES: usize = 4_000;

/// Which attributes keep their columns: those that are known, and further ones while there is room.
#[derive(Debug, Clone)]
pub struct Kept {
    known: HashSet<String>,
    most: usize,
}

impl Kept {
    /// The attributes `known` have columns already, or must have them.
    pub fn new(known: impl IntoIterator<Item = String>) -> Self {
        Self {
            known: known.into_iter().collect(),
            most: MAX_ATTRIBUTES,
        }
    }

    /// Which of `names` go without a column.
    fn beyond<'n>(&self, names: impl Iterator<Item = &'n str> + Clone) -> HashSet<&'n str> {
        let new = names.filter(|name| *name != REST_NAME && !self.known.contains(*name));
        let room = self.most.saturating_sub(self.known.len());
        if new.clone().nth(room).is_none() {
            return HashSet::new();
        }
        // One column is that of the rest.
        new.skip(room.saturating_sub(1)).collect()
    }

    /// Whether all attributes of `schema` have columns.
    pub(super) fn has_room(&self, schema: &TableSchema) -> bool {
        let names = schema.attributes.iter().map(|attribute| attribute.name.as_str());
        self.beyond(names).is_empty()
    }

    pub(super) fn learn(&mut self, schema: &TableSchema) {
        let names = schema.attributes.iter().map(|attribute| attribute.name.as_str());
        for name in names.filter(|name| *name != REST_NAME) {
            if !self.known.contains(name) {
                self.known.insert(name.to_owned());
            }
        }
    }
}

/// The objects of the rest, by record.
#[derive(Debug, Default)]
pub(super) struct Rest {
    pub(super) rows: Vec<u32>,
    pub(super) texts: Vec<String>,
}

impl Rest {
    pub(super) fn column(&self) -> json::Column<'_> {
        json::Column {
            name: REST_NAME.into(),
            rows: self.rows.clone(),
            texts: self.texts.iter().map(String::as_str).collect(),
            ..json::Column::default()
        }
    }
}

/// Takes the columns that have no room out of `members`.
///
/// # Errors
/// `TooLarge` when the records have an attribute `_rest` of their own.
pub(super) fn take(members: &mut Members<'_>, kept: &Kept) -> Result<Option<Rest>> {
    let names = members.columns.iter().map(|column| &*column.name);
    let beyond: HashSet<String> = kept.beyond(names.clone()).into_iter().map(ToOwned::to_owned).collect();
    if beyond.is_empty() {
        return Ok(None);
    }
    if names.clone().any(|name| name == REST_NAME) {
        return Err(reserved());
    }
    let mut objects = BTreeMap::<u32, String>::new();
    for column in members.columns.extract_if(.., |column| beyond.contains(&*column.name)) {
        let name = serde_json::Value::from(&*column.name).to_string();
        // That a member is null is told by the text of the record.
        let values = column
            .rows
            .iter()
            .zip(&column.texts)
            .filter(|(_, text)| **text != "null");
        for (row, text) in values {
            let object = objects.entry(*row).or_default();
            object.push(if object.is_empty() { '{' } else { ',' });
            object.push_str(&name);
            object.push(':');
            object.push_str(text);
        }
    }
    let mut rest = Rest::default();
    for (row, mut object) in objects {
        object.push('}');
        rest.rows.push(row);
        rest.texts.push(object);
    }
    Ok(Some(rest))
}

fn reserved() -> Error {
    Error::new(
        Code::TooLarge,
        format!("more than {MAX_ATTRIBUTES} attributes, and one of them is named `{REST_NAME}`, which is where the others go"),
    )
    .hint("give that attribute another name")
}

/// Moves columns that have no room into the rest; `None` when all have.
///
/// # Errors
/// `TooLarge` when the records have an attribute `_rest` of their own.
pub fn folded(chunk: &Chunk, kept: &Kept) -> Result<Option<Chunk>> {
    let attributes = &chunk.schema.attributes;
    let beyond = kept.beyond(attributes.iter().map(|attribute| attribute.name.as_str()));
    if beyond.is_empty() {
        return Ok(None);
    }
    let own = attributes.iter().position(|attribute| attribute.name == REST_NAME);
    if own.is_some() && !chunk.has_rest {
        return Err(reserved());
    }
    let is_beyond = |at: &usize| beyond.contains(attributes[*at].name.as_str());
    let (gone, stay): (Vec<usize>, Vec<usize>) =
        (0..attributes.len()).filter(|at| Some(*at) != own).partition(is_beyond);
    let before: Option<&StringArray> = own.and_then(|at| chunk.batch.column(at).as_string_opt());
    let (batch, all) = (&chunk.batch, [gone.as_slice(), stay.as_slice()].concat());
    let (some, whole) = (project(batch, &gone)?, project(batch, &all)?);
    let (of_some, of_whole) = (columns(attributes, &gone), columns(attributes, &all));
    let some = RowEncoder::new(&some, &of_some, Nulls::Omitted)?;
    let whole = RowEncoder::new(&whole, &of_whole, Nulls::Omitted)?;
    let rows = batch.num_rows();
    let (mut rests, mut documents) = (StringBuilder::new(), StringBuilder::new());
    let mut objects = 0;
    for row in 0..rows {
        let document = value(chunk.documents.as_ref(), row);
        let former = value(before, row);
        let added = object(&some, row)?;
        if added == "{}" {
            objects += u64::from(former.is_some());
            rests.append_option(former);
            documents.append_option(document);
            continue;
        }
        objects += 1;
        match former {
            Some(former) => rests.append_value(format!(
                "{},{}",
                former.strip_suffix('}').unwrap_or(former),
                &added[1..]
            )),
            None => rests.append_value(&added),
        }
        match document {
            Some(document) => documents.append_value(document),
            None => documents.append_value(object(&whole, row)?),
        }
    }
    let mut schema = TableSchema {
        attributes: stay.iter().map(|at| attributes[*at].clone()).collect(),
        spans: chunk.schema.spans.clone(),
    };
    schema.attributes.push(attribute(objects));
    let mut arrays: Vec<ArrayRef> = stay.iter().map(|at| Arc::clone(batch.column(*at))).collect();
    arrays.push(Arc::new(rests.finish()));
    let options = RecordBatchOptions::new().with_row_count(Some(rows));
    let batch = RecordBatch::try_new_with_options(kinds::arrow_schema(&schema), arrays, &options);
    Ok(Some(Chunk {
        batch: batch.map_err(|cause| fault("storing the records", &cause))?,
        schema,
        documents: Some(documents.finish()),
        has_rest: true,
        lines: chunk.lines.clone(),
        keys: chunk.keys.clone(),
        raw: Vec::new(),
    }))
}

fn value(texts: Option<&StringArray>, row: usize) -> Option<&str> {
    let texts = texts.filter(|texts| texts.is_valid(row))?;
    Some(texts.value(row))
}

fn project(batch: &RecordBatch, columns: &[usize]) -> Result<RecordBatch> {
    batch
        .project(columns)
        .map_err(|cause| fault("storing the records", &cause))
}

fn columns(attributes: &[Attribute], at: &[usize]) -> Vec<Column> {
    let column = |at: &usize| Column {
        name: attributes[*at].name.clone(),
        kind: attributes[*at].kind.clone(),
    };
    at.iter().map(column).collect()
}

fn object(encoder: &RowEncoder<'_>, row: usize) -> Result<String> {
    let mut text = Vec::new();
    encoder.write(row, &mut text);
    String::from_utf8(text).map_err(|cause| fault("storing the records", &cause))
}

/// The attribute of the rest, which so many records have.
pub(super) fn attribute(objects: u64) -> Attribute {
    Attribute {
        name: REST_NAME.to_owned(),
        kind: Kind::Json,
        seen: Seen {
            object: objects,
            ..Seen::default()
        },
    }
}
