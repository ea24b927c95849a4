//! Hooks and deliveries as users see them.

use assay_core::{
    Code, Delivery, DeliveryTry, Destination, Error, Hook, HookFormat, Notice, Reach, Result, SigningSecret, State,
};
use serde::{Deserialize, Deserializer, Serialize};
use utoipa::ToSchema;

use super::notify::{self, Hidden, TargetShown};

const MAX_DESCRIPTION_CHARS: usize = 500;
/// Why a hook is disabled that its owner has disabled.
const BY_OWNER: &str = "by its owner";

/// A webhook that is told of every job of its owner.
#[derive(Debug, Clone, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct NewHook {
    /// `https` or `http`.
    #[schema(example = "https://example.org/hooks/assay")]
    url: String,
    /// `standard` (the default), `cloudevents` or `slack`.
    #[serde(default)]
    format: Option<String>,
    /// Ends that are told: `succeeded`, `failed`, `canceled`. All of them when absent.
    #[serde(default)]
    states: Option<Vec<String>>,
    /// Only jobs of this analysis.
    #[serde(default)]
    pub(crate) analysis: Option<String>,
    #[serde(default)]
    description: Option<String>,
    /// `whsec_` and 24 to 64 bytes in base64; one is made when absent.
    #[serde(default)]
    #[schema(value_type = Option<String>)]
    secret: Option<Hidden>,
}

/// A checked hook that has no id and no owner yet.
pub(crate) struct Checked {
    pub(crate) url: String,
    pub(crate) format: HookFormat,
    pub(crate) states: Vec<State>,
    pub(crate) description: String,
    pub(crate) secret: SigningSecret,
}

impl NewHook {
    /// # Errors
    /// `InvalidParameter` or `AddressRefused`, with the place.
    pub(crate) fn checked(&self, reach: &Reach) -> Result<Checked> {
        Ok(Checked {
            url: notify::checked_url(&self.url, reach, "/url")?,
            format: notify::checked_format(self.format.as_deref(), "/format")?,
            states: checked_states(self.states.as_deref())?,
            description: checked_description(self.description.as_deref().unwrap_or_default())?,
            secret: match notify::checked_secret(self.secret.as_ref(), "/secret")? {
                Some(secret) => secret,
                None => SigningSecret::generate()?,
            },
        })
    }
}

/// What is to be changed of a hook.
#[derive(Debug, Clone, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct HookPatch {
    #[serde(default)]
    url: Option<String>,
    #[serde(default)]
    format: Option<String>,
    #[serde(default)]
    states: Option<Vec<String>>,
    /// `null` for jobs of every analysis.
    #[serde(default, deserialize_with = "given")]
    #[schema(value_type = Option<String>)]
    pub(crate) analysis: Option<Option<String>>,
    #[serde(default)]
    description: Option<String>,
    /// What waits for a hook that is disabled is given up.
    #[serde(default)]
    enabled: Option<bool>,
}

/// Tells a member that is `null` from one that is absent.
fn given<'de, D: Deserializer<'de>>(member: D) -> std::result::Result<Option<Option<String>>, D::Error> {
    Option::deserialize(member).map(Some)
}

impl HookPatch {
    /// # Errors
    /// `InvalidParameter` or `AddressRefused`, with the place.
    pub(crate) fn apply(self, hook: &mut Hook, reach: &Reach) -> Result<()> {
        if let Some(url) = &self.url {
            hook.url = notify::checked_url(url, reach, "/url")?;
        }
        if self.format.is_some() {
            hook.format = notify::checked_format(self.format.as_deref(), "/format")?;
        }
        if self.states.is_some() {
            hook.states = checked_states(self.states.as_deref())?;
        }
        if let Some(description) = &self.description {
            hook.description = checked_description(description)?;
        }
        if let Some(analysis) = self.analysis {
            hook.analysis = analysis;
        }
        match self.enabled {
            Some(true) => hook.disabled = None,
            Some(false) if hook.disabled.is_none() => hook.disabled = Some(BY_OWNER.to_owned()),
            Some(false) | None => {}
        }
        Ok(())
    }
}

fn checked_states(states: Option<&[String]>) -> Result<Vec<State>> {
    let ends = || State::ALL.into_iter().filter(|state| state.is_terminal());
    let Some(states) = states else {
        return Ok(ends().collect());
    };
    let mut checked: Vec<State> = Vec::new();
    for (place, text) in states.iter().enumerate() {
        let end = ends().find(|state| state.as_str() == text).ok_or_else(|| {
            Error::new(
                Code::InvalidParameter,
                format!("`{text}` is not a state in which jobs end"),
            )
            .hint("use `succeeded`, `failed` or `canceled`")
            .pointing(format!("/states/{place}"))
        })?;
        if !checked.contains(&end) {
            checked.push(end);
        }
    }
    if checked.is_empty() {
        return Err(
            Error::new(Code::InvalidParameter, "a hook without states is told nothing")
                .hint("name one of `succeeded`, `failed` and `canceled`, or leave `states` out")
                .pointing("/states"),
        );
    }
    Ok(checked)
}

