//! The loop: what is due waits here for a free place, grouped by who receives it.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use assay_core::{Code, Delivery, Destination, HookFormat, SigningSecret, Target, Timestamp, WebhookUrl};
use tokio::sync::watch;
use tokio::task::{JoinError, JoinSet};
use tokio::time::{sleep, timeout};

use super::tries::{self, Route, Shared};
use super::{NoticePorts, NoticeSettings, webhook};
use crate::trouble::Trouble;

/// Deliveries that wait here at most.
const MAX_WAITING: usize = 256;
/// A delivery that waited here for so long is forgotten: the outbox gives it again soon.
const STALE_MS: u64 = 40_000;
/// The shortest wait, so that a store whose clock is behind ours is not asked without end.
const SHORTEST_PAUSE: Duration = Duration::from_millis(10);

/// A delivery on its way.
struct Waiting {
    delivery: Delivery,
    taken_at: Timestamp,
    way: Way,
}

enum Way {
    Webhook(Route),
    Email(String),
}

impl Way {
    /// Whom it goes to, whatever the path: what is meant for one receiver shares its places and pauses.
    fn receiver(&self) -> String {
        match self {
            Way::Webhook(route) => route.url.origin(),
            Way::Email(address) => address.to_ascii_lowercase(),
        }
    }
}

/// Whether there is nowhere to send to, now and later.
fn is_final(code: Code) -> bool {
    matches!(code, Code::UnknownHook | Code::InvalidParameter)
}

/// Who received, and until when it is better left alone.
type Ended = (String, Option<Timestamp>);

pub(super) struct Sender {
    shared: Arc<Shared>,
    waiting: VecDeque<Waiting>,
    running: JoinSet<Ended>,
    /// Tries that run, by receiver.
    busy: HashMap<String, usize>,
    pauses: HashMap<String, Timestamp>,
    trouble: Trouble,
}

impl Sender {
    pub(super) fn new(ports: NoticePorts, settings: NoticeSettings) -> Self {
        let tls = webhook::tls(&settings.authorities);
        Self {
            shared: Arc::new(Shared { ports, settings, tls }),
            waiting: VecDeque::new(),
            running: JoinSet::new(),
            busy: HashMap::new(),
            pauses: HashMap::new(),
            trouble: Trouble::to("look for notices"),
        }
    }

    pub(super) async fn run(mut self, shutdown: &mut watch::Receiver<bool>) {
        let mut due = self.shared.ports.outbox.due();
        let mut is_woken = true;
        while !*shutdown.borrow() {
            // Armed before the outbox is looked at: what comes after the look wakes the wait below.
            due.mark_unchanged();
            self.fill().await;
            self.start_all().await;
            let pause = self.pause().await;
            let has_room = self.waiting.len() < MAX_WAITING;
            tokio::select! {
                stopped = shutdown.wait_for(|stop| *stop) => {
                    drop(stopped);
                    break;
                }
                Some(ended) = self.running.join_next() => self.note(ended),
                changed = due.changed(), if is_woken && has_room => is_woken = changed.is_ok(),
                () = sleep(pause) => {}
            }
        }
        self.drain().await;
    }

    /// Takes what is due, and finds out where each goes.
    async fn fill(&mut self) {
        let room = MAX_WAITING.saturating_sub(self.waiting.len());
        if room == 0 {
            return;
        }
        let taken = self.shared.ports.outbox.take_due(room).await;
        let Some(taken) = self.trouble.note(taken) else {
            return;
        };
        let taken_at = self.shared.ports.clock.now();
        for delivery in taken {
            match self.way(&delivery).await {
                Ok(way) => self.waiting.push_back(Waiting {
                    delivery,
                    taken_at,
                    way,
                }),
                // It is due again in a minute.
                Err(error) if !is_final(error.code) => {
                    tracing::warn!(delivery.id = %delivery.id, %error, "could not find out where a notice goes");
                }
                Err(error) => {
                    tries::give_up(&self.shared, delivery, &error.message).await;
                }
            }
        }
    }

    async fn way(&self, delivery: &Delivery) -> assay_core::Result<Way> {
        let (url, format, secrets) = match &delivery.destination {
            Destination::Target(Target::Email { address }) => return Ok(Way::Email(address.clone())),
            Destination::Target(Target::Webhook { url, format, secret }) => {
                (url.clone(), *format, secret.clone().into_iter().collect())
            }
            Destination::Hook(id) => {
                let hook = self.shared.ports.hooks.get(id).await?;
                (hook.url, hook.format, hook.secrets)
            }
        };
        self.route(delivery, &url, format, secrets).await
    }

