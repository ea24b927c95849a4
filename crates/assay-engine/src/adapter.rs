//! Parts have exactly the types of what they hold; this reads them as the types of the whole data set.
//!
//! It rewrites expressions over the table into expressions over one part: an absent column is null, an equal one is
//! itself, any other is conformed, and in a part with a rest it may also be there. Filters and pruning go through the same rewriting, so they stay right.

use std::sync::Arc;

use arrow::datatypes::{DataType, Field, SchemaRef};
use assay_core::Kind;
use assay_formats::kinds;
use datafusion::common::config::ConfigOptions;
use datafusion::common::tree_node::{Transformed, TransformedResult, TreeNode};
use datafusion::common::{Result, ScalarValue, exec_datafusion_err};
use datafusion::logical_expr::{ColumnarValue, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Volatility};
use datafusion::physical_expr::expressions::{Column, Literal};
use datafusion::physical_expr::{PhysicalExpr, ScalarFunctionExpr};
use datafusion::physical_expr_adapter::{PhysicalExprAdapter, PhysicalExprAdapterFactory};
use parquet::arrow::RowNumber;

use crate::conform;
use crate::rest::FromRest;

#[derive(Debug)]
pub(crate) struct ConformAdapterFactory;

impl PhysicalExprAdapterFactory for ConformAdapterFactory {
    fn create(&self, table: SchemaRef, part: SchemaRef) -> Result<Arc<dyn PhysicalExprAdapter>> {
        Ok(Arc::new(ConformAdapter { table, part }))
    }
}

#[derive(Debug)]
struct ConformAdapter {
    table: SchemaRef,
    part: SchemaRef,
}

impl PhysicalExprAdapter for ConformAdapter {
    fn rewrite(&self, expr: Arc<dyn PhysicalExpr>) -> Result<Arc<dyn PhysicalExpr>> {
        // A column alone is read; inside an expression it may decide which parts of a file are skipped.
        if let Some(column) = expr.downcast_ref::<Column>() {
            return self.read(column);
        }
        expr.transform(|expr| match expr.downcast_ref::<Column>() {
            Some(column) => Ok(Transformed::yes(self.weigh(column)?)),
            None => Ok(Transformed::no(expr)),
        })
        .data()
    }
}

impl ConformAdapter {
    fn read(&self, column: &Column) -> Result<Arc<dyn PhysicalExpr>> {
        let name = column.name();
        let Ok(wanted) = self.table.field_with_name(name) else {
            // A column that only the scan knows, such as one computed while reading.
            return Ok(Arc::new(column.clone()));
        };
        if wanted.try_extension_type::<RowNumber>().is_ok() {
            // The part does not hold it, its reader counts.
            return Ok(Arc::new(Column::new_with_schema(name, &self.part)?));
        }
        let is_stored = |stored: &Arc<Field>| match kinds::is_document(wanted) {
            true => kinds::is_document(stored),
            false => stored.name() == name && !kinds::is_document(stored),
        };
        let own = self.part.fields().iter().position(is_stored);
        let read: Arc<dyn PhysicalExpr> = match own {
            None => Arc::new(Literal::new(ScalarValue::try_from(wanted.data_type())?)),
            Some(index) => {
                let stored = self.part.field(index);
                let read = Arc::new(Column::new(stored.name(), index));
                match (kind(stored)?, kind(wanted)?) {
                    (from, to) if from == to => read,
                    (from, to) => call(Conform::new(from, to), vec![read], wanted),
                }
            }
        };
        let rest = self.part.fields().iter().position(|stored| kinds::is_rest(stored));
        match rest {
            Some(rest) if own != Some(rest) && !kinds::is_document(wanted) => {
                let rest = Arc::new(Column::new(self.part.field(rest).name(), rest));
                Ok(call(FromRest::new(name, kind(wanted)?), vec![read, rest], wanted))
            }
            _ => Ok(read),
        }
    }

    /// Minima and maxima of doubles leave out NaN, which the engine takes for the largest number: what they say of a
    /// column must not skip its rows. Behind a call they are not looked at.
    fn weigh(&self, column: &Column) -> Result<Arc<dyn PhysicalExpr>> {
        let read = self.read(column)?;
        let wanted = self.table.field_with_name(column.name());
        match wanted {
            Ok(field) if *field.data_type() == DataType::Float64 && read.downcast_ref::<Column>().is_some() => {
                Ok(call(Conform::new(Kind::Float64, Kind::Float64), vec![read], field))
            }
            _ => Ok(read),
        }
    }
}

fn call(
    function: impl ScalarUDFImpl + 'static,
    arguments: Vec<Arc<dyn PhysicalExpr>>,
    gives: &Field,
) -> Arc<dyn PhysicalExpr> {
    let function = Arc::new(ScalarUDF::new_from_impl(function));
    let (name, field) = (function.name().to_owned(), Arc::new(gives.clone()));
    let options = Arc::new(ConfigOptions::default());
    Arc::new(ScalarFunctionExpr::new(&name, function, arguments, field, options))
}

fn kind(field: &Field) -> Result<Kind> {
    kinds::kind_of(field).ok_or_else(|| exec_datafusion_err!("a part has a column of type {}", field.data_type()))
}

/// Reads values of one kind as another that holds them all.
#[derive(Debug, PartialEq, Eq, Hash)]
struct Conform {
    from: Kind,
    to: Kind,
    signature: Signature,
}

impl Conform {
    fn new(from: Kind, to: Kind) -> Self {
        Self {
            from,
            to,
            signature: Signature::any(1, Volatility::Immutable),
        }
    }
}

impl ScalarUDFImpl for Conform {
    fn name(&self) -> &'static str {
        "assay_conform"
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _: &[DataType]) -> Result<DataType> {
        Ok(kinds::data_type(&self.to))
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let arrays = ColumnarValue::values_to_arrays(&args.args)?;
        let Some(array) = arrays.first() else {
            return Err(exec_datafusion_err!("conform takes one argument"));
        };
        Ok(ColumnarValue::Array(conform::conform(array, &self.from, &self.to)?))
    }
}
