//! Uploads that are sent piece by piece and go on after whatever broke them off.
//!
//! All there is of one lies in the object store, see `Pieces` in `assay-core`; no server remembers anything, so that any
//! of them may take the next piece.

use std::sync::Arc;

use assay_core::{Code, Error, ImportParams, JobSpec, Pieces, Result, UPLOADS, UploadId, UploadedFile, UserName};
use axum::body::{Body, BodyDataStream};
use futures::future::{self, FusedFuture as _};
use futures::stream::BoxStream;
use futures::{FutureExt as _, StreamExt as _, TryStreamExt as _};
use object_store::path::Path;
use object_store::{ObjectStore as _, ObjectStoreExt as _, PutMode, PutOptions, PutPayload, PutPayloadMut};
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use tokio::sync::{OwnedSemaphorePermit, oneshot};

use crate::app::{App, MAX_APPENDS, Shared};
use crate::asker::Asker;
use crate::cursor::hex;
use crate::receive::{empty, next, not_stored, too_large};

/// What is written, and so acknowledged, at once; held in memory until then.
const PIECE_BYTES: usize = 8 << 20;
/// As much as so many pieces may become one, where bytes come faster than they are stored.
const JOINED_PIECES: u32 = 4;
/// Less than this is copied as it comes.
const COPIED_BYTES: usize = 64 << 10;
/// So many pieces an upload may have. They are small only where clients send little at a time.
const MAX_PIECES: usize = 10_000;
/// What of a body that is refused is read all the same, so that the client has sent it and reads the answer.
const DRAINED: u64 = 16 << 20;

/// What is known of an upload beside its bytes, as it is stored.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct About {
    pub(crate) owner: UserName,
    pub(crate) name: Option<String>,
    pub(crate) length: Option<u64>,
    /// SHA-256 of the whole, in hexadecimal digits.
    pub(crate) sha256: Option<String>,
}

/// An upload as it is now.
pub(crate) struct Upload {
    pub(crate) id: UploadId,
    pub(crate) about: About,
    pub(crate) pieces: Pieces,
}

/// What a client sends to go on.
pub(crate) struct Append {
    pub(crate) offset: u64,
    /// These are the last bytes.
    pub(crate) completes: bool,
    /// Of the body, in hexadecimal digits.
    pub(crate) digest: Option<String>,
    /// Of the body.
    pub(crate) length: Option<u64>,
    /// Of the upload when it is complete, as the request has it.
    pub(crate) total: Option<u64>,
}

/// Begins an upload.
///
/// # Errors
/// `TooManyUploads`; those of the store.
pub(crate) async fn begin(app: &App, about: About) -> Result<Upload> {
    let now = app.clock.now();
    let most = app.settings.max_uploads;
    let folder = Path::from(UPLOADS);
    let listed = app
        .objects
        .list_with_delimiter(Some(&folder))
        .await
        .map_err(not_stored)?;
    let ids = listed.common_prefixes.iter().filter_map(Path::filename);
    let ids = ids.filter_map(|name| name.parse::<UploadId>().ok());
    if ids.filter(|id| now < id.expires_at()).count() >= most {
        let message = format!("there are {most} uploads already, which is the limit");
        return Err(
            Error::new(Code::TooManyUploads, message).hint("load or delete others first; each expires after a day")
        );
    }
    let id = UploadId::generate(now);
    let text = serde_json::to_vec(&about).map_err(|cause| {
        tracing::error!(%cause, "what is known of an upload does not serialize");
        Error::internal("beginning the upload")
    })?;
    create(app, &id.about(), text.into()).await.map_err(not_stored)?;
    Ok(Upload {
        id,
        about,
        pieces: Pieces::default(),
    })
}

/// The upload, when it is the asker's and has not expired.
///
/// # Errors
/// `UnknownUpload`; those of the store.
pub(crate) async fn find(app: &App, asker: &Asker, id: &UploadId) -> Result<Upload> {
    if id.expires_at() <= app.clock.now() {
        return Err(unknown(id));
    }
    let read = async { app.objects.get(&Path::from(id.about())).await?.bytes().await };
    let text = match read.await {
        Ok(text) => text,
        Err(object_store::Error::NotFound { .. }) => return Err(unknown(id)),
        Err(cause) => return Err(not_read(&cause)),
    };
    let about: About = serde_json::from_slice(&text).map_err(|cause| {
        tracing::error!(upload.id = %id, %cause, "what is known of an upload cannot be read");
        Error::internal("reading the upload")
    })?;
    if !asker.may_see(&about.owner) {
        return Err(unknown(id));
    }
    let pieces = pieces(app, id).await?;
    let id = id.clone();
    Ok(Upload { id, about, pieces })
}

