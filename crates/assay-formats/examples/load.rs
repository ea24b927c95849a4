//! How fast files are decoded into parts, by this crate alone: `cargo run --release -p assay-formats --example load -- FILE …`
//!
//! An argument `key=NAME` names the key attribute of all of them.

use std::error::Error;
use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use assay_core::{Author, CommitMode, ImportFile, ImportTask, ReadOptions, RunControl};
use assay_formats::ingest;
use object_store::ObjectStore;
use object_store::local::LocalFileSystem;

fn main() -> Result<(), Box<dyn Error>> {
    let (keys, files): (Vec<String>, Vec<String>) = std::env::args().skip(1).partition(|name| name.starts_with("key="));
    let key = keys.first().map(|name| name.trim_start_matches("key=").to_owned());
    let threads = std::thread::available_parallelism()?.get();
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).build()?;
    let folder = tempfile::tempdir()?;
    let objects: Arc<dyn ObjectStore> = Arc::new(LocalFileSystem::new_with_prefix(folder.path())?);
    for (number, file) in files.iter().enumerate() {
        let upload = format!("upload-{number}");
        std::fs::copy(Path::new(file), folder.path().join(&upload))?;
        let bytes = std::fs::metadata(file)?.len();
        let task = ImportTask {
            files: vec![ImportFile::of_object(upload, bytes)],
            dataset: "d".parse()?,
            key: key.clone(),
            mode: CommitMode::Replace,
            format: None,
            record_path: None,
            read: ReadOptions::default(),
            author: Author::default(),
            folder: format!("parts-{number}"),
            attributes: Vec::new(),
            rules: None,
            ruled: assay_core::Version(0),
        };
        let begin = Instant::now();
        let imported = runtime.block_on(ingest::import(
            Arc::clone(&objects),
            &task,
            threads,
            &RunControl::unattended(),
        ))?;
        let taken = begin.elapsed().as_secs_f64();
        let stored: u64 = imported.parts.iter().map(|part| part.bytes).sum();
        println!(
            "{file}: {:.0} MB in {taken:.2} s, {:.0} MB/s, {} rows in {} parts of {:.0} MB",
            bytes as f64 / 1e6,
            bytes as f64 / 1e6 / taken,
            imported.rows,
            imported.parts.len(),
            stored as f64 / 1e6,
        );
    }
    Ok(())
}
