//! `+`, `-` and `*` of whole numbers fail when they overflow; the engine's own operators wrap around in silence.
//!
//! A rule puts checked functions in place of the operators once all types are known.

use arrow::compute::kernels::numeric;
use arrow::datatypes::DataType;
use datafusion::common::config::ConfigOptions;
use datafusion::common::tree_node::{Transformed, TransformedResult, TreeNode};
use datafusion::common::{DFSchema, Result, ScalarValue, exec_err};
use datafusion::logical_expr::expr::ScalarFunction;
use datafusion::logical_expr::utils::merge_schema;
use datafusion::logical_expr::{
    BinaryExpr, ColumnarValue, Expr, ExprSchemable, LogicalPlan, Operator, ScalarFunctionArgs, ScalarUDF,
    ScalarUDFImpl, Signature, Volatility,
};
use datafusion::optimizer::AnalyzerRule;
use datafusion::optimizer::utils::NamePreserver;
use datafusion::physical_expr_common::datum::apply;

#[derive(Debug)]
pub(super) struct CheckedArithmetic;

impl AnalyzerRule for CheckedArithmetic {
    fn analyze(&self, plan: LogicalPlan, _: &ConfigOptions) -> Result<LogicalPlan> {
        plan.transform_up_with_subqueries(rewrite_plan).data()
    }

    fn name(&self) -> &'static str {
        "assay_checked_arithmetic"
    }
}

fn rewrite_plan(plan: LogicalPlan) -> Result<Transformed<LogicalPlan>> {
    let mut schema = merge_schema(&plan.inputs());
    if let LogicalPlan::TableScan(scan) = &plan {
        schema.merge(&DFSchema::try_from_qualified_schema(
            scan.table_name.clone(),
            &scan.source.schema(),
        )?);
    }
    let names = NamePreserver::new(&plan);
    plan.map_expressions(|expr| {
        let name = names.save(&expr);
        let rewritten = expr.transform_up(|expr| rewrite(expr, &schema))?;
        Ok(rewritten.update_data(|expr| name.restore(expr)))
    })
}

fn rewrite(expr: Expr, schema: &DFSchema) -> Result<Transformed<Expr>> {
    let (operation, args) = match expr {
        Expr::BinaryExpr(BinaryExpr { left, op, right }) => {
            let operation = match op {
                Operator::Plus => Operation::Add,
                Operator::Minus => Operation::Subtract,
                Operator::Multiply => Operation::Multiply,
                _ => return Ok(Transformed::no(Expr::BinaryExpr(BinaryExpr { left, op, right }))),
            };
            if !is_whole(&left, schema)? || !is_whole(&right, schema)? {
                return Ok(Transformed::no(Expr::BinaryExpr(BinaryExpr { left, op, right })));
            }
            (operation, vec![*left, *right])
        }
        // The negative of the smallest whole number is not a whole number of its size.
        Expr::Negative(inner) => {
            let data_type = inner.get_type(schema)?;
            if !data_type.is_signed_integer() || matches!(*inner, Expr::Literal(..)) {
                return Ok(Transformed::no(Expr::Negative(inner)));
            }
            let zero = Expr::Literal(ScalarValue::new_zero(&data_type)?, None);
            (Operation::Subtract, vec![zero, *inner])
        }
        other => return Ok(Transformed::no(other)),
    };
    let function = ScalarUDF::new_from_impl(Checked::new(operation));
    Ok(Transformed::yes(Expr::ScalarFunction(ScalarFunction::new_udf(
        function.into(),
        args,
    ))))
}

fn is_whole(expr: &Expr, schema: &DFSchema) -> Result<bool> {
    // Asking the type of a chain walks all of it; what was rewritten is known without.
    if let Expr::ScalarFunction(function) = expr
        && function.func.inner().is::<Checked>()
    {
        return Ok(true);
    }
    Ok(expr.get_type(schema)?.is_integer())
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Operation {
    Add,
    Subtract,
    Multiply,
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct Checked {
    operation: Operation,
    signature: Signature,
}

impl Checked {
    fn new(operation: Operation) -> Self {
        Self {
            operation,
            signature: Signature::any(2, Volatility::Immutable),
        }
    }
}

impl ScalarUDFImpl for Checked {
    fn name(&self) -> &'static str {
        match self.operation {
            Operation::Add => "assay_add",
            Operation::Subtract => "assay_subtract",
            Operation::Multiply => "assay_multiply",
        }
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, types: &[DataType]) -> Result<DataType> {
        match types {
            [left, right] if left == right => Ok(left.clone()),
            _ => exec_err!("whole numbers of two sizes: {types:?}"),
        }
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let [left, right] = args.args.as_slice() else {
            return exec_err!("an operator takes two arguments");
        };
        match self.operation {
            Operation::Add => apply(left, right, numeric::add),
            Operation::Subtract => apply(left, right, numeric::sub),
            Operation::Multiply => apply(left, right, numeric::mul),
        }
    }
}
