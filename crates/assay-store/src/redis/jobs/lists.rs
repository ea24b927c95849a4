//! Reads of jobs: one with all that belongs to it, or many by a filter.

use std::collections::HashMap;

use assay_core::{Attempt, Job, JobFilter, JobId, Page, PageRequest, ResultData, State};

use super::row::{Row, parsed};
use crate::redis::Inner;
use crate::redis::failure::{Fallible, Fault};
use crate::refusals;
use crate::rules::{page_limit, page_of};

/// Jobs that are looked at together while one list is walked.
const CHUNK: usize = 200;

impl Inner {
    pub(super) async fn row(&self, id: &JobId) -> Fallible<Row> {
        let mut command = redis::cmd("HGETALL");
        command.arg(self.keys.job(id));
        let fields: HashMap<String, String> = self.connection.query(&command).await?;
        Ok(Row::read(id, fields)?.ok_or_else(|| refusals::unknown_job(id))?)
    }

    /// The job as lists show it.
    pub(super) async fn job(&self, id: &JobId) -> Fallible<Job> {
        Ok(self.row(id).await?.job)
    }

    /// The job with the whole of its result.
    pub(super) async fn whole(&self, mut job: Job) -> Fallible<Job> {
        let Some(result) = &mut job.result else {
            return Ok(job);
        };
        let mut command = redis::cmd("HMGET");
        command.arg(self.keys.answer(&job.id)).arg(&["rows_json", "data"]);
        let (rows, data): (Option<String>, Option<Vec<u8>>) = self.connection.query(&command).await?;
        result.rows_json = rows;
        if let ResultData::Inline(inline) = &mut result.data {
            *inline = data.unwrap_or_default();
        }
        Ok(job)
    }

    pub(super) async fn whole_job(&self, id: &JobId) -> Fallible<(Job, Vec<Attempt>)> {
        let job = self.job(id).await?;
        let job = self.whole(job).await?;
        let mut command = redis::cmd("HVALS");
        command.arg(self.keys.attempts(id));
        let found: Vec<String> = self.connection.query(&command).await?;
        let attempts = found.iter().map(|json| serde_json::from_str(json));
        let mut attempts: Vec<Attempt> = attempts.collect::<Result<_, _>>()?;
        attempts.sort_by_key(|attempt| attempt.fence);
        Ok((job, attempts))
    }

    /// Jobs that pass the filter, newest first. The shortest list that holds all of them is walked, which is in that
    /// order already; the other conditions are looked at job by job.
    pub(super) async fn jobs(&self, filter: &JobFilter, page: &PageRequest) -> Fallible<Page<Job>> {
        let limit = page_limit(page);
        let lists = self.shortest(filter).await?;
        let mut found = Vec::new();
        for list in lists {
            found.extend(self.walk(&list, filter, page.after.as_deref(), limit + 1).await?);
        }
        found.sort_by(|a, b| b.id.cmp(&a.id));
        found.truncate(limit + 1);
        Ok(page_of(found, limit, |job| job.id.as_str().to_owned()))
    }

    /// The lists that hold together, and once each, every job that passes: as few jobs as can be.
    async fn shortest(&self, filter: &JobFilter) -> Fallible<Vec<String>> {
        let JobFilter {
            owner,
            states,
            analysis,
            dataset,
            tag,
            schedule,
        } = filter;
        let keys = &self.keys;
        let one = |key: String| vec![key];
        let mut ways = vec![one(keys.jobs())];
        ways.extend(owner.as_ref().map(|owner| one(keys.jobs_of(owner))));
        ways.extend(analysis.as_ref().map(|analysis| one(keys.jobs_with(analysis))));
        ways.extend(dataset.as_ref().map(|dataset| one(keys.jobs_on(dataset))));
        ways.extend(tag.as_ref().map(|(name, value)| one(keys.jobs_tagged(name, value))));
        ways.extend(schedule.as_ref().map(|schedule| one(keys.jobs_from(schedule))));
        if !states.is_empty() {
            let states = State::ALL.into_iter().filter(|state| states.contains(state));
            ways.push(states.map(|state| keys.jobs_in(state)).collect());
        }
        let mut pipeline = redis::pipe();
        for key in ways.iter().flatten() {
            pipeline.cmd("ZCARD").arg(key);
        }
        let counts: Vec<u64> = self.connection.pipe(&pipeline).await?;
        let mut counts = counts.into_iter();
        let shortest = ways
            .into_iter()
            .min_by_key(|way| way.iter().filter_map(|_| counts.next()).sum::<u64>());
        Ok(shortest.unwrap_or_default())
    }

    /// At most `most` jobs of a list that pass, newest first.
    async fn walk(&self, list: &str, filter: &JobFilter, after: Option<&str>, most: usize) -> Fallible<Vec<Job>> {
        let mut found = Vec::new();
        let mut from = after.map_or_else(|| "+".to_owned(), |after| format!("({after}"));
        loop {
            let mut command = redis::cmd("ZRANGE");
            command.arg(list).arg(&from).arg("-").arg("BYLEX").arg("REV");
            command.arg("LIMIT").arg(0).arg(CHUNK.min(most));
            let ids: Vec<String> = self.connection.query(&command).await?;
            let Some(last) = ids.last() else {
                return Ok(found);
            };
            from = format!("({last}");
            let ids: Vec<JobId> = ids.iter().map(|id| parsed(id)).collect::<Fallible<_>>()?;
            for row in self.rows(&ids).await? {
                if passes(&row, filter) {
                    found.push(row.job);
                }
                if found.len() == most {
                    return Ok(found);
                }
            }
        }
    }

    /// The rows of jobs; those that have just gone are left out.
    pub(super) async fn rows(&self, ids: &[JobId]) -> Fallible<Vec<Row>> {
        let mut pipeline = redis::pipe();
        for id in ids {
            pipeline.cmd("HGETALL").arg(self.keys.job(id));
        }
        let found: Vec<HashMap<String, String>> = self.connection.pipe(&pipeline).await?;
        let rows = ids.iter().zip(found).map(|(id, fields)| Row::read(id, fields));
        rows.filter_map(Result::transpose).collect::<Result<_, Fault>>()
    }
}

fn passes(row: &Row, filter: &JobFilter) -> bool {
    let JobFilter {
        owner,
        states,
        analysis,
        dataset,
        tag,
        schedule,
    } = filter;
    let spec = &row.job.spec;
    let is_on = |folded: &str| {
        let mut named = crate::rules::datasets_of(spec);
        named.extend(row.dataset.clone());
        named.iter().any(|name| name.folded() == folded)
    };
    owner.as_ref().is_none_or(|owner| spec.owner == *owner)
        && (states.is_empty() || states.contains(&row.job.state))
        && analysis.as_ref().is_none_or(|analysis| spec.analysis == *analysis)
        && dataset.as_ref().is_none_or(|dataset| is_on(&dataset.folded()))
        && tag
            .as_ref()
            .is_none_or(|(name, value)| spec.tags.get(name) == Some(value))
        && schedule
            .as_ref()
            .is_none_or(|schedule| spec.schedule.as_ref() == Some(schedule))
}
