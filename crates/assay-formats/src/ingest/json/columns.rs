//! Records taken apart into one sparse column of value texts per member.
//!
//! Texts stay as they are in the file; nothing is decoded here but member names.

use std::borrow::Cow;
use std::collections::HashMap;

use serde::de::{Deserializer, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, de::DeserializeSeed};
use serde_json::value::RawValue;

use super::quick::{self, Sink};

/// The values of one member over many objects, or of the items of many lists.
#[derive(Debug, Default)]
pub(in crate::ingest) struct Column<'a> {
    pub(in crate::ingest) name: Cow<'a, str>,
    /// The object each value belongs to, rising.
    pub(in crate::ingest) rows: Vec<u32>,
    /// The JSON text of each value.
    pub(in crate::ingest) texts: Vec<&'a str>,
    /// No value that is a string has escapes, for certain.
    pub(in crate::ingest) is_plain: bool,
}

/// The members of many objects, in order of first appearance.
#[derive(Debug, Default)]
pub(in crate::ingest) struct Members<'a> {
    pub(in crate::ingest) columns: Vec<Column<'a>>,
    by_name: HashMap<Cow<'a, str>, usize>,
    /// So many objects are expected.
    objects: usize,
    /// Members that came twice in one object: the later one holds.
    pub(super) duplicates: Vec<String>,
    /// Some member may be null, at any depth.
    pub(super) has_nulls: bool,
}

/// So many columns get room for a value of every object when they come up.
const SIZED_COLUMNS: usize = 64;
/// So many places behind the expected one are looked at before a name is looked up.
const NEAR: usize = 4;

impl<'a> Members<'a> {
    /// Of about so many objects.
    pub(super) fn sized(objects: usize) -> Self {
        Self {
            objects,
            ..Self::default()
        }
    }

    /// Takes the object `text` apart as number `row`.
    ///
    /// # Errors
    /// What is not valid JSON, with its place in `text`; a value that is no object.
    pub(super) fn add(&mut self, row: u32, text: &'a str) -> serde_json::Result<()> {
        match quick::add(self, row, text) {
            true => Ok(()),
            false => self.parse(row, text),
        }
    }

    /// As [`Self::add`], by a parser.
    pub(super) fn parse(&mut self, row: u32, text: &'a str) -> serde_json::Result<()> {
        self.has_nulls = true;
        let mut json = serde_json::Deserializer::from_str(text);
        ObjectSeed { members: self, row }.deserialize(&mut json)?;
        json.end()
    }

    /// Adds a member that is not in the object's text. One of the same name in it holds.
    pub(super) fn add_extra(&mut self, row: u32, name: &str, text: &'a str) {
        if let Some(at) = self.by_name.get(name)
            && self.columns[*at].rows.last() == Some(&row)
        {
            return;
        }
        self.push(row, Cow::Owned(name.to_owned()), text, 0);
    }

    /// `expected` is where a member of this name was in the object before. Gives where it was now.
    fn push(&mut self, row: u32, name: Cow<'a, str>, text: &'a str, expected: usize) -> usize {
        let near = self.columns.iter().skip(expected).take(NEAR);
        let at = match near.enumerate().find(|(_, column)| column.name == name) {
            Some((ahead, _)) => expected + ahead,
            None => match self.by_name.get(&name) {
                Some(at) => *at,
                None => self.begin(name),
            },
        };
        let column = &mut self.columns[at];
        column.is_plain = false;
        if column.rows.last() == Some(&row) {
            if let Some(last) = column.texts.last_mut() {
                *last = text;
            }
            if self.duplicates.len() < 3 && !self.duplicates.iter().any(|known| *known == column.name) {
                self.duplicates.push(column.name.clone().into_owned());
            }
        } else {
            column.rows.push(row);
            column.texts.push(text);
        }
        at
    }

    /// Takes back what was added of the object `row`, which is the last, but for names that came up.
    pub(super) fn take_back(&mut self, row: u32) {
        for column in self
            .columns
            .iter_mut()
            .filter(|column| column.rows.last() == Some(&row))
        {
            column.rows.pop();
            column.texts.pop();
        }
    }

