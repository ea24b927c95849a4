//! Hears what any process tells, and wakes those who wait in this one.
//!
//! One connection to the node that has the store reads the stream of events and the stream of wake-ups, blocking. While
//! it is broken nobody is woken; whoever waits polls as well. When it is there again everyone is woken once, and events
//! that were missed are told.

use std::time::Duration;

use assay_core::{Event, EventKind, State};
use redis::aio::MultiplexedConnection;
use redis::streams::{StreamId, StreamReadReply};
use tokio::sync::{broadcast, watch};

use super::connection::Connection;
use super::events::{self, Heard};
use super::failure::{Fallible, Fault};
use super::keys::Keys;
use super::step::Wake;

/// Events that a slow listener may be behind before it has to list what it missed.
const BROADCAST: usize = 4_096;
/// How long one read waits for something to come.
const PATIENCE: Duration = Duration::from_secs(5);
/// Most entries of a stream that one read gives.
const MOST: usize = 512;
/// Pause before the connection is made again.
const PAUSE: Duration = Duration::from_millis(250);

/// The channels of this process.
#[derive(Debug, Clone)]
pub(super) struct Channels {
    pub events: broadcast::Sender<Event>,
    pub queued: watch::Sender<u64>,
    pub due: watch::Sender<u64>,
    pub schedules: watch::Sender<u64>,
    pub data: watch::Sender<u64>,
}

impl Channels {
    pub(super) fn new() -> Self {
        Self {
            events: broadcast::Sender::new(BROADCAST),
            queued: watch::Sender::new(0),
            due: watch::Sender::new(0),
            schedules: watch::Sender::new(0),
            data: watch::Sender::new(0),
        }
    }

    fn wake(&self, whom: Wake) {
        let channel = match whom {
            Wake::Queued => &self.queued,
            Wake::Due => &self.due,
            Wake::Schedules => &self.schedules,
            Wake::Data => &self.data,
        };
        channel.send_modify(|changes| *changes = changes.wrapping_add(1));
    }

    fn tell(&self, event: Event) {
        let is_queued = matches!(
            event.kind,
            EventKind::State {
                state: State::Queued,
                ..
            }
        );
        // Nobody listening is no fault.
        let _ = self.events.send(event);
        if is_queued {
            self.wake(Wake::Queued);
        }
    }
}

/// Where a reader of the two streams has come to.
pub(super) struct Tail {
    connection: Connection,
    keys: Keys,
    channels: Channels,
    /// The number of the last event that was told.
    event: u64,
    /// The entry of the last wake-up.
    wake: String,
}

impl Tail {
    /// Begins after what there is now.
    pub(super) async fn open(connection: Connection, keys: Keys, channels: Channels) -> Fallible<Self> {
        let mut tail = Self {
            connection,
            keys,
            channels,
            event: 0,
            wake: "0-0".to_owned(),
        };
        (tail.event, tail.wake) = tail.newest().await?;
        Ok(tail)
    }

    async fn newest(&self) -> Fallible<(u64, String)> {
        let mut pipeline = redis::pipe();
        pipeline.cmd("GET").arg(self.keys.event_number());
        pipeline
            .cmd("XREVRANGE")
            .arg(self.keys.wakes())
            .arg("+")
            .arg("-")
            .arg("COUNT")
            .arg(1);
        let (event, wakes): (Option<u64>, redis::streams::StreamRangeReply) = self.connection.pipe(&pipeline).await?;
        let wake = wakes.ids.into_iter().next().map(|entry| entry.id);
        Ok((event.unwrap_or(0), wake.unwrap_or_else(|| "0-0".to_owned())))
    }

    /// Hears until the task is ended.
    pub(super) async fn run(mut self) {
        let mut is_broken = false;
        loop {
            if let Err(fault) = self.hear(&mut is_broken).await
                && !is_broken
            {
                tracing::warn!(
                    ?fault,
                    "the events of other processes cannot be heard; connecting again"
                );
                is_broken = true;
            }
            tokio::time::sleep(PAUSE).await;
        }
    }

    /// Hears until the connection breaks or the store is elsewhere.
    async fn hear(&mut self, was_broken: &mut bool) -> Fallible<()> {
        let (node, mut connection) = self.connection.blocking(PATIENCE).await?;
        if std::mem::take(was_broken) {
            let (event, wake) = self.newest().await?;
            // A server that lost its last writes counts on from before.
            self.event = self.event.min(event);
            self.wake = wake;
            for whom in Wake::ALL {
                self.channels.wake(whom);
            }
            tracing::info!("the events of other processes are heard again");
        }
        let discovery = self.connection.discovery().clone();
        loop {
            tokio::select! {
                heard = self.read(&mut connection) => self.connection.judge(&node, heard)?,
                // Whoever was the master may still answer, and hears nothing any more.
                () = discovery.left(&node) => return Err(Fault::Late),
            }
        }
    }

    async fn read(&mut self, connection: &mut MultiplexedConnection) -> Fallible<()> {
        let mut command = redis::cmd("XREAD");
        command
            .arg("COUNT")
            .arg(MOST)
            .arg("BLOCK")
            .arg(PATIENCE.as_millis() as u64);
        command.arg("STREAMS").arg(self.keys.events()).arg(self.keys.wakes());
        command.arg(format!("{}-0", self.event)).arg(&self.wake);
        let heard: Option<StreamReadReply> = command.query_async(connection).await?;
        for stream in heard.map(|heard| heard.keys).unwrap_or_default() {
            let is_event = stream.key == self.keys.events();
            for entry in stream.ids {
                if is_event {
                    self.tell(&entry);
                } else {
                    self.pass_on(entry);
                }
            }
        }
        Ok(())
    }

    fn tell(&mut self, entry: &StreamId) {
        if let Some((number, _)) = entry.id.split_once('-') {
            self.event = number.parse().unwrap_or(self.event);
        }
        match entry.get::<Vec<u8>>("event").map(|json| events::read(&json)) {
            Some(Ok(Heard::Job(event))) => self.channels.tell(event),
            Some(Ok(Heard::Dataset)) => self.channels.wake(Wake::Data),
            Some(Ok(Heard::Other)) => {}
            unreadable => tracing::error!(id = entry.id, ?unreadable, "an event could not be read"),
        }
    }

    fn pass_on(&mut self, entry: StreamId) {
        let named = entry.get::<String>("wake");
        let whom = Wake::ALL
            .into_iter()
            .find(|whom| named.as_deref() == Some(whom.as_str()));
        if let Some(whom) = whom {
            self.channels.wake(whom);
        }
        self.wake = entry.id;
    }
}
