//! Records of typed files and CSV under the rules of their data set: those that break them are refused, and columns have
//! the types that are declared.
//!
//! Records in JSON are checked one by one where they are read, see `json`.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, BooleanArray, RecordBatch, RecordBatchOptions};
use arrow::compute::{filter, filter_record_batch};
use arrow::error::ArrowError;
use assay_core::{Attribute, Code, Column, Error, ImportTask, Result, Rules, TableSchema, TypeHint};
use assay_rules::Checker;

use super::chunk::Chunk;
use super::parts::{Encoded, Encoder};
use super::refusals::Refusals;
use super::{counts, json};
use crate::encode::finite::has_not_finite;
use crate::encode::json::{Nulls, RowEncoder, cells};
use crate::{fault, kinds};

/// The rules of a load.
#[derive(Clone)]
pub(super) struct Strict {
    pub(super) checker: Arc<Checker>,
    pub(super) declared: Vec<(String, TypeHint)>,
}

impl Strict {
    /// # Errors
    /// `InvalidParameter` for `types` other than those that are declared.
    pub(super) fn of(task: &ImportTask) -> Result<Option<Self>> {
        let Some(rules) = &task.rules else { return Ok(None) };
        for (name, hint) in &task.read.types {
            let declared = rules.declared().iter().find(|(known, _)| known == name);
            if let Some((_, declared)) = declared.filter(|(_, declared)| declared.kind() != hint.kind()) {
                let message = format!(
                    "`types` names `{name}` as {}, and it is declared as {}",
                    hint.kind(),
                    declared.kind()
                );
                return Err(Error::new(Code::InvalidParameter, message)
                    .hint("a load may name the format of a declared type, and no other type"));
            }
        }
        Ok(Some(Self::new(rules, &task.read.types)?))
    }

    /// The attributes in `read` have been read as their types already.
    ///
    /// # Errors
    /// `InvalidParameter` for rules that are none.
    pub(super) fn new(rules: &Rules, read: &[(String, TypeHint)]) -> Result<Self> {
        Ok(Self {
            checker: Arc::new(Checker::new(rules)?.but(read)),
            declared: rules.declared().to_vec(),
        })
    }

    /// The records of `chunk` that meet the rules, `None` when there are none, and the others.
    ///
    /// # Errors
    /// `Internal`.
    fn judge(&self, mut chunk: Chunk) -> Result<(Option<Chunk>, Vec<Faulty>)> {
        let (mut kept, mut faulty) = (Vec::with_capacity(chunk.batch.num_rows()), Vec::new());
        for (row, Looked { text: record, fault }) in self.faults(&chunk)?.into_iter().enumerate() {
            kept.push(fault.is_none());
            if let Some(fault) = fault {
                let raw = chunk.raw.get_mut(row).map(std::mem::take);
                faulty.push(Faulty {
                    row,
                    line: chunk.lines.get(row).copied(),
                    text: raw.unwrap_or(record),
                    fault,
                });
            }
        }
        if !kept.contains(&true) {
            return Ok((None, faulty));
        }
        let chunk = match faulty.is_empty() {
            true => chunk,
            false => only(chunk, &kept).map_err(|cause| fault("checking records", &cause))?,
        };
        Ok((Some(self.typed(chunk)?), faulty))
    }

    /// Each row with its JSON text and what is wrong with it.
    pub(super) fn faults(&self, chunk: &Chunk) -> Result<Vec<Looked>> {
        let column = |attribute: &Attribute| Column {
            name: attribute.name.clone(),
            kind: attribute.kind.clone(),
        };
        let columns: Vec<Column> = chunk.schema.attributes.iter().map(column).collect();
        let encoder = RowEncoder::new(&chunk.batch, &columns, Nulls::Omitted)?;
        let infinite: Vec<usize> = (0..columns.len())
            .filter(|at| has_not_finite(chunk.batch.column(*at)))
            .collect();
        let mut faults = Vec::new();
        for row in 0..chunk.batch.num_rows() {
            let mut text = Vec::new();
            encoder.write(row, &mut text);
            let record = std::str::from_utf8(&text).map_err(|_| Error::internal("checking records"))?;
            let beyond = infinite
                .iter()
                .find(|at| has_not_finite(&chunk.batch.column(**at).slice(row, 1)));
            let fault = match beyond {
                Some(at) => Some(not_finite(&columns[*at].name)),
                None => self.checker.check(record).err(),
            };
            let text = if fault.is_some() { text } else { Vec::new() };
            faults.push(Looked { text, fault });
        }
        Ok(faults)
    }