    async fn route(
        &self,
        delivery: &Delivery,
        url: &str,
        format: HookFormat,
        mut secrets: Vec<SigningSecret>,
    ) -> assay_core::Result<Way> {
        let url: WebhookUrl = url.parse()?;
        if secrets.is_empty() {
            let fresh = SigningSecret::generate()?;
            secrets = self.shared.ports.hooks.signing_secrets(&delivery.owner, &fresh).await?;
        }
        Ok(Way::Webhook(Route { url, format, secrets }))
    }

    /// Starts what may start; puts off what its receiver has no time for.
    async fn start_all(&mut self) {
        let now = self.shared.ports.clock.now();
        self.pauses.retain(|_, until| *until > now);
        let mut deferred = Vec::new();
        let mut left = VecDeque::new();
        while let Some(next) = self.waiting.pop_front() {
            let receiver = next.way.receiver();
            if now.millis_since(next.taken_at) > STALE_MS {
                continue;
            }
            if let Some(until) = self.pauses.get(&receiver) {
                deferred.push((next.delivery, *until));
                continue;
            }
            if self.running.len() >= self.shared.settings.at_once || !self.has_place(&receiver, &next.way) {
                left.push_back(next);
                continue;
            }
            self.start(receiver, next);
        }
        self.waiting = left;
        tries::defer(&self.shared, deferred).await;
    }

    /// An address gets one mail at a time; what else is due for it comes into that mail or the next.
    fn has_place(&self, receiver: &str, way: &Way) -> bool {
        let most = match way {
            Way::Webhook(_) => self.shared.settings.at_once_each,
            Way::Email(_) => 1,
        };
        self.busy.get(receiver).is_none_or(|busy| *busy < most)
    }

    fn start(&mut self, receiver: String, next: Waiting) {
        *self.busy.entry(receiver.clone()).or_default() += 1;
        let shared = Arc::clone(&self.shared);
        match next.way {
            Way::Webhook(route) => {
                self.running
                    .spawn(async move { (receiver, tries::webhook(shared, next.delivery, route).await) });
            }
            Way::Email(address) => {
                let mut deliveries = vec![next.delivery];
                deliveries.extend(self.take_mail_to(&receiver));
                self.running
                    .spawn(async move { (receiver, tries::mail(shared, address, deliveries).await) });
            }
        }
    }

    /// Everything else that waits for the same address.
    fn take_mail_to(&mut self, receiver: &str) -> Vec<Delivery> {
        let is_meant = |waiting: &Waiting| matches!(&waiting.way, Way::Email(_)) && waiting.way.receiver() == receiver;
        let (meant, left): (VecDeque<_>, _) = self.waiting.drain(..).partition(is_meant);
        self.waiting = left;
        meant.into_iter().map(|waiting| waiting.delivery).collect()
    }

    fn note(&mut self, ended: Result<Ended, JoinError>) {
        match ended {
            Ok((receiver, pause)) => {
                if let Some(busy) = self.busy.get_mut(&receiver) {
                    *busy -= 1;
                    if *busy == 0 {
                        self.busy.remove(&receiver);
                    }
                }
                if let Some(until) = pause {
                    self.pauses.insert(receiver, until);
                }
            }
            // Its delivery is due again in a minute. Its place at the receiver is given back with all others.
            Err(cause) => {
                tracing::error!(error = %cause, "the task of a notice panicked");
                self.busy.clear();
            }
        }
    }

    /// How long nothing is due that there is room for.
    async fn pause(&mut self) -> Duration {
        let longest = self.shared.settings.poll_every;
        if self.waiting.len() >= MAX_WAITING {
            return longest;
        }
        let next = self.shared.ports.outbox.next_due().await;
        let Some(next) = self.trouble.note(next).flatten() else {
            return longest;
        };
        let until_next = Duration::from_millis(next.millis_since(self.shared.ports.clock.now()));
        until_next.clamp(SHORTEST_PAUSE, longest.max(SHORTEST_PAUSE))
    }

    /// Lets what is being sent end; what does not is sent again at the next start.
    async fn drain(&mut self) {
        let drain = self.shared.settings.drain;
        let all_ended = async {
            while let Some(ended) = self.running.join_next().await {
                self.note(ended);
            }
        };
        if timeout(drain, all_ended).await.is_err() {
            tracing::warn!("notices were cut short; they are sent again at the next start");
        }
    }
}
