//! Writing objects: chunks first, then the name.

use std::time::SystemTime;

use bytes::Bytes;
use futures::{StreamExt as _, TryStreamExt as _, stream};
use object_store::path::Path;
use object_store::{Error, PutPayload, PutResult, Result, UpdateVersion};
use redis::pipe;

use super::Inner;
use super::about::{About, CHUNK_BYTES};
use super::keys::member;
use super::reads::not_found;
use super::server::unreadable;

/// Chunks that are under way to the server at the same time.
const WRITE_AHEAD: usize = 2;

/// Under which condition chunks get their name.
#[derive(Debug, Clone)]
pub(super) enum Mode {
    Overwrite,
    /// Nothing has the name.
    Create,
    /// The content with that id has the name.
    Update(String),
}

impl Mode {
    /// # Errors
    /// `Generic` without an ETag, which tells what is to be replaced.
    pub(super) fn update(version: UpdateVersion) -> Result<Self> {
        version.e_tag.map(Self::Update).ok_or_else(|| Error::Generic {
            store: "Redis",
            source: "an update names the ETag of what it replaces".into(),
        })
    }
}

/// An id that no other content has.
pub(super) fn new_id() -> String {
    ulid::Ulid::new().to_string().to_ascii_lowercase()
}

impl Inner {
    pub(super) async fn put(&self, location: &Path, payload: PutPayload, mode: &Mode) -> Result<PutResult> {
        let id = new_id();
        let bytes = Bytes::from(payload);
        let size = bytes.len() as u64;
        if size <= CHUNK_BYTES {
            return self.publish(location, &id, size, mode, Some(&bytes)).await;
        }
        let chunks = (0..).zip(cut(&bytes));
        let stored = stream::iter(chunks.map(Ok)).try_for_each_concurrent(WRITE_AHEAD, |(number, chunk)| {
            let id = &id;
            async move { self.stage(id, number, &chunk).await }
        });
        let put = match stored.await {
            Ok(()) => self.publish(location, &id, size, mode, None).await,
            Err(cause) => Err(cause),
        };
        if put.is_err() {
            self.discard(&id, size.div_ceil(CHUNK_BYTES)).await;
        }
        put
    }

    pub(super) async fn stage(&self, id: &str, number: u64, bytes: &[u8]) -> Result<()> {
        let mut script = self.scripts.stage.prepare_invoke();
        script.key(&self.keys.staged).key(self.keys.chunk(id, number));
        script.arg(member(id, number)).arg(bytes);
        self.server.invoke(script).await
    }

    /// Names the chunks of `id`: those that are staged, or `bytes` as the only one.
    pub(super) async fn publish(
        &self,
        location: &Path,
        id: &str,
        size: u64,
        mode: &Mode,
        bytes: Option<&[u8]>,
    ) -> Result<PutResult> {
        let (mode, replaced) = match mode {
            Mode::Overwrite => ("overwrite", ""),
            Mode::Create => ("create", ""),
            Mode::Update(replaced) => ("update", replaced.as_str()),
        };
        let keys = &self.keys;
        let mut script = self.scripts.publish.prepare_invoke();
        script.key(&keys.names).key(&keys.about).key(&keys.staged);
        script.arg(&keys.chunks).arg(location.as_ref()).arg(mode).arg(replaced);
        script.arg(id).arg(size).arg(CHUNK_BYTES);
        if let Some(bytes) = bytes {
            script.arg(bytes);
        }
        let (said, _): (String, String) = self.server.write(script).await?;
        let path = location.to_string();
        match said.as_str() {
            "done" => Ok(PutResult {
                e_tag: Some(id.to_owned()),
                version: None,
            }),
            "exists" => Err(Error::AlreadyExists {
                path,
                source: "there is such an object".into(),
            }),
            "changed" => Err(Error::Precondition {
                path,
                source: "the object is another one by now".into(),
            }),
            "gone" => Err(Error::Generic {
                store: "Redis",
                source: "chunks of an unfinished write were removed".into(),
            }),
            _ => Err(unreadable("the answer of a script")),
        }
    }

    /// Removes the chunks of an unfinished write, as far as they can be: the sweep finds the rest.
    pub(super) async fn discard(&self, id: &str, chunks: u64) {
        let members: Vec<String> = (0..chunks).map(|number| member(id, number)).collect();
        if let Err(cause) = self.unstage(&members).await {
            tracing::warn!(error = %cause, "an unfinished write stays until the sweep of leftovers");
        }
    }

    pub(super) async fn unstage(&self, members: &[String]) -> Result<u64> {
        let mut script = self.scripts.unstage.prepare_invoke();
        script.key(&self.keys.staged).arg(&self.keys.chunks).arg(members);
        self.server.invoke(script).await
    }

    /// At most `most` members of `staged`, the oldest first.
    pub(super) async fn staged_before(&self, before: SystemTime, most: isize) -> Result<Vec<String>> {
        let since = before.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        let before = format!("({}", since.as_millis());
        let mut pipeline = pipe();
        pipeline.zrangebyscore_limit(&self.keys.staged, "-inf", before, 0, most);
        let (members,) = self.server.query(&pipeline).await?;
        Ok(members)
    }

    /// Says whether there was such an object.
    pub(super) async fn delete(&self, location: &Path) -> Result<bool> {
        let mut script = self.scripts.delete.prepare_invoke();
        script.key(&self.keys.names).key(&self.keys.about);
        script.arg(&self.keys.chunks).arg(location.as_ref());
        self.server.invoke(script).await
    }

    /// Has the server copy the chunks.
    pub(super) async fn copy(&self, from: &Path, to: &Path, mode: &Mode) -> Result<()> {
        let about = self.about(from).await?;
        let id = new_id();
        let copied = stream::iter(0..about.chunks()).then(|number| self.copy_chunk(from, &about, &id, number));
        let copied = match copied.try_for_each(|()| async { Ok(()) }).await {
            Ok(()) => self.publish(to, &id, about.size, mode, None).await.map(drop),
            Err(cause) => Err(cause),
        };
        if copied.is_err() {
            self.discard(&id, about.chunks()).await;
        }
        copied
    }

    async fn copy_chunk(&self, from: &Path, about: &About, id: &str, number: u64) -> Result<()> {
        let mut script = self.scripts.stage_copy.prepare_invoke();
        script.key(&self.keys.staged).key(self.keys.chunk(id, number));
        script.key(self.keys.chunk(&about.id, number)).arg(member(id, number));
        match self.server.invoke(script).await? {
            true => Ok(()),
            false => Err(not_found(from)),
        }
    }

    pub(super) async fn rename(&self, from: &Path, to: &Path, mode: &str) -> Result<()> {
        let mut script = self.scripts.rename.prepare_invoke();
        script.key(&self.keys.names).key(&self.keys.about);
        script
            .arg(&self.keys.chunks)
            .arg(from.as_ref())
            .arg(to.as_ref())
            .arg(mode);
        let said: String = self.server.write(script).await?;
        match said.as_str() {
            "done" => Ok(()),
            "missing" => Err(not_found(from)),
            "exists" => Err(Error::AlreadyExists {
                path: to.to_string(),
                source: "there is such an object".into(),
            }),
            _ => Err(unreadable("the answer of a script")),
        }
    }
}

/// The chunks of some bytes, without a copy.
fn cut(bytes: &Bytes) -> impl Iterator<Item = Bytes> {
    let mut rest = bytes.clone();
    std::iter::from_fn(move || {
        let most = usize::try_from(CHUNK_BYTES).unwrap_or(usize::MAX).min(rest.len());
        (most > 0).then(|| rest.split_to(most))
    })
}
