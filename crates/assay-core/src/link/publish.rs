//! From records to keys: each record is one key, `<object_type>:<object_id>`.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{KeyWrite, RedisAddress, WrittenValue};
use crate::{Result, rules};

/// The analysis name of jobs that write records as keys. No analysis of a user may take it.
pub const PUBLISH: &str = "publish";

/// How a record is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum KeyForm {
    /// A hash with a field for each attribute: text as it is, all else as in JSON; nulls are left out.
    #[default]
    Hash,
    /// A string: the record as one JSON object.
    Json,
}

/// The parameters of a job that writes the records of its input as keys.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PublishParams {
    pub to: RedisAddress,
    #[serde(default)]
    pub form: KeyForm,
    /// The object type: keys are `<prefix>:<id>`.
    pub prefix: String,
    /// Whether ids that have a colon are whole keys already.
    pub keeps_whole_keys: bool,
    /// The attribute that holds the id of a record.
    pub key: String,
}

impl PublishParams {
    /// The key of a record, given as JSON; why there is none when it is left out.
    ///
    /// # Errors
    /// `InvalidJson`: the record is none.
    pub fn write(&self, record: &str) -> Result<std::result::Result<KeyWrite, &'static str>> {
        let members = rules::members(record)?;
        let id = members.iter().find(|(name, _)| *name == self.key);
        let id = match id.map(|(_, value)| text(value.get())) {
            Some(Some(id)) if !id.is_empty() => id,
            _ => return Ok(Err("it has no id")),
        };
        let name = self.name(&id);
        let value = match self.form {
            KeyForm::Json => WrittenValue::String(record.to_owned()),
            KeyForm::Hash => {
                let field = |(name, value): &(std::borrow::Cow<'_, str>, &serde_json::value::RawValue)| {
                    Some((name.to_string(), text(value.get())?))
                };
                let fields: Vec<_> = members.iter().filter_map(field).collect();
                WrittenValue::Hash(fields)
            }
        };
        Ok(Ok(KeyWrite { name, value }))
    }

    fn name(&self, id: &str) -> String {
        let is_whole = id
            .strip_prefix(self.prefix.as_str())
            .is_some_and(|rest| rest.starts_with(':'))
            || (self.keeps_whole_keys && id.contains(':'));
        match is_whole {
            true => id.to_owned(),
            false => format!("{}:{id}", self.prefix),
        }
    }
}

/// A JSON value as the text of a field; none for null.
fn text(json: &str) -> Option<String> {
    match json.as_bytes().first() {
        Some(b'"') => match serde_json::from_str(json) {
            Ok(Value::String(text)) => Some(text),
            _ => None,
        },
        _ if json == "null" => None,
        _ => Some(json.to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn params(form: KeyForm, prefix: &str, keeps_whole_keys: bool) -> PublishParams {
        PublishParams {
            to: "redis://h/1".parse().unwrap(),
            form,
            prefix: prefix.into(),
            keeps_whole_keys,
            key: "id".into(),
        }
    }

    #[test]
    fn keys_are_an_object_type_and_an_id() {
        let name = |prefix: &str, keeps: bool, id: &str| {
            let record = format!("{{\"id\":{id}}}");
            let write = params(KeyForm::Json, prefix, keeps).write(&record).unwrap();
            write.map(|write| write.name)
        };
        assert_eq!(name("gene", false, "\"HGNC:5\""), Ok("gene:HGNC:5".to_owned()));
        assert_eq!(name("gene", false, "\"gene:HGNC:5\""), Ok("gene:HGNC:5".to_owned()));
        assert_eq!(name("genes", true, "\"HGNC:5\""), Ok("HGNC:5".to_owned()));
        assert_eq!(name("genes", true, "7"), Ok("genes:7".to_owned()));
        for none in ["null", "\"\""] {
            assert_eq!(name("genes", true, none), Err("it has no id"));
        }
    }

    #[test]
    fn fields_are_text_and_nulls_are_left_out() {
        let record = r#"{"id":1,"t":"a\nb","x":1.50,"b":true,"n":null,"l":["a",1],"o":{"k":"v"}}"#;
        let hash = params(KeyForm::Hash, "p", true).write(record).unwrap().unwrap();
        let fields = [
            ("id", "1"),
            ("t", "a\nb"),
            ("x", "1.50"),
            ("b", "true"),
            ("l", r#"["a",1]"#),
            ("o", r#"{"k":"v"}"#),
        ];
        let fields = fields.map(|(name, value)| (name.to_owned(), value.to_owned()));
        assert_eq!(hash.value, WrittenValue::Hash(fields.to_vec()));
        let json = params(KeyForm::Json, "p", true).write(record).unwrap().unwrap();
        assert_eq!(json.value, WrittenValue::String(record.to_owned()));
    }
}
