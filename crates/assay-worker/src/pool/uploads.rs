//! The uploads that an import loads: where their bytes lie, and their end when they are a version.
//!
//! A load that fails leaves them, so that it can be tried again with other options until they expire.

use assay_core::{Code, Error, IMPORT, ImportFile, ImportParams, Job, Pieces, Result, UploadId, UploadedFile};
use futures::TryStreamExt as _;
use object_store::ObjectStore;
use object_store::path::Path;

use super::leftovers;

/// The files with the objects that hold their bytes.
///
/// # Errors
/// `UnknownUpload` when one is gone, e.g. because another job has loaded it; `StoreFailed`.
pub(super) async fn files(objects: &dyn ObjectStore, files: Vec<UploadedFile>) -> Result<Vec<ImportFile>> {
    let mut found = Vec::with_capacity(files.len());
    for UploadedFile { upload, name, bytes } in files {
        let Pieces {
            pieces,
            offset,
            is_complete,
        } = pieces(objects, &upload).await?;
        if !is_complete || offset != bytes {
            let message = format!("upload `{upload}` of `{name}` is not there any more");
            return Err(Error::new(Code::UnknownUpload, message).hint("send the file again"));
        }
        found.push(ImportFile {
            name: Some(name),
            pieces,
        });
    }
    if found.is_empty() {
        return Err(Error::new(Code::InvalidParameter, "the import has no uploaded file").hint("upload the file again"));
    }
    Ok(found)
}

async fn pieces(objects: &dyn ObjectStore, id: &UploadId) -> Result<Pieces> {
    let listed = objects
        .list(Some(&Path::from(id.folder())))
        .map_ok(|object| (object.location.to_string(), object.size))
        .try_collect::<Vec<_>>();
    let listed = listed.await.map_err(|cause| {
        tracing::error!(upload.id = %id, error = %cause, "cannot list the pieces of an upload");
        Error::new(Code::StoreFailed, "the uploaded file cannot be read from the store").hint("try again")
    })?;
    Ok(Pieces::of(id, listed))
}

/// Deletes the uploads of an import that has succeeded.
pub(super) async fn delete(objects: &dyn ObjectStore, job: &Job) {
    if job.spec.analysis != IMPORT || job.spec.upload.is_some() {
        return;
    }
    match serde_json::from_value::<ImportParams>(job.spec.params.clone()) {
        Ok(params) => {
            for file in params.files {
                // First what makes it known: pieces without it are of no upload.
                leftovers::delete(objects, &file.upload.about()).await;
                leftovers::delete_scratch(objects, &file.upload.folder()).await;
            }
        }
        Err(cause) => tracing::error!(job.id = %job.id, %cause, "the parameters of an import that succeeded are not"),
    }
}
