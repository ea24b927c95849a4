//! Options that do not suit: those that are refused, and those that mean nothing for a format.

use assay_core::{Code, Error, ImportFormat, ImportTask, OnError, Ragged, Result, TypeHint};

/// A key is what is written: read as a date or a fraction, another text could be the same key.
pub(super) fn refuse_hint_of_key(task: &ImportTask) -> Result<()> {
    let hint = task.read.types.iter().find(|(name, _)| Some(name) == task.key.as_ref());
    match hint {
        Some((name, hint)) if !matches!(hint, TypeHint::Text | TypeHint::Int64) => Err(Error::new(
            Code::InvalidParameter,
            format!("the key `{name}` cannot have the type {}", hint.kind()),
        )
        .hint("keys are text or whole numbers: name `text` or `int64`, or no type")),
        _ => Ok(()),
    }
}

/// The options that were said and mean nothing in a file of `format`.
pub(super) fn unused(task: &ImportTask, format: ImportFormat) -> Option<String> {
    let is_csv = matches!(format, ImportFormat::Csv | ImportFormat::Tsv);
    let is_sheet = matches!(format, ImportFormat::Xlsx | ImportFormat::Xls | ImportFormat::Ods);
    let is_text = is_csv || matches!(format, ImportFormat::Json | ImportFormat::Ndjson);
    let options = &task.read;
    let said = [
        (
            "record_path",
            task.record_path.is_some() && format != ImportFormat::Json,
        ),
        ("encoding", options.encoding.is_some() && !is_text),
        ("delimiter", options.delimiter.is_some() && !is_csv),
        ("quote", options.quote.is_some() && !is_csv),
        ("comment", options.comment.is_some() && !is_csv),
        ("header", options.header.is_some() && !is_csv && !is_sheet),
        ("null", options.null.is_some() && !is_csv),
        ("decimal", options.decimal.is_some() && !is_csv),
        ("ragged", options.ragged != Ragged::Refuse && !is_csv),
        ("sheet", options.sheet.is_some() && !is_sheet),
        (
            "on_error",
            options.on_error != OnError::Abort && !is_text && !is_sheet && task.rules.is_none(),
        ),
    ];
    let names: Vec<String> = said
        .iter()
        .filter(|(_, unused)| *unused)
        .map(|(name, _)| format!("`{name}`"))
        .collect();
    (!names.is_empty()).then(|| format!("options without a meaning for this format: {}", names.join(", ")))
}
