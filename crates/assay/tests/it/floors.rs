//! The floors of the workspace and the size of its files, kept by tests.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use cargo_metadata::{DependencyKind, MetadataCommand};

/// Which crates of ours each crate may use.
const FLOORS: &[(&str, u8)] = &[
    ("assay", 5),
    ("assay-analyses", 4),
    ("assay-store", 1),
    ("assay-engine", 3),
    ("assay-worker", 1),
    ("assay-server", 2),
    ("assay-client", 1),
    ("assay-formats", 2),
    ("assay-rules", 1),
    ("assay-core", 0),
];

/// Heavy libraries and the only crates that may name them.
const KEEPERS: &[(&str, &[&str])] = &[
    ("datafusion", &["assay-engine"]),
    ("arrow", &["assay-engine", "assay-formats"]),
    ("parquet", &["assay-engine", "assay-formats"]),
    ("jsonschema", &["assay-rules", "assay-server"]),
    ("rusqlite", &["assay-store"]),
    ("redis", &["assay-store"]),
    ("axum", &["assay-server"]),
    ("utoipa", &["assay-server"]),
    ("clap", &["assay"]),
    ("lettre", &["assay-worker"]),
    ("hyper", &["assay-worker"]),
    ("reqwest", &["assay-client"]),
];

const MAX_LINES: usize = 500;

fn workspace() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

#[test]
fn a_crate_uses_only_lower_floors() {
    let floors: BTreeMap<&str, u8> = FLOORS.iter().copied().collect();
    let metadata = MetadataCommand::new()
        .manifest_path(workspace().join("Cargo.toml"))
        .no_deps()
        .exec()
        .unwrap();
    let known: BTreeSet<&str> = metadata.packages.iter().map(|package| package.name.as_str()).collect();
    assert_eq!(
        known,
        floors.keys().copied().collect(),
        "every crate has its floor in this file"
    );
    let mut faults = Vec::new();
    for package in &metadata.packages {
        for dependency in package
            .dependencies
            .iter()
            .filter(|dependency| dependency.kind == DependencyKind::Normal)
        {
            let name = package.name.as_str();
            if let Some(floor) = floors.get(dependency.name.as_str())
                && *floor >= floors[name]
            {
                faults.push(format!("{name} must not use {}", dependency.name));
            }
            for (library, keepers) in KEEPERS {
                if dependency.name == *library && !keepers.contains(&name) {
                    faults.push(format!("{name} must not name {library}"));
                }
            }
        }
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

#[test]
fn the_lock_file_holds_one_copy_of_each_heavy_library() {
    let lock = std::fs::read_to_string(workspace().join("Cargo.lock")).unwrap();
    for library in ["arrow", "datafusion", "parquet", "object_store", "tokio", "axum"] {
        let copies = lock
            .lines()
            .filter(|line| *line == format!("name = \"{library}\""))
            .count();
        assert_eq!(copies, 1, "copies of {library}");
    }
}

#[test]
fn no_file_outgrows_its_room() {
    let mut files = Vec::new();
    collect_sources(&workspace().join("crates"), &mut files);
    assert!(files.len() > 50, "found the sources");
    let too_long: Vec<String> = files
        .iter()
        .filter_map(|path| {
            let text = std::fs::read_to_string(path).unwrap();
            // Unit tests stand at the end of a file and do not count.
            let code = text.lines().take_while(|line| *line != "#[cfg(test)]").count();
            (code > MAX_LINES).then(|| format!("{}: {code} lines", path.display()))
        })
        .collect();
    assert!(
        too_long.is_empty(),
        "more than {MAX_LINES} lines:\n{}",
        too_long.join("\n")
    );
}

#[test]
fn every_file_says_what_it_is_for() {
    let mut files = Vec::new();
    collect_sources(&workspace().join("crates"), &mut files);
    let silent: Vec<_> = files
        .iter()
        .filter(|path| !std::fs::read_to_string(path).unwrap().starts_with("//! "))
        .collect();
    assert!(silent.is_empty(), "these begin without `//!`: {silent:#?}");
}

fn collect_sources(folder: &Path, files: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            collect_sources(&path, files);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            files.push(path);
        }
    }
}
