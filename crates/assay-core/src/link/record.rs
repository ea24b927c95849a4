//! From keys to records: each key is one record, in JSON.
//!
//! A record has the members `key` and `type`, `expires_at` when the key expires, and then what the key holds: the members
//! of a JSON document, the fields of a hash, or all else as `value`.

use std::borrow::Cow;

use serde_json::value::RawValue;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use super::line::{EXPIRES_AT, Line};
use super::typing::Typing;
use super::{FoundKey, KeySource, KeyValue};
use crate::{TypeHint, rules};

/// So many keys that were left out are told by name.
const LEFT_OUT_SHOWN: usize = 50;

const VALUE: &str = "value";
/// So many characters of the name of a key are shown.
const NAME_SHOWN: usize = 200;
/// Members of one record. A data set has no room for very many different ones, and one odd key should not keep the others
/// out.
const MAX_MEMBERS: usize = 100_000;
/// Integers up to here are written without a fraction.
const WHOLE: f64 = 9_007_199_254_740_992.0;

/// Makes records of the keys of one scan, and remembers what is told of them together.
#[derive(Debug, Default)]
pub struct Records {
    typing: Typing,
    digest: [u8; 32],
    counts: Counts,
    left_out: Vec<(String, String)>,
}

/// Keys by what became of them.
#[derive(Debug, Default, Clone, Copy)]
struct Counts {
    strings: u64,
    hashes: u64,
    lists: u64,
    sets: u64,
    sorted_sets: u64,
    left_out: u64,
    renamed: u64,
}

impl Records {
    /// The record of `found`, one JSON object on one line; none when it is left out, which is counted and told.
    pub fn make(&mut self, found: FoundKey) -> Option<String> {
        let FoundKey {
            name,
            expires_at,
            value,
        } = found;
        let Ok(name) = String::from_utf8(name) else {
            return self.leave_out("(not UTF-8)", "the name of the key is not UTF-8");
        };
        let mut line = match &value {
            KeyValue::String(_) => Line::new(&name, "string"),
            KeyValue::Hash(_) => Line::new(&name, "hash"),
            KeyValue::List(_) => Line::new(&name, "list"),
            KeyValue::Set(_) => Line::new(&name, "set"),
            KeyValue::SortedSet(_) => Line::new(&name, "zset"),
            KeyValue::LeftOut(reason) => return self.leave_out(&name, reason),
        };
        if let Some(at) = expires_at {
            line.push(EXPIRES_AT, &format!("\"{at}\""));
        }
        if let Err(reason) = self.put_value(&mut line, value) {
            return self.leave_out(&name, reason);
        }
        self.counts.renamed += u64::from(line.has_renamed);
        let text = line.finish();
        for (all, one) in self.digest.iter_mut().zip(Sha256::digest(text.as_bytes())) {
            *all ^= one;
        }
        Some(text)
    }

