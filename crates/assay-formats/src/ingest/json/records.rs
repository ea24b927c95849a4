//! From a file of JSON to the texts of its records, wherever in the document they are.

use std::io::Read;

use assay_core::{Code, Error, Result};

use super::JsonLayout;
use super::scan::{Place, Scanner, invalid};
use crate::ingest::chunk::ChunkSize;

/// Deeper than this, records are not looked for.
const SEARCH_DEPTH: usize = 4;
/// So many left out members are named in a warning.
const NAMED_MEMBERS: usize = 8;

/// How the records lie at their path.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Shape {
    Array,
    /// One object with a record under each member name.
    Keyed,
    /// The value itself is the one record.
    Single,
}

/// Where the records of a document are.
#[derive(Debug, Clone)]
pub struct Located {
    path: Vec<String>,
    shape: Shape,
}

impl Located {
    /// As JSON pointer.
    pub(in crate::ingest) fn pointer(&self) -> String {
        self.path
            .iter()
            .map(|name| format!("/{}", name.replace('~', "~0").replace('/', "~1")))
            .collect()
    }
}

fn tokens(pointer: &str) -> Vec<String> {
    pointer
        .trim_start_matches('/')
        .split('/')
        .filter(|token| !token.is_empty())
        .map(|token| token.replace("~1", "/").replace("~0", "~"))
        .collect()
}

/// Finds the records of the document that `reader` gives from its beginning: those at `record_path`, else the features
/// of a FeatureCollection of GeoJSON, else the first array of objects, else the values of the document when all of them are objects, else the document itself.
///
/// # Errors
/// `InvalidJson`; `NoRecords` when there is nothing at `record_path`.
pub(super) fn locate<R: Read>(reader: R, record_path: Option<&str>) -> Result<Located> {
    let mut scanner = Scanner::new(reader);
    if let Some(pointer) = record_path {
        let path = tokens(pointer);
        descend(&mut scanner, &path, &mut Vec::new())?;
        let shape = match scanner.peek()? {
            Some(b'[') => Shape::Array,
            Some(b'{') => Shape::Keyed,
            _ => {
                return Err(no_records(&format!(
                    "the value at `{pointer}` is neither an array nor an object"
                )));
            }
        };
        return Ok(Located { path, shape });
    }
    let mut search = Search::default();
    let found = search.array(&mut scanner)?;
    // Also when it has none.
    if search.is_collection && search.has_features {
        return Ok(Located {
            path: vec![FEATURES.to_owned()],
            shape: Shape::Array,
        });
    }
    if found {
        return Ok(Located {
            path: search.path,
            shape: Shape::Array,
        });
    }
    let shape = if search.other_than_object {
        Shape::Single
    } else {
        Shape::Keyed
    };
    Ok(Located {
        path: Vec::new(),
        shape,
    })
}

fn no_records(what: &str) -> Error {
    Error::new(Code::NoRecords, what.to_owned())
        .hint("name the place of the records as a JSON pointer, e.g. `record_path=/response/docs`")
}

/// The member of a FeatureCollection that holds its records.
const FEATURES: &str = "features";

#[derive(Default)]
struct Search {
    path: Vec<String>,
    /// Whether a member of the document itself is no object.
    other_than_object: bool,
    /// The document says that it is a FeatureCollection,
    is_collection: bool,
    /// and has a list of features.
    has_features: bool,
}