    fn begin(&mut self, name: Cow<'a, str>) -> usize {
        let at = self.columns.len();
        let room = if at < SIZED_COLUMNS { self.objects } else { 0 };
        self.by_name.insert(name.clone(), at);
        self.columns.push(Column {
            name,
            rows: Vec::with_capacity(room),
            texts: Vec::with_capacity(room),
            is_plain: true,
        });
        at
    }
}

impl<'a> Sink<'a> for Members<'a> {
    fn plain_name(&self, at: usize) -> Option<&str> {
        match self.columns.get(at)?.name {
            // It was taken from a text.
            Cow::Borrowed(name) => Some(name),
            Cow::Owned(_) => None,
        }
    }

    fn push_at(&mut self, row: u32, at: usize, text: &'a str, has_escapes: bool) -> Option<usize> {
        let column = self.columns.get_mut(at)?;
        // The later of two holds, and is warned of.
        if column.rows.last() == Some(&row) {
            return None;
        }
        column.rows.push(row);
        column.texts.push(text);
        column.is_plain &= !has_escapes;
        Some(at)
    }

    fn push_new(&mut self, row: u32, name: &'a str, text: &'a str, has_escapes: bool) -> Option<usize> {
        let at = match self.by_name.get(name) {
            Some(at) => *at,
            None => self.begin(Cow::Borrowed(name)),
        };
        self.push_at(row, at, text, has_escapes)
    }
}

/// A member name or a string, borrowed from the text where it has no escapes.
#[derive(Deserialize)]
struct Name<'a>(#[serde(borrow)] Cow<'a, str>);

struct ObjectSeed<'m, 'a> {
    members: &'m mut Members<'a>,
    row: u32,
}

impl<'de> DeserializeSeed<'de> for ObjectSeed<'_, 'de> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for ObjectSeed<'_, 'de> {
    type Value = ();

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("a record, which is an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        let mut expected = 0;
        while let Some(Name(name)) = map.next_key()? {
            let value: &'de RawValue = map.next_value()?;
            expected = self.members.push(self.row, name, value.get(), expected) + 1;
        }
        Ok(())
    }
}

/// Appends the texts of the items of the list `text`.
///
/// # Errors
/// What is not valid JSON.
pub(super) fn items<'a>(text: &'a str, out: &mut Vec<&'a str>) -> serde_json::Result<()> {
    let mut json = serde_json::Deserializer::from_str(text);
    json.deserialize_seq(Items(out))?;
    json.end()
}

/// Takes the texts of items and of members.
struct Items<'v, 'a>(&'v mut Vec<&'a str>);

impl<'de> Visitor<'de> for Items<'_, 'de> {
    type Value = ();

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("a list")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<(), A::Error> {
        while let Some(item) = seq.next_element::<&'de RawValue>()? {
            self.0.push(item.get());
        }
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        while let Some((Name(_), value)) = map.next_entry::<Name<'de>, &'de RawValue>()? {
            self.0.push(value.get());
        }
        Ok(())
    }
}

/// Looks at all strings in the JSON text of a value.
///
/// # Errors
/// Escapes that stand for no character.
pub(in crate::ingest) fn check_strings(text: &str) -> serde_json::Result<()> {
    match text.trim_start().as_bytes().first() {
        Some(b'"') => string(text).map(drop),
        Some(b'{' | b'[') => {
            let mut all = Vec::new();
            serde_json::Deserializer::from_str(text).deserialize_any(Items(&mut all))?;
            all.into_iter().try_for_each(check_strings)
        }
        _ => Ok(()),
    }
}

/// The string that the JSON text of one stands for.
///
/// # Errors
/// Escapes that stand for no character.
pub(in crate::ingest) fn string(text: &str) -> serde_json::Result<Cow<'_, str>> {
    let plain = text.strip_prefix('"').and_then(|text| text.strip_suffix('"'));
    if let Some(plain) = plain
        && memchr::memchr2(b'\\', b'"', plain.as_bytes()).is_none()
    {
        return Ok(Cow::Borrowed(plain));
    }
    Ok(serde_json::from_str::<Name<'_>>(text)?.0)
}
