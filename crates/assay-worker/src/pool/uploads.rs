//! The uploads that an import loads: where their bytes lie, and their end when they are a version.
//!
//! A load that fails leaves them, so that it can be tried again with other options until they expire.

use assay_core::{
    Code, Error, IMPORT, ImportFile, ImportParams, Job, JobId, Pieces, Result, State, UploadId, UploadedFile,
};
use futures::TryStreamExt as _;
use object_store::path::Path;
use object_store::{ObjectStore, ObjectStoreExt as _, PutMode, PutOptions, PutPayload};

use super::{WorkerPorts, leftovers};

/// The files with the objects that hold their bytes.
///
/// # Errors
/// `UnknownUpload` when one is gone, e.g. because another job has loaded it; `Conflict` while another one does;
/// `StoreFailed`.
pub(super) async fn files(ports: &WorkerPorts, job: &Job, files: Vec<UploadedFile>) -> Result<Vec<ImportFile>> {
    let objects = &*ports.objects;
    let mut found = Vec::with_capacity(files.len());
    for UploadedFile { upload, name, bytes } in files {
        claim(ports, job, &upload).await?;
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

/// Takes an upload for `job`, so that no other loads it too. Of those who take it over from a job that has failed, one
/// makes the next claim.
async fn claim(ports: &WorkerPorts, job: &Job, upload: &UploadId) -> Result<()> {
    let failed = |cause: object_store::Error| {
        tracing::error!(upload.id = %upload, error = %cause, "cannot claim an upload");
        Error::new(Code::StoreFailed, "the uploaded file cannot be claimed in the store").hint("try again")
    };
    let mut number = 0;
    loop {
        let path = Path::from(upload.claim(number));
        let create = PutOptions::from(PutMode::Create);
        let name = PutPayload::from(job.id.to_string());
        match ports.objects.put_opts(&path, name, create).await {
            Err(object_store::Error::AlreadyExists { .. }) => {}
            made => return made.map(drop).map_err(failed),
        }
        let is_last = match ports.objects.head(&Path::from(upload.claim(number + 1))).await {
            Ok(_) => false,
            Err(object_store::Error::NotFound { .. }) => true,
            Err(cause) => return Err(failed(cause)),
        };
        let owner = ports
            .objects
            .get(&path)
            .await
            .map_err(failed)?
            .bytes()
            .await
            .map_err(failed)?;
        let owner = String::from_utf8_lossy(&owner).into_owned();
        if is_last && owner == job.id.to_string() {
            return Ok(());
        }
        if is_last {
            match owner.parse::<JobId>() {
                Ok(id) => refuse_unless_failed(ports, upload, &id).await?,
                Err(_) => tracing::error!(upload.id = %upload, owner, "a claim names no job"),
            }
        }
        number += 1;
    }
}

async fn refuse_unless_failed(ports: &WorkerPorts, upload: &UploadId, owner: &JobId) -> Result<()> {
    let state = match ports.jobs.get(owner).await {
        Ok((job, _)) => job.state,
        Err(error) if matches!(error.code, Code::UnknownJob | Code::JobExpired) => return Ok(()),
        Err(error) => return Err(error),
    };
    match state {
        State::Failed | State::Canceled => Ok(()),
        State::Succeeded => {
            let message = format!("upload `{upload}` was loaded by job `{owner}`");
            Err(Error::new(Code::UnknownUpload, message).hint("send the file again"))
        }
        _ => {
            let message = format!("job `{owner}` is loading upload `{upload}`");
            Err(Error::new(Code::Conflict, message).hint("wait for that job"))
        }
    }
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
