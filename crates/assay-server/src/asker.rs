//! Who asks: a user named in the request, or the keeper of the machine.

use assay_core::{Code, Error, Job, Result, UserName};
use axum::extract::FromRequestParts;
use http::HeaderName;
use http::request::Parts;

use crate::extract;
use crate::problem::Problem;

static ASSAY_USER: HeaderName = HeaderName::from_static("assay-user");

/// Who asks. The server listens on loopback only and takes the name in `Assay-User` as it is: it tells the users of one
/// machine apart and keeps none of them out. Without a name it is the keeper of the machine, who sees everything.
#[derive(Debug, Clone)]
pub(crate) struct Asker(Option<UserName>);

impl Asker {
    /// Who is named, or the keeper when nobody is.
    ///
    /// # Errors
    /// `InvalidRequest` for what is no name of a user.
    pub(crate) fn named(name: Option<&str>) -> Result<Self> {
        let name = name.map(str::parse).transpose().map_err(|mut error: Error| {
            error.code = Code::InvalidRequest;
            error
        })?;
        Ok(Self(name))
    }

    /// Somebody in whose name the server acts, e.g. the owner of a schedule.
    pub(crate) fn of(user: UserName) -> Self {
        Self(Some(user))
    }

    /// Whose jobs those are that this one submits.
    pub(crate) fn owner(&self) -> UserName {
        self.0.clone().unwrap_or_else(UserName::local)
    }

    /// Whose things this one sees; `None` means everybody's.
    pub(crate) fn sees(&self) -> Option<&UserName> {
        self.0.as_ref()
    }

    pub(crate) fn may_see(&self, owner: &UserName) -> bool {
        self.0.as_ref().is_none_or(|user| user == owner)
    }

    /// # Errors
    /// `UnknownJob` when the job is another user's: the same as when there is none.
    pub(crate) fn check(&self, job: &Job) -> Result<()> {
        if self.may_see(&job.spec.owner) {
            return Ok(());
        }
        Err(Error::new(Code::UnknownJob, format!("job `{}` does not exist", job.id))
            .hint("`assay job list` shows the recent ones"))
    }

    /// # Errors
    /// `Forbidden` for what only the keeper may do.
    pub(crate) fn keeper(&self) -> Result<()> {
        match &self.0 {
            None => Ok(()),
            Some(user) => Err(Error::new(
                Code::Forbidden,
                format!("user `{user}` may not steer the queue of all users"),
            )
            .hint("leave `Assay-User` out, as the keeper of this server does")),
        }
    }
}

impl<S: Send + Sync> FromRequestParts<S> for Asker {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> std::result::Result<Self, Problem> {
        Ok(Self::named(extract::text(&parts.headers, &ASSAY_USER)?)?)
    }
}
