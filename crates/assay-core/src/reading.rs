//! What a user may say about the bytes of a file. What is not said is found from the bytes.
//!
//! It reads the words of users and holds what they mean; the reading itself is the engine's.

use serde::{Deserialize, Serialize};

use crate::hint::{self, TypeHint};
use crate::{Code, Error, Result, names};

/// How a file is to be read.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ReadOptions {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub encoding: Option<Encoding>,
    /// Between the cells of CSV.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub delimiter: Option<char>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub quote: Option<Quote>,
    /// Lines of CSV that begin with it are passed over.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub comment: Option<char>,
    /// Whether the first row of a table names its columns.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub header: Option<bool>,
    /// Cells of CSV that stand for nothing, in every column.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub null: Option<Vec<String>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub decimal: Option<Decimal>,
    #[serde(skip_serializing_if = "is_default")]
    pub ragged: Ragged,
    /// The sheet of a spreadsheet.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sheet: Option<String>,
    #[serde(skip_serializing_if = "is_default")]
    pub on_error: OnError,
    /// The kinds of columns, by their names.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub types: Vec<(String, TypeHint)>,
}

fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

impl ReadOptions {
    /// What [`Self::set`] knows.
    pub const NAMES: [&str; 11] = [
        "encoding",
        "delimiter",
        "quote",
        "comment",
        "header",
        "null",
        "decimal",
        "ragged",
        "sheet",
        "on_error",
        "types",
    ];

    /// Reads the types of attributes: `NAME:TYPE,…`.
    ///
    /// # Errors
    /// `InvalidParameter` that says what may be said.
    pub fn types(text: &str) -> Result<Vec<(String, TypeHint)>> {
        hint::parse(text)
    }

    #[must_use]
    pub fn is_default(&self) -> bool {
        is_default(self)
    }

    /// Takes the words of a user for the option `name`.
    ///
    /// # Errors
    /// `InvalidParameter` that says what may be said.
    pub fn set(&mut self, name: &str, value: &str) -> Result<()> {
        match name {
            "encoding" => self.encoding = Some(Encoding::parse(value)?),
            "delimiter" => self.delimiter = Some(mark(name, value)?),
            "quote" if value == "none" => self.quote = Some(Quote::None),
            "quote" => self.quote = Some(Quote::Mark(mark(name, value)?)),
            "comment" => self.comment = Some(mark(name, value)?),
            "header" => self.header = Some(one_of(name, value, [("true", true), ("false", false)])?),
            "null" => self.null = Some(value.split(',').map(ToOwned::to_owned).collect()),
            "decimal" => self.decimal = Some(one_of(name, value, [(".", Decimal::Point), (",", Decimal::Comma)])?),
            "ragged" => {
                let known = [("refuse", Ragged::Refuse), ("pad", Ragged::Pad), ("skip", Ragged::Skip)];
                self.ragged = one_of(name, value, known)?;
            }
            "sheet" => self.sheet = Some(value.to_owned()),
            "on_error" => {
                let known = [
                    ("abort", OnError::Abort),
                    ("skip", OnError::Skip),
                    ("quarantine", OnError::Quarantine),
                ];
                self.on_error = one_of(name, value, known)?;
            }
            "types" => self.types = hint::parse(value)?,
            _ => {
                return Err(
                    Error::new(Code::InvalidParameter, format!("the option `{name}` is not known"))
                        .hint(names::suggest(name, Self::NAMES)),
                );
            }
        }
        self.check_marks()
    }

    /// A character cannot part cells and quote them at once.
    fn check_marks(&self) -> Result<()> {
        let quote = match self.quote {
            Some(Quote::Mark(mark)) => Some(mark),
            Some(Quote::None) => None,
            None => Some('"'),
        };
        let marks = [
            ("delimiter", self.delimiter),
            ("quote", quote),
            ("comment", self.comment),
        ];
        for (at, (name, mark)) in marks.iter().enumerate() {
            let other = marks[..at].iter().find(|(_, other)| mark.is_some() && other == mark);
            if let (Some((other, _)), Some(mark)) = (other, mark) {
                let message = format!("`{other}` and `{name}` cannot both be `{mark}`");
                return Err(Error::new(Code::InvalidParameter, message).hint("choose two different characters"));
            }
        }
        Ok(())
    }
}

/// A single character of ASCII, or the word for one that is hard to write.
fn mark(name: &str, value: &str) -> Result<char> {
    let named = match value {
        "tab" | "\\t" => Some('\t'),
        "comma" => Some(','),
        "semicolon" => Some(';'),
        "bar" | "pipe" => Some('|'),
        "space" => Some(' '),
        _ => None,
    };
    let mut characters = value.chars();
    let single = characters.next().filter(|_| characters.next().is_none());
    let usable = |mark: &char| mark.is_ascii() && !mark.is_ascii_alphanumeric() && !matches!(mark, '\n' | '\r' | '\0');
    named.or(single.filter(usable)).ok_or_else(|| {
        let message = format!("`{name}` is `{value}`, but must be one character that is no letter and no digit");
        Error::new(Code::InvalidParameter, message).hint("e.g. `,`, `;`, `|`, or the words `tab` and `space`")
    })
}

