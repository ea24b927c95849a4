//! What a request changes of a job.

use std::collections::BTreeMap;

use assay_core::{Error, JobChange, Result, TagChange};
use serde::{Deserialize, Deserializer};
use utoipa::ToSchema;

use super::request::{USUAL_PRIORITY, checked_priority, checked_tags};

/// What is to be changed of a job; what is absent stays.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct JobPatch {
    /// 0 first, 9 last; `null` for the usual 5.
    #[serde(default, deserialize_with = "given")]
    #[schema(value_type = Option<u8>, maximum = 9)]
    priority: Option<Option<u8>>,
    /// The job fails with `deadline_exceeded` when it has not ended by then; `null` for none.
    #[serde(default, deserialize_with = "given")]
    #[schema(value_type = Option<String>, example = "2030-01-01T06:00:00Z")]
    deadline: Option<Option<String>>,
    /// Labels to be set; one that is `null` is taken away, and all are when this is `null`.
    #[serde(default, deserialize_with = "given")]
    #[schema(value_type = Option<BTreeMap<String, Option<String>>>)]
    tags: Option<Option<BTreeMap<String, Option<String>>>>,
}

/// Tells a member that is `null` from one that is absent.
fn given<'de, T: Deserialize<'de>, D: Deserializer<'de>>(member: D) -> Result<Option<Option<T>>, D::Error> {
    Option::deserialize(member).map(Some)
}

impl JobPatch {
    /// The change, of one of these revisions when there are some.
    ///
    /// # Errors
    /// `InvalidParameter` with the place.
    pub(crate) fn checked(self, revisions: Option<Vec<u64>>) -> Result<JobChange> {
        let Self {
            priority,
            deadline,
            tags,
        } = self;
        let priority = priority.map(|priority| checked_priority(priority.unwrap_or(USUAL_PRIORITY)));
        let at = |text: String| text.parse().map_err(|error: Error| error.pointing("/deadline"));
        let deadline = deadline.map(|deadline| deadline.map(at).transpose());
        let tags = match tags {
            None => TagChange::default(),
            Some(None) => TagChange::Clear,
            Some(Some(tags)) => {
                checked_tags(tags.iter().map(|(name, value)| (name, value.as_ref())))?;
                TagChange::Merge(tags)
            }
        };
        Ok(JobChange {
            priority: priority.transpose()?,
            deadline: deadline.transpose()?,
            tags,
            revisions,
        })
    }
}
