//! Objects in a bucket of a service that speaks S3.
//!
//! Keys, region and endpoint come as the usual `AWS_…` settings. The service removes unfinished uploads in parts by a
//! rule of the bucket (`AbortIncompleteMultipartUpload`): they are no objects, and no list shows them.

use std::collections::BTreeMap;
use std::time::{Duration, SystemTime};

use assay_core::{Code, Error, Result};
use async_trait::async_trait;
use futures::stream::{self, BoxStream};
use futures::{StreamExt as _, TryStreamExt as _};
use object_store::aws::{AmazonS3, AmazonS3Builder, AmazonS3ConfigKey};
use object_store::path::Path;
use object_store::prefix::PrefixStore;
use object_store::{BackoffConfig, Certificate, ClientOptions, ObjectStore as _, RetryConfig};

use super::url::S3Url;
use super::{Found, Objects, sweep_failed};

/// An object store in a bucket.
pub type S3Objects = PrefixStore<AmazonS3>;

const CONNECT_LIMIT: Duration = Duration::from_secs(3);
/// How long a request is tried in all: a service that starts again is waited for.
const PATIENCE: Duration = Duration::from_secs(15);
/// Shortest and longest pause between two tries.
const PAUSES: [Duration; 2] = [Duration::from_millis(100), Duration::from_secs(1)];
/// More than there is time for.
const MAX_RETRIES: usize = 150;

/// Opens the bucket; nothing is asked of the service yet. `options` are settings by their names in the environment;
/// those that are not about this are passed over. `authorities`
/// are certificates in PEM that vouch for the service beside those of the machine.
///
/// # Errors
/// `InvalidParameter` when a setting is missing or has a value that cannot be.
pub(super) fn open(url: &S3Url, options: &BTreeMap<String, String>, authorities: Option<&str>) -> Result<S3Objects> {
    let failed = |cause: object_store::Error| {
        tracing::error!(error = %cause, place = %url, "the bucket of the objects cannot be opened");
        let message = format!("the bucket of `{url}` cannot be opened");
        Error::new(Code::InvalidParameter, message)
            .hint("look at the `AWS_…` variables of the environment; the log has the cause")
    };
    let mut client = ClientOptions::new().with_connect_timeout(CONNECT_LIMIT);
    let authorities = Certificate::from_pem_bundle(authorities.unwrap_or_default().as_bytes());
    for authority in authorities.map_err(failed)? {
        client = client.with_root_certificate(authority);
    }
    let retry = RetryConfig {
        max_retries: MAX_RETRIES,
        retry_timeout: PATIENCE,
        backoff: BackoffConfig {
            init_backoff: PAUSES[0],
            max_backoff: PAUSES[1],
            ..BackoffConfig::default()
        },
    };
    let mut builder = AmazonS3Builder::new().with_client_options(client).with_retry(retry);
    for (name, value) in options {
        if let Ok(key) = name.to_ascii_lowercase().parse::<AmazonS3ConfigKey>() {
            builder = builder.with_config(key, value);
        }
    }
    let bucket = builder.with_bucket_name(&url.bucket).build().map_err(failed)?;
    Ok(PrefixStore::new(bucket, url.prefix.clone()))
}

#[async_trait]
impl Objects for S3Objects {
    fn walk(&self) -> BoxStream<'static, Result<Found>> {
        let found = self.list(None).map_ok(|meta| Found {
            name: meta.location.into(),
            written_at: meta.last_modified.into(),
        });
        found.map_err(|cause| sweep_failed(&cause)).boxed()
    }

    async fn remove(&self, names: Vec<String>) -> Result<u64> {
        let locations = stream::iter(names).map(|name| Ok(Path::parse(name)?)).boxed();
        let mut deleted = self.delete_stream(locations);
        let mut removed = 0;
        while let Some(deleted) = deleted.next().await {
            match deleted {
                Ok(_) => removed += 1,
                Err(object_store::Error::NotFound { .. }) => {}
                Err(cause) => tracing::warn!(error = %cause, "a leftover could not be removed"),
            }
        }
        Ok(removed)
    }

    /// The service does that.
    async fn remove_unfinished(&self, _: SystemTime) -> Result<u64> {
        Ok(0)
    }
}
