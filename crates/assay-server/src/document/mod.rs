//! One record as JSON that keeps every digit and the order of its members.

mod patch;

use std::fmt::Write as _;

use assay_core::{Code, Error, Result};
use serde::de::{Deserializer as _, Error as _, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;

pub(crate) use patch::Patch;

/// As deep as the engine reads.
const MAX_DEPTH: usize = 64;
/// Bytes of a key that is written by itself: more make no address.
const MAX_KEY: usize = 4_096;
/// Attributes of one record.
const MAX_MEMBERS: usize = 10_000;

/// A JSON value. Numbers, strings and words stay the texts they were.
#[derive(Debug, Clone)]
pub(crate) enum Node {
    Object(Vec<(String, Node)>),
    Array(Vec<Node>),
    Scalar(String),
}

impl Node {
    /// # Errors
    /// `InvalidRequest` with line and column.
    pub(crate) fn parse(text: &str) -> Result<Self> {
        node(text, MAX_DEPTH).map_err(|fault| {
            let whole = fault.to_string();
            let what = whole.split(" at line ").next().unwrap_or_default();
            let error = Error::new(Code::InvalidRequest, format!("not valid JSON: {what}"));
            // Deeper values are parsed by themselves, so the place is that in the whole only when the whole fails.
            match serde_json::from_str::<serde::de::IgnoredAny>(text) {
                Err(fault) => error.at(fault.line() as u64, Some(fault.column() as u64)),
                Ok(_) => error,
            }
        })
    }

    fn is_null(&self) -> bool {
        matches!(self, Node::Scalar(text) if text == "null")
    }

    pub(crate) fn string(text: &str) -> Self {
        Node::Scalar(quoted(text))
    }

    /// Writes it without blanks.
    fn write(&self, out: &mut String) {
        match self {
            Node::Scalar(text) => out.push_str(text),
            Node::Array(items) => {
                out.push('[');
                for (at, item) in items.iter().enumerate() {
                    out.push_str(if at > 0 { "," } else { "" });
                    item.write(out);
                }
                out.push(']');
            }
            Node::Object(members) => {
                out.push('{');
                for (at, (name, value)) in members.iter().enumerate() {
                    // Writing to a text cannot fail.
                    let _ = write!(out, "{}{}:", if at > 0 { "," } else { "" }, quoted(name));
                    value.write(out);
                }
                out.push('}');
            }
        }
    }

    pub(crate) fn to_text(&self) -> String {
        let mut text = String::new();
        self.write(&mut text);
        text
    }

    /// Whether both mean the same: members in any order, numbers by value.
    pub(crate) fn means(&self, other: &Node) -> bool {
        match (self, other) {
            (Node::Scalar(a), Node::Scalar(b)) => a == b || means_scalar(a, b),
            (Node::Array(a), Node::Array(b)) => a.len() == b.len() && a.iter().zip(b).all(|(a, b)| a.means(b)),
            (Node::Object(a), Node::Object(b)) => {
                let has = |name: &str, value: &Node| b.iter().any(|(known, other)| known == name && value.means(other));
                a.len() == b.len() && a.iter().all(|(name, value)| has(name, value))
            }
            _ => false,
        }
    }

    /// JSON Merge Patch (RFC 7396): what the patch makes of the value.
    #[must_use]
    pub(crate) fn merged(self, patch: Node) -> Node {
        let Node::Object(changes) = patch else { return patch };
        let mut members = match self {
            Node::Object(members) => members,
            _ => Vec::new(),
        };
        for (name, change) in changes {
            let place = members.iter().position(|(known, _)| *known == name);
            match (place, change.is_null()) {
                (Some(place), true) => drop(members.remove(place)),
                (None, true) => {}
                (Some(place), false) => {
                    let before = std::mem::replace(&mut members[place].1, Node::Array(Vec::new()));
                    members[place].1 = before.merged(change);
                }
                (None, false) => members.push((name, Node::Array(Vec::new()).merged(change))),
            }
        }
        Node::Object(members)
    }
}

fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

/// Strings with other escapes, and numbers with another spelling.
fn means_scalar(a: &str, b: &str) -> bool {
    if let (Ok(a), Ok(b)) = (serde_json::from_str::<String>(a), serde_json::from_str::<String>(b)) {
        return a == b;
    }
    let number = |text: &str| is_number(text).then(|| decimal(text)).flatten();
    number(a).is_some_and(|a| number(b) == Some(a))
}

/// A number as sign, digits without zeros around them, and the power of ten of the last digit.
fn decimal(text: &str) -> Option<(bool, String, i64)> {
    let (mantissa, exponent) = match text.split_once(['e', 'E']) {
        Some((mantissa, exponent)) => (mantissa, exponent.parse::<i64>().ok()?),
        None => (text, 0),
    };
    let (whole, fraction) = mantissa
        .trim_start_matches('-')
        .split_once('.')
        .unwrap_or((mantissa.trim_start_matches('-'), ""));
    let all = format!("{whole}{fraction}");
    let digits = all.trim_start_matches('0');
    let kept = digits.trim_end_matches('0');
    if kept.is_empty() {
        return Some((false, String::new(), 0));
    }
    let cut = i64::try_from(digits.len() - kept.len()).ok()?;
    let power = exponent
        .checked_sub(i64::try_from(fraction.len()).ok()?)?
        .checked_add(cut)?;
    Some((text.starts_with('-'), kept.to_owned(), power))
}

fn node(text: &str, depth: usize) -> serde_json::Result<Node> {
    if depth == 0 {
        return Err(serde_json::Error::custom(format!("nested deeper than {MAX_DEPTH}")));
    }
    let text = text.trim();
    let mut json = serde_json::Deserializer::from_str(text);
    let node = match text.as_bytes().first() {
        Some(b'{') => json.deserialize_map(Members { depth })?,
        Some(b'[') => json.deserialize_seq(Items { depth })?,
        _ => {
            // A value of a type: it finds escapes that stand for nothing.
            serde_json::from_str::<serde_json::Value>(text).or_else(|fault| match is_number(text) {
                true => Ok(serde_json::Value::Null),
                false => Err(fault),
            })?;
            return Ok(Node::Scalar(text.to_owned()));
        }
    };
    json.end()?;
    Ok(node)
}

/// A number that no type of Rust holds is still one.
fn is_number(text: &str) -> bool {
    text.starts_with(|first: char| first == '-' || first.is_ascii_digit())
        && serde_json::from_str::<&RawValue>(text).is_ok()
}

struct Members {
    depth: usize,
}

impl<'de> Visitor<'de> for Members {
    type Value = Node;

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> std::result::Result<Node, A::Error> {
        let mut members: Vec<(String, Node)> = Vec::new();
        let mut names = std::collections::HashSet::new();
        while let Some((name, value)) = map.next_entry::<String, &'de RawValue>()? {
            if !names.insert(name.clone()) {
                return Err(A::Error::custom(format!("member `{name}` comes twice")));
            }
            members.push((name, node(value.get(), self.depth - 1).map_err(A::Error::custom)?));
        }
        Ok(Node::Object(members))
    }
}

