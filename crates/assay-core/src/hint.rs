//! Kinds that a user names for columns: `zip:text,when:timestamp[%d/%m/%Y]`.

use jiff::civil::DateTime;
use jiff::fmt::strtime::BrokenDownTime;
use jiff::tz::TimeZone;
use serde::{Deserialize, Serialize};

use crate::{Code, Error, Kind, Result, names};

/// The kind that a column is to have.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TypeHint {
    Text,
    Int64,
    Double,
    Bool,
    /// Digits in all, and behind the point.
    Decimal {
        precision: u8,
        scale: i8,
    },
    Json,
    /// `None`: as dates are found without being told.
    Date(Option<String>),
    Timestamp(Option<String>),
}

impl TypeHint {
    const NAMES: [&str; 8] = [
        "text",
        "int64",
        "double",
        "bool",
        "decimal",
        "json",
        "date",
        "timestamp",
    ];

    #[must_use]
    pub fn kind(&self) -> Kind {
        match self {
            TypeHint::Text => Kind::Text,
            TypeHint::Int64 => Kind::Int64,
            TypeHint::Double => Kind::Float64,
            TypeHint::Bool => Kind::Bool,
            TypeHint::Decimal { precision, scale } => Kind::Decimal {
                precision: *precision,
                scale: *scale,
            },
            TypeHint::Json => Kind::Json,
            TypeHint::Date(_) => Kind::Date,
            TypeHint::Timestamp(_) => Kind::Timestamp,
        }
    }
}

impl std::fmt::Display for TypeHint {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            TypeHint::Date(Some(format)) => write!(f, "date[{format}]"),
            TypeHint::Timestamp(Some(format)) => write!(f, "timestamp[{format}]"),
            other => write!(f, "{}", other.kind()),
        }
    }
}

impl std::str::FromStr for TypeHint {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        if let Some(digits) = text.strip_prefix("decimal(").and_then(|rest| rest.strip_suffix(')')) {
            return decimal(text, digits);
        }
        let (name, format) = match text.split_once('[') {
            Some((name, rest)) => {
                let format = rest.strip_suffix(']').ok_or_else(|| unreadable(text))?;
                (name, Some(format))
            }
            None => (text, None),
        };
        Ok(match (name, format) {
            ("text", None) => TypeHint::Text,
            ("int64", None) => TypeHint::Int64,
            ("double", None) => TypeHint::Double,
            ("bool", None) => TypeHint::Bool,
            ("json", None) => TypeHint::Json,
            ("decimal", None) => return decimal(text, ""),
            ("date", format) => TypeHint::Date(format.map(checked).transpose()?),
            ("timestamp", format) => TypeHint::Timestamp(format.map(checked).transpose()?),
            (name, Some(_)) if Self::NAMES.contains(&name) => {
                return Err(invalid(format!("the type `{name}` has no format"))
                    .hint("formats are for `date[…]` and `timestamp[…]`"));
            }
            (name, _) => {
                return Err(invalid(format!("the type `{name}` is not known")).hint(names::suggest(name, Self::NAMES)));
            }
        })
    }
}

/// Reads `NAME:TYPE,…`. A name with a comma, a colon or a quote stands in double quotes, quotes in it twice.
///
/// # Errors
/// `InvalidParameter`.
pub(crate) fn parse(text: &str) -> Result<Vec<(String, TypeHint)>> {
    let mut hints: Vec<(String, TypeHint)> = Vec::new();
    for piece in pieces(text) {
        let (name, kind) = named(piece).ok_or_else(|| unreadable(piece))?;
        if hints.iter().any(|(known, _)| *known == name) {
            return Err(invalid(format!("`types` names the column `{name}` twice")).hint("name it once"));
        }
        hints.push((name, kind.parse()?));
    }
    Ok(hints)
}

/// `decimal(10,2)`: at most 38 digits in all, of which some may stand behind the point.
fn decimal(text: &str, digits: &str) -> Result<TypeHint> {
    let numbers = digits.split_once(',').and_then(|(precision, scale)| {
        let (precision, scale): (u8, i8) = (precision.trim().parse().ok()?, scale.trim().parse().ok()?);
        let is_sound = (1..=38).contains(&precision) && (0..=38).contains(&scale) && scale.unsigned_abs() <= precision;
        is_sound.then_some(TypeHint::Decimal { precision, scale })
    });
    numbers.ok_or_else(|| {
        invalid(format!("the type `{text}` is not understood"))
            .hint("write `decimal(10,2)`: at most 38 digits in all, and how many of them behind the point")
    })
}

