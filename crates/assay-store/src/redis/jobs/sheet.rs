//! The jobs that an operation has before it: as they were read, and as they are to be.
//!
//! Whatever was read is a condition of the step: a job must be as it was, and so must be who follows it and who waits
//! for it when that was asked.

use std::collections::{BTreeMap, HashMap};

use assay_core::{Attempt, AttemptOutcome, Error, EventKind, JobId, ResultData, StoredResult, Usage};
use redis::Pipeline;

use super::index;
use super::row::{Held, Row, parsed};
use crate::redis::desk::Desk;
use crate::redis::events;
use crate::redis::failure::{Fallible, Fault};
use crate::redis::keys::Keys;
use crate::redis::step::Step;
use crate::refusals;

/// Jobs by id, in a fixed order so that the same step is made of the same jobs.
#[derive(Debug, Default)]
pub(in crate::redis) struct Sheet {
    jobs: BTreeMap<JobId, Page>,
}

#[derive(Debug)]
struct Page {
    before: Option<Row>,
    after: Option<Row>,
    related: Related,
    /// Whether the followers, and the children, are a condition.
    relies_on: (bool, bool),
}

/// Unfinished jobs that are answered by the run of a job, and those that wait for it.
#[derive(Debug)]
enum Related {
    /// How many there are. Nobody needs to know them all to add one.
    Counted(usize, usize),
    Listed {
        /// The first in line first.
        followers: Vec<JobId>,
        children: Vec<JobId>,
    },
}

impl Related {
    fn none() -> Self {
        Self::Counted(0, 0)
    }

    fn listed(followers: &[String], children: &[String]) -> Fallible<Self> {
        let ids = |texts: &[String]| texts.iter().map(|text| parsed(text)).collect::<Fallible<Vec<JobId>>>();
        let mut children = ids(children)?;
        children.sort();
        Ok(Self::Listed {
            followers: ids(followers)?,
            children,
        })
    }

    fn counts(&self) -> (usize, usize) {
        match self {
            Self::Counted(followers, children) => (*followers, *children),
            Self::Listed { followers, children } => (followers.len(), children.len()),
        }
    }
}

/// What is read of a job: its hash, who follows it, who waits for it.
type Found = (HashMap<String, String>, Vec<String>, Vec<String>);

impl Sheet {
    /// Adds the reads of a job to a pipeline; they are answered by a [`Found`].
    pub(in crate::redis) fn ask(pipeline: &mut Pipeline, keys: &Keys, id: &JobId) {
        pipeline.cmd("HGETALL").arg(keys.job(id));
        Self::ask_related(pipeline, keys, id);
    }

    fn ask_related(pipeline: &mut Pipeline, keys: &Keys, id: &JobId) {
        pipeline.cmd("ZRANGE").arg(keys.followers(id)).arg(0).arg(-1);
        pipeline.cmd("SMEMBERS").arg(keys.children(id));
    }

    pub(in crate::redis) fn put(&mut self, id: &JobId, found: Found) -> Fallible<()> {
        let (fields, followers, children) = found;
        let related = Related::listed(&followers, &children)?;
        self.jobs.insert(id.clone(), Page::read(id, fields, related)?);
        Ok(())
    }

    /// Adds the conditions and writes of all jobs to the step.
    pub(in crate::redis) fn write(self, step: &mut Step, keys: &Keys) -> Fallible<()> {
        let mut changed = Vec::new();
        for (id, page) in &self.jobs {
            page.guard(step, keys, id);
            if page.is_changed() {
                page.write(step, keys, id)?;
                changed.push((page.before.as_ref(), page.after.as_ref()));
            }
        }
        index::change(step, keys, &changed);
        Ok(())
    }
}

impl Page {
    fn read(id: &JobId, fields: HashMap<String, String>, related: Related) -> Fallible<Self> {
        let before = Row::read(id, fields)?;
        Ok(Self {
            after: before.clone(),
            before,
            related,
            relies_on: (false, false),
        })
    }

    fn is_changed(&self) -> bool {
        let writes = |row: &Option<Row>| row.as_ref().map(|row| row.writes);
        writes(&self.before) != writes(&self.after)
    }

    fn guard(&self, step: &mut Step, keys: &Keys, id: &JobId) {
        match &self.before {
            Some(before) => step.field_is(&keys.job(id), "v", before.writes),
            None if self.after.is_some() => step.absent(&keys.job(id)),
            None => {}
        }
        let (followers, children) = self.related.counts();
        if self.relies_on.0 {
            step.sorted_has(&keys.followers(id), followers);
        }
        if self.relies_on.1 {
            step.set_has(&keys.children(id), children);
        }
    }