struct Items {
    depth: usize,
}

impl<'de> Visitor<'de> for Items {
    type Value = Node;

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("a list")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> std::result::Result<Node, A::Error> {
        let mut items = Vec::new();
        while let Some(item) = seq.next_element::<&'de RawValue>()? {
            items.push(node(item.get(), self.depth - 1).map_err(A::Error::custom)?);
        }
        Ok(Node::Array(items))
    }
}

/// A record: an object that a data set can hold.
#[derive(Debug, Clone)]
pub(crate) struct Document(Node);

impl Document {
    /// # Errors
    /// `InvalidRequest` when it is no object, or one with too many members.
    pub(crate) fn of(node: Node) -> Result<Self> {
        let Node::Object(members) = &node else {
            return Err(
                Error::new(Code::InvalidRequest, "a record is a JSON object").hint("send `{\"name\": value, …}`")
            );
        };
        if members.is_empty() {
            return Err(Error::new(Code::InvalidRequest, "the record is empty").hint("send at least one member"));
        }
        if members.len() > MAX_MEMBERS {
            let message = format!("the record has {} members, more than {MAX_MEMBERS}", members.len());
            return Err(Error::new(Code::TooLarge, message)
                .hint("keep names that vary from record to record as values, e.g. in a list of objects"));
        }
        Ok(Self(node))
    }

    /// The value of the key attribute as text.
    ///
    /// # Errors
    /// `TypeMismatch` when it is neither text nor a whole number.
    pub(crate) fn key(&self, attribute: &str) -> Result<Option<String>> {
        let Node::Object(members) = &self.0 else {
            return Ok(None);
        };
        let Some((_, value)) = members.iter().find(|(name, _)| name == attribute) else {
            return Ok(None);
        };
        let text = match value {
            Node::Scalar(text) => text.as_str(),
            Node::Object(_) | Node::Array(_) => "",
        };
        if let Ok(key) = serde_json::from_str::<String>(text)
            && !key.is_empty()
        {
            return match key.len() {
                0..=MAX_KEY => Ok(Some(key)),
                length => Err(Error::new(
                    Code::TooLarge,
                    format!("the key has {length} bytes, more than {MAX_KEY}"),
                )
                .hint("choose a short attribute as the key")),
            };
        }
        if text != "-0" && !text.is_empty() && text.bytes().all(|byte| byte == b'-' || byte.is_ascii_digit()) {
            return Ok(Some(text.to_owned()));
        }
        let message = format!("the key attribute `{attribute}` must hold text or a whole number");
        Err(Error::new(Code::TypeMismatch, message).pointing(format!("/{}", escaped(attribute))))
    }

    /// Puts the key attribute before the other members.
    pub(crate) fn add_key(&mut self, attribute: &str, value: Node) {
        if let Node::Object(members) = &mut self.0 {
            members.insert(0, (attribute.to_owned(), value));
        }
    }

    pub(crate) fn node(&self) -> &Node {
        &self.0
    }

    pub(crate) fn into_node(self) -> Node {
        self.0
    }
}