    /// The declared columns with their types. What is not declared holds nothing any more.
    fn typed(&self, chunk: Chunk) -> Result<Chunk> {
        if self.declared.is_empty() {
            return Ok(chunk);
        }
        let mut schema = TableSchema::default();
        let mut arrays: Vec<ArrayRef> = Vec::new();
        for (attribute, array) in chunk.schema.attributes.iter().zip(chunk.batch.columns()) {
            let declared = self.declared.iter().find(|(name, _)| *name == attribute.name);
            let Some((_, hint)) = declared else { continue };
            if hint.kind() == attribute.kind {
                schema.attributes.push(attribute.clone());
                arrays.push(Arc::clone(array));
                continue;
            }
            let texts = texts(array, attribute)?;
            let line = |row| chunk.lines.get(row as usize).copied().unwrap_or(u64::from(row) + 1);
            let (array, seen) = json::of_texts(&attribute.name, hint, &texts, line)?;
            schema.attributes.push(Attribute {
                name: attribute.name.clone(),
                kind: hint.kind(),
                seen,
            });
            arrays.push(array);
        }
        Ok(Chunk {
            batch: batch(&schema, arrays, chunk.batch.num_rows())?,
            schema,
            ..chunk
        })
    }
}

/// What came of a look at a record.
pub(super) struct Looked {
    /// As JSON, where it breaks the rules.
    text: Vec<u8>,
    pub(super) fault: Option<Error>,
}

/// A record that breaks the rules.
#[derive(Debug)]
pub(super) struct Faulty {
    row: usize,
    line: Option<u64>,
    text: Vec<u8>,
    fault: Error,
}

impl Faulty {
    /// Tells it; its chunk begins after `before` records.
    ///
    /// # Errors
    /// `SchemaViolation` with the place, where that ends the load; those of the store.
    pub(super) fn refuse(self, before: u64, refusals: &mut Refusals) -> Result<()> {
        let number = before + self.row as u64 + 1;
        match self.line {
            Some(line) => refusals.refuse(at_line(self.fault, line), line, &self.text),
            None => refusals.refuse(at_record(self.fault, number), number, &self.text),
        }
    }
}

/// A chunk after its records were looked at.
pub(super) struct Judged {
    /// What is left of it, when something is.
    pub(super) sound: Option<Encoded>,
    pub(super) faulty: Vec<Faulty>,
    /// Records of the chunk in all.
    pub(super) rows: u64,
}

/// Makes a part of the records of `chunk` that meet the rules, where there are some.
///
/// # Errors
/// `Internal`.
pub(super) fn encode(strict: Option<&Strict>, encoder: &Encoder, chunk: Chunk) -> Result<Judged> {
    let rows = chunk.batch.num_rows() as u64;
    let (chunk, faulty) = match strict {
        Some(strict) => strict.judge(chunk)?,
        None => (Some(chunk), Vec::new()),
    };
    Ok(Judged {
        sound: chunk.map(|chunk| encoder.encode(chunk)).transpose()?,
        faulty,
        rows,
    })
}

/// The JSON texts of the values of a column; none for null.
pub(super) fn texts(array: &ArrayRef, attribute: &Attribute) -> Result<Vec<Option<String>>> {
    let cells = cells(array, &attribute.kind)?;
    let text = |row| {
        if cells.is_null(row) {
            return Ok(None);
        }
        let mut text = Vec::new();
        cells.write(row, Nulls::Omitted, &mut text);
        String::from_utf8(text)
            .map(Some)
            .map_err(|_| Error::internal("reading values back"))
    };
    (0..array.len()).map(text).collect()
}

pub(super) fn batch(schema: &TableSchema, arrays: Vec<ArrayRef>, rows: usize) -> Result<RecordBatch> {
    let options = RecordBatchOptions::new().with_row_count(Some(rows));
    RecordBatch::try_new_with_options(kinds::arrow_schema(schema), arrays, &options)
        .map_err(|cause| fault("putting values into columns", &cause))
}

/// The rows of `chunk` that are kept.
fn only(chunk: Chunk, kept: &[bool]) -> Result<Chunk, ArrowError> {
    let mask = BooleanArray::from(kept.to_vec());
    let strings = |array: Option<arrow::array::StringArray>| match array {
        Some(array) => filter(&array, &mask).map(|array| Some(array.as_string::<i32>().clone())),
        None => Ok(None),
    };
    let batch = filter_record_batch(&chunk.batch, &mask)?;
    Ok(Chunk {
        schema: counts::of_what_is_left(&chunk.schema, batch.columns()),
        documents: strings(chunk.documents)?,
        keys: strings(chunk.keys)?,
        lines: chunk
            .lines
            .into_iter()
            .zip(kept)
            .filter(|(_, kept)| **kept)
            .map(|(line, _)| line)
            .collect(),
        has_rest: chunk.has_rest,
        raw: Vec::new(),
        batch,
    })
}

fn not_finite(name: &str) -> Error {
    let message = format!("`{name}` holds NaN or an infinity, which a data set with rules does not take");
    Error::new(Code::SchemaViolation, message).hint("write null where there is no number")
}

/// The fault of the record on `line`.
pub(super) fn at_line(mut fault: Error, line: u64) -> Error {
    fault.message = format!("line {line}: {}", fault.message);
    fault.hint = Some("mend the file, or leave such records out by `on_error=skip`".to_owned());
    for detail in &mut fault.errors {
        detail.line = Some(line);
    }
    fault
}

/// The fault of a record in a file without lines.
fn at_record(mut fault: Error, number: u64) -> Error {
    fault.message = format!("record {number}: {}", fault.message);
    fault.hint = Some("mend the file, or leave such records out by `on_error=skip`".to_owned());
    fault
}
