//! The format of a file, from its first bytes.

use assay_core::{Code, Error, ImportFormat, Result};

use super::json::JsonLayout;
use super::{ipc, sheet};

/// So many bytes of a file are looked at.
pub(super) const HEAD: u64 = 256 << 10;

/// What to read a file as.
#[derive(Debug)]
pub(super) enum Found {
    Parquet,
    ArrowFile,
    ArrowStream,
    /// A ZIP archive or an old Office document, which may be a spreadsheet.
    Office,
    Text,
}

/// How to read a text.
#[derive(Debug)]
pub(super) enum TextFound {
    Json(JsonLayout),
    /// One document in which the records have to be looked for.
    Document,
    Csv,
}

/// Finds what a file is that begins with `head`; `format` is what the user says it is.
///
/// # Errors
/// `UnsupportedFormat` when the bytes are those of another kind of file.
pub(super) fn kind(head: &[u8], format: Option<ImportFormat>) -> Result<Found> {
    use ImportFormat::{Arrow, Csv, Json, Ndjson, Ods, Parquet, Tsv, Xls, Xlsx};
    let found = if head.starts_with(b"PAR1") {
        Found::Parquet
    } else if ipc::is_file(head) {
        Found::ArrowFile
    } else if ipc::is_stream(head) {
        Found::ArrowStream
    } else if sheet::is_office(head) {
        Found::Office
    } else {
        Found::Text
    };
    let wanted = match (format, &found) {
        (None, _)
        | (Some(Parquet), Found::Parquet)
        | (Some(Arrow), Found::ArrowFile | Found::ArrowStream)
        | (Some(Xlsx | Xls | Ods), Found::Office) => None,
        (Some(Ndjson | Json | Csv | Tsv), _) => return refuse_binary(head).map(|()| Found::Text),
        (Some(Parquet), _) => Some("Parquet file"),
        (Some(Arrow), _) => Some("Arrow file"),
        (Some(Xlsx | Xls | Ods), _) => Some("spreadsheet"),
    };
    if let Some(wanted) = wanted {
        return Err(Error::new(Code::UnsupportedFormat, format!("the file is no {wanted}"))
            .hint("leave `format` out: it is found from the bytes"));
    }
    refuse_binary(head).map(|()| found)
}

/// Finds how to read a text that begins with `head`, which is UTF-8.
///
/// # Errors
/// `FileEmpty`; `UnsupportedFormat` when it is no text.
pub(super) fn text(head: &[u8], format: Option<ImportFormat>, has_record_path: bool) -> Result<TextFound> {
    let begin = head.trim_ascii_start();
    if begin.is_empty() {
        return Err(Error::new(Code::FileEmpty, "the file begins with nothing but blanks")
            .hint("load a file with at least one record"));
    }
    Ok(match (format, begin.first()) {
        (Some(ImportFormat::Ndjson), _) => TextFound::Json(JsonLayout::Lines),
        (Some(ImportFormat::Json), Some(b'[')) if !has_record_path => TextFound::Json(JsonLayout::Array),
        (Some(ImportFormat::Json), _) => TextFound::Document,
        (Some(ImportFormat::Csv | ImportFormat::Tsv), _) => TextFound::Csv,
        _ => {
            refuse_other_text(begin)?;
            match begin.first() {
                Some(b'[') if !has_record_path => TextFound::Json(JsonLayout::Array),
                Some(b'{') if !has_record_path && is_lines(begin) => TextFound::Json(JsonLayout::Lines),
                Some(b'{' | b'[') => TextFound::Document,
                _ => TextFound::Csv,
            }
        }
    })
}

/// Beginnings of files that hold no records, and what they are.
const OTHERS: [(&[u8], &str); 10] = [
    (b"BZh", "compressed by bzip2"),
    (b"\xfd7zXZ", "compressed by xz"),
    (b"7z\xbc\xaf\x27\x1c", "a 7z archive"),
    (b"SQLite format 3\0", "an SQLite database"),
    (b"%PDF-", "a PDF document"),
    (b"\x89PNG\r\n", "an image"),
    (b"\xff\xd8\xff", "an image"),
    (b"GIF87a", "an image"),
    (b"GIF89a", "an image"),
    (b"\x7fELF", "a program"),
];

fn refuse_binary(head: &[u8]) -> Result<()> {
    let found = OTHERS.iter().find(|(magic, _)| head.starts_with(magic));
    found.map_or(Ok(()), |(_, name)| Err(unsupported(name)))
}

fn refuse_other_text(begin: &[u8]) -> Result<()> {
    if begin.contains(&0) {
        return Err(unsupported("binary"));
    }
    let word: Vec<u8> = begin.iter().take(14).map(u8::to_ascii_lowercase).collect();
    if word.starts_with(b"<!doctype html") || word.starts_with(b"<html") {
        return Err(Error::new(Code::UnsupportedFormat, "the file is an HTML page")
            .hint("look whether its address asks for a login, or leads to a page about the file"));
    }
    if word.starts_with(b"<?xml") {
        return Err(unsupported("XML"));
    }
    Ok(())
}

fn unsupported(name: &str) -> Error {
    Error::new(Code::UnsupportedFormat, format!("the file is {name}"))
        .hint("load NDJSON, JSON, CSV, a spreadsheet, Parquet or Arrow, or one of them compressed by gzip or zstd")
}

/// Whether nothing is known yet of what comes behind the first line.
pub(super) fn is_one_line(head: &[u8]) -> bool {
    let text = head.trim_ascii_start();
    memchr::memchr(b'\n', text).is_none_or(|end| text[end..].trim_ascii_start().is_empty())
}

/// Whether the first line is a whole object and something comes behind it, whatever it is. One object alone on one line
/// is a document.
fn is_lines(text: &[u8]) -> bool {
    let text = text.trim_ascii_start();
    let Some(end) = memchr::memchr(b'\n', text) else {
        return false;
    };
    let next = text[end..].trim_ascii_start().first();
    let first = &text[..end];
    next.is_some() && std::str::from_utf8(first).is_ok_and(|line| serde_json::from_str::<serde::de::IgnoredAny>(line).is_ok())
        // A first line that is broken in itself, with others of its kind below, is told as a broken line.
        || next == Some(&b'{') && first.trim_ascii_end().ends_with(b"}")
}
