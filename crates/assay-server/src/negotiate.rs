//! Which format an answer has: `format=` first, then the `Accept` header after RFC 9110 §12.5.1.

use assay_core::{Code, Error, Format};
use http::{HeaderMap, header};

/// Other names under which a format is asked for.
const ALIASES: [(&str, Format); 5] = [
    ("application/ndjson", Format::Ndjson),
    ("application/jsonl", Format::Ndjson),
    ("application/csv", Format::Csv),
    ("application/parquet", Format::Parquet),
    ("application/x-parquet", Format::Parquet),
];

/// # Errors
/// `InvalidParameter` for an unknown `format`; `NotAcceptable` when nothing that is accepted can be given.
pub(crate) fn format(named: Option<&str>, headers: &HeaderMap) -> Result<Format, Error> {
    if let Some(name) = named {
        return name.parse().map_err(|error: Error| Error {
            code: Code::InvalidParameter,
            ..error
        });
    }
    let accepted: Vec<&str> = headers
        .get_all(header::ACCEPT)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .collect();
    if accepted.is_empty() {
        return Ok(Format::Json);
    }
    let accepted = accepted.join(",");
    best(&accepted).ok_or_else(|| {
        Error::new(Code::NotAcceptable, format!("none of `{accepted}` can be given"))
            .hint("accept JSON, or say `format=json`, `ndjson`, `csv`, `parquet` or `arrow`")
    })
}

/// The first of the most wanted media types that is known.
fn best(accepted: &str) -> Option<Format> {
    let mut best: Option<(f32, Format)> = None;
    for range in accepted.split(',') {
        let mut parts = range.split(';').map(str::trim);
        let Some(format) = parts.next().and_then(named_by) else {
            continue;
        };
        let weight = parts
            .find_map(|part| part.strip_prefix("q="))
            .map_or(1.0, |weight| weight.parse().unwrap_or(0.0));
        if weight > 0.0 && best.is_none_or(|(most, _)| weight > most) {
            best = Some((weight, format));
        }
    }
    best.map(|(_, format)| format)
}

fn named_by(media_type: &str) -> Option<Format> {
    let media_type = media_type.to_ascii_lowercase();
    if matches!(media_type.as_str(), "*/*" | "application/*") {
        return Some(Format::Json);
    }
    if media_type == "text/*" {
        return Some(Format::Csv);
    }
    let ours = Format::ALL.into_iter().find(|format| format.media_type() == media_type);
    ours.or_else(|| {
        let alias = ALIASES.iter().find(|(name, _)| *name == media_type);
        alias.map(|(_, format)| *format)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_most_wanted_format_is_given() {
        assert_eq!(best("text/csv;q=0.5, application/x-ndjson"), Some(Format::Ndjson));
        assert_eq!(best("text/html, */*;q=0.1"), Some(Format::Json));
        assert_eq!(best("application/json;q=0, text/csv"), Some(Format::Csv));
        assert_eq!(best("image/png"), None);
    }

    #[test]
    fn a_name_goes_before_the_header() {
        let headers = HeaderMap::from_iter([(header::ACCEPT, "text/csv".parse().unwrap())]);
        assert_eq!(format(Some("arrow"), &headers).unwrap(), Format::Arrow);
        assert_eq!(format(None, &headers).unwrap(), Format::Csv);
        assert_eq!(format(Some("xls"), &headers).unwrap_err().code, Code::InvalidParameter);
    }
}
