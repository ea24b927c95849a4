//! Functions that Assay adds to the engine's SQL or puts in place of its own.
//!
//! Adding one is a file here and a line in [`register`].

mod arithmetic;
mod json;
mod sum;

use std::sync::Arc;

use datafusion::common::Result;
use datafusion::execution::FunctionRegistry;
use datafusion::execution::SessionState;
use datafusion::logical_expr::{AggregateUDF, ScalarUDF};

pub(crate) use json::JsonGet;

/// They tell in which file a row lies, which is no property of a version: it changes in the background.
const OF_FILES: [&str; 2] = ["input_file_name", "file_row_index"];

pub(crate) fn register(state: &mut SessionState) -> Result<()> {
    for name in OF_FILES {
        state.deregister_udf(name)?;
    }
    state.register_udf(Arc::new(ScalarUDF::new_from_impl(JsonGet::default())))?;
    state.register_udf(Arc::new(ScalarUDF::new_from_impl(json::JsonType::default())))?;
    state.register_udaf(Arc::new(AggregateUDF::new_from_impl(sum::CheckedSum::default())))?;
    state.add_analyzer_rule(Arc::new(arithmetic::CheckedArithmetic));
    Ok(())
}