    fn put_value(&mut self, line: &mut Line, value: KeyValue) -> Result<(), &'static str> {
        match value {
            KeyValue::String(bytes) => {
                self.put_string(line, &bytes)?;
                self.counts.strings += 1;
            }
            KeyValue::Hash(fields) => {
                self.put_fields(line, &fields)?;
                self.counts.hashes += 1;
            }
            KeyValue::List(elements) => {
                let list = line.list(&elements);
                self.put_json(line, &list);
                self.counts.lists += 1;
            }
            KeyValue::Set(mut members) => {
                members.sort_unstable();
                let list = line.list(&members);
                self.put_json(line, &list);
                self.counts.sets += 1;
            }
            KeyValue::SortedSet(members) => {
                let scored = members
                    .iter()
                    .map(|(member, score)| json!({"member": line.decode(member), "score": number(*score)}));
                let list = Value::Array(scored.collect()).to_string();
                self.put_json(line, &list);
                self.counts.sorted_sets += 1;
            }
            KeyValue::LeftOut(_) => {}
        }
        Ok(())
    }

    /// What is no JSON document or list is text.
    fn put_string(&mut self, line: &mut Line, bytes: &[u8]) -> Result<(), &'static str> {
        let text = line.decode(bytes);
        match text.trim_start().as_bytes().first() {
            Some(b'{') => {
                if let Ok(members) = rules::members(&text) {
                    refuse_very_many(members.len())?;
                    for (name, value) in members {
                        let value = in_one_line(value.get());
                        let name = line.push_member(&name, &value);
                        self.typing.see_json(&name, &value);
                    }
                    return Ok(());
                }
            }
            Some(b'[') => {
                if let Ok(list) = serde_json::from_str::<&RawValue>(&text) {
                    self.put_json(line, &in_one_line(list.get()));
                    return Ok(());
                }
            }
            _ => {}
        }
        line.push(VALUE, &Value::from(&*text).to_string());
        self.typing.see_text(VALUE, &text);
        Ok(())
    }

    fn put_json(&mut self, line: &mut Line, json: &str) {
        line.push(VALUE, json);
        self.typing.see_json(VALUE, json);
    }

    fn put_fields(&mut self, line: &mut Line, fields: &[(Vec<u8>, Vec<u8>)]) -> Result<(), &'static str> {
        refuse_very_many(fields.len())?;
        for (name, value) in fields {
            let name = str::from_utf8(name).map_err(|_| "the name of a field is not UTF-8")?;
            let value = line.decode(value);
            let name = line.push_member(name, &Value::from(&*value).to_string());
            self.typing.see_text(&name, &value);
        }
        Ok(())
    }

    fn leave_out(&mut self, name: &str, reason: &str) -> Option<String> {
        self.counts.left_out += 1;
        if self.left_out.len() < LEFT_OUT_SHOWN {
            let name = name.chars().take(NAME_SHOWN).collect();
            self.left_out.push((name, reason.to_owned()));
        }
        None
    }

    /// The types that are to be read out of texts: those that `source` names, and those that all texts of a column have.
    #[must_use]
    pub fn types(&self, source: &KeySource) -> Vec<(String, TypeHint)> {
        self.typing.hints(&source.types)
    }

    /// Stands for all records together, in any order, and for how `source` has them read.
    #[must_use]
    pub fn digest(&self, source: &KeySource) -> String {
        let mut digest = Sha256::new();
        digest.update(self.digest);
        for (name, hint) in self.types(source) {
            digest.update(format!("{name}\n{hint}\n"));
        }
        digest.finalize().iter().map(|byte| format!("{byte:02x}")).collect()
    }

    /// How many records were made.
    #[must_use]
    pub fn count(&self) -> u64 {
        let Counts {
            strings,
            hashes,
            lists,
            sets,
            sorted_sets,
            left_out: _,
            renamed: _,
        } = self.counts;
        strings + hashes + lists + sets + sorted_sets
    }

    /// What is told of the keys: how many of each type, and which were left out and why.
    #[must_use]
    pub fn report(&self) -> Value {
        let Counts {
            strings,
            hashes,
            lists,
            sets,
            sorted_sets,
            left_out,
            renamed,
        } = self.counts;
        let shown = |(key, reason): &(String, String)| json!({"key": key, "reason": reason});
        let reasons: Vec<Value> = self.left_out.iter().map(shown).collect();
        json!({
            "strings": strings, "hashes": hashes, "lists": lists, "sets": sets, "sorted_sets": sorted_sets,
            "left_out": left_out, "reasons": reasons, "renamed": renamed,
        })
    }
}

fn refuse_very_many(members: usize) -> Result<(), &'static str> {
    match members > MAX_MEMBERS {
        true => Err("it has more than 100,000 members"),
        false => Ok(()),
    }
}

/// JSON without its line breaks, which stand only between its signs.
fn in_one_line(json: &str) -> Cow<'_, str> {
    match json.contains(['\n', '\r']) {
        true => Cow::Owned(json.replace(['\n', '\r'], " ")),
        false => Cow::Borrowed(json),
    }
}

