//! What users change of jobs that are there, and jobs that they remove.

use assay_core::{Changes, Job, JobChange, JobId, Result};
use async_trait::async_trait;

use super::ends;
use super::remove::{remove_record, remove_result};
use super::row::Row;
use crate::redis::RedisStore;
use crate::redis::desk::Desk;
use crate::redis::failure::Fallible;
use crate::{refusals, spec};

#[async_trait]
impl Changes for RedisStore {
    async fn change(&self, id: &JobId, change: JobChange) -> Result<Job> {
        let asked = &change;
        let changed = self.run_on("change a job", std::slice::from_ref(id), |mut desk| async move {
            let done = self::change(&mut desk, id, asked).await;
            (desk, done)
        });
        changed.await
    }

    async fn remove(&self, id: &JobId) -> Result<Vec<String>> {
        let removed = self.run_on("remove a job", std::slice::from_ref(id), |mut desk| async move {
            let done = remove(&mut desk, id).await;
            (desk, done)
        });
        removed.await
    }
}

async fn change(desk: &mut Desk, id: &JobId, change: &JobChange) -> Fallible<Job> {
    let mut row = desk.get(id).await?;
    let before = row.job.spec.clone();
    change.apply(&mut row.job, desk.now)?;
    if row.job.spec == before {
        return Ok(row.job);
    }
    row.spec = spec::write(&row.job.spec)?;
    let row = desk.save(row)?;
    if row.job.spec.priority != before.priority
        && let Some((leader, follower)) = sooner(desk, &row).await?
    {
        ends::overtake(desk, &leader, &follower).await?;
        return Ok(desk.known(id).await?.job);
    }
    Ok(row.job)
}

/// The leader of a shared run that waits for a worker, and who of those who follow it is to lead in its place, now that
/// the turn of the job is another.
async fn sooner(desk: &mut Desk, row: &Row) -> Fallible<Option<(JobId, JobId)>> {
    let id = &row.job.id;
    let (leader, follower) = match row.leader() {
        Some(leader) => (leader.clone(), id.clone()),
        None => match desk.followers(id).await?.into_iter().next() {
            Some(first) => (id.clone(), first),
            None => return Ok(None),
        },
    };
    let led = desk.known(&leader).await?;
    let following = desk.known(&follower).await?;
    let owner = &following.job.spec.owner;
    let overtakes = desk.store.is_sooner(owner, following.rank(), &led).await?;
    Ok(overtakes.then_some((leader, follower)))
}

async fn remove(desk: &mut Desk, id: &JobId) -> Fallible<Vec<String>> {
    let mut row = desk.get(id).await?;
    if !row.job.state.is_terminal() {
        return Err(refusals::unfinished(id, row.job.state).into());
    }
    if row.is_ending {
        return Err(refusals::still_waited_for(id).into());
    }
    let object = remove_result(desk, &mut row).await?;
    remove_record(desk, &row).await?;
    Ok(object.into_iter().collect())
}
