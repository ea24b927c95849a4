//! What becomes of a place of objects that fails while a query reads.

use std::io;

use assay_core::Code;
use datafusion::common::DataFusionError;
use parquet::errors::ParquetError;

use crate::failure::of_syntax;

fn code(cause: object_store::Error) -> Code {
    let cause = ParquetError::External(Box::new(cause));
    of_syntax(&DataFusionError::ParquetError(Box::new(cause)).context("scanning")).code
}

#[test]
fn a_place_that_fails_is_not_taken_for_damage() {
    let fault = |kind: io::ErrorKind| object_store::Error::Generic {
        store: "Redis",
        source: Box::new(io::Error::from(kind)),
    };
    assert_eq!(code(fault(io::ErrorKind::TimedOut)), Code::StoreFailed);
    assert_eq!(code(fault(io::ErrorKind::StorageFull)), Code::StorageFull);
    let missing = object_store::Error::NotFound {
        path: "datasets/genes/1.parquet".to_owned(),
        source: "gone".into(),
    };
    assert_eq!(code(missing), Code::FileDamaged);
}
