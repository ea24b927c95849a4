//! Submissions that do not come over HTTP: what is asked for has the form of `POST /v1/jobs`, is checked by the same code,
//! and is refused with the same problems.

use assay_core::Result;
use serde::Serialize;
use serde_json::Value;

use crate::app::{App, Services};
use crate::asker::Asker;
use crate::wire::{job, request};
use crate::{extract, submit};

/// Takes submissions over `services`.
pub struct Submissions(App);

/// A job that was stored.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Accepted {
    pub job: String,
    /// As it was stored: it may have ended, where the answer was known.
    pub state: &'static str,
    /// Where a server tells of it.
    pub url: String,
}

impl Submissions {
    /// Must be called inside a Tokio runtime.
    #[must_use]
    pub fn new(services: Services) -> Self {
        Self(App::new(services, Value::Null))
    }

    /// Stores the job that `body` asks for: of `user`, or of the keeper of the machine when nobody is named. The same
    /// request under the same key is one job.
    ///
    /// # Errors
    /// Those of `POST /v1/jobs`.
    pub async fn submit(&self, user: Option<&str>, body: &[u8], key: &str) -> Result<Accepted> {
        let Self(app) = self;
        let asker = Asker::named(user)?;
        let key = submit::checked_key(key)?;
        let limit = app.settings.max_body_bytes;
        if body.len() > limit {
            return Err(extract::too_large(limit as u64));
        }
        let new: request::NewJob = extract::parse(body)?;
        let stored = submit::job(app, &asker, new, Some(key), false).await?;
        let job = stored.submitted.job;
        Ok(Accepted {
            url: job::path(&job.id),
            state: job.state.as_str(),
            job: job.id.to_string(),
        })
    }
}