    fn write(&self, step: &mut Step, keys: &Keys, id: &JobId) -> Fallible<()> {
        let key = keys.job(id);
        let Some(after) = &self.after else {
            step.del(&key);
            return Ok(());
        };
        let old = self.before.as_ref().map(Row::fields).transpose()?.unwrap_or_default();
        let (mut set, mut unset) = (Vec::new(), Vec::new());
        for (place, (name, value)) in after.fields()?.into_iter().enumerate() {
            let was = old.get(place).and_then(|(_, value)| value.as_ref());
            match value {
                Some(value) if was != Some(&value) => set.push((name, value.into_bytes())),
                None if was.is_some() => unset.push(name),
                _ => {}
            }
        }
        step.hset_all(&key, &set);
        if !unset.is_empty() {
            step.hdel(&key, &unset);
        }
        Ok(())
    }
}

impl Desk {
    /// Reads those of the jobs that are not on the sheet yet.
    pub(in crate::redis) async fn load(&mut self, ids: impl IntoIterator<Item = &JobId>) -> Fallible<()> {
        let ids: Vec<&JobId> = ids.into_iter().filter(|id| !self.sheet.jobs.contains_key(id)).collect();
        if ids.is_empty() {
            return Ok(());
        }
        let mut pipeline = redis::pipe();
        for id in &ids {
            Sheet::ask(&mut pipeline, &self.store.keys, id);
        }
        let found: Vec<redis::Value> = self.store.connection.pipe(&pipeline).await?;
        let mut found = found.into_iter();
        for id in ids {
            self.sheet.put(id, take_found(&mut found)?)?;
        }
        Ok(())
    }

    /// As [`Self::load`], without reading who follows the jobs and waits for them until somebody asks.
    pub(in crate::redis) async fn glance(&mut self, ids: impl IntoIterator<Item = &JobId>) -> Fallible<()> {
        let ids: Vec<&JobId> = ids.into_iter().filter(|id| !self.sheet.jobs.contains_key(id)).collect();
        if ids.is_empty() {
            return Ok(());
        }
        let keys = &self.store.keys;
        let mut pipeline = redis::pipe();
        for id in &ids {
            pipeline.cmd("HGETALL").arg(keys.job(id));
            pipeline.cmd("ZCARD").arg(keys.followers(id));
            pipeline.cmd("SCARD").arg(keys.children(id));
        }
        let found: Vec<redis::Value> = self.store.connection.pipe(&pipeline).await?;
        let mut found = found.into_iter();
        for id in ids {
            let fields = take(&mut found)?;
            let related = Related::Counted(take(&mut found)?, take(&mut found)?);
            self.sheet.jobs.insert(id.clone(), Page::read(id, fields, related)?);
        }
        Ok(())
    }

    /// How many jobs followed a job on the sheet, and waited for it, when it was read.
    pub(in crate::redis) fn related(&self, id: &JobId) -> (usize, usize) {
        self.sheet.jobs.get(id).map_or((0, 0), |page| page.related.counts())
    }

    /// The job as it is to be; `None` when there is none.
    pub(in crate::redis) async fn find(&mut self, id: &JobId) -> Fallible<Option<Row>> {
        self.load([id]).await?;
        Ok(self.sheet.jobs.get(id).and_then(|page| page.after.clone()))
    }

    /// The job that a user names.
    pub(in crate::redis) async fn get(&mut self, id: &JobId) -> Fallible<Row> {
        let found = self.find(id).await?;
        Ok(found.ok_or_else(|| refusals::unknown_job(id))?)
    }

    /// Whether a job on the sheet is to have ended.
    pub(in crate::redis) fn has_ended(&self, id: &JobId) -> bool {
        let after = self.sheet.jobs.get(id).and_then(|page| page.after.as_ref());
        after.is_some_and(|row| row.job.state.is_terminal())
    }

    /// A job that others refer to; when it is not there it has just gone.
    pub(in crate::redis) async fn known(&mut self, id: &JobId) -> Fallible<Row> {
        self.find(id).await?.ok_or(Fault::Overtaken)
    }

    /// Unfinished jobs that are answered by the run of a job on the sheet, the first in line first.
    pub(in crate::redis) async fn followers(&mut self, id: &JobId) -> Fallible<Vec<JobId>> {
        let Some(page) = self.list_related(id).await? else {
            return Ok(Vec::new());
        };
        page.relies_on.0 = true;
        match &page.related {
            Related::Listed { followers, .. } => Ok(followers.clone()),
            Related::Counted(..) => Ok(Vec::new()),
        }
    }

