//! The types of columns whose values are text in Redis: a column is one of numbers or of `true` and `false` when all of
//! its values are.
//!
//! Dates need no such look: whoever loads the records finds them. Texts that would not come back as they were written,
//! such as `007`, stay text.

use std::collections::HashMap;

use crate::TypeHint;
use crate::number::{self, Number};

/// So many columns are looked at; further ones stay text.
const MAX_COLUMNS: usize = 4_000;

/// What all the values of a column can be read as.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Reading {
    Bool,
    Int,
    /// Integers of which some are not exact as doubles.
    WideInt,
    Double,
    Other,
}

impl Reading {
    fn of_text(text: &str) -> Self {
        match text {
            "true" | "false" => Self::Bool,
            number if number::is_number(number) => match number::read(number) {
                Number::Int(int) if number::is_wide(int) => Self::WideInt,
                Number::Int(_) => Self::Int,
                Number::Float(_) => Self::Double,
                Number::Whole { .. } | Number::Beyond => Self::Other,
            },
            _ => Self::Other,
        }
    }

    fn with(self, other: Self) -> Self {
        use Reading::{Double, Int, Other, WideInt};
        match (self, other) {
            (one, same) if one == same => one,
            (Int, WideInt) | (WideInt, Int) => WideInt,
            (Int, Double) | (Double, Int) => Double,
            _ => Other,
        }
    }

    fn hint(self) -> Option<TypeHint> {
        match self {
            Self::Bool => Some(TypeHint::Bool),
            Self::Int | Self::WideInt => Some(TypeHint::Int64),
            Self::Double => Some(TypeHint::Double),
            Self::Other => None,
        }
    }
}

/// What was seen of each column.
#[derive(Debug, Default)]
pub(super) struct Typing(HashMap<String, (Reading, bool)>);

impl Typing {
    /// A value that is text in Redis.
    pub(super) fn see_text(&mut self, column: &str, text: &str) {
        self.note(column, Reading::of_text(text), true);
    }

    /// The text of a JSON value: one that says its type itself.
    pub(super) fn see_json(&mut self, column: &str, json: &str) {
        if json != "null" {
            self.note(column, Reading::of_text(json), false);
        }
    }

    fn note(&mut self, column: &str, reading: Reading, is_text: bool) {
        if let Some((known, has_text)) = self.0.get_mut(column) {
            *known = known.with(reading);
            *has_text |= is_text;
        } else if self.0.len() < MAX_COLUMNS {
            self.0.insert(column.to_owned(), (reading, is_text));
        }
    }

    /// The types that are to be read out of texts, by name; `declared` ones are as they are.
    pub(super) fn hints(&self, declared: &[(String, TypeHint)]) -> Vec<(String, TypeHint)> {
        let found = self.0.iter().filter(|(_, (_, has_text))| *has_text);
        let is_free = |name: &str| !declared.iter().any(|(known, _)| known == name);
        let mut hints: Vec<_> = found
            .filter_map(|(name, (reading, _))| Some((name.clone(), reading.hint().filter(|_| is_free(name))?)))
            .collect();
        hints.sort_by(|(one, _), (other, _)| one.cmp(other));
        hints.splice(0..0, declared.iter().cloned());
        hints
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hints(values: &[(&str, &str)]) -> Vec<(String, TypeHint)> {
        let mut typing = Typing::default();
        for (column, text) in values {
            typing.see_text(column, text);
        }
        typing.hints(&[])
    }

    #[test]
    fn a_column_has_a_type_when_all_its_texts_are_of_it() {
        let found = hints(&[
            ("n", "5"),
            ("n", "-12"),
            ("x", "1"),
            ("x", "2.50"),
            ("b", "true"),
            ("b", "false"),
            ("zip", "10115"),
            ("zip", "01067"),
            ("empty", "1"),
            ("empty", ""),
            ("mixed", "1"),
            ("mixed", "true"),
            ("wide", "9007199254740993"),
            ("wide", "1"),
            ("inexact", "9007199254740993"),
            ("inexact", "1.5"),
            ("name", "anna"),
        ]);
        let expected = [
            ("b", TypeHint::Bool),
            ("n", TypeHint::Int64),
            ("wide", TypeHint::Int64),
            ("x", TypeHint::Double),
        ];
        assert_eq!(found, expected.map(|(name, hint)| (name.to_owned(), hint)));
    }

    #[test]
    fn values_of_documents_say_their_type_themselves() {
        let mut typing = Typing::default();
        typing.see_json("n", "5");
        typing.see_json("text", "\"5\"");
        typing.see_text("text", "5");
        typing.see_json("both", "null");
        typing.see_json("both", "7");
        typing.see_text("both", "8");
        let declared = [("zip".to_owned(), TypeHint::Text)];
        let expected = [("zip", TypeHint::Text), ("both", TypeHint::Int64)];
        assert_eq!(
            typing.hints(&declared),
            expected.map(|(name, hint)| (name.to_owned(), hint))
        );
    }
}