fn checked_description(text: &str) -> Result<String> {
    if text.chars().count() > MAX_DESCRIPTION_CHARS {
        return Err(Error::new(
            Code::InvalidParameter,
            format!("the description is longer than {MAX_DESCRIPTION_CHARS} characters"),
        )
        .pointing("/description"));
    }
    Ok(text.to_owned())
}

/// A webhook that is told of every job of its owner.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Hook)]
pub(crate) struct HookForm {
    #[schema(example = "hook_01jd8q2x5m7k9n3p4r6s8t0v2w")]
    id: String,
    owner: String,
    url: String,
    format: &'static str,
    states: Vec<&'static str>,
    /// Only jobs of this analysis; all when absent.
    analysis: Option<String>,
    description: String,
    enabled: bool,
    /// Why nothing is sent any more.
    disabled_reason: Option<String>,
    created_at: String,
    /// Only in the answer to what made it.
    #[serde(skip_serializing_if = "Option::is_none")]
    secret: Option<String>,
}

impl HookForm {
    pub(crate) fn with_secret(hook: Hook) -> Self {
        let secret = hook.secrets.first().map(|secret| secret.reveal().to_owned());
        Self {
            secret,
            ..Self::from(hook)
        }
    }
}

impl From<Hook> for HookForm {
    fn from(hook: Hook) -> Self {
        Self {
            id: hook.id.to_string(),
            owner: hook.owner.to_string(),
            url: hook.url,
            format: hook.format.as_str(),
            states: hook.states.into_iter().map(State::as_str).collect(),
            analysis: hook.analysis,
            description: hook.description,
            enabled: hook.disabled.is_none(),
            disabled_reason: hook.disabled,
            created_at: hook.created_at.to_string(),
            secret: None,
        }
    }
}

#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct HookList {
    pub(crate) items: Vec<HookForm>,
}

/// The secrets in force, the newest first: either signature of a webhook fits one of them.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct SecretList {
    secrets: Vec<String>,
}

impl From<Vec<SigningSecret>> for SecretList {
    fn from(secrets: Vec<SigningSecret>) -> Self {
        Self {
            secrets: secrets.iter().map(|secret| secret.reveal().to_owned()).collect(),
        }
    }
}

/// One notice to one receiver, from the end of the job until it has arrived or is given up.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Delivery)]
pub(crate) struct DeliveryForm {
    id: u64,
    /// The `webhook-id`: the same however often it is sent.
    #[schema(example = "evt_42")]
    message_id: String,
    /// The event that is told, as in event streams; absent in a test of a hook.
    event: Option<u64>,
    job: Option<String>,
    hook: Option<String>,
    /// Whom the job named.
    target: Option<TargetShown>,
    /// `waiting`, `delivered` or `failed`.
    state: &'static str,
    /// When it is tried next.
    next_at: Option<String>,
    tries: u32,
    created_at: String,
    /// The newest tries, oldest first.
    log: Vec<TryForm>,
}

#[derive(Debug, Serialize, ToSchema)]
#[schema(as = DeliveryTry)]
struct TryForm {
    at: String,
    duration_ms: u64,
    /// Of HTTP, or the reply code of the mail server.
    status: Option<u16>,
    error: Option<String>,
}

#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct DeliveryPage {
    pub(crate) items: Vec<DeliveryForm>,
    /// Address of the following page.
    pub(crate) next: Option<String>,
}

impl From<Delivery> for DeliveryForm {
    fn from(delivery: Delivery) -> Self {
        let message_id = delivery.message_id();
        let (event, job) = match delivery.notice {
            Notice::Ended { event, job } => (Some(event.0), Some(job.to_string())),
            Notice::Ping => (None, None),
        };
        let (hook, target) = match &delivery.destination {
            Destination::Hook(hook) => (Some(hook.to_string()), None),
            Destination::Target(target) => (None, Some(TargetShown::from(target))),
        };
        Self {
            id: delivery.id.0,
            message_id,
            event,
            job,
            hook,
            target,
            state: delivery.state.as_str(),
            next_at: delivery.next_at.map(|at| at.to_string()),
            tries: delivery.tries,
            created_at: delivery.created_at.to_string(),
            log: delivery.log.into_iter().map(TryForm::from).collect(),
        }
    }
}

impl From<DeliveryTry> for TryForm {
    fn from(entry: DeliveryTry) -> Self {
        Self {
            at: entry.at.to_string(),
            duration_ms: entry.duration_ms,
            status: entry.status,
            error: entry.error,
        }
    }
}
