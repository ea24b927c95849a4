//! The names of data sets that are called as their files.

use std::path::{Path, PathBuf};

use assay_core::DatasetName;

use super::is_stdin;
use crate::cli::Failure;

/// Each file with the data set that is called as it.
///
/// # Errors
/// `Usage` when a file gives no name, or two give the same.
pub fn of_each(files: &[PathBuf]) -> Result<Vec<(DatasetName, &[PathBuf])>, Failure> {
    let mut named: Vec<(DatasetName, &[PathBuf])> = Vec::with_capacity(files.len());
    for file in files {
        let name = of(file)?;
        if let Some((_, other)) = named.iter().find(|(known, _)| known.folded() == name.folded()) {
            let message = format!(
                "`{}` and `{}` would both be the data set `{name}`",
                other[0].display(),
                file.display()
            );
            return Err(Failure::usage(
                message,
                "name one for all of them by `--as`, or load them one by one",
            ));
        }
        named.push((name, std::slice::from_ref(file)));
    }
    Ok(named)
}

/// `data/2024-05.ndjson.gz` is no name, `data/events.ndjson.gz` gives `events`.
fn of(file: &Path) -> Result<DatasetName, Failure> {
    if is_stdin(file) {
        return Err(Failure::usage(
            "stdin has no name for the data set",
            "name it by `--as`",
        ));
    }
    let name = file.file_name().map(|name| name.to_string_lossy().into_owned());
    let stem = name.as_deref().and_then(|name| name.split('.').next());
    stem.unwrap_or_default().parse().map_err(|_| {
        let message = format!("`{}` gives no name for a data set", file.display());
        Failure::usage(
            message,
            "name it by `--as`: 1 to 64 letters, digits, `_` or `-`, beginning with a letter or `_`",
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(files: &[&str]) -> Option<Vec<String>> {
        let files: Vec<PathBuf> = files.iter().map(PathBuf::from).collect();
        let named = of_each(&files).ok()?;
        Some(named.into_iter().map(|(name, _)| name.to_string()).collect())
    }

    #[test]
    fn data_sets_are_called_as_their_files() {
        assert_eq!(
            names(&["a/genes.ndjson.gz", "Flights.csv", "x"]),
            Some(vec!["genes".to_owned(), "Flights".to_owned(), "x".to_owned()])
        );
        for wrong in [
            &["-"][..],
            &["2024-05.ndjson"],
            &["a/x.csv", "b/X.json"],
            &[".hidden"],
            &["a b.csv"],
        ] {
            assert_eq!(names(wrong), None, "{wrong:?}");
        }
    }
}
