//! The log of events, read from the stream that every step tells into.

use assay_core::{Event, EventId, Events, JobId, Result};
use async_trait::async_trait;
use redis::streams::{StreamId, StreamRangeReply};
use tokio::sync::broadcast;

use super::failure::{Fallible, Fault};
use super::{Inner, RedisStore, events};

/// Most entries that are read together in search of events of jobs.
const AT_ONCE: usize = 1_000;

#[async_trait]
impl Events for RedisStore {
    async fn list(&self, after: EventId, job: Option<&JobId>, limit: usize) -> Result<Vec<Event>> {
        let listed = match job {
            Some(job) => self.inner.events_of(job, after, limit).await,
            None => self.inner.events_after(after, limit).await,
        };
        listed.map_err(|fault| fault.into_error("list events"))
    }

    async fn newest(&self) -> Result<EventId> {
        let newest = self.inner.newest_event().await;
        newest.map_err(|fault| fault.into_error("read the newest event"))
    }

    async fn oldest(&self) -> Result<EventId> {
        let oldest = self.inner.oldest_event().await;
        oldest.map_err(|fault| fault.into_error("read the oldest event"))
    }

    fn subscribe(&self) -> broadcast::Receiver<Event> {
        self.inner.channels.events.subscribe()
    }
}

impl Inner {
    /// Reads on over events that are of no job until there are enough.
    async fn events_after(&self, after: EventId, limit: usize) -> Fallible<Vec<Event>> {
        let mut events = Vec::new();
        let (mut from, mut count) = (format!("({after}-0"), limit);
        while events.len() < limit {
            let mut command = redis::cmd("XRANGE");
            command.arg(self.keys.events()).arg(&from).arg("+");
            command.arg("COUNT").arg(count);
            let found: StreamRangeReply = self.connection.query(&command).await?;
            for entry in &found.ids {
                events.extend(event_of(entry)?);
            }
            match found.ids.last() {
                Some(last) if found.ids.len() == count => from = format!("({}", last.id),
                _ => break,
            }
            count = count.max((2 * count).min(AT_ONCE));
        }
        events.truncate(limit);
        Ok(events)
    }

    /// Events that are not kept any more are left out.
    async fn events_of(&self, job: &JobId, after: EventId, limit: usize) -> Fallible<Vec<Event>> {
        let mut command = redis::cmd("ZRANGE");
        command
            .arg(self.keys.events_of(job))
            .arg(format!("({after}"))
            .arg("+inf");
        command.arg("BYSCORE").arg("LIMIT").arg(0).arg(limit);
        let numbers: Vec<u64> = self.connection.query(&command).await?;
        if numbers.is_empty() {
            return Ok(Vec::new());
        }
        let mut pipeline = redis::pipe();
        for number in numbers {
            let id = format!("{number}-0");
            pipeline.cmd("XRANGE").arg(self.keys.events()).arg(&id).arg(&id);
        }
        let found: Vec<StreamRangeReply> = self.connection.pipe(&pipeline).await?;
        let events = found.iter().flat_map(|one| &one.ids).map(event_of);
        Ok(events.collect::<Fallible<Vec<_>>>()?.into_iter().flatten().collect())
    }

    async fn newest_event(&self) -> Fallible<EventId> {
        let mut command = redis::cmd("GET");
        command.arg(self.keys.event_number());
        let number: Option<u64> = self.connection.query(&command).await?;
        Ok(EventId(number.unwrap_or(0)))
    }

    /// What is kept begins with it, whatever was removed after it together with its job.
    async fn oldest_event(&self) -> Fallible<EventId> {
        let mut command = redis::cmd("MGET");
        command.arg(self.keys.event_number()).arg(self.keys.oldest_event());
        let (newest, oldest): (Option<u64>, Option<u64>) = self.connection.query(&command).await?;
        Ok(EventId(oldest.unwrap_or(u64::from(newest.is_some()))))
    }
}

/// The event of a job in an entry of the stream; `None` when it is of something else.
pub(super) fn event_of(entry: &StreamId) -> Fallible<Option<Event>> {
    let json: Option<Vec<u8>> = entry.get("event");
    let json = json.ok_or_else(|| Fault::Stored(format!("entry `{}` of the stream holds no event", entry.id)))?;
    events::read(&json).map(events::Heard::into_job)
}