impl Search {
    /// Looks in the object that comes next. True when the scanner stands before an array of objects.
    fn array<R: Read>(&mut self, scanner: &mut Scanner<R>) -> Result<bool> {
        let mut skipped = Vec::new();
        scanner.expect(b'{')?;
        if scanner.take(b'}')? {
            self.other_than_object |= self.path.is_empty();
            return Ok(false);
        }
        loop {
            let name = member_name(scanner)?;
            let first = scanner.peek()?;
            let is_top = self.path.is_empty();
            self.other_than_object |= is_top && first != Some(b'{');
            self.has_features |= is_top && name == FEATURES && first == Some(b'[');
            if self.is_collection && self.has_features {
                return Ok(true);
            }
            skipped.clear();
            match first {
                Some(b'[') => {
                    let at = scanner.place();
                    scanner.expect(b'[')?;
                    if !self.is_collection && scanner.peek()? == Some(b'{') {
                        self.path.push(name);
                        return Ok(true);
                    }
                    skip_items(scanner, at)?;
                }
                Some(b'{') if !self.is_collection && self.path.len() + 1 < SEARCH_DEPTH => {
                    self.path.push(name);
                    if self.array(scanner)? {
                        return Ok(true);
                    }
                    self.path.pop();
                }
                _ => {
                    scanner.value(&mut skipped)?;
                    self.is_collection |= is_top && name == "type" && skipped == b"\"FeatureCollection\"";
                }
            }
            if !scanner.take(b',')? {
                scanner.expect(b'}')?;
                return Ok(false);
            }
        }
    }
}

/// Passes the items of an array, and its end, after its bracket.
fn skip_items<R: Read>(scanner: &mut Scanner<R>, begin: Place) -> Result<()> {
    let mut skipped = Vec::new();
    if scanner.take(b']')? {
        return Ok(());
    }
    loop {
        skipped.clear();
        scanner.value(&mut skipped)?;
        if skipped.is_empty() {
            return Err(invalid(begin, "the array is not closed properly"));
        }
        if !scanner.take(b',')? {
            return scanner.expect(b']');
        }
    }
}

fn member_name<R: Read>(scanner: &mut Scanner<R>) -> Result<String> {
    if scanner.peek()? != Some(b'"') {
        return Err(scanner.unexpected("expected a member name"));
    }
    let mut text = Vec::new();
    let place = scanner.value(&mut text)?;
    let name = serde_json::from_slice(&text).map_err(|error| invalid(place, error))?;
    scanner.expect(b':')?;
    Ok(name)
}

/// Goes to the value at `path`; `passed` takes the names of the members before it.
fn descend<R: Read>(scanner: &mut Scanner<R>, path: &[String], passed: &mut Vec<String>) -> Result<()> {
    for token in path {
        if scanner.peek()? != Some(b'{') {
            return Err(no_records(&format!(
                "there is no member `{token}` to enter: its parent is no object"
            )));
        }
        scanner.expect(b'{')?;
        let mut names = Vec::new();
        loop {
            if scanner.peek()? == Some(b'}') {
                let hint = assay_core::names::nearest(token, names.iter().map(String::as_str));
                let near = hint
                    .first()
                    .map(|name| format!("; did you mean `{name}`?"))
                    .unwrap_or_default();
                return Err(no_records(&format!("the document has no member `{token}` there{near}")));
            }
            let name = member_name(scanner)?;
            if name == *token {
                break;
            }
            scanner.value(&mut Vec::new())?;
            scanner.take(b',')?;
            passed.push(name.clone());
            names.push(name);
        }
    }
    Ok(())
}

/// The text of one record.
#[derive(Debug)]
pub(super) struct RecordText {
    /// Where its text lies among those of the chunk.
    pub(super) range: std::ops::Range<usize>,
    pub(super) place: Place,
    /// Its member name in the object it came from.
    pub(super) key: Option<String>,
}

enum State {
    Lines,
    Located(Located),
    Items { shape: Shape, depth: usize, first: bool },
    Ended,
}

/// Gives the records of a file one after the other.
pub(super) struct Records<R> {
    scanner: Scanner<R>,
    state: State,
    left_out: Vec<String>,
}

impl<R: Read> Records<R> {
    pub(super) fn new(reader: R, layout: JsonLayout) -> Self {
        let state = match layout {
            JsonLayout::Lines => State::Lines,
            JsonLayout::Array => State::Located(Located {
                path: Vec::new(),
                shape: Shape::Array,
            }),
            JsonLayout::Document(located) => State::Located(located),
        };
        Self {
            scanner: Scanner::new(reader),
            state,
            left_out: Vec::new(),
        }
    }

