//! The log of events as items that are moved, and the other way round.

use assay_core::Event;
use redis::streams::{StreamId, StreamRangeReply};

use crate::moving::{Item, PAGE_ITEMS, Page};
use crate::redis::failure::Fallible;
use crate::redis::log::event_of;
use crate::redis::{Inner, events};

impl Inner {
    /// Events of jobs after a number; those of data sets and workers tell of this store only.
    pub(super) async fn read_events(&self, after: Option<&str>) -> Fallible<Page> {
        let mut command = redis::cmd("XRANGE");
        command.arg(self.keys.events());
        command.arg(format!("({}-0", after.unwrap_or("0"))).arg("+");
        command.arg("COUNT").arg(PAGE_ITEMS);
        let found: StreamRangeReply = self.connection.query(&command).await?;
        let last = found.ids.last().filter(|_| found.ids.len() == PAGE_ITEMS);
        let number = |entry: &StreamId| Some(entry.id.split_once('-')?.0.to_owned());
        let events = found.ids.iter().map(event_of).collect::<Fallible<Vec<_>>>()?;
        let events = events.into_iter().flatten();
        Ok(Page {
            next: last.and_then(number),
            items: events.map(|event| Item::Event(Box::new(event))).collect(),
        })
    }

    /// Adds events to the stream, as far as it does not have them, and to their jobs.
    pub(super) async fn write_events(&self, events: &[Event]) -> Fallible<()> {
        if events.is_empty() {
            return Ok(());
        }
        let mut command = redis::cmd("XREVRANGE");
        command.arg(self.keys.events()).arg("+").arg("-").arg("COUNT").arg(1);
        let newest: StreamRangeReply = self.connection.query(&command).await?;
        let newest = newest.ids.first().map(event_of).transpose()?.flatten();
        let newest = newest.map_or(0, |event| event.id.0);
        let mut pipeline = redis::pipe();
        for event in events {
            pipeline.cmd("EXISTS").arg(self.keys.job(&event.job));
        }
        let known: Vec<bool> = self.connection.pipe(&pipeline).await?;
        let mut pipeline = redis::pipe();
        pipeline.atomic();
        if let (0, Some(first)) = (newest, events.first()) {
            pipeline.cmd("SET").arg(self.keys.oldest_event()).arg(first.id.0);
        }
        for (event, is_known) in events.iter().zip(known) {
            let number = event.id.0;
            if number > newest {
                let told = events::told(&event.job, &event.owner, event.revision, event.at, &event.kind)?;
                pipeline.cmd("XADD").arg(self.keys.events()).arg(format!("{number}-0"));
                pipeline.arg("event").arg(format!(r#"{{"id":"{number}",{}"#, told.json));
            }
            // The newest event of all outlives its job.
            if is_known {
                pipeline.cmd("ZADD").arg(self.keys.events_of(&event.job));
                pipeline.arg(number).arg(number);
            }
        }
        if pipeline.is_empty() {
            return Ok(());
        }
        let _: redis::Value = self.connection.pipe(&pipeline).await?;
        Ok(())
    }
}
