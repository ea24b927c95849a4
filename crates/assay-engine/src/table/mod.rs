//! Inputs as tables. Opening is where hot records join the parts of a data set, for whatever is then done with it.

mod dataset;
mod hot;
mod live;
mod readers;
mod selection;

use std::sync::Arc;

use assay_core::{Attribute, Input, InputSource, Kind, Result, Seen};
use datafusion::catalog::TableProvider;
use object_store::ObjectStore;

use self::dataset::DatasetTable;
pub(crate) use self::hot::HotCache;
pub(crate) use self::selection::of_live_rows;

use crate::streamed::{self, Encoding};

/// An input that can be read.
pub(crate) struct Opened {
    /// Its schema and number of rows are those of all its records; the source is left empty.
    pub(crate) input: Input,
    rows: Rows,
}

enum Rows {
    Dataset(DatasetTable),
    Streamed(Arc<dyn TableProvider>),
}

/// # Errors
/// `InvalidJson` for hot records that no load would take.
pub(crate) async fn open(input: &Input, objects: &Arc<dyn ObjectStore>, cache: &HotCache) -> Result<Opened> {
    let opened = |rows| Opened {
        input: input.clone(),
        rows,
    };
    let (parts, hot) = match &input.source {
        InputSource::Dataset { parts, hot } => (parts, hot),
        InputSource::Answer(data) => {
            return Ok(opened(Rows::Streamed(streamed::table(
                input,
                data,
                Encoding::Arrow,
                objects,
            )?)));
        }
        InputSource::Lines(data) => {
            return Ok(opened(Rows::Streamed(streamed::table(
                input,
                data,
                Encoding::Lines,
                objects,
            )?)));
        }
    };
    let hot = hot::decode(hot, input.key.as_deref(), &input.declared, cache).await?;
    let mut schema = hot
        .iter()
        .fold(input.schema.clone(), |schema, block| schema.union(&block.schema));
    // An empty data set has its key attribute all the same.
    if let Some(key) = input.key.as_ref().filter(|key| schema.find(key).is_none()) {
        schema.attributes.push(Attribute {
            name: key.clone(),
            kind: Kind::Text,
            seen: Seen::default(),
        });
    }
    let table = DatasetTable::new(&schema, parts, hot)?;
    Ok(Opened {
        input: Input {
            name: input.name.clone(),
            schema,
            rows: table.rows(),
            key: input.key.clone(),
            truncated: input.truncated,
            declared: Vec::new(),
            source: InputSource::Dataset {
                parts: Vec::new(),
                hot: Vec::new(),
            },
        },
        rows: Rows::Dataset(table),
    })
}

impl Opened {
    /// As [`Self::table`], with one more column behind the attributes: the texts of those records that the attributes do
    /// not give back as they were written. `None` for what never had any.
    pub(crate) fn table_with_documents(&self) -> Option<Arc<dyn TableProvider>> {
        match &self.rows {
            Rows::Dataset(table) => Some(Arc::new(table.with_documents())),
            Rows::Streamed(_) => None,
        }
    }

    /// The attributes of the records as columns.
    pub(crate) fn table(&self) -> Arc<dyn TableProvider> {
        match &self.rows {
            Rows::Dataset(table) => Arc::new(table.clone()),
            Rows::Streamed(table) => Arc::clone(table),
        }
    }
}
