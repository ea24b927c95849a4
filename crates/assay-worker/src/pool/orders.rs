//! From a job to the order that an engine process understands.
//!
//! Whether the job makes sense was checked when it was submitted.

use assay_core::{
    Author, Code, CompactTask, Error, IMPORT, ImportFile, ImportParams, ImportTask, Job, Lease, Order, RETYPE, Result,
    RetypeParams, RetypeTask, Task, Version,
};

use super::{WorkerPorts, inputs, uploads};

/// The analysis that may name data sets in its text, and is told their names to suggest the nearest.
pub(super) const SQL: &str = "sql";

/// Where the attempt may write. The fence keeps attempts of one job apart.
pub(super) fn scratch(lease: &Lease) -> String {
    format!("results/{}/{}", lease.job, lease.fence)
}

/// The order of an attempt.
///
/// # Errors
/// What [`inputs::of`] says; `InvalidParameter` for an import without sound parameters.
pub(super) async fn make(ports: &WorkerPorts, lease: &Lease, job: &Job, threads: usize) -> Result<Order> {
    let scratch = scratch(lease);
    let task = match job.spec.analysis.as_str() {
        IMPORT => import(ports, job).await?,
        RETYPE => retype(ports, job).await?,
        _ => analyze(ports, job, &scratch).await?,
    };
    Ok(Order {
        scratch,
        task,
        limits: job.spec.limits,
        threads,
    })
}

/// Records that are added to others have the same key attribute.
async fn import(ports: &WorkerPorts, job: &Job) -> Result<Task> {
    let ImportParams {
        dataset,
        key,
        mode,
        format,
        record_path,
        read,
        message,
        files,
        upload_bytes,
        upload_sha256: _,
    } = serde_json::from_value(job.spec.params.clone()).map_err(|fault| {
        Error::new(
            Code::InvalidParameter,
            format!("the parameters of the import could not be read: {fault}"),
        )
        .hint("upload the file again")
    })?;
    let files = match &job.spec.upload {
        Some(upload) => vec![ImportFile::of_object(upload.clone(), upload_bytes)],
        None => uploads::files(ports, job, files).await?,
    };
    let entry = ports.catalog.find(&dataset).await?;
    let (rules, ruled) = entry
        .as_ref()
        .map_or((None, Version(0)), |known| (known.rules.clone(), known.ruled));
    let known = match mode.keeps() && entry.is_some() {
        true => Some(ports.catalog.snapshot(&dataset, None).await?),
        false => None,
    };
    let (known_key, attributes) = known.map_or_else(Default::default, |known| (known.key, known.schema.attributes));
    let attributes = attributes.into_iter().map(|attribute| attribute.name).collect();
    let key = key.or(known_key);
    let author = Author {
        user: Some(job.spec.owner.clone()),
        message,
    };
    let folder = format!("datasets/{}", dataset.folded());
    Ok(Task::Import(Box::new(ImportTask {
        files,
        dataset,
        key,
        mode,
        format,
        record_path,
        read,
        author,
        folder,
        attributes,
        rules,
        ruled,
    })))
}

/// All records of the newest version, to be written with other types.
async fn retype(ports: &WorkerPorts, job: &Job) -> Result<Task> {
    let RetypeParams {
        dataset,
        types,
        message,
    } = serde_json::from_value(job.spec.params.clone()).map_err(|fault| {
        let message = format!("the parameters of the change of types could not be read: {fault}");
        Error::new(Code::InvalidParameter, message).hint("submit it again")
    })?;
    // Rules that are changed between the two are noticed when the version is made.
    let known = ports.catalog.find(&dataset).await?;
    let snapshot = ports.catalog.snapshot(&dataset, None).await?;
    let (rules, ruled) = known.map_or((None, Version(0)), |known| (known.rules, known.ruled));
    Ok(Task::Retype(Box::new(RetypeTask {
        records: CompactTask {
            folder: format!("datasets/{}", snapshot.name.folded()),
            dataset: snapshot.name,
            key: snapshot.key,
            version: snapshot.version,
            parts: snapshot.parts,
            hot: snapshot.hot,
            declared: snapshot.declared,
        },
        types,
        rules,
        ruled,
        author: Author {
            user: Some(job.spec.owner.clone()),
            message,
        },
    })))
}

async fn analyze(ports: &WorkerPorts, job: &Job, scratch: &str) -> Result<Task> {
    let inputs = inputs::of(ports, job, scratch).await?;
    let known_datasets = if job.spec.analysis == SQL {
        ports.catalog.names().await?
    } else {
        Vec::new()
    };
    Ok(Task::Analyze {
        analysis: job.spec.analysis.clone(),
        params: job.spec.params.clone(),
        inputs,
        known_datasets,
    })
}