/// A name as a token of a JSON pointer.
fn escaped(name: &str) -> String {
    name.replace('~', "~0").replace('/', "~1")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Node {
        Node::parse(text).unwrap()
    }

    #[test]
    fn texts_stay_as_they_were() {
        for text in [
            r#"{"b":1.50,"a":[123456789012345678901234567890,1e400,-0,"\u00e9\n"],"":{"x":null}}"#,
            "[]",
            "{}",
            "\"a b\"",
        ] {
            assert_eq!(parse(text).to_text(), text);
        }
        assert_eq!(parse(" { \"a b\" : [ 1 , { } ] } ").to_text(), r#"{"a b":[1,{}]}"#);
        assert!(parse("1.0").means(&parse("1")) && parse("1e2").means(&parse("100")));
        assert!(parse(r#"{"a":1,"b":"é"}"#).means(&parse(r#"{"b":"\u00e9","a":1.0}"#)));
        assert!(!parse("9007199254740993").means(&parse("9007199254740992.0")));
        assert!(
            !parse("0.1").means(&parse("0.10000000000000000001")) && parse("100000000000000000").means(&parse("1e17"))
        );
        assert!(
            parse("-0.0").means(&parse("0")) && !parse("-1").means(&parse("1")) && parse("1.50e1").means(&parse("15"))
        );
        assert!(!parse("[1,2]").means(&parse("[2,1]")) && !parse("1").means(&parse("\"1\"")));
    }

    #[test]
    fn what_is_no_json_is_refused() {
        for text in [
            "",
            "{",
            "{\"a\":1,}",
            "01",
            "\"\\ud800\"",
            "{\"a\":1}x",
            "{\"a\":1,\"a\":2}",
            "nul",
        ] {
            assert_eq!(Node::parse(text).unwrap_err().code, Code::InvalidRequest, "{text}");
        }
        let fault = Node::parse("{\n \"a\": tru}").unwrap_err();
        assert_eq!(
            (fault.errors[0].line, fault.message.contains("expected")),
            (Some(2), true),
            "{fault:?}"
        );
        let deep = format!("{}1{}", "[".repeat(64), "]".repeat(64));
        assert!(Node::parse(&deep).is_err() && Node::parse(&deep[1..deep.len() - 1]).is_ok());
    }

    /// The examples of RFC 7396, appendix A.
    #[test]
    fn merge_patches_are_those_of_the_rfc() {
        for (target, patch, result) in [
            (r#"{"a":"b"}"#, r#"{"a":"c"}"#, r#"{"a":"c"}"#),
            (r#"{"a":"b"}"#, r#"{"b":"c"}"#, r#"{"a":"b","b":"c"}"#),
            (r#"{"a":"b"}"#, r#"{"a":null}"#, "{}"),
            (r#"{"a":"b","b":"c"}"#, r#"{"a":null}"#, r#"{"b":"c"}"#),
            (r#"{"a":["b"]}"#, r#"{"a":"c"}"#, r#"{"a":"c"}"#),
            (r#"{"a":"c"}"#, r#"{"a":["b"]}"#, r#"{"a":["b"]}"#),
            (
                r#"{"a":{"b":"c"}}"#,
                r#"{"a":{"b":"d","c":null}}"#,
                r#"{"a":{"b":"d"}}"#,
            ),
            (r#"{"a":[{"b":"c"}]}"#, r#"{"a":[1]}"#, r#"{"a":[1]}"#),
            (r#"["a","b"]"#, r#"["c","d"]"#, r#"["c","d"]"#),
            (r#"{"a":"b"}"#, r#"["c"]"#, r#"["c"]"#),
            (r#"{"a":"foo"}"#, "null", "null"),
            (r#"{"a":"foo"}"#, "\"bar\"", "\"bar\""),
            (r#"{"e":null}"#, r#"{"a":1}"#, r#"{"e":null,"a":1}"#),
            ("[1,2]", r#"{"a":"b","c":null}"#, r#"{"a":"b"}"#),
            ("{}", r#"{"a":{"bb":{"ccc":null}}}"#, r#"{"a":{"bb":{}}}"#),
        ] {
            assert_eq!(parse(target).merged(parse(patch)).to_text(), result, "{target} {patch}");
        }
    }

    #[test]
    fn keys_are_text_or_whole_numbers() {
        let key = |text: &str| Document::of(parse(text)).unwrap().key("id").map_err(|error| error.code);
        assert_eq!(key(r#"{"id":"gene:HGNC:5"}"#), Ok(Some("gene:HGNC:5".to_owned())));
        assert_eq!(
            key(r#"{"id":-12345678901234567890}"#),
            Ok(Some("-12345678901234567890".to_owned()))
        );
        assert_eq!(key(r#"{"x":1}"#), Ok(None));
        for text in ["1.0", "true", "null", "[]", "{\"a\":1}", "\"\"", "-0"] {
            assert_eq!(key(&format!("{{\"id\":{text}}}")), Err(Code::TypeMismatch), "{text}");
        }
        assert!(Document::of(parse("[1]")).is_err() && Document::of(parse("{}")).is_err());
    }
}
