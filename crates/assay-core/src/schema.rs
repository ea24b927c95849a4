//! The types of attributes, and how two of them unite without losing a value.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::number::{self, Number};
use crate::{Version, rules};

/// The type of an attribute. Every value of a part is exact in its kind.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// Only null or absent so far.
    Null,
    Bool,
    Int64,
    Float64,
    /// Exact numbers beyond what `Int64` and `Float64` hold.
    Decimal {
        precision: u8,
        scale: i8,
    },
    Text,
    /// Days, without time of day.
    Date,
    /// Microseconds in UTC; shown with `Z`.
    Timestamp,
    Binary,
    /// The original JSON text of each value: what remains when types conflict. SQL reaches inside by `json_get`.
    Json,
    List(Box<Kind>),
    Struct(Vec<Field>),
}

/// A member of a [`Kind::Struct`].
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Field {
    pub name: String,
    pub kind: Kind,
}

impl Kind {
    /// The narrowest kind that holds every value of both, exactly; [`Kind::Json`] when there is none.
    ///
    /// Dates and timestamps are written as text in JSON, so beside text they are text again.
    /// An integer column meets a double column as double: whether each integer is exact in it is decided where the
    /// values are seen, see [`Seen::wide_int`].
    #[must_use]
    pub fn union(&self, other: &Kind) -> Kind {
        use Kind::{Date, Decimal, Float64, Int64, List, Null, Struct, Text, Timestamp};
        match (self, other) {
            (a, b) if a == b => a.clone(),
            (Date | Timestamp | Text, Date | Timestamp | Text) => Text,
            (Null, kind) | (kind, Null) => kind.clone(),
            (Int64, Float64) | (Float64, Int64) => Float64,
            (Int64, Decimal { precision, scale }) | (Decimal { precision, scale }, Int64) => {
                decimal(*scale, (*precision).saturating_sub_signed(*scale).max(19))
            }
            (Decimal { precision: p, scale: s }, Decimal { precision: q, scale: t }) => decimal(
                (*s).max(*t),
                p.saturating_sub_signed(*s).max(q.saturating_sub_signed(*t)),
            ),
            (List(a), List(b)) => match a.union(b) {
                Kind::Json => Kind::Json,
                item => List(Box::new(item)),
            },
            (Struct(a), Struct(b)) => Struct(union_fields(a, b)),
            _ => Kind::Json,
        }
    }

    /// How many leaf columns the kind takes in a file.
    #[must_use]
    pub fn leaves(&self) -> usize {
        match self {
            Kind::List(item) => item.leaves(),
            Kind::Struct(fields) => fields.iter().map(|field| field.kind.leaves()).sum(),
            _ => 1,
        }
    }

    #[must_use]
    pub fn is_numeric(&self) -> bool {
        matches!(self, Kind::Int64 | Kind::Float64 | Kind::Decimal { .. })
    }
}

impl std::fmt::Display for Kind {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Kind::Null => f.write_str("null"),
            Kind::Bool => f.write_str("bool"),
            Kind::Int64 => f.write_str("int64"),
            Kind::Float64 => f.write_str("double"),
            Kind::Decimal { precision, scale } => write!(f, "decimal({precision},{scale})"),
            Kind::Text => f.write_str("text"),
            Kind::Date => f.write_str("date"),
            Kind::Timestamp => f.write_str("timestamp"),
            Kind::Binary => f.write_str("binary"),
            Kind::Json => f.write_str("json"),
            Kind::List(item) => write!(f, "list<{item}>"),
            Kind::Struct(fields) => {
                f.write_str("struct<")?;
                for (i, field) in fields.iter().enumerate() {
                    if i > 0 {
                        f.write_str(", ")?;
                    }
                    write!(f, "{}: {}", field.name, field.kind)?;
                }
                f.write_str(">")
            }
        }
    }
}

fn decimal(scale: i8, integer_digits: u8) -> Kind {
    let precision = integer_digits.saturating_add_signed(scale);
    if precision > 38 {
        Kind::Json
    } else {
        Kind::Decimal { precision, scale }
    }
}

fn union_fields(a: &[Field], b: &[Field]) -> Vec<Field> {
    let mut all = a.to_vec();
    for field in b {
        match all.iter_mut().find(|known| known.name == field.name) {
            Some(known) => known.kind = known.kind.union(&field.kind),
            None => all.push(field.clone()),
        }
    }
    all
}

/// How often each JSON type was seen under an attribute.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Seen {
    pub null: u64,
    pub bool: u64,
    /// Whole numbers that fit 64 bits.
    pub int: u64,
    /// Of `int`, those beyond ±2⁵³, which a double does not hold exactly.
    pub wide_int: u64,
    /// Numbers with a fraction or an exponent.
    pub float: u64,
    /// Numbers that neither a 64-bit integer nor a double holds exactly.
    pub big: u64,
    pub text: u64,
    pub list: u64,
    pub object: u64,
}

