//! The log of events, read from the stream that every step tells into.

use assay_core::{Event, EventId, Events, JobId, Result};
use async_trait::async_trait;
use redis::streams::{StreamId, StreamRangeReply};
use tokio::sync::broadcast;

use super::failure::{Fallible, Fault};
use super::{Inner, RedisStore, events};

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
        let oldest = self.inner.events_after(EventId(0), 1).await;
        let oldest = oldest.map_err(|fault| fault.into_error("read the oldest event"))?;
        Ok(oldest.first().map_or(EventId(0), |event| event.id))
    }

    fn subscribe(&self) -> broadcast::Receiver<Event> {
        self.inner.channels.events.subscribe()
    }
}

impl Inner {
    async fn events_after(&self, after: EventId, limit: usize) -> Fallible<Vec<Event>> {
        let mut command = redis::cmd("XRANGE");
        command.arg(self.keys.events()).arg(format!("({after}-0")).arg("+");
        command.arg("COUNT").arg(limit);
        let found: StreamRangeReply = self.connection.query(&command).await?;
        found.ids.iter().map(event_of).collect()
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
        found.iter().flat_map(|one| &one.ids).map(event_of).collect()
    }

    async fn newest_event(&self) -> Fallible<EventId> {
        let mut command = redis::cmd("GET");
        command.arg(self.keys.event_number());
        let number: Option<u64> = self.connection.query(&command).await?;
        Ok(EventId(number.unwrap_or(0)))
    }
}

pub(super) fn event_of(entry: &StreamId) -> Fallible<Event> {
    let json: Option<Vec<u8>> = entry.get("event");
    let json = json.ok_or_else(|| Fault::Stored(format!("entry `{}` of the stream holds no event", entry.id)))?;
    events::read(&json)
}
