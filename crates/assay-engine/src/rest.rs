//! Attributes that some parts keep in their rest, read as the columns that they are in others.
//!
//! A value that its column does not hold is an error: leaving it out would give wrong answers in silence.

use std::borrow::Cow;
use std::collections::HashMap;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, BooleanArray, StringArray};
use arrow::compute::kernels::zip::zip;
use arrow::datatypes::DataType;
use arrow::error::ArrowError;
use assay_core::Kind;
use assay_formats::{ingest, kinds};
use datafusion::common::{Result, exec_datafusion_err};
use datafusion::logical_expr::{ColumnarValue, ScalarFunctionArgs, ScalarUDFImpl, Signature, Volatility};
use memchr::memmem;
use serde_json::value::RawValue;

use crate::conform;

/// Reads the attribute `name` as `kind` from its own column, the first argument, or where that is null from the rest,
/// the second one.
#[derive(Debug, PartialEq, Eq, Hash)]
pub(crate) struct FromRest {
    name: String,
    kind: Kind,
    signature: Signature,
}

impl FromRest {
    pub(crate) fn new(name: &str, kind: Kind) -> Self {
        Self {
            name: name.to_owned(),
            kind,
            signature: Signature::any(2, Volatility::Immutable),
        }
    }

    fn read(&self, own: &ArrayRef, rest: &StringArray) -> Result<ArrayRef, ArrowError> {
        let quoted = serde_json::Value::from(self.name.as_str()).to_string();
        let finder = memmem::Finder::new(quoted.as_bytes());
        let texts = rest.iter().enumerate().map(|(row, text)| {
            let text = text.filter(|text| own.is_null(row) && finder.find(text.as_bytes()).is_some());
            text.and_then(|text| member(text, &self.name))
        });
        let texts: Vec<Option<&str>> = texts.collect();
        if texts.iter().all(Option::is_none) {
            return Ok(Arc::clone(own));
        }
        let (kind, values) = ingest::array(&texts).map_err(|error| ArrowError::CastError(error.message))?;
        let values = conform::conform(&values, &kind, &self.kind).map_err(|error| {
            let name = &self.name;
            ArrowError::CastError(format!(
                "attribute `{name}` is of another type in the rest of some records: {error}"
            ))
        })?;
        let is_there: BooleanArray = texts.iter().map(|text| Some(text.is_some())).collect();
        zip(&is_there, &values, own)
    }
}

/// The JSON text of a member of the object `text`, unless it is null.
fn member<'t>(text: &'t str, name: &str) -> Option<&'t str> {
    let members: HashMap<Cow<'t, str>, &'t RawValue> = serde_json::from_str(text).ok()?;
    members
        .get(name)
        .map(|value| value.get())
        .filter(|value| *value != "null")
}

impl ScalarUDFImpl for FromRest {
    fn name(&self) -> &'static str {
        "assay_from_rest"
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _: &[DataType]) -> Result<DataType> {
        Ok(kinds::data_type(&self.kind))
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let arrays = ColumnarValue::values_to_arrays(&args.args)?;
        let [own, rest] = arrays.as_slice() else {
            return Err(exec_datafusion_err!("two arguments were expected"));
        };
        let rest = rest
            .as_string_opt::<i32>()
            .ok_or_else(|| exec_datafusion_err!("the rest is no text"))?;
        Ok(ColumnarValue::Array(self.read(own, rest)?))
    }
}