    /// What of the document is no record, for a warning.
    pub(super) fn left_out(&self) -> Option<String> {
        if self.left_out.is_empty() {
            return None;
        }
        let named: Vec<_> = self
            .left_out
            .iter()
            .take(NAMED_MEMBERS)
            .map(|name| format!("`{name}`"))
            .collect();
        let more = match self.left_out.len().saturating_sub(NAMED_MEMBERS) {
            0 => String::new(),
            more => format!(" and {more} more"),
        };
        Some(format!(
            "members beside the records were left out: {}{more}",
            named.join(", ")
        ))
    }

    /// Appends records to `text` and `records` that are lines and whole at hand, while there is room.
    pub(super) fn take_lines(&mut self, size: ChunkSize, text: &mut Vec<u8>, records: &mut Vec<RecordText>) {
        if !matches!(self.state, State::Lines) {
            return;
        }
        self.scanner.lines(text, |line, record| {
            let taken = record.range.end;
            if !line.trim_ascii_start().is_empty() {
                records.push(record);
            }
            records.len() < size.records && taken < size.bytes
        });
    }

    /// Appends the next record to `text`.
    pub(super) fn next(&mut self, text: &mut Vec<u8>) -> Result<Option<RecordText>> {
        loop {
            let begin = text.len();
            match &mut self.state {
                State::Ended => return Ok(None),
                State::Lines => {
                    let Some(place) = self.scanner.line(text)? else {
                        self.state = State::Ended;
                        return Ok(None);
                    };
                    if !text[begin..].trim_ascii().is_empty() {
                        return Ok(Some(RecordText {
                            range: begin..text.len(),
                            place,
                            key: None,
                        }));
                    }
                    text.truncate(begin);
                }
                State::Located(located) => {
                    let located = located.clone();
                    self.enter(&located)?;
                }
                State::Items {
                    shape: Shape::Single,
                    depth,
                    ..
                } => {
                    let depth = *depth;
                    let place = self.scanner.value(text)?;
                    self.leave(depth)?;
                    return Ok(Some(RecordText {
                        range: begin..text.len(),
                        place,
                        key: None,
                    }));
                }
                State::Items { shape, depth, first } => {
                    let (close, keyed) = if *shape == Shape::Array {
                        (b']', false)
                    } else {
                        (b'}', true)
                    };
                    let (is_first, depth) = (std::mem::take(first), *depth);
                    if is_first && self.scanner.take(close)? {
                        self.leave(depth)?;
                        continue;
                    }
                    if !is_first && !self.scanner.take(b',')? {
                        self.scanner.expect(close)?;
                        self.leave(depth)?;
                        continue;
                    }
                    let key = if keyed {
                        Some(member_name(&mut self.scanner)?)
                    } else {
                        None
                    };
                    if self.scanner.peek()? != Some(b'{') {
                        return Err(self.scanner.unexpected("expected a record, which is an object"));
                    }
                    let place = self.scanner.value(text)?;
                    return Ok(Some(RecordText {
                        range: begin..text.len(),
                        place,
                        key,
                    }));
                }
            }
        }
    }

    fn enter(&mut self, located: &Located) -> Result<()> {
        descend(&mut self.scanner, &located.path, &mut self.left_out)?;
        if located.shape != Shape::Single {
            self.scanner
                .expect(if located.shape == Shape::Array { b'[' } else { b'{' })?;
        }
        self.state = State::Items {
            shape: located.shape,
            depth: located.path.len(),
            first: true,
        };
        Ok(())
    }

    /// Passes what follows the records inside `depth` objects, down to the end of the file.
    fn leave(&mut self, depth: usize) -> Result<()> {
        self.state = State::Ended;
        for _ in 0..depth {
            while self.scanner.take(b',')? {
                let name = member_name(&mut self.scanner)?;
                self.scanner.value(&mut Vec::new())?;
                self.left_out.push(name);
            }
            self.scanner.expect(b'}')?;
        }
        match self.scanner.peek()? {
            None => Ok(()),
            Some(_) => Err(self.scanner.unexpected("expected the end of the file")),
        }
    }
}
