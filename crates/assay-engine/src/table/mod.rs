//! Inputs as tables.

mod dataset;
mod readers;
mod selection;

use std::sync::Arc;

use assay_core::{Input, InputSource, Result};
use datafusion::catalog::TableProvider;
use object_store::ObjectStore;

use self::dataset::DatasetTable;
use crate::streamed::{self, Encoding};

/// The table that holds the rows of `input`.
pub(crate) fn of(input: &Input, objects: &Arc<dyn ObjectStore>) -> Result<Arc<dyn TableProvider>> {
    match &input.source {
        InputSource::Dataset { parts, hot: _ } => Ok(Arc::new(DatasetTable::new(&input.schema, parts)?)),
        InputSource::Answer(data) => streamed::table(input, data, Encoding::Arrow, objects),
        InputSource::Lines(data) => streamed::table(input, data, Encoding::Lines, objects),
    }
}
