//! What somebody who looks after a store wants to know of it: each finding with a verdict, and what to do about it.

mod disk;

use std::time::Duration;

use assay_core::{Error, Queue};
use object_store::path::Path;
use object_store::{ObjectStore, ObjectStoreExt as _, PutPayload};
use tokio::time::{Instant, timeout};

pub use disk::examine_disks;

use crate::objects::{create, overwrites};

/// Longest time for one look at the objects.
const LIMIT: Duration = Duration::from_secs(20);
/// Longest time in which a small object should be written, read and deleted.
const SLOW: Duration = Duration::from_secs(1);
/// What is written for a trial. The sweep of leftovers finds it when it stays.
const TRIAL: &str = "doctor";

/// One thing that was looked at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Examined {
    /// What was looked at, in one word.
    pub what: &'static str,
    pub found: String,
    pub verdict: Verdict,
    /// What to do, where there is something to do.
    pub remedy: Option<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Verdict {
    Ok,
    /// It works, and may not under other circumstances.
    Warning,
    /// Something does not work, or data may be lost.
    Problem,
}

impl Verdict {
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Warning => "warning",
            Self::Problem => "problem",
        }
    }
}

impl Examined {
    pub(crate) fn ok(what: &'static str, found: impl Into<String>) -> Self {
        Self {
            what,
            found: found.into(),
            verdict: Verdict::Ok,
            remedy: None,
        }
    }

    pub(crate) fn warning(what: &'static str, found: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self {
            verdict: Verdict::Warning,
            remedy: Some(remedy.into()),
            ..Self::ok(what, found)
        }
    }

    pub(crate) fn problem(what: &'static str, found: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self {
            verdict: Verdict::Problem,
            ..Self::warning(what, found, remedy)
        }
    }

    pub(crate) fn failed(what: &'static str, error: Error) -> Self {
        Self {
            remedy: error.hint,
            ..Self::problem(what, error.message, "")
        }
    }
}

/// Writes, reads and deletes a small object, which nobody may overwrite unasked.
pub(crate) async fn try_objects(objects: &dyn ObjectStore) -> Examined {
    let path = Path::from(format!("{TRIAL}/{}", ulid::Ulid::new()));
    let content = PutPayload::from_static(b"trial");
    let tried = async {
        let mut times = [Duration::ZERO; 3];
        let begin = Instant::now();
        objects.put(&path, content.clone()).await?;
        times[0] = begin.elapsed();
        objects.get(&path).await?.bytes().await?;
        times[1] = begin.elapsed() - times[0];
        let is_overwritten = create(objects, &path, content).await?;
        let begin = Instant::now();
        objects.delete(&path).await?;
        times[2] = begin.elapsed();
        Ok::<_, object_store::Error>((times, is_overwritten))
    };
    let remedy = "look whether the place can be reached and written by this user";
    match timeout(LIMIT, tried).await {
        Ok(Ok((_, true))) => Examined::failed("objects", overwrites()),
        Ok(Ok((times, false))) => {
            let [written, read, deleted] = times.map(|time| time.as_secs_f64() * 1_000.0);
            let found = format!(
                "a small object was written in {written:.1} ms, read in {read:.1} ms, deleted in {deleted:.1} ms"
            );
            if times.iter().sum::<Duration>() > SLOW {
                return Examined::warning("objects", found, "bring the place of the objects nearer");
            }
            Examined::ok("objects", found)
        }
        Ok(Err(cause)) => Examined::problem("objects", format!("no object can be written and read: {cause}"), remedy),
        Err(_) => Examined::problem("objects", "the place of the objects does not answer in time", remedy),
    }
}

/// Looks at the invariants of the queue.
pub(crate) async fn examine_jobs(queue: &dyn Queue) -> Examined {
    match queue.check(false).await {
        Ok(findings) if findings.is_empty() => Examined::ok("jobs", "the queue is sound"),
        Ok(findings) => Examined::problem(
            "jobs",
            format!(
                "{} breaches of the invariants of the queue, the first: {}",
                findings.len(),
                findings[0].message
            ),
            "`assay doctor jobs --fix` repairs what can be, at a running server",
        ),
        Err(error) => Examined::failed("jobs", error),
    }
}
