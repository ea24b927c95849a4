//! The text of a record as it was written, for where its columns would not give it back.
//!
//! A column tells a value from none, so what is lost is whether a member is null or absent. Everything else that a
//! record can hold is exact in its column: numbers have equal values, lists keep their nulls.

use std::borrow::Cow;

use memchr::memmem::Finder;

use super::columns::Members;

/// Finds members that are null.
pub(super) struct NullMembers(Finder<'static>);

impl NullMembers {
    pub(super) fn new() -> Self {
        Self(Finder::new("null"))
    }

    /// Whether some member of the record `text`, at any depth, is null. Only for text that is JSON.
    pub(super) fn are_in(&self, text: &str) -> bool {
        self.0.find(text.as_bytes()).is_some() && has_null_member(text)
    }
}

fn has_null_member(text: &str) -> bool {
    let mut before = b' ';
    for (byte, _) in outside_of_strings(text.as_bytes()) {
        match byte {
            b'n' if before == b':' => return true,
            b' ' | b'\t' | b'\r' | b'\n' => {}
            _ => before = byte,
        }
    }
    false
}

/// The text without white space around it and between its tokens, so that it fits on a line.
pub(super) fn compact(text: &str) -> Cow<'_, str> {
    let is_blank = |byte: &u8| matches!(byte, b' ' | b'\t' | b'\r' | b'\n');
    let text = text.trim_matches([' ', '\t', '\r', '\n']);
    let mut blanks = outside_of_strings(text.as_bytes()).filter(|(byte, _)| is_blank(byte));
    if blanks.next().is_none() {
        return Cow::Borrowed(text);
    }
    let mut compact = String::with_capacity(text.len());
    let mut start = 0;
    for (byte, at) in outside_of_strings(text.as_bytes()) {
        if is_blank(&byte) {
            compact.push_str(&text[start..at]);
            start = at + 1;
        }
    }
    compact.push_str(&text[start..]);
    Cow::Owned(compact)
}

/// Whether the object `text` has a member `name` itself.
pub(super) fn has_member(text: &str, name: &str) -> bool {
    let mut members = Members::default();
    members.add(0, text).is_ok() && members.columns.iter().any(|column| column.name == name)
}

/// The object `text`, which is compact, with one more member whose value is the JSON text `value`.
pub(super) fn with_member(text: &str, name: &str, value: &str) -> String {
    let members = text.strip_suffix('}').unwrap_or(text);
    let comma = if members.ends_with('{') { "" } else { "," };
    let name = serde_json::Value::from(name);
    format!("{members}{comma}{name}:{value}}}")
}

/// The bytes of JSON text that belong to no string, with their places.
fn outside_of_strings(text: &[u8]) -> impl Iterator<Item = (u8, usize)> + '_ {
    let (mut in_string, mut escaped) = (false, false);
    text.iter().enumerate().filter_map(move |(at, byte)| {
        if in_string {
            match byte {
                _ if escaped => escaped = false,
                b'\\' => escaped = true,
                b'"' => in_string = false,
                _ => {}
            }
            return None;
        }
        in_string = *byte == b'"';
        Some((*byte, at))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn members_that_are_null_are_found_wherever_they_are() {
        for text in [
            r#"{"a":null}"#,
            r#"{"a" : null , "b":1}"#,
            "{\"a\":[{\"b\":{\"c\":\n null}}]}",
            r#"{"null":"null","\"":null}"#,
        ] {
            assert!(has_null_member(text), "{text}");
        }
        for text in [
            "{}",
            r#"{"a":[null]}"#,
            r#"{"a":": null","b\":null":1}"#,
            r#"{"a":[1,null,[null]],"null":true}"#,
        ] {
            assert!(!has_null_member(text), "{text}");
        }
    }

    #[test]
    fn white_space_goes_only_between_tokens() {
        assert_eq!(
            compact(" {\"a b\" :\t[ 1,\r\n\" \\\" \" ] } \r"),
            "{\"a b\":[1,\" \\\" \"]}"
        );
        assert!(matches!(compact("{\"a\":\" \"}"), Cow::Borrowed(_)));
    }

    #[test]
    fn a_member_is_added_to_any_object() {
        assert_eq!(with_member("{}", "k\"", "1"), r#"{"k\"":1}"#);
        assert_eq!(with_member(r#"{"a":{}}"#, "k", "\"x\""), r#"{"a":{},"k":"x"}"#);
    }
}