impl Seen {
    /// Present values, null ones included.
    #[must_use]
    pub fn total(&self) -> u64 {
        self.null + self.bool + self.int + self.float + self.big + self.text + self.list + self.object
    }

    /// The counts by the names of the JSON types.
    #[must_use]
    pub fn named(&self) -> [(&'static str, u64); 8] {
        [
            ("null", self.null),
            ("bool", self.bool),
            ("int", self.int),
            ("float", self.float),
            ("big", self.big),
            ("text", self.text),
            ("list", self.list),
            ("object", self.object),
        ]
    }

    #[must_use]
    pub fn plus(&self, other: &Seen) -> Seen {
        let Seen {
            null,
            bool,
            int,
            wide_int,
            float,
            big,
            text,
            list,
            object,
        } = *other;
        Seen {
            null: self.null + null,
            bool: self.bool + bool,
            int: self.int + int,
            wide_int: self.wide_int + wide_int,
            float: self.float + float,
            big: self.big + big,
            text: self.text + text,
            list: self.list + list,
            object: self.object + object,
        }
    }
}

/// The versions that wrote the first and the last value of a JSON type that is there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Span {
    pub first: Version,
    pub last: Version,
}

/// By JSON type, see [`Seen`], the versions that wrote such values under an attribute.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Spans(BTreeMap<String, Span>);

impl Spans {
    /// All that were seen were written by one version.
    fn of(seen: &Seen, version: Version) -> Self {
        let mut spans = Self::default();
        for (name, count) in seen.named() {
            if count > 0 {
                spans.note(name, version);
            }
        }
        spans
    }

    fn note(&mut self, name: &str, version: Version) {
        let span = Span {
            first: version,
            last: version,
        };
        self.unite(name, span);
    }

    fn unite(&mut self, name: &str, span: Span) {
        let known = self.0.entry(name.to_owned()).or_insert(span);
        known.first = known.first.min(span.first);
        known.last = known.last.max(span.last);
    }

    #[must_use]
    pub fn find(&self, name: &str) -> Option<Span> {
        self.0.get(name).copied()
    }

    /// What the JSON texts of records tell, each with the version that wrote it; by attribute.
    #[must_use]
    pub fn of_records<'a>(records: impl IntoIterator<Item = (Version, &'a str)>) -> BTreeMap<String, Spans> {
        let mut all: BTreeMap<String, Spans> = BTreeMap::new();
        for (version, record) in records {
            // What is stored was read before.
            for (name, value) in rules::members(record).unwrap_or_default() {
                let spans = match all.get_mut(name.as_ref()) {
                    Some(spans) => spans,
                    None => all.entry(name.into_owned()).or_default(),
                };
                spans.note(json_type(value.get()), version);
            }
        }
        all
    }
}

/// The name of the type of a JSON text, as [`Seen::named`] has it.
fn json_type(text: &str) -> &'static str {
    match text.as_bytes().first() {
        Some(b'n') => "null",
        Some(b't' | b'f') => "bool",
        Some(b'"') => "text",
        Some(b'[') => "list",
        Some(b'{') => "object",
        _ => match number::read(text) {
            Number::Int(_) => "int",
            Number::Float(_) => "float",
            Number::Whole { .. } | Number::Beyond => "big",
        },
    }
}

/// A top-level attribute of a data set.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Attribute {
    pub name: String,
    pub kind: Kind,
    pub seen: Seen,
}

/// The union over all records of a version, in order of first appearance.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct TableSchema {
    pub attributes: Vec<Attribute>,
    /// By attribute; where there is nothing, all values were written by the version that added the part.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub spans: BTreeMap<String, Spans>,
}

impl TableSchema {
    #[must_use]
    pub fn find(&self, name: &str) -> Option<&Attribute> {
        self.attributes.iter().find(|attribute| attribute.name == name)
    }

    /// The schema that holds the records of both.
    ///
    /// Integers that a double would round keep their digits: such a mix becomes [`Kind::Json`].
    #[must_use]
    pub fn union(&self, other: &TableSchema) -> TableSchema {
        let mut all = self.clone();
        for attribute in &other.attributes {
            match all.attributes.iter_mut().find(|known| known.name == attribute.name) {
                Some(known) => *known = unite(known, attribute),
                None => all.attributes.push(attribute.clone()),
            }
        }
        for (name, spans) in &other.spans {
            let known = all.spans.entry(name.clone()).or_default();
            for (kind, span) in &spans.0 {
                known.unite(kind, *span);
            }
        }
        all
    }
}

