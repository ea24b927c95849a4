//! The format of a file, from its first bytes.

use assay_core::{Code, Error, ImportFormat, Result};

use super::json::JsonLayout;

/// So many bytes of a file are looked at.
pub(super) const HEAD: u64 = 256 << 10;

/// What to read a file as.
#[derive(Debug)]
pub(super) enum Found {
    Json(JsonLayout),
    /// One document in which the records have to be looked for.
    Document,
    Csv {
        delimiter: u8,
    },
    Parquet,
}

/// Finds how to read a file that begins with `head`; `format` is what the user says it is.
///
/// # Errors
/// `UnsupportedFormat` when the bytes are those of another kind of file.
pub(super) fn detect(head: &[u8], format: Option<ImportFormat>, has_record_path: bool) -> Result<Found> {
    let text = head.strip_prefix(b"\xef\xbb\xbf").unwrap_or(head);
    if text.trim_ascii().is_empty() {
        return Err(Error::new(Code::FileEmpty, "the file begins with nothing but blanks")
            .hint("load a file with at least one record"));
    }
    let is_parquet = head.starts_with(b"PAR1");
    Ok(match format {
        Some(ImportFormat::Parquet) if !is_parquet => {
            return Err(Error::new(Code::UnsupportedFormat, "the file is no Parquet file")
                .hint("leave `format` out: it is found from the bytes"));
        }
        Some(ImportFormat::Ndjson) => Found::Json(JsonLayout::Lines),
        Some(ImportFormat::Json) => document(text),
        Some(ImportFormat::Csv) => Found::Csv {
            delimiter: delimiter(text),
        },
        Some(ImportFormat::Tsv) => Found::Csv { delimiter: b'\t' },
        _ if is_parquet => Found::Parquet,
        _ => {
            refuse_binary(head)?;
            match text.trim_ascii_start().first() {
                Some(b'[') => Found::Json(JsonLayout::Array),
                Some(b'{') if !has_record_path && is_lines(text) => Found::Json(JsonLayout::Lines),
                Some(b'{') => Found::Document,
                _ => Found::Csv {
                    delimiter: delimiter(text),
                },
            }
        }
    })
}

fn document(text: &[u8]) -> Found {
    match text.trim_ascii_start().first() {
        Some(b'[') => Found::Json(JsonLayout::Array),
        _ => Found::Document,
    }
}

fn refuse_binary(head: &[u8]) -> Result<()> {
    let kinds: [(&[u8], &str); 6] = [
        (b"PK\x03\x04", "a ZIP archive or an Excel workbook"),
        (b"\x28\xb5\x2f\xfd", "compressed by zstd"),
        (b"BZh", "compressed by bzip2"),
        (b"\xfd7zXZ", "compressed by xz"),
        (b"SQLite format 3", "an SQLite database"),
        (b"ARROW1", "an Arrow file"),
    ];
    let found = kinds
        .iter()
        .find(|(magic, _)| head.starts_with(magic))
        .map(|(_, name)| *name);
    let found = found.or_else(|| head.contains(&0).then_some("binary"));
    match found {
        None => Ok(()),
        Some(name) => Err(Error::new(Code::UnsupportedFormat, format!("the file is {name}"))
            .hint("load NDJSON, JSON, CSV or Parquet, or one of them compressed by gzip")),
    }
}

/// Whether the first line is a whole object and the next one begins another. One object alone on one line is a
/// document.
fn is_lines(text: &[u8]) -> bool {
    let text = text.trim_ascii_start();
    let Some(end) = memchr::memchr(b'\n', text) else {
        return false;
    };
    let next = text[end..].trim_ascii_start().first();
    let first = &text[..end];
    next == Some(&b'{') && std::str::from_utf8(first).is_ok_and(|line| serde_json::from_str::<serde::de::IgnoredAny>(line).is_ok())
        // A first line that is broken in itself, with others of its kind below, is told as a broken line.
        || next == Some(&b'{') && first.trim_ascii_end().ends_with(b"}")
}

/// The one of comma, tab, semicolon and bar that is most frequent in the header, outside of quotes.
fn delimiter(text: &[u8]) -> u8 {
    let mut counts = [0_usize; 4];
    let candidates = [b',', b'\t', b';', b'|'];
    let mut quoted = false;
    for byte in text {
        match byte {
            b'"' => quoted = !quoted,
            b'\n' if !quoted => break,
            _ if quoted => {}
            _ => {
                if let Some(at) = candidates.iter().position(|candidate| candidate == byte) {
                    counts[at] += 1;
                }
            }
        }
    }
    let most = counts.iter().max().copied().unwrap_or_default();
    let first = counts.iter().position(|count| *count == most).unwrap_or_default();
    candidates[first]
}