/// The finished uploads that an import loads.
///
/// # Errors
/// `UnknownUpload`; `Conflict` when one is not finished; those of the store.
pub(crate) async fn finished(app: &App, asker: &Asker, ids: &[UploadId]) -> Result<Vec<UploadedFile>> {
    let mut files = Vec::with_capacity(ids.len());
    for id in ids {
        let Upload { id, about, pieces } = find(app, asker, id).await?;
        if !pieces.is_complete {
            let message = format!("upload `{id}` is not complete: {} bytes have arrived", pieces.offset);
            return Err(
                Error::new(Code::Conflict, message).hint("send the rest of it, the last with `Upload-Complete: ?1`")
            );
        }
        files.push(UploadedFile {
            name: about.name.unwrap_or_else(|| id.to_string()),
            upload: id,
            bytes: pieces.offset,
        });
    }
    Ok(files)
}

/// Whether an import that has failed can be tried again: what came in the body of a request is gone then.
///
/// # Errors
/// Those of the store.
pub(crate) async fn are_left(app: &App, asker: &Asker, import: &JobSpec) -> Result<bool> {
    let params = serde_json::from_value::<ImportParams>(import.params.clone());
    let files = params.map(|params| params.files).unwrap_or_default();
    if import.upload.is_some() || files.is_empty() {
        return Ok(false);
    }
    let ids: Vec<UploadId> = files.into_iter().map(|file| file.upload).collect();
    match finished(app, asker, &ids).await {
        Ok(_) => Ok(true),
        Err(error) if matches!(error.code, Code::UnknownUpload | Code::Conflict) => Ok(false),
        Err(error) => Err(error),
    }
}

/// Appends a body, and completes the upload when it says so or has all its bytes then.
///
/// What has arrived when the connection breaks is kept.
///
/// # Errors
/// `UploadOffset` when the upload ends elsewhere; `Conflict` when it is complete; `BodyTooLarge`; `InvalidRequest` when
/// the body is cut off or does not have its digest; `Overloaded`; those of the store.
pub(crate) async fn append(app: Shared, upload: Upload, append: Append, body: Body) -> Result<Pieces> {
    let body = body.into_data_stream();
    let turn = Turn::take(&app, &append).ok_or_else(overloaded);
    let turn = match refusal(&app, &upload, &append).and(turn) {
        Ok(turn) => turn,
        Err(error) => {
            drain(body).await;
            return Err(error);
        }
    };
    // The client may go away, and what it sent is kept all the same.
    let work = tokio::spawn(async move {
        let mut receiver = Receiver {
            turn,
            limit: limit(&app, &upload.about),
            count: upload.pieces.pieces.len(),
            offset: append.offset,
            id: upload.id,
            app,
        };
        receiver.receive(body, append.digest.as_deref()).await?;
        let is_complete = append.completes || Some(receiver.offset) == upload.about.length;
        if is_complete {
            complete(&receiver.app, &receiver.id, &upload.about, receiver.offset).await?;
        }
        Ok(Pieces {
            pieces: Vec::new(),
            offset: receiver.offset,
            is_complete,
        })
    });
    work.await.map_err(|cause| {
        tracing::error!(%cause, "taking a piece of an upload panicked");
        Error::internal("taking the piece")
    })?
}

/// Forgets an upload.
pub(crate) async fn remove(app: &App, id: &UploadId) {
    // First what makes it known: pieces without it are of no upload, and go when it would have expired.
    let about = futures::stream::iter([Ok(Path::from(id.about()))]);
    delete(app, id, about.boxed()).await;
    let pieces = app.objects.list(Some(&Path::from(id.folder())));
    delete(app, id, pieces.map_ok(|object| object.location).boxed()).await;
}

async fn delete(app: &App, id: &UploadId, paths: BoxStream<'static, object_store::Result<Path>>) {
    let mut deleted = app.objects.delete_stream(paths);
    while let Some(deleted) = deleted.next().await {
        match deleted {
            Ok(_) | Err(object_store::Error::NotFound { .. }) => {}
            Err(cause) => tracing::warn!(upload.id = %id, error = %cause, "could not delete an object of an upload"),
        }
    }
}

/// Why nothing of the body is taken.
fn refusal(app: &App, upload: &Upload, append: &Append) -> Result<()> {
    let Upload { id, about, pieces } = upload;
    if pieces.is_complete {
        let message = format!("upload `{id}` is complete");
        return Err(Error::new(Code::Conflict, message).hint("load it: `POST /v1/datasets/{name}/import?upload=…`"));
    }
    if append.offset != pieces.offset {
        return Err(elsewhere(id, append.offset));
    }
    if let (Some(total), Some(length)) = (append.total, about.length)
        && total != length
    {
        let message =
            format!("upload `{id}` was begun with a length of {length} bytes, and `Upload-Length` is {total}");
        return Err(Error::new(Code::InvalidRequest, message).hint("begin another upload when the file has changed"));
    }
    if append
        .length
        .is_some_and(|length| length > limit(app, about).saturating_sub(pieces.offset))
    {
        return Err(beyond(app, about));
    }
    Ok(())
}