fn invalid(message: String) -> Error {
    Error::new(Code::InvalidParameter, message)
}

fn unreadable(piece: &str) -> Error {
    invalid(format!("`types` has `{piece}`, which is not of the form NAME:TYPE"))
        .hint("e.g. `zip:text,when:timestamp[%d/%m/%Y],n:int64`")
}

/// What lies between the commas that are neither in brackets nor in quotes.
fn pieces(text: &str) -> Vec<&str> {
    let (mut pieces, mut begin) = (Vec::new(), 0);
    let (mut in_quotes, mut in_brackets) = (false, false);
    for (at, byte) in text.bytes().enumerate() {
        match byte {
            b'"' if !in_brackets => in_quotes = !in_quotes,
            b'[' if !in_quotes => in_brackets = true,
            b'(' if !in_quotes && text[..at].ends_with("decimal") => in_brackets = true,
            b']' | b')' if !in_quotes => in_brackets = false,
            b',' if !in_quotes && !in_brackets => {
                pieces.push(&text[begin..at]);
                begin = at + 1;
            }
            _ => {}
        }
    }
    pieces.push(&text[begin..]);
    pieces
}

fn named(piece: &str) -> Option<(String, &str)> {
    let bracket = piece.find('[').unwrap_or(piece.len());
    // A name in quotes may hold a bracket, so the colon behind the last quote before it counts.
    let (name, kind) = match piece.strip_prefix('"') {
        Some(_) => piece.rfind("\":").map(|at| (&piece[..=at], &piece[at + 2..]))?,
        None => piece[..bracket].rfind(':').map(|at| (&piece[..at], &piece[at + 1..]))?,
    };
    let name = match name.strip_prefix('"') {
        Some(inner) => inner.strip_suffix('"')?.replace("\"\"", "\""),
        None => name.to_owned(),
    };
    (!name.is_empty()).then_some((name, kind))
}

/// A format that a date can be written in and read from again.
fn checked(format: &str) -> Result<String> {
    let fault = |what: String| {
        invalid(format!("the format `{format}` cannot be used: {what}"))
            .hint("e.g. `%d.%m.%Y`, `%m/%d/%Y %H:%M:%S`; `%Y` is the year, `%m` the month, `%d` the day")
    };
    let sample = DateTime::constant(2024, 2, 29, 13, 45, 59, 0);
    let sample = sample
        .to_zoned(TimeZone::UTC)
        .map_err(|_| Error::internal("checking a format"))?;
    let written = BrokenDownTime::from(&sample)
        .to_string(format)
        .map_err(|error| fault(error.to_string()))?;
    let read = BrokenDownTime::parse(format, written).map_err(|error| fault(error.to_string()))?;
    match read.to_date() {
        Ok(date) if date == sample.date() => Ok(format.to_owned()),
        _ => Err(fault("it does not tell year, month and day".to_owned())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hints_name_columns_and_their_kinds() {
        let hints = parse(
            "zip:text,m:decimal(10,2),when:timestamp[%d/%m/%Y, %H:%M],n:int64,a:b:double,\"x,\"\"y:z\":date[%d.%m.%Y]",
        )
        .unwrap();
        let expected = [
            ("zip", TypeHint::Text),
            (
                "m",
                TypeHint::Decimal {
                    precision: 10,
                    scale: 2,
                },
            ),
            ("when", TypeHint::Timestamp(Some("%d/%m/%Y, %H:%M".to_owned()))),
            ("n", TypeHint::Int64),
            ("a:b", TypeHint::Double),
            ("x,\"y:z", TypeHint::Date(Some("%d.%m.%Y".to_owned()))),
        ];
        assert_eq!(hints, expected.map(|(name, hint)| (name.to_owned(), hint)));
    }

    #[test]
    fn hints_that_mean_nothing_are_refused() {
        let cases = [
            ("zip", "not of the form"),
            (":text", "not of the form"),
            ("a:int", "`int` is not known"),
            ("a:text[%Y]", "has no format"),
            ("a:decimal", "not understood"),
            ("a:decimal(2,3)", "not understood"),
            ("a:date[%H:%M]", "does not tell year, month and day"),
            ("a:date[%Q%d]", "cannot be used"),
            ("a:date[%d", "not of the form"),
            ("a:text,a:json", "twice"),
        ];
        for (text, words) in cases {
            let error = parse(text).unwrap_err();
            assert!(error.message.contains(words), "{text}: {error}");
            assert!(error.hint.is_some(), "{text}");
        }
    }
}