fn one_of<T: Copy, const N: usize>(name: &str, value: &str, known: [(&'static str, T); N]) -> Result<T> {
    let found = known.iter().find(|(word, _)| *word == value);
    found.map(|(_, meant)| *meant).ok_or_else(|| {
        Error::new(Code::InvalidParameter, format!("`{name}` cannot be `{value}`"))
            .hint(names::suggest(value, known.map(|(word, _)| word)))
    })
}

/// The name of a way to write characters as bytes, in lower case.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Encoding(String);

impl Encoding {
    /// Those that can be named. `utf-16` takes the order of its bytes from the mark at the beginning.
    pub const ALL: [&str; 23] = [
        "utf-8",
        "utf-16",
        "utf-16le",
        "utf-16be",
        "windows-1252",
        "iso-8859-2",
        "iso-8859-5",
        "iso-8859-7",
        "iso-8859-9",
        "iso-8859-15",
        "windows-1250",
        "windows-1251",
        "windows-1253",
        "windows-1254",
        "windows-1257",
        "koi8-r",
        "macintosh",
        "shift_jis",
        "euc-jp",
        "euc-kr",
        "gbk",
        "gb18030",
        "big5",
    ];
    /// Other words for them.
    const ALIASES: [(&str, &str); 9] = [
        ("utf8", "utf-8"),
        ("utf16", "utf-16"),
        ("latin1", "windows-1252"),
        ("latin-1", "windows-1252"),
        ("iso-8859-1", "windows-1252"),
        ("cp1252", "windows-1252"),
        ("cp1250", "windows-1250"),
        ("cp1251", "windows-1251"),
        ("latin9", "iso-8859-15"),
    ];

    /// # Errors
    /// `InvalidParameter` that names the nearest.
    pub fn parse(text: &str) -> Result<Self> {
        let folded = text.to_ascii_lowercase();
        let alias = Self::ALIASES.iter().find(|(alias, _)| *alias == folded);
        let name = alias.map_or(folded.as_str(), |(_, name)| name);
        let found = Self::ALL.into_iter().find(|known| *known == name);
        found.map(|name| Self(name.to_owned())).ok_or_else(|| {
            let known = Self::ALL
                .into_iter()
                .chain(Self::ALIASES.into_iter().map(|(alias, _)| alias));
            Error::new(
                Code::InvalidParameter,
                format!("the encoding `{text}` is not known here"),
            )
            .hint(names::suggest(text, known))
        })
    }

    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl TryFrom<String> for Encoding {
    type Error = Error;

    fn try_from(text: String) -> Result<Self> {
        Self::parse(&text)
    }
}

impl From<Encoding> for String {
    fn from(encoding: Encoding) -> Self {
        encoding.0
    }
}

/// What encloses cells that hold delimiters and line breaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Quote {
    /// No character has this meaning.
    None,
    Mark(char),
}

/// What stands before the fraction of a number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Decimal {
    Point,
    Comma,
}

/// What becomes of rows with fewer or more cells than there are columns.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Ragged {
    /// They are faults.
    #[default]
    Refuse,
    /// Missing cells are null, empty ones too many are none; others too many are faults.
    Pad,
    /// They are left out, and told.
    Skip,
}

/// What becomes of a record that cannot be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OnError {
    /// Nothing is loaded.
    #[default]
    Abort,
    /// It is left out, and told.
    Skip,
    /// As `Skip`, and it is kept for a look at it.
    Quarantine,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn set(name: &str, value: &str) -> Result<ReadOptions> {
        let mut options = ReadOptions::default();
        options.set(name, value).map(|()| options)
    }

    #[test]
    fn options_are_read_from_words_and_kept_as_they_are_meant() {
        assert_eq!(set("delimiter", "tab").unwrap().delimiter, Some('\t'));
        assert_eq!(
            set("encoding", "Latin1").unwrap().encoding.unwrap().as_str(),
            "windows-1252"
        );
        assert_eq!(
            set("null", "NA,\\N,").unwrap().null.unwrap(),
            ["NA".to_owned(), "\\N".to_owned(), String::new()]
        );
        let mut all = ReadOptions::default();
        for (name, value) in [
            ("quote", "'"),
            ("decimal", ","),
            ("ragged", "pad"),
            ("on_error", "quarantine"),
            ("types", "a:int64"),
        ] {
            all.set(name, value).unwrap();
        }
        let text = serde_json::to_string(&all).unwrap();
        assert_eq!(
            text,
            r#"{"quote":{"mark":"'"},"decimal":"comma","ragged":"pad","on_error":"quarantine","types":[["a","int64"]]}"#
        );
        assert_eq!(serde_json::from_str::<ReadOptions>(&text).unwrap(), all);
        assert_eq!(serde_json::to_string(&ReadOptions::default()).unwrap(), "{}");
    }

    #[test]
    fn words_that_mean_nothing_are_refused_with_what_would_do() {
        let cases = [
            ("encoding", "latin_1", "did you mean `latin1`, `latin-1`, `latin9`?"),
            ("delimiter", "ab", "e.g. `,`, `;`, `|`, or the words `tab` and `space`"),
            ("delimiter", "x", "e.g. `,`, `;`, `|`, or the words `tab` and `space`"),
            ("delimiter", "\"", "choose two different characters"),
            ("header", "yes", "there are `true`, `false`"),
            ("ragged", "skp", "did you mean `skip`?"),
            ("on_error", "ignore", "there are `abort`, `skip`, `quarantine`"),
            ("delimeter", ",", "did you mean `delimiter`?"),
        ];
        for (name, value, hint) in cases {
            let error = set(name, value).unwrap_err();
            assert_eq!(error.code, Code::InvalidParameter);
            assert_eq!(error.hint.as_deref(), Some(hint), "{name}={value}");
        }
    }
}
