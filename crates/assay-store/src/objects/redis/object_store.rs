//! The trait that everybody reads and writes by.

use std::ops::Range;

use ::object_store::path::Path;
use ::object_store::{
    Attributes, CopyMode, CopyOptions, Error, GetOptions, GetRange, GetResult, GetResultPayload, ListResult,
    MultipartUpload, ObjectMeta, ObjectStore, PutMode, PutMultipartOptions, PutOptions, PutPayload, PutResult,
    RenameOptions, RenameTargetMode, Result,
};
use async_trait::async_trait;
use bytes::Bytes;
use futures::StreamExt as _;
use futures::stream::BoxStream;

use super::RedisObjects;
use super::about::About;
use super::upload::RedisUpload;
use super::writes::Mode;

/// Objects that are deleted at the same time.
const DELETES_AT_ONCE: usize = 16;

#[async_trait]
impl ObjectStore for RedisObjects {
    async fn put_opts(&self, location: &Path, payload: PutPayload, options: PutOptions) -> Result<PutResult> {
        self.refuse_attributes(&options.attributes, "`put_opts` with attributes")?;
        let mode = match options.mode {
            PutMode::Overwrite => Mode::Overwrite,
            PutMode::Create => Mode::Create,
            PutMode::Update(version) => Mode::update(version)?,
        };
        self.inner.put(location, payload, &mode).await
    }

    async fn put_multipart_opts(
        &self,
        location: &Path,
        options: PutMultipartOptions,
    ) -> Result<Box<dyn MultipartUpload>> {
        self.refuse_attributes(&options.attributes, "`put_multipart_opts` with attributes")?;
        Ok(Box::new(RedisUpload::new(self.inner.clone(), location.clone())))
    }

    async fn get_opts(&self, location: &Path, options: GetOptions) -> Result<GetResult> {
        let wanted = |about: &About| {
            options.check_preconditions(&about.meta(location))?;
            match &options.range {
                _ if options.head => Ok(0..0),
                Some(range) => range.as_range(about.size).map_err(|cause| Error::Generic {
                    store: "Redis",
                    source: Box::new(cause),
                }),
                None => Ok(0..about.size),
            }
        };
        let (about, range, bytes) = self.inner.open(location, wanted).await?;
        Ok(GetResult {
            payload: GetResultPayload::Stream(bytes),
            meta: about.meta(location),
            range,
            attributes: Attributes::default(),
        })
    }

    async fn get_ranges(&self, location: &Path, ranges: &[Range<u64>]) -> Result<Vec<Bytes>> {
        let checked = |about: &About| {
            let within = |range: &Range<u64>| GetRange::Bounded(range.clone()).as_range(about.size);
            let all = ranges.iter().map(within).collect::<std::result::Result<_, _>>();
            all.map_err(|cause| Error::Generic {
                store: "Redis",
                source: Box::new(cause),
            })
        };
        self.inner.ranges(location, checked).await
    }

    /// What is not there counts as deleted: an answer may be lost, and the request repeated.
    fn delete_stream(&self, locations: BoxStream<'static, Result<Path>>) -> BoxStream<'static, Result<Path>> {
        let inner = self.inner.clone();
        let deleted = locations.map(move |location| {
            let inner = inner.clone();
            async move {
                let location = location?;
                inner.delete(&location).await?;
                Ok(location)
            }
        });
        deleted.buffered(DELETES_AT_ONCE).boxed()
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        self.inner.list(prefix, None)
    }

    fn list_with_offset(&self, prefix: Option<&Path>, offset: &Path) -> BoxStream<'static, Result<ObjectMeta>> {
        self.inner.list(prefix, Some(offset))
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        self.inner.list_folder(prefix).await
    }

    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> Result<()> {
        let mode = match options.mode {
            CopyMode::Overwrite => Mode::Overwrite,
            CopyMode::Create => Mode::Create,
        };
        self.inner.copy(from, to, &mode).await
    }

    async fn rename_opts(&self, from: &Path, to: &Path, options: RenameOptions) -> Result<()> {
        let mode = match options.target_mode {
            RenameTargetMode::Overwrite => "overwrite",
            RenameTargetMode::Create => "create",
        };
        self.inner.rename(from, to, mode).await
    }
}

impl RedisObjects {
    fn refuse_attributes(&self, attributes: &Attributes, operation: &str) -> Result<()> {
        if attributes.is_empty() {
            return Ok(());
        }
        Err(Error::NotImplemented {
            operation: operation.to_owned(),
            implementer: self.to_string(),
        })
    }
}
