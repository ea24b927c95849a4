//! The trait that everybody reads and writes by: reads of what is kept look nearby first, everything else goes on.

use std::ops::Range;

use ::object_store::path::Path;
use ::object_store::{
    Attributes, CopyOptions, Error, GetOptions, GetResult, GetResultPayload, ListResult, MultipartUpload, ObjectMeta,
    ObjectStore, PutMultipartOptions, PutOptions, PutPayload, PutResult, RenameOptions, Result,
};
use async_trait::async_trait;
use bytes::Bytes;
use futures::StreamExt as _;
use futures::stream::BoxStream;

use super::{CachedObjects, Copy};

#[async_trait]
impl ObjectStore for CachedObjects {
    async fn put_opts(&self, location: &Path, payload: PutPayload, options: PutOptions) -> Result<PutResult> {
        let put = self.far.put_opts(location, payload, options).await;
        self.forget(location);
        put
    }

    async fn put_multipart_opts(
        &self,
        location: &Path,
        options: PutMultipartOptions,
    ) -> Result<Box<dyn MultipartUpload>> {
        self.forget(location);
        self.far.put_multipart_opts(location, options).await
    }

    async fn get_opts(&self, location: &Path, options: GetOptions) -> Result<GetResult> {
        if is_plain(&options)
            && let Some(copy) = self.copy(location).await?
        {
            return of_copy(copy, location, &options);
        }
        self.far.get_opts(location, options).await
    }

    async fn get_ranges(&self, location: &Path, ranges: &[Range<u64>]) -> Result<Vec<Bytes>> {
        let Some(copy) = self.copy(location).await? else {
            return self.far.get_ranges(location, ranges).await;
        };
        match self.inner.fine(super::read(copy, ranges.to_vec()).await) {
            Some(read) => Ok(read),
            None => self.far.get_ranges(location, ranges).await,
        }
    }

    fn delete_stream(&self, locations: BoxStream<'static, Result<Path>>) -> BoxStream<'static, Result<Path>> {
        let this = self.clone();
        let forgotten = locations.inspect(move |location| {
            if let Ok(location) = location {
                this.forget(location);
            }
        });
        self.far.delete_stream(forgotten.boxed())
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        self.far.list(prefix)
    }

    fn list_with_offset(&self, prefix: Option<&Path>, offset: &Path) -> BoxStream<'static, Result<ObjectMeta>> {
        self.far.list_with_offset(prefix, offset)
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        self.far.list_with_delimiter(prefix).await
    }

    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> Result<()> {
        self.forget(to);
        self.far.copy_opts(from, to, options).await
    }

    async fn rename_opts(&self, from: &Path, to: &Path, options: RenameOptions) -> Result<()> {
        self.forget(from);
        self.forget(to);
        self.far.rename_opts(from, to, options).await
    }
}

impl CachedObjects {
    fn forget(&self, location: &Path) {
        if self.inner.is_kept(location) {
            self.inner.disk.remove(&self.inner.name(location));
        }
    }
}

/// Whether nothing is asked that only the place itself knows.
fn is_plain(options: &GetOptions) -> bool {
    let GetOptions {
        if_match,
        if_none_match,
        if_modified_since,
        if_unmodified_since,
        range: _,
        version,
        head,
        extensions: _,
    } = options;
    let has_condition = if_match.is_some() || if_none_match.is_some();
    let has_time = if_modified_since.is_some() || if_unmodified_since.is_some();
    !(has_condition || has_time || version.is_some() || *head)
}

fn of_copy(copy: Copy, location: &Path, options: &GetOptions) -> Result<GetResult> {
    let range = match &options.range {
        Some(range) => range.as_range(copy.size).map_err(|cause| Error::Generic {
            store: "CachedObjects",
            source: Box::new(cause),
        })?,
        None => 0..copy.size,
    };
    Ok(GetResult {
        meta: ObjectMeta {
            location: location.clone(),
            last_modified: copy.written_at.into(),
            size: copy.size,
            e_tag: None,
            version: None,
        },
        payload: GetResultPayload::File(copy.file, copy.path),
        range,
        attributes: Attributes::default(),
    })
}
