//! Files on their way to the server, with a bar that shows how far they are.

use std::path::{Path, PathBuf};
use std::time::Duration;

use assay_client::{Exact, ImportOptions, Job, Upload};
use indicatif::ProgressBar;

use super::is_stdin;
use crate::cli::follow::{to_end, unless_interrupted};
use crate::cli::{Context, Failure};
use crate::output::progress;

/// Bytes of a file, when it is one.
pub fn size(file: &Path) -> Option<u64> {
    let about = std::fs::metadata(file).ok()?;
    about.is_file().then_some(about.len())
}

/// Sends a file as the body of one request, and waits for the end of the job that loads it.
///
/// # Errors
/// When it cannot be read, sent or loaded.
pub async fn at_once(
    context: &Context,
    file: &Path,
    name: &str,
    options: &ImportOptions,
) -> Result<Exact<Job>, Failure> {
    let upload = open(file).await?;
    let bar = bar(context, &upload, shown(file));
    let sent = bar.clone();
    let sending = context
        .client
        .import(name, options, upload, move |bytes| sent.set_position(bytes));
    let submitted = unless_interrupted(async { Ok(sending.await?) }).await;
    bar.finish_and_clear();
    to_end(context, submitted?).await
}

/// Sends files as uploads that go on after a break, and waits for the end of the job that makes one version of them.
///
/// # Errors
/// When one cannot be read, sent or loaded. The server forgets those that were sent whole then, and others expire.
pub async fn piecewise(
    context: &Context,
    files: &[PathBuf],
    name: &str,
    options: &ImportOptions,
) -> Result<Exact<Job>, Failure> {
    let mut uploads = Vec::with_capacity(files.len());
    let work = async {
        for (number, file) in files.iter().enumerate() {
            let prefix = match files.len() {
                1 => shown(file),
                count => format!("{} ({} of {count})", shown(file), number + 1),
            };
            uploads.push(send(context, file, prefix).await?);
        }
        Ok(context.client.import_uploads(name, options, &uploads).await?)
    };
    let ended = match unless_interrupted(work).await {
        Ok(submitted) => to_end(context, submitted).await,
        Err(failure) => Err(failure),
    };
    if ended.as_ref().is_err_and(is_over) {
        forget(context, &uploads).await;
    }
    ended
}

/// Whether no job loads the uploads any more.
fn is_over(failure: &Failure) -> bool {
    match failure {
        Failure::Detached => false,
        Failure::Client { error, .. } => !error.is_transient(),
        _ => true,
    }
}

async fn send(context: &Context, file: &Path, prefix: String) -> Result<String, Failure> {
    let upload = open(file).await?;
    let bar = bar(context, &upload, prefix);
    let sent = bar.clone();
    let name = if is_stdin(file) {
        "stdin".to_owned()
    } else {
        file.display().to_string()
    };
    let sending = context
        .client
        .upload(&name, upload, move |bytes| sent.set_position(bytes));
    let id = sending.await;
    bar.finish_and_clear();
    Ok(id?)
}

/// What fails here expires by itself.
async fn forget(context: &Context, uploads: &[String]) {
    for id in uploads {
        if context.client.remove_upload(id).await.is_err() {
            return;
        }
    }
}

async fn open(file: &Path) -> Result<Upload, Failure> {
    if is_stdin(file) {
        return Ok(Upload::stdin());
    }
    Ok(Upload::file(file).await?)
}

fn shown(file: &Path) -> String {
    if is_stdin(file) {
        return "stdin".to_owned();
    }
    file.file_name().map_or_else(
        || file.display().to_string(),
        |name| name.to_string_lossy().into_owned(),
    )
}

fn bar(context: &Context, upload: &Upload, prefix: String) -> ProgressBar {
    let style = if upload.length().is_some() {
        progress::upload_style()
    } else {
        progress::endless_upload_style()
    };
    let bar = ProgressBar::with_draw_target(upload.length(), progress::target(context.quiet));
    let bar = bar.with_style(style).with_prefix(prefix);
    bar.enable_steady_tick(Duration::from_millis(100));
    bar
}
