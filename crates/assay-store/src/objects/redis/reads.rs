//! Reading objects: what is known of one, and its bytes by ranges of chunks.

use std::ops::Range;
use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use futures::stream::{self, BoxStream};
use futures::{StreamExt as _, TryStreamExt as _};
use object_store::path::Path;
use object_store::{Error, Result};
use redis::pipe;

use super::Inner;
use super::about::About;
use super::server::unreadable;

/// Chunks that are asked for before those in front have been taken.
const READ_AHEAD: usize = 2;
/// Bytes of several ranges that are asked for in one request.
const BYTES_AT_ONCE: u64 = 8 << 20;
/// How often a reader begins anew when an object is replaced under its hands.
const TRIES: usize = 3;

impl Inner {
    /// # Errors
    /// `NotFound`.
    pub(super) async fn about(&self, location: &Path) -> Result<About> {
        let (found,): (Option<String>,) = self
            .server
            .query(pipe().hget(&self.keys.about, location.as_ref()))
            .await?;
        let text = found.ok_or_else(|| not_found(location))?;
        About::parse(&text).ok_or_else(|| unreadable("what is known of an object"))
    }

    /// What is known of the object, and the bytes of it in the range that `wanted` makes of that.
    ///
    /// # Errors
    /// `NotFound`, and those of `wanted`.
    pub(super) async fn open(
        self: &Arc<Self>,
        location: &Path,
        wanted: impl Fn(&About) -> Result<Range<u64>>,
    ) -> Result<(About, Range<u64>, BoxStream<'static, Result<Bytes>>)> {
        for _ in 0..TRIES {
            let about = self.about(location).await?;
            let range = wanted(&about)?;
            let mut slices = about.slices(&range);
            let Some(first) = slices.next() else {
                return Ok((about, range, stream::empty().boxed()));
            };
            // Another content may have taken the place of this one since.
            let Some(first) = self.slices(&about, &[first]).await? else {
                continue;
            };
            let (inner, of, at) = (Arc::clone(self), about.clone(), location.clone());
            let rest = stream::iter(slices).map(move |slice| {
                let (inner, of, at) = (Arc::clone(&inner), of.clone(), at.clone());
                async move { inner.slices(&of, &[slice]).await?.ok_or_else(|| not_found(&at)) }
            });
            let all = stream::iter([Ok(first)]).chain(rest.buffered(READ_AHEAD));
            return Ok((about, range, all.map_ok(joined).boxed()));
        }
        Err(not_found(location))
    }

    /// # Errors
    /// `NotFound`, and those of `checked`.
    pub(super) async fn ranges(
        &self,
        location: &Path,
        checked: impl Fn(&About) -> Result<Vec<Range<u64>>>,
    ) -> Result<Vec<Bytes>> {
        for _ in 0..TRIES {
            let about = self.about(location).await?;
            let ranges = checked(&about)?;
            if let Some(read) = self.all(&about, &ranges).await? {
                return Ok(read);
            }
        }
        Err(not_found(location))
    }

    /// `None` when the content is gone.
    async fn all(&self, about: &About, ranges: &[Range<u64>]) -> Result<Option<Vec<Bytes>>> {
        let slices: Vec<Vec<_>> = ranges.iter().map(|range| about.slices(range).collect()).collect();
        let flat: Vec<_> = slices.iter().flatten().cloned().collect();
        let mut read = Vec::with_capacity(flat.len());
        let mut rest = flat.as_slice();
        while !rest.is_empty() {
            let mut bytes = 0;
            let fits = |(_, within): &&(u64, Range<u64>)| {
                bytes += within.end - within.start;
                bytes <= BYTES_AT_ONCE
            };
            let (now, later) = rest.split_at(rest.iter().take_while(fits).count().max(1));
            let Some(found) = self.slices(about, now).await? else {
                return Ok(None);
            };
            read.extend(found);
            rest = later;
        }
        let mut read = read.into_iter();
        let of_range = |slices: &Vec<_>| joined(read.by_ref().take(slices.len()).collect());
        Ok(Some(slices.iter().map(of_range).collect()))
    }

    /// Bytes of chunks, in one request; `None` when one is not there any more.
    async fn slices(&self, about: &About, slices: &[(u64, Range<u64>)]) -> Result<Option<Vec<Bytes>>> {
        let mut pipeline = pipe();
        for (number, within) in slices {
            let key = self.keys.chunk(&about.id, *number);
            // The last byte counts here.
            pipeline.cmd("GETRANGE").arg(key).arg(within.start).arg(within.end - 1);
        }
        let read: Vec<Vec<u8>> = self.server.query(&pipeline).await?;
        let are_whole = slices
            .iter()
            .zip(&read)
            .all(|((_, within), bytes)| bytes.len() as u64 == within.end - within.start);
        Ok(are_whole.then(|| read.into_iter().map(Bytes::from).collect()))
    }
}

/// One text of several, without a copy where there is one alone.
fn joined(mut slices: Vec<Bytes>) -> Bytes {
    match slices.len() {
        1 => slices.remove(0),
        _ => {
            let mut all = BytesMut::with_capacity(slices.iter().map(Bytes::len).sum());
            slices.iter().for_each(|slice| all.extend_from_slice(slice));
            all.freeze()
        }
    }
}

pub(super) fn not_found(location: &Path) -> Error {
    Error::NotFound {
        path: location.to_string(),
        source: "there is no such object".into(),
    }
}
