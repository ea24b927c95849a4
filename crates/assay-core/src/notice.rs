//! Telling users: whom to tell, what a delivery is, and when it is tried again.
//!
//! Nothing is sent here; `assay-worker` sends, and the store remembers.

use serde::{Deserialize, Serialize};

use crate::{Code, DeliveryId, Error, EventId, HookId, JobId, Retry, SigningSecret, State, Timestamp, UserName, names};

/// The body of a webhook.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum HookFormat {
    /// `{type, timestamp, data}` after Standard Webhooks 1.0.
    #[default]
    Standard,
    /// CloudEvents 1.0, structured JSON.
    Cloudevents,
    /// An incoming-webhook message of Slack and of what takes the same: `{text, blocks}`.
    Slack,
}

impl HookFormat {
    pub const ALL: [HookFormat; 3] = [HookFormat::Standard, HookFormat::Cloudevents, HookFormat::Slack];

    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            HookFormat::Standard => "standard",
            HookFormat::Cloudevents => "cloudevents",
            HookFormat::Slack => "slack",
        }
    }
}

impl std::str::FromStr for HookFormat {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        Self::ALL
            .into_iter()
            .find(|format| format.as_str() == text)
            .ok_or_else(|| {
                Error::new(Code::InvalidParameter, format!("`{text}` is not a format of webhooks"))
                    .hint(names::suggest(text, Self::ALL.map(HookFormat::as_str)))
            })
    }
}

/// Who is told of the end of one job.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Target {
    Webhook {
        url: String,
        format: HookFormat,
        /// The owner's signing secret when absent.
        secret: Option<SigningSecret>,
    },
    Email {
        address: String,
    },
}

/// A webhook that is told of every job of its owner that ends in one of the states.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hook {
    pub id: HookId,
    pub owner: UserName,
    pub url: String,
    pub format: HookFormat,
    /// The newest first, at most two: the older one still signs, so that receivers can change over.
    pub secrets: Vec<SigningSecret>,
    /// Ends that are told.
    pub states: Vec<State>,
    /// Only jobs of this analysis, when given.
    pub analysis: Option<String>,
    pub description: String,
    /// Why nothing is sent any more; absent while it is enabled.
    pub disabled: Option<String>,
    pub created_at: Timestamp,
}

impl Hook {
    #[must_use]
    pub fn wants(&self, owner: &UserName, analysis: &str, state: State) -> bool {
        self.disabled.is_none()
            && self.owner == *owner
            && self.states.contains(&state)
            && self.analysis.as_deref().is_none_or(|wanted| wanted == analysis)
    }
}

/// Where a delivery goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Destination {
    Hook(HookId),
    Target(Target),
}

/// What is told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Notice {
    /// A job has ended. The event has the same number in every channel, and is the id of the webhook.
    Ended { event: EventId, job: JobId },
    /// A test of a hook, asked for by its owner.
    Ping,
}

/// One notice to one destination, from the end of the job until it has arrived or is given up.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Delivery {
    pub id: DeliveryId,
    pub notice: Notice,
    pub owner: UserName,
    pub destination: Destination,
    pub state: DeliveryState,
    /// When it is tried next; absent when it has arrived or was given up.
    pub next_at: Option<Timestamp>,
    /// Tries so far.
    pub tries: u32,
    pub created_at: Timestamp,
    /// The newest tries, oldest first.
    pub log: Vec<DeliveryTry>,
}

impl Delivery {
    /// What a receiver knows the notice by, however often it comes: `evt_` and the number of the event.
    #[must_use]
    pub fn message_id(&self) -> String {
        match &self.notice {
            Notice::Ended { event, .. } => format!("evt_{event}"),
            Notice::Ping => format!("ping_{}", self.id),
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DeliveryState {
    Waiting,
    Delivered,
    /// Given up: every try failed, or the receiver is gone.
    Failed,
}

impl DeliveryState {
    pub const ALL: [DeliveryState; 3] = [DeliveryState::Waiting, DeliveryState::Delivered, DeliveryState::Failed];

    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            DeliveryState::Waiting => "waiting",
            DeliveryState::Delivered => "delivered",
            DeliveryState::Failed => "failed",
        }
    }
}

/// What became of one try.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeliveryTry {
    pub at: Timestamp,
    pub duration_ms: u64,
    /// The HTTP status, or the reply code of the mail server.
    pub status: Option<u16>,
    /// What went wrong, without addresses from inside.
    pub error: Option<String>,
}

/// How a try ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DeliveryOutcome {
    Delivered,
    /// Tried again by the schedule, or not before `not_before` when the receiver said so.
    Failed {
        not_before: Option<Timestamp>,
    },
    /// Never tried again; the hook it belongs to is disabled for the reason given.
    Refused {
        disable: Option<String>,
    },
    /// Not tried; comes again at the time given and costs no try.
    Deferred {
        until: Timestamp,
    },
}

/// Tries whose log is kept.
pub const LOGGED_TRIES: usize = 20;

/// Pauses before the second and later tries, after Standard Webhooks 1.0: 5 s, 5 min, 30 min, 2 h, 5 h, 10 h, 14 h, 20 h, 24 h.
const PAUSES_MS: [u64; 9] = [
    5_000, 300_000, 1_800_000, 7_200_000, 18_000_000, 36_000_000, 50_400_000, 72_000_000, 86_400_000,
];

/// The pause after try number `tries` (from 1), with up to a fifth more drawn from `seed`; `None` when it was the last.
#[must_use]
pub fn delivery_pause_ms(tries: u32, seed: &str) -> Option<u64> {
    let place = usize::try_from(tries.saturating_sub(1)).unwrap_or(usize::MAX);
    PAUSES_MS.get(place).map(|pause| Retry::jittered(*pause, tries, seed))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tries_are_spread_over_three_days_and_then_end() {
        assert_eq!(delivery_pause_ms(10, "d"), None);
        let pauses: Vec<u64> = (1..=9).map(|tries| delivery_pause_ms(tries, "d").unwrap()).collect();
        for (pause, least) in pauses.iter().zip(PAUSES_MS) {
            assert!((least..=least + least / 5).contains(pause));
        }
    }

    #[test]
    fn a_hook_wants_what_it_was_made_for() {
        let hook = Hook {
            id: HookId::generate(Timestamp(0)),
            owner: UserName::local(),
            url: "https://example.org".to_owned(),
            format: HookFormat::Standard,
            secrets: Vec::new(),
            states: vec![State::Failed],
            analysis: Some("sql".to_owned()),
            description: String::new(),
            disabled: None,
            created_at: Timestamp(0),
        };
        assert!(hook.wants(&UserName::local(), "sql", State::Failed));
        assert!(!hook.wants(&UserName::local(), "sql", State::Succeeded));
        assert!(!hook.wants(&UserName::local(), "describe", State::Failed));
        assert!(!hook.wants(&"anna".parse().unwrap(), "sql", State::Failed));
    }
}
