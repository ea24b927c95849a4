//! Lists of objects, in the order of their paths, a page at a time.

use std::sync::Arc;

use futures::stream::{self, BoxStream};
use futures::{StreamExt as _, TryStreamExt as _};
use object_store::path::{DELIMITER, Path};
use object_store::{Error, ListResult, ObjectMeta, Result};
use redis::pipe;

use super::Inner;
use super::about::About;
use super::server::unreadable;

/// Objects of one page.
const PAGE: usize = 1_000;

/// A stretch of paths, as bounds of `ZRANGEBYLEX`.
#[derive(Debug, Clone)]
struct Stretch {
    from: String,
    to: String,
}

impl Stretch {
    /// What lies in the folder `prefix`, or everything.
    fn of(prefix: Option<&Path>) -> Self {
        match folder(prefix) {
            Some(folder) => Self {
                from: format!("[{folder}"),
                to: format!("({}", behind(&folder)),
            },
            None => Self {
                from: "-".to_owned(),
                to: "+".to_owned(),
            },
        }
    }

    fn behind(self, path: &str) -> Self {
        Self {
            from: format!("({path}"),
            ..self
        }
    }
}

/// What the paths in a folder begin with.
fn folder(prefix: Option<&Path>) -> Option<String> {
    let prefix = prefix.filter(|prefix| !prefix.as_ref().is_empty())?;
    Some(format!("{prefix}{DELIMITER}"))
}

/// The least text behind all that begin with `folder`, which ends with a slash: `0` follows that in ASCII.
fn behind(folder: &str) -> String {
    format!("{}0", folder.trim_end_matches(DELIMITER))
}

impl Inner {
    pub(super) fn list(
        self: &Arc<Self>,
        prefix: Option<&Path>,
        offset: Option<&Path>,
    ) -> BoxStream<'static, Result<ObjectMeta>> {
        let mut stretch = Stretch::of(prefix);
        if let Some(offset) = offset
            && folder(prefix).is_none_or(|folder| *offset.as_ref() >= *folder)
        {
            stretch = stretch.behind(offset.as_ref());
        }
        let inner = Arc::clone(self);
        let pages = stream::try_unfold(Some(stretch), move |stretch| {
            let inner = Arc::clone(&inner);
            async move {
                let Some(stretch) = stretch else {
                    return Ok::<_, Error>(None);
                };
                let names = inner.names(&stretch).await?;
                let next = (names.len() == PAGE).then(|| names.last().cloned()).flatten();
                let metas = inner.metas(&names).await?;
                Ok(Some((
                    stream::iter(metas).map(Ok),
                    next.map(|last| stretch.behind(&last)),
                )))
            }
        });
        pages.try_flatten().boxed()
    }

    pub(super) async fn list_folder(&self, prefix: Option<&Path>) -> Result<ListResult> {
        let folder = folder(prefix).unwrap_or_default();
        let mut stretch = Stretch::of(prefix);
        let mut result = ListResult {
            common_prefixes: Vec::new(),
            objects: Vec::new(),
        };
        loop {
            let names = self.names(&stretch).await?;
            let mut here = Vec::new();
            let mut inside: Option<String> = None;
            for name in &names {
                match below(&folder, name) {
                    Some(inner) if inside.as_ref() == Some(&inner) => {}
                    Some(inner) => {
                        result
                            .common_prefixes
                            .push(Path::parse(inner.trim_end_matches(DELIMITER))?);
                        inside = Some(inner);
                    }
                    None => here.push(name.clone()),
                }
            }
            result.objects.extend(self.metas(&here).await?);
            let Some(last) = names.last().filter(|_| names.len() == PAGE) else {
                result.common_prefixes.dedup();
                return Ok(result);
            };
            // The rest of a folder inside needs no look.
            stretch = match below(&folder, last) {
                Some(inner) => Stretch {
                    from: format!("[{}", behind(&inner)),
                    ..stretch
                },
                None => stretch.behind(last),
            };
        }
    }

    async fn names(&self, stretch: &Stretch) -> Result<Vec<String>> {
        let mut pipeline = pipe();
        let Stretch { from, to } = stretch;
        let range = pipeline.cmd("ZRANGEBYLEX").arg(&self.keys.names).arg(from).arg(to);
        let (names,) = self.server.query(range.arg("LIMIT").arg(0).arg(PAGE)).await?;
        Ok(names)
    }

    /// What is known of these objects. Those that went away meanwhile are left out.
    async fn metas(&self, names: &[String]) -> Result<Vec<ObjectMeta>> {
        if names.is_empty() {
            return Ok(Vec::new());
        }
        let mut pipeline = pipe();
        let (known,): (Vec<Option<String>>,) = self
            .server
            .query(pipeline.cmd("HMGET").arg(&self.keys.about).arg(names))
            .await?;
        let mut metas = Vec::with_capacity(names.len());
        for (name, text) in names.iter().zip(known) {
            let Some(text) = text else { continue };
            let about = About::parse(&text).ok_or_else(|| unreadable("what is known of an object"))?;
            metas.push(about.meta(&Path::parse(name)?));
        }
        Ok(metas)
    }
}

/// The folder inside `folder` in which the object lies, with its slash; `None` when it lies in `folder` itself.
fn below(folder: &str, name: &str) -> Option<String> {
    let rest = name.strip_prefix(folder)?;
    let (inner, _) = rest.split_once(DELIMITER)?;
    Some(format!("{folder}{inner}{DELIMITER}"))
}
