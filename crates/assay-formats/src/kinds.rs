//! The kinds of attributes as Arrow types, and back.
//!
//! It converts descriptions only; values are converted by who reads or writes them.

use std::collections::HashMap;
use std::sync::Arc;

use arrow::datatypes::{DataType, Field, Fields, Schema, SchemaRef, TimeUnit};
use assay_core::{Column, Field as KindField, Kind, TableSchema};

/// Marks fields that hold more than their Arrow type says.
const KIND_KEY: &str = "assay.kind";
const REST_KEY: &str = "assay.rest";
const JSON_MARK: &str = "json";
const DOCUMENT_MARK: &str = "document";
/// Attributes may be named so as well; then the name is made longer until it is free.
const DOCUMENT_NAME: &str = "\u{0}document";

/// The Arrow type that holds values of `kind`.
#[must_use]
pub fn data_type(kind: &Kind) -> DataType {
    match kind {
        Kind::Null | Kind::Text | Kind::Json => DataType::Utf8,
        Kind::Bool => DataType::Boolean,
        Kind::Int64 => DataType::Int64,
        Kind::Float64 => DataType::Float64,
        Kind::Decimal { precision, scale } => DataType::Decimal128(*precision, *scale),
        Kind::Date => DataType::Date32,
        Kind::Timestamp => DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into())),
        Kind::Binary => DataType::Binary,
        Kind::List(item) => DataType::List(Arc::new(arrow_field("item", item))),
        // Parquet cannot store a struct without members.
        Kind::Struct(fields) if fields.is_empty() => DataType::Utf8,
        Kind::Struct(fields) => DataType::Struct(
            fields
                .iter()
                .map(|field| arrow_field(&field.name, &field.kind))
                .collect(),
        ),
    }
}

/// A nullable field for values of `kind`; JSON text is marked as such.
#[must_use]
pub fn arrow_field(name: &str, kind: &Kind) -> Field {
    let field = Field::new(name, data_type(kind), true);
    let is_json = matches!(kind, Kind::Json) || matches!(kind, Kind::Struct(fields) if fields.is_empty());
    if is_json {
        return field.with_metadata(HashMap::from([(KIND_KEY.to_owned(), JSON_MARK.to_owned())]));
    }
    field
}

/// The field of the hidden column that holds the texts of records where the columns of `schema` do not tell all of them.
/// It is known by its mark, not by its name, which is none of theirs.
#[must_use]
pub fn document_field(schema: &Schema) -> Field {
    Field::new(free_name(schema, DOCUMENT_NAME), DataType::Utf8, true)
        .with_metadata(HashMap::from([(KIND_KEY.to_owned(), DOCUMENT_MARK.to_owned())]))
}

/// `name`, made to be none of the names in `schema`.
#[must_use]
pub fn free_name(schema: &Schema, name: &str) -> String {
    let mut name = name.to_owned();
    while schema.index_of(&name).is_ok() {
        name.insert(0, '\u{0}');
    }
    name
}

#[must_use]
pub fn is_document(field: &Field) -> bool {
    field.metadata().get(KIND_KEY).is_some_and(|mark| mark == DOCUMENT_MARK)
}

#[must_use]
pub fn arrow_schema(schema: &TableSchema) -> SchemaRef {
    let fields: Fields = schema
        .attributes
        .iter()
        .map(|attribute| arrow_field(&attribute.name, &attribute.kind))
        .collect();
    Arc::new(Schema::new(fields))
}

/// The name of the column that holds the attributes beyond those that have columns of their own: for each record the
/// object of them, or null. Only its mark tells it from an attribute of the same name.
pub const REST_NAME: &str = "_rest";

/// `field`, which is that of the column of [`REST_NAME`], with its mark.
#[must_use]
pub fn rest_field(field: &Field) -> Field {
    let mut marks = field.metadata().clone();
    marks.insert(REST_KEY.to_owned(), String::new());
    field.clone().with_metadata(marks)
}

#[must_use]
pub fn is_rest(field: &Field) -> bool {
    field.metadata().contains_key(REST_KEY)
}

/// The schema of an answer with `columns`.
#[must_use]
pub fn schema_of(columns: &[Column]) -> SchemaRef {
    let fields: Vec<_> = columns
        .iter()
        .map(|column| arrow_field(&column.name, &column.kind))
        .collect();
    Arc::new(Schema::new(fields))
}

/// The kind that `field` was made for; `None` for types that [`data_type`] never gives.
#[must_use]
pub fn kind_of(field: &Field) -> Option<Kind> {
    let kind = match field.data_type() {
        DataType::Utf8 if field.metadata().get(KIND_KEY).is_some_and(|mark| mark == JSON_MARK) => Kind::Json,
        DataType::Utf8 => Kind::Text,
        DataType::Boolean => Kind::Bool,
        DataType::Int64 => Kind::Int64,
        DataType::Float64 => Kind::Float64,
        DataType::Decimal128(precision, scale) => Kind::Decimal {
            precision: *precision,
            scale: *scale,
        },
        DataType::Date32 => Kind::Date,
        DataType::Timestamp(TimeUnit::Microsecond, Some(zone)) if zone.as_ref() == "UTC" => Kind::Timestamp,
        DataType::Binary => Kind::Binary,
        DataType::List(item) => Kind::List(Box::new(kind_of(item)?)),
        DataType::Struct(fields) => {
            let fields = fields
                .iter()
                .map(|field| {
                    Some(KindField {
                        name: field.name().clone(),
                        kind: kind_of(field)?,
                    })
                })
                .collect::<Option<Vec<_>>>()?;
            Kind::Struct(fields)
        }
        _ => return None,
    };
    Some(kind)
}