/// A score; what JSON has no number for is text.
fn number(score: f64) -> Value {
    if !score.is_finite() {
        let sign = if score > 0.0 { "inf" } else { "-inf" };
        return sign.into();
    }
    #[expect(clippy::cast_possible_truncation, reason = "whole numbers of this size are exact")]
    match score.fract() == 0.0 && score.abs() < WHOLE {
        true => (score as i64).into(),
        false => score.into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Timestamp;

    fn bytes(texts: &[&str]) -> Vec<Vec<u8>> {
        texts.iter().map(|text| text.as_bytes().to_vec()).collect()
    }

    fn hash(fields: &[(&str, &str)]) -> KeyValue {
        let field = |(name, value): &(&str, &str)| (name.as_bytes().to_vec(), value.as_bytes().to_vec());
        KeyValue::Hash(fields.iter().map(field).collect())
    }

    fn record(value: KeyValue) -> String {
        make(&mut Records::default(), "a:1", value).unwrap()
    }

    fn make(records: &mut Records, name: &str, value: KeyValue) -> Option<String> {
        records.make(FoundKey {
            name: name.as_bytes().to_vec(),
            expires_at: None,
            value,
        })
    }

    #[test]
    fn each_type_has_its_form() {
        let string = |text: &str| KeyValue::String(text.as_bytes().to_vec());
        let sorted = vec![
            (b"x".to_vec(), 3.0),
            (b"y".to_vec(), 1.5),
            (b"z".to_vec(), f64::INFINITY),
        ];
        for (value, expected) in [
            (
                string("{\"n\": 1.50,\n \"b\": [1,\n2]}"),
                r#"{"key":"a:1","type":"string","n":1.50,"b":[1, 2]}"#,
            ),
            (string("[1, 2]"), r#"{"key":"a:1","type":"string","value":[1, 2]}"#),
            (string("{broken"), r#"{"key":"a:1","type":"string","value":"{broken"}"#),
            (string("5"), r#"{"key":"a:1","type":"string","value":"5"}"#),
            (
                KeyValue::String(vec![0xff, 0]),
                r#"{"key":"a:1","type":"string","value":"/wA=","encoding":"base64"}"#,
            ),
            (
                hash(&[("n", "5"), ("s", "\"q\"")]),
                r#"{"key":"a:1","type":"hash","n":"5","s":"\"q\""}"#,
            ),
            (
                KeyValue::List(bytes(&["b", "a"])),
                r#"{"key":"a:1","type":"list","value":["b","a"]}"#,
            ),
            (
                KeyValue::Set(bytes(&["b", "a"])),
                r#"{"key":"a:1","type":"set","value":["a","b"]}"#,
            ),
            (
                KeyValue::SortedSet(sorted),
                r#"{"key":"a:1","type":"zset","value":[{"member":"x","score":3},{"member":"y","score":1.5},{"member":"z","score":"inf"}]}"#,
            ),
        ] {
            assert_eq!(record(value), expected);
        }
    }

    #[test]
    fn members_that_are_called_like_those_of_every_record_are_renamed() {
        assert_eq!(
            record(hash(&[("key", "1"), ("key_", "2"), ("type", "3"), ("keys", "4")])),
            r#"{"key":"a:1","type":"hash","key_":"1","key__":"2","type_":"3","keys":"4"}"#
        );
    }

    #[test]
    fn a_member_that_comes_very_often_is_called_the_same_each_time() {
        let document = vec!["\"key\":1"; 100_000].join(",");
        let text = record(KeyValue::String(format!("{{{document}}}").into_bytes()));
        assert_eq!(text.matches(r#","key_":1"#).count(), 100_000);
    }

    #[test]
    fn keys_that_expire_say_when() {
        let found = FoundKey {
            name: b"a".to_vec(),
            expires_at: Some(Timestamp(1_740_571_200_000)),
            value: KeyValue::String(Vec::new()),
        };
        assert_eq!(
            Records::default().make(found).unwrap(),
            r#"{"key":"a","type":"string","expires_at":"2025-02-26T12:00:00.000Z","value":""}"#
        );
    }

    #[test]
    fn what_is_left_out_is_told() {
        let mut records = Records::default();
        assert_eq!(
            make(&mut records, "s", KeyValue::LeftOut("it is a stream".into())),
            None
        );
        let odd = KeyValue::Hash(vec![(vec![0xff], Vec::new())]);
        assert_eq!(make(&mut records, "h", odd), None);
        assert!(make(&mut records, "l", KeyValue::List(Vec::new())).is_some());
        let report = records.report();
        assert_eq!((&report["left_out"], &report["lists"]), (&json!(2), &json!(1)));
        assert_eq!(report["reasons"][0], json!({"key": "s", "reason": "it is a stream"}));
        assert_eq!(records.count(), 1);
    }

    #[test]
    fn a_key_with_very_many_members_is_left_out() {
        let fields: Vec<_> = (0..=MAX_MEMBERS)
            .map(|n| (n.to_string().into_bytes(), Vec::new()))
            .collect();
        let members: Vec<String> = (0..=MAX_MEMBERS).map(|n| format!("\"{n}\":1")).collect();
        let document = format!("{{{}}}", members.join(",")).into_bytes();
        for value in [KeyValue::Hash(fields), KeyValue::String(document)] {
            let mut records = Records::default();
            assert_eq!(make(&mut records, "a:1", value), None);
            let report = records.report();
            assert_eq!(report["reasons"][0]["reason"], "it has more than 100,000 members");
            assert_eq!(records.count(), 0);
        }
    }

    #[test]
    fn the_digest_stands_for_the_records_and_not_for_their_order() {
        let source = KeySource {
            redis: "redis://h".parse().unwrap(),
            pattern: "*".into(),
            types: Vec::new(),
            rate: None,
            refresh_ms: None,
        };
        let digest = |names: &[&str]| {
            let mut records = Records::default();
            for name in names {
                make(&mut records, name, KeyValue::List(Vec::new()));
            }
            records.digest(&source)
        };
        assert_eq!(digest(&["a", "b"]), digest(&["b", "a"]));
        assert_ne!(digest(&["a", "b"]), digest(&["a", "c"]));
    }
}