impl TableSchema {
    /// The schema of a part that `version` added, with the versions that wrote its values.
    #[must_use]
    pub fn dated(&self, version: Version) -> TableSchema {
        let mut dated = self.clone();
        for attribute in &self.attributes {
            if !dated.spans.contains_key(&attribute.name) {
                let spans = Spans::of(&attribute.seen, version);
                dated.spans.insert(attribute.name.clone(), spans);
            }
        }
        dated
    }
}

fn unite(a: &Attribute, b: &Attribute) -> Attribute {
    let seen = a.seen.plus(&b.seen);
    let rounds = seen.wide_int > 0
        && matches!(
            (&a.kind, &b.kind),
            (Kind::Int64, Kind::Float64) | (Kind::Float64, Kind::Int64)
        );
    let kind = if rounds { Kind::Json } else { a.kind.union(&b.kind) };
    Attribute {
        name: a.name.clone(),
        kind,
        seen,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn list(kind: Kind) -> Kind {
        Kind::List(Box::new(kind))
    }

    fn record(fields: &[(&str, Kind)]) -> Kind {
        Kind::Struct(
            fields
                .iter()
                .map(|(name, kind)| Field {
                    name: (*name).to_owned(),
                    kind: kind.clone(),
                })
                .collect(),
        )
    }

    #[test]
    fn kinds_unite_without_losing_a_value() {
        use Kind::{Bool, Date, Float64, Int64, Json, Null, Text};
        let cases = [
            (Int64, Int64, Int64),
            (Null, Text, Text),
            (Int64, Float64, Float64),
            (Int64, Text, Json),
            (Bool, Int64, Json),
            (Date, Text, Text),
            (list(Int64), list(Float64), list(Float64)),
            (list(Int64), list(Text), Json),
            (list(Int64), Int64, Json),
            (
                record(&[("a", Int64)]),
                record(&[("b", Text)]),
                record(&[("a", Int64), ("b", Text)]),
            ),
            (record(&[("a", Int64)]), record(&[("a", Text)]), record(&[("a", Json)])),
            (
                Kind::Decimal {
                    precision: 20,
                    scale: 0,
                },
                Int64,
                Kind::Decimal {
                    precision: 20,
                    scale: 0,
                },
            ),
            (
                Kind::Decimal {
                    precision: 38,
                    scale: 20,
                },
                Int64,
                Json,
            ),
        ];
        for (a, b, both) in cases {
            assert_eq!(a.union(&b), both, "{a} with {b}");
            assert_eq!(b.union(&a).leaves(), both.leaves(), "{b} with {a}");
        }
    }

    #[test]
    fn wide_integers_are_not_rounded_by_a_double_beside_them() {
        let column = |kind, seen| TableSchema {
            attributes: vec![Attribute {
                name: "n".into(),
                kind,
                seen,
            }],
            spans: BTreeMap::new(),
        };
        let wide = column(
            Kind::Int64,
            Seen {
                int: 1,
                wide_int: 1,
                ..Seen::default()
            },
        );
        let narrow = column(
            Kind::Int64,
            Seen {
                int: 1,
                ..Seen::default()
            },
        );
        let float = column(
            Kind::Float64,
            Seen {
                float: 1,
                ..Seen::default()
            },
        );
        assert_eq!(wide.union(&float).attributes[0].kind, Kind::Json);
        assert_eq!(narrow.union(&float).attributes[0].kind, Kind::Float64);
    }

    #[test]
    fn spans_tell_which_versions_wrote_a_type() {
        let records = [
            (Version(2), r#"{"a":1,"b":null}"#),
            (Version(3), r#"{"a":"x"}"#),
            (Version(5), r#"{"a":7}"#),
        ];
        let spans = Spans::of_records(records);
        let span = |first, last| {
            Some(Span {
                first: Version(first),
                last: Version(last),
            })
        };
        assert_eq!(
            (spans["a"].find("int"), spans["a"].find("text")),
            (span(2, 5), span(3, 3))
        );
        assert_eq!((spans["b"].find("null"), spans["a"].find("null")), (span(2, 2), None));
        let column = |seen| TableSchema {
            attributes: vec![Attribute {
                name: "a".into(),
                kind: Kind::Int64,
                seen,
            }],
            ..TableSchema::default()
        };
        let part = column(Seen {
            int: 3,
            ..Seen::default()
        });
        let hot = TableSchema { spans, ..part.clone() };
        let all = part.dated(Version(1)).union(&hot.dated(Version(9)));
        assert_eq!(all.spans["a"].find("int"), span(1, 5));
    }
}
