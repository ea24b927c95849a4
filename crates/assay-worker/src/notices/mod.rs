//! Notices: takes what is due from the outbox, sends it as webhook or mail, and notes what became of it.
//!
//! It decides nothing about when something is tried again: that is the outbox'. When it is killed, nothing is lost; a
//! notice that was sent and not yet noted is sent again, under the same id.

mod address;
mod authorities;
mod bodies;
mod chart;
mod email;
mod letter;
#[cfg(test)]
mod samples;
mod sender;
mod signature;
mod tries;
mod webhook;

use std::sync::Arc;
use std::time::Duration;

use assay_core::{Clock, Hooks, Jobs, Outbox, Reach};
use tokio::sync::watch;

pub use authorities::Authorities;
pub use email::MailSettings;

/// What notices are sent with.
#[derive(Clone)]
pub struct NoticePorts {
    pub outbox: Arc<dyn Outbox>,
    pub hooks: Arc<dyn Hooks>,
    pub jobs: Arc<dyn Jobs>,
    pub clock: Arc<dyn Clock>,
}

/// How notices are sent. The defaults suit a server without a mail server.
#[derive(Debug, Clone)]
pub struct NoticeSettings {
    /// Tries at the same time.
    pub at_once: usize,
    /// Tries at the same time at one receiver.
    pub at_once_each: usize,
    /// Time that one try may take.
    pub timeout: Duration,
    /// Addresses that webhooks may be sent to.
    pub reach: Reach,
    /// Who vouches for receivers of webhooks, beside those that the web trusts.
    pub authorities: Authorities,
    /// Where users reach this server, e.g. `https://assay.example.org`, for links.
    pub public_url: Option<String>,
    /// Without it every mail fails.
    pub mail: Option<MailSettings>,
    /// The least time between two mails to one address; what comes in between is told in the next one.
    pub mail_pause: Duration,
    /// How often the outbox is looked at without having been woken.
    pub poll_every: Duration,
    /// How long tries may go on at shutdown.
    pub drain: Duration,
}

impl Default for NoticeSettings {
    fn default() -> Self {
        Self {
            at_once: 8,
            at_once_each: 4,
            timeout: Duration::from_secs(15),
            reach: Reach::default(),
            authorities: Authorities::default(),
            public_url: None,
            mail: None,
            mail_pause: Duration::from_secs(30),
            poll_every: Duration::from_secs(30),
            drain: Duration::from_secs(5),
        }
    }
}

/// Delivers until `shutdown` becomes true or its sender is gone; what is being sent then may end within `drain`.
pub async fn deliver_until(ports: NoticePorts, settings: NoticeSettings, mut shutdown: watch::Receiver<bool>) {
    sender::Sender::new(ports, settings).run(&mut shutdown).await;
}
