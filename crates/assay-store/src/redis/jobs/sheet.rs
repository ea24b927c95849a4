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
    followers: Vec<JobId>,
    children: Vec<JobId>,
    /// Whether the followers, and the children, are a condition.
    relies_on: (bool, bool),
}

/// What is read of a job: its hash, who follows it, who waits for it.
type Found = (HashMap<String, String>, Vec<String>, Vec<String>);

impl Sheet {
    /// Adds the reads of a job to a pipeline; they are answered by a [`Found`].
    pub(in crate::redis) fn ask(pipeline: &mut Pipeline, keys: &Keys, id: &JobId) {
        pipeline.cmd("HGETALL").arg(keys.job(id));
        pipeline.cmd("ZRANGE").arg(keys.followers(id)).arg(0).arg(-1);
        pipeline.cmd("SMEMBERS").arg(keys.children(id));
    }

    pub(in crate::redis) fn put(&mut self, id: &JobId, found: Found) -> Fallible<()> {
        let (fields, followers, children) = found;
        let before = Row::read(id, fields)?;
        let ids = |texts: Vec<String>| texts.iter().map(|text| parsed(text)).collect::<Fallible<Vec<JobId>>>();
        let mut children = ids(children)?;
        children.sort();
        let page = Page {
            after: before.clone(),
            before,
            followers: ids(followers)?,
            children,
            relies_on: (false, false),
        };
        self.jobs.insert(id.clone(), page);
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
        if self.relies_on.0 {
            step.sorted_has(&keys.followers(id), self.followers.len());
        }
        if self.relies_on.1 {
            step.set_has(&keys.children(id), self.children.len());
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

    /// A job that others refer to; when it is not there it has just gone.
    pub(in crate::redis) async fn known(&mut self, id: &JobId) -> Fallible<Row> {
        self.find(id).await?.ok_or(Fault::Overtaken)
    }

    /// Unfinished jobs that are answered by the run of a job on the sheet, the first in line first.
    pub(in crate::redis) fn followers(&mut self, id: &JobId) -> Vec<JobId> {
        self.sheet.jobs.get_mut(id).map_or_else(Vec::new, |page| {
            page.relies_on.0 = true;
            page.followers.clone()
        })
    }

    /// Unfinished jobs that wait for a job on the sheet.
    pub(in crate::redis) fn children(&mut self, id: &JobId) -> Vec<JobId> {
        self.sheet.jobs.get_mut(id).map_or_else(Vec::new, |page| {
            page.relies_on.1 = true;
            page.children.clone()
        })
    }

    /// Writes a job as it is to be, without a change that users see.
    pub(in crate::redis) fn keep(&mut self, mut row: Row) -> Row {
        let id = row.job.id.clone();
        let page = self.sheet.jobs.entry(id).or_insert_with(|| Page {
            before: None,
            after: None,
            followers: Vec::new(),
            children: Vec::new(),
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
