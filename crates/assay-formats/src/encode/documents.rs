//! Records as they were written, where their texts are kept because the columns do not tell all of them.

use std::borrow::Cow;
use std::collections::HashMap;

use arrow::array::{Array, StringArray};
use assay_core::{Column, Result};
use serde_json::value::RawValue;

use super::json;
use crate::fault::fault;

/// The texts beside the rows of a batch: null where the columns tell all.
pub struct Documents<'a> {
    pub texts: &'a StringArray,
    /// The attributes to give, as many as there are columns; `None` gives whole records.
    pub select: Option<&'a [String]>,
}

impl Documents<'_> {
    /// Writes the record of `row` as an object whose members have the names of `columns`. False when no text is kept.
    pub(super) fn write(&self, row: usize, columns: &[Column], out: &mut Vec<u8>) -> Result<bool> {
        if self.texts.is_null(row) {
            return Ok(false);
        }
        let text = self.texts.value(row);
        let Some(select) = self.select else {
            out.extend_from_slice(text.as_bytes());
            return Ok(true);
        };
        let members: HashMap<Cow<'_, str>, &RawValue> =
            serde_json::from_str(text).map_err(|cause| fault("reading a kept record", &cause))?;
        out.push(b'{');
        let mut separator: &[u8] = b"";
        for (attribute, column) in select.iter().zip(columns) {
            let Some(value) = members.get(attribute.as_str()) else {
                continue;
            };
            out.extend_from_slice(separator);
            out.extend_from_slice(&json::key(&column.name));
            out.extend_from_slice(value.get().as_bytes());
            separator = b",";
        }
        out.push(b'}');
        Ok(true)
    }
}