    /// Unfinished jobs that wait for a job on the sheet.
    pub(in crate::redis) async fn children(&mut self, id: &JobId) -> Fallible<Vec<JobId>> {
        let Some(page) = self.list_related(id).await? else {
            return Ok(Vec::new());
        };
        page.relies_on.1 = true;
        match &page.related {
            Related::Listed { children, .. } => Ok(children.clone()),
            Related::Counted(..) => Ok(Vec::new()),
        }
    }

    /// The page of a job with all who follow it and wait for it, unless there are none.
    async fn list_related(&mut self, id: &JobId) -> Fallible<Option<&mut Page>> {
        let Some(page) = self.sheet.jobs.get_mut(id) else {
            return Ok(None);
        };
        if matches!(page.related, Related::Counted(followers, children) if followers + children > 0) {
            let mut pipeline = redis::pipe();
            Sheet::ask_related(&mut pipeline, &self.store.keys, id);
            let (followers, children): (Vec<String>, Vec<String>) = self.store.connection.pipe(&pipeline).await?;
            page.related = Related::listed(&followers, &children)?;
        }
        Ok(Some(page))
    }

    /// Writes a job as it is to be, without a change that users see.
    pub(in crate::redis) fn keep(&mut self, mut row: Row) -> Row {
        let id = row.job.id.clone();
        let page = self.sheet.jobs.entry(id).or_insert_with(|| Page {
            before: None,
            after: None,
            related: Related::none(),
            relies_on: (false, false),
        });
        row.writes = page.before.as_ref().map_or(0, |before| before.writes) + 1;
        page.after = Some(row.clone());
        row
    }

    /// Writes a changed job as its next revision, with the event that tells of it.
    pub(in crate::redis) fn save(&mut self, mut row: Row) -> Fallible<Row> {
        row.job.revision += 1;
        self.tell_state(&row)?;
        Ok(self.keep(row))
    }

    pub(in crate::redis) fn tell_state(&mut self, row: &Row) -> Fallible<()> {
        let kind = EventKind::State {
            state: row.job.state,
            cancel_requested: row.job.cancel_requested,
        };
        self.tell(row, &kind)
    }

    pub(in crate::redis) fn tell(&mut self, row: &Row, kind: &EventKind) -> Fallible<()> {
        let job = &row.job;
        let told = events::told(&job.id, &job.spec.owner, job.revision, self.now, kind)?;
        self.step.tell(&told);
        Ok(())
    }

    /// Takes a job away with all it is found by.
    pub(in crate::redis) fn remove(&mut self, id: &JobId) {
        if let Some(page) = self.sheet.jobs.get_mut(id) {
            page.after = None;
        }
    }

    /// Writes the rows of an answer beside its job.
    pub(in crate::redis) fn write_answer(&mut self, id: &JobId, result: &StoredResult) {
        let mut fields = Vec::new();
        if let Some(rows) = &result.rows_json {
            fields.push(("rows_json", rows.clone().into_bytes()));
        }
        if let ResultData::Inline(data) = &result.data {
            fields.push(("data", data.clone()));
        }
        if !fields.is_empty() {
            self.step.hset_all(&self.store.keys.answer(id), &fields);
        }
    }

    /// Writes the attempt that holds the job, as it begins or ends.
    pub(in crate::redis) fn write_attempt(
        &mut self,
        row: &Row,
        held: &Held,
        end: Option<(AttemptOutcome, Option<&Error>, Usage)>,
    ) -> Fallible<()> {
        let (outcome, error, usage) = match end {
            Some((outcome, error, usage)) => (Some(outcome), error.cloned(), usage),
            None => (None, None, Usage::default()),
        };
        let attempt = Attempt {
            number: row.job.attempt,
            fence: held.fence,
            worker: held.worker.clone(),
            started_at: row.job.started_at.unwrap_or(self.now),
            ended_at: outcome.map(|_| self.now),
            outcome,
            error,
            usage,
        };
        let json = serde_json::to_string(&attempt)?;
        let key = self.store.keys.attempts(&row.job.id);
        self.step.hset(&key, &held.fence.to_string(), json);
        Ok(())
    }
}

/// Takes the answers to [`Sheet::ask`] off the answers of a pipeline.
pub(in crate::redis) fn take_found(values: &mut impl Iterator<Item = redis::Value>) -> Fallible<Found> {
    Ok((take(values)?, take(values)?, take(values)?))
}

/// Takes one answer off those of a pipeline.
pub(in crate::redis) fn take<T: redis::FromRedisValue>(values: &mut impl Iterator<Item = redis::Value>) -> Fallible<T> {
    let value = values
        .next()
        .ok_or_else(|| Fault::Stored("a pipeline has fewer answers than questions".to_owned()))?;
    T::from_redis_value(value).map_err(|cause| Fault::Stored(cause.to_string()))
}