/// The turn to take a body: of two pieces, one is stored while the other comes.
struct Turn {
    /// What a piece has at most, or a little more.
    piece_bytes: usize,
    _permits: OwnedSemaphorePermit,
}

impl Turn {
    /// For large pieces when there are many turns and the body may need them; `None` when all turns are taken.
    fn take(app: &App, append: &Append) -> Option<Self> {
        let turns = &app.appends;
        let may_be_large = append.digest.is_none() && append.length.is_none_or(|length| length > PIECE_BYTES as u64);
        let many = may_be_large && turns.available_permits() > MAX_APPENDS - MAX_APPENDS / 4;
        let take = |count| {
            Some(Self {
                piece_bytes: PIECE_BYTES * count as usize,
                _permits: Arc::clone(turns).try_acquire_many_owned(count).ok()?,
            })
        };
        many.then(|| take(JOINED_PIECES)).flatten().or_else(|| take(1))
    }
}

/// Takes the bytes of one body.
struct Receiver {
    app: Shared,
    id: UploadId,
    turn: Turn,
    /// Bytes that the upload may have in all.
    limit: u64,
    /// Where the next piece begins.
    offset: u64,
    /// Pieces there are.
    count: usize,
}

impl Receiver {
    /// While one piece is stored, the next comes, and grows as long as that takes.
    async fn receive(&mut self, mut body: BodyDataStream, digest: Option<&str>) -> Result<()> {
        let mut ready = PutPayload::new();
        loop {
            let room = self.limit.saturating_sub(self.offset + ready.content_length() as u64);
            let (ended, is_stored) = oneshot::channel();
            let largest = self.turn.piece_bytes;
            let storing = async {
                let stored = self.store(ready).await;
                // Nobody waits for it when the piece has come already.
                let _ = ended.send(());
                stored
            };
            let (stored, (piece, end)) = tokio::join!(storing, filled(&mut body, room, largest, is_stored));
            stored?;
            ready = piece;
            match end {
                End::Full if digest.is_some() => {
                    let (more, end) = filled(&mut body, room, PIECE_BYTES, future::pending::<()>()).await;
                    match end {
                        End::Whole if more.content_length() == 0 && ready.content_length() == PIECE_BYTES => break,
                        _ => return Err(unchecked()),
                    }
                }
                End::Full => {}
                End::Beyond => return Err(too_large(self.limit)),
                // What cannot be checked any more is not kept.
                End::Broken(error) if digest.is_some() => return Err(error),
                End::Broken(error) => return self.store(ready).await.and(Err(error)),
                End::Whole => break,
            }
        }
        if digest.is_some_and(|digest| digest != digest_of_payload(&ready)) {
            let message = "the piece does not have the digest of its `Content-Digest`";
            return Err(Error::new(Code::InvalidRequest, message).hint("send it again"));
        }
        self.store(ready).await
    }

    async fn store(&mut self, piece: PutPayload) -> Result<()> {
        let length = piece.content_length() as u64;
        if length == 0 {
            return Ok(());
        }
        if self.count >= MAX_PIECES {
            let message = format!("an upload has at most {MAX_PIECES} pieces");
            return Err(Error::new(Code::BodyTooLarge, message).hint("begin anew, and send a few megabytes at a time"));
        }
        seal(&self.app, &self.id, self.offset, piece).await?;
        self.offset += length;
        self.count += 1;
        Ok(())
    }
}

/// Why a piece ends where it does.
enum End {
    /// There may be more.
    Full,
    /// With the body.
    Whole,
    /// The body has more than it may.
    Beyond,
    /// Nothing comes any more.
    Broken(Error),
}

/// The next piece of the body, of which `room` bytes are taken at most. It is full when it has `largest` bytes, and when
/// it could be stored `at_once` with fewer.
async fn filled(body: &mut BodyDataStream, room: u64, largest: usize, at_once: impl Future) -> (PutPayload, End) {
    let mut at_once = std::pin::pin!(at_once.fuse());
    let mut piece = PutPayloadMut::new();
    let end = loop {
        let enough = if at_once.is_terminated() { PIECE_BYTES } else { largest };
        if piece.content_length() >= enough {
            break End::Full;
        }
        let chunk = tokio::select! {
            chunk = next(body) => chunk,
            _ = &mut at_once, if !at_once.is_terminated() => continue,
        };
        match chunk {
            Ok(Some(chunk)) if (piece.content_length() + chunk.len()) as u64 > room => break End::Beyond,
            // A small one may hold much memory that others have left.
            Ok(Some(chunk)) if chunk.len() < COPIED_BYTES => piece.extend_from_slice(&chunk),
            Ok(Some(chunk)) => piece.push(chunk),
            Ok(None) => break End::Whole,
            Err(error) => break End::Broken(error),
        }
    };
    (piece.freeze(), end)
}

