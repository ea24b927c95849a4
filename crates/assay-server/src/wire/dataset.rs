//! Data sets and their schemas as users see them.

use std::collections::BTreeMap;

use assay_core::{Rules, Span, Spans};
use serde::Serialize;
use serde_json::{Map, Value};
use utoipa::ToSchema;

use super::link::Source;

/// A data set as of its newest version.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Dataset {
    pub(crate) name: String,
    /// The attribute that identifies a record.
    pub(crate) key: Option<String>,
    pub(crate) version: u64,
    pub(crate) rows: u64,
    /// Size of the stored parts.
    pub(crate) bytes: u64,
    pub(crate) created_at: String,
    pub(crate) updated_at: String,
    pub(crate) description: Option<String>,
    /// `flexible`, or `strict`: every record that is written is checked.
    #[schema(example = "flexible")]
    pub(crate) mode: &'static str,
    /// The type of each attribute that records may have; left out in lists.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Object>)]
    pub(crate) types: Option<Map<String, Value>>,
    /// The attributes that every record must have; left out in lists.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) required: Option<Vec<String>>,
    /// The JSON Schema that every record must meet; left out in lists.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Object>)]
    pub(crate) schema: Option<Value>,
    /// How many attributes its records have; left out in lists.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) attributes: Option<u64>,
    /// The keys of a Redis server that fill it, when it is linked.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) source: Option<Source>,
    pub(crate) links: DatasetLinks,
}

#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct DatasetLinks {
    #[serde(rename = "self")]
    pub(crate) itself: String,
    pub(crate) schema: String,
    pub(crate) records: String,
    pub(crate) import: String,
    pub(crate) rejects: String,
}

/// A page of data sets, by name.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct DatasetPage {
    pub(crate) items: Vec<Dataset>,
    /// The address of the next page; absent at the end.
    pub(crate) next: Option<String>,
}

/// The attributes of the records of a version.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Schema {
    pub(crate) dataset: String,
    pub(crate) version: u64,
    pub(crate) rows: u64,
    pub(crate) attributes: Vec<Attribute>,
}

#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Attribute {
    pub(crate) name: String,
    #[serde(rename = "type")]
    #[schema(example = "list<text>")]
    pub(crate) kind: String,
    /// Records that have the attribute, null included.
    pub(crate) present: u64,
    /// Records without it.
    pub(crate) missing: u64,
    pub(crate) seen: SeenTypes,
    /// For each type that was seen, the versions that wrote the first and the last such value.
    #[schema(example = json!({"text": {"first": 1, "last": 4}}))]
    pub(crate) versions: BTreeMap<&'static str, SeenIn>,
}

/// The versions that wrote the first and the last value of a type.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct SeenIn {
    pub(crate) first: u64,
    pub(crate) last: u64,
}

/// How often each JSON type was seen.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct SeenTypes {
    pub(crate) null: u64,
    pub(crate) bool: u64,
    pub(crate) int: u64,
    pub(crate) float: u64,
    pub(crate) big: u64,
    pub(crate) text: u64,
    pub(crate) list: u64,
    pub(crate) object: u64,
}

impl From<assay_core::Dataset> for Dataset {
    fn from(dataset: assay_core::Dataset) -> Self {
        let itself = format!("/v1/datasets/{}", dataset.name);
        Self {
            name: dataset.name.to_string(),
            key: dataset.key,
            version: dataset.version.0,
            rows: dataset.rows,
            bytes: dataset.bytes,
            created_at: dataset.created_at.to_string(),
            updated_at: dataset.updated_at.to_string(),
            description: dataset.description,
            mode: match dataset.rules {
                None => "flexible",
                Some(_) => "strict",
            },
            types: None,
            required: None,
            schema: None,
            attributes: None,
            source: dataset.source.map(Source::from),
            links: DatasetLinks {
                schema: format!("{itself}/schema"),
                records: format!("{itself}/records"),
                import: format!("{itself}/import"),
                rejects: format!("{itself}/rejects"),
                itself,
            },
        }
    }
}

impl Dataset {
    /// With its rules.
    pub(crate) fn whole(dataset: assay_core::Dataset) -> Self {
        let rules = dataset.rules.clone();
        let mut form = Self::from(dataset);
        match rules {
            None => {}
            Some(Rules::Types(declared)) => {
                let types = declared
                    .types
                    .iter()
                    .map(|(name, kind)| (name.clone(), kind.to_string().into()));
                form.types = Some(types.collect());
                form.required = Some(declared.required);
            }
            Some(Rules::Schema(schema)) => form.schema = Some(schema),
        }
        form
    }
}

impl From<assay_core::Snapshot> for Schema {
    fn from(snapshot: assay_core::Snapshot) -> Self {
        let (rows, spans) = (snapshot.rows, snapshot.schema.spans);
        let attribute = |attribute: assay_core::Attribute| {
            let versions = versions(&attribute, spans.get(&attribute.name));
            let seen = SeenTypes::from(attribute.seen);
            let present = attribute.seen.total();
            Attribute {
                name: attribute.name,
                kind: attribute.kind.to_string(),
                present,
                missing: rows.saturating_sub(present),
                seen,
                versions,
            }
        };
        Self {
            dataset: snapshot.name.to_string(),
            version: snapshot.version.0,
            rows,
            attributes: snapshot.schema.attributes.into_iter().map(attribute).collect(),
        }
    }
}

fn versions(attribute: &assay_core::Attribute, spans: Option<&Spans>) -> BTreeMap<&'static str, SeenIn> {
    let named = attribute.seen.named().into_iter().filter(|(_, count)| *count > 0);
    let seen = named.filter_map(|(name, _)| {
        let Span { first, last } = spans?.find(name)?;
        let versions = SeenIn {
            first: first.0,
            last: last.0,
        };
        Some((name, versions))
    });
    seen.collect()
}

impl From<assay_core::Seen> for SeenTypes {
    fn from(seen: assay_core::Seen) -> Self {
        Self {
            null: seen.null,
            bool: seen.bool,
            int: seen.int,
            float: seen.float,
            big: seen.big,
            text: seen.text,
            list: seen.list,
            object: seen.object,
        }
    }
}