/// Ends the upload at `offset`, when it has the length and digest that it should.
async fn complete(app: &App, id: &UploadId, about: &About, offset: u64) -> Result<()> {
    if offset == 0 {
        return Err(empty());
    }
    if let Some(length) = about.length.filter(|length| *length != offset) {
        let message = format!("upload `{id}` should have {length} bytes, and ends after {offset}");
        return Err(Error::new(Code::InvalidRequest, message).hint("send the rest of it"));
    }
    if let Some(expected) = &about.sha256
        && digest_of(app, id).await? != *expected
    {
        remove(app, id).await;
        let message = format!("upload `{id}` does not have the digest that it should have, and was deleted");
        return Err(Error::new(Code::InvalidRequest, message).hint("send the file again, as a new upload"));
    }
    seal(app, id, offset, PutPayload::new()).await
}

/// Makes the object at `offset`, which settles what lies there.
async fn seal(app: &App, id: &UploadId, offset: u64, bytes: PutPayload) -> Result<()> {
    match create(app, &id.piece(offset), bytes).await {
        Err(object_store::Error::AlreadyExists { .. }) => Err(elsewhere(id, offset)),
        created => created.map_err(not_stored),
    }
}

async fn create(app: &App, path: &str, bytes: PutPayload) -> object_store::Result<()> {
    let options = PutOptions::from(PutMode::Create);
    app.objects.put_opts(&Path::from(path), bytes, options).await.map(drop)
}

/// How far an upload is.
///
/// # Errors
/// `StoreFailed`.
pub(crate) async fn pieces(app: &App, id: &UploadId) -> Result<Pieces> {
    let listed = app.objects.list(Some(&Path::from(id.folder())));
    let listed = listed.map_ok(|object| (object.location.to_string(), object.size));
    let listed: Vec<_> = listed.try_collect().await.map_err(|cause| not_read(&cause))?;
    Ok(Pieces::of(id, listed))
}

fn digest_of_payload(payload: &PutPayload) -> String {
    let mut digest = Sha256::new();
    payload.iter().for_each(|bytes| digest.update(bytes));
    hex(&digest.finalize())
}

async fn digest_of(app: &App, id: &UploadId) -> Result<String> {
    let mut digest = Sha256::new();
    for piece in pieces(app, id).await?.pieces {
        let path = Path::from(piece.path);
        let read = app.objects.get(&path).await.map_err(|cause| not_read(&cause))?;
        let mut chunks = read.into_stream();
        while let Some(chunk) = chunks.next().await {
            digest.update(&chunk.map_err(|cause| not_read(&cause))?);
        }
    }
    Ok(hex(&digest.finalize()))
}

async fn drain(mut body: BodyDataStream) {
    let mut read = 0;
    while read < DRAINED
        && let Ok(Some(chunk)) = next(&mut body).await
    {
        read += chunk.len() as u64;
    }
}

fn limit(app: &App, about: &About) -> u64 {
    about.length.unwrap_or(app.settings.max_upload_bytes)
}

fn unknown(id: &UploadId) -> Error {
    let message = format!("upload `{id}` does not exist");
    Error::new(Code::UnknownUpload, message).hint("one that is loaded or a day old is gone: begin a new one")
}

fn elsewhere(id: &UploadId, offset: u64) -> Error {
    let message = format!("upload `{id}` does not end at {offset}");
    Error::new(Code::UploadOffset, message).hint("go on at the `Upload-Offset` of this answer, or ask with HEAD")
}

fn beyond(app: &App, about: &About) -> Error {
    match about.length {
        Some(length) => Error::new(
            Code::BodyTooLarge,
            format!("the upload would have more than the {length} bytes that it was to have"),
        )
        .hint("begin a new one with the right `length`, or without one"),
        None => too_large(app.settings.max_upload_bytes),
    }
}

fn unchecked() -> Error {
    let message = format!("a piece with a `Content-Digest` has at most {PIECE_BYTES} bytes");
    Error::new(Code::BodyTooLarge, message).hint("send less at a time, or give the `digest` of the whole upload")
}

fn overloaded() -> Error {
    Error::new(Code::Overloaded, "too many uploads are being sent at the same time").hint("try again in a moment")
}

fn not_read(cause: &object_store::Error) -> Error {
    tracing::error!(error = %cause, "could not read an upload");
    Error::new(Code::StoreFailed, "the upload could not be read").hint("try again; the server's log has the cause")
}
