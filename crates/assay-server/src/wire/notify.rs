//! Whom to tell of the end of a job, as submissions say it and as jobs show it.

use std::fmt;

use assay_core::{Code, Error, HookFormat, Reach, Result, SigningSecret, Target, WebhookUrl, check_email};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

const MAX_TARGETS: usize = 10;

/// A webhook or a mail address that is told when the job has ended.
#[derive(Debug, Clone, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = NewTarget)]
pub(crate) struct TargetForm {
    /// Address of the webhook, `https` or `http`. Either this or `email`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(example = "https://example.org/hooks/assay")]
    webhook: Option<String>,
    /// Of the webhook: `standard` (the default), `cloudevents` or `slack`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    format: Option<String>,
    /// Signs the webhook: `whsec_` and 24 to 64 bytes in base64. The one of `/v1/hooks/secret` when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    secret: Option<Hidden>,
    /// Address of mail.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    email: Option<String>,
}

/// A text that never enters a log.
#[derive(Clone, Serialize, Deserialize)]
#[serde(transparent)]
pub(crate) struct Hidden(String);

impl Hidden {
    pub(crate) fn checked(&self) -> Result<SigningSecret> {
        self.0.parse()
    }
}

impl fmt::Debug for Hidden {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("…")
    }
}

/// Whom a job tells. Secrets are not shown.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct TargetShown {
    #[serde(skip_serializing_if = "Option::is_none")]
    webhook: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    format: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    email: Option<String>,
}

impl From<&Target> for TargetShown {
    fn from(target: &Target) -> Self {
        match target {
            Target::Webhook { url, format, secret: _ } => Self {
                webhook: Some(url.clone()),
                format: Some(format.as_str()),
                email: None,
            },
            Target::Email { address } => Self {
                webhook: None,
                format: None,
                email: Some(address.clone()),
            },
        }
    }
}

/// The targets of a submission; all that is wrong with them at once.
///
/// # Errors
/// `InvalidParameter` or `AddressRefused` with the place of each.
pub(crate) fn targets(forms: &[TargetForm], reach: &Reach) -> Result<Vec<Target>> {
    if forms.len() > MAX_TARGETS {
        return Err(Error::new(
            Code::InvalidParameter,
            format!("there may be {MAX_TARGETS} to be told, but there are {}", forms.len()),
        )
        .hint("a hook (`/v1/hooks`) is told of every job")
        .pointing("/notify"));
    }
    let mut targets = Vec::with_capacity(forms.len());
    let mut refusal: Option<Error> = None;
    for (place, form) in forms.iter().enumerate() {
        match form.checked(&format!("/notify/{place}"), reach) {
            Ok(target) => targets.push(target),
            Err(error) => match &mut refusal {
                Some(first) => first.errors.extend(error.errors),
                None => refusal = Some(error),
            },
        }
    }
    refusal.map_or(Ok(targets), Err)
}

impl TargetForm {
    /// Of an address alone, as a query has it: what begins like a URL is a webhook.
    pub(crate) fn of_address(address: String) -> Self {
        let (webhook, email) = match address.contains("://") {
            true => (Some(address), None),
            false => (None, Some(address)),
        };
        Self {
            webhook,
            email,
            ..Self::default()
        }
    }

    fn checked(&self, place: &str, reach: &Reach) -> Result<Target> {
        match (&self.webhook, &self.email) {
            (Some(url), None) => Ok(Target::Webhook {
                url: checked_url(url, reach, &format!("{place}/webhook"))?,
                format: checked_format(self.format.as_deref(), &format!("{place}/format"))?,
                secret: checked_secret(self.secret.as_ref(), &format!("{place}/secret"))?,
            }),
            (None, Some(address)) if self.format.is_none() && self.secret.is_none() => {
                check_email(address).map_err(|error| error.pointing(format!("{place}/email")))?;
                Ok(Target::Email {
                    address: address.clone(),
                })
            }
            _ => Err(Error::new(
                Code::InvalidParameter,
                "who is to be told is either a `webhook`, with `format` and `secret`, or an `email`",
            )
            .hint("e.g. `{\"webhook\": \"https://example.org/hooks/assay\"}` or `{\"email\": \"anna@example.org\"}`")
            .pointing(place)),
        }
    }
}

/// # Errors
/// `InvalidParameter`; `AddressRefused` when it is written as an address that is not public.
pub(crate) fn checked_url(url: &str, reach: &Reach, place: &str) -> Result<String> {
    let checked = url.parse::<WebhookUrl>().and_then(|parsed| {
        parsed.check(reach)?;
        Ok(parsed.as_str().to_owned())
    });
    checked.map_err(|error| error.pointing(place))
}

pub(crate) fn checked_format(format: Option<&str>, place: &str) -> Result<HookFormat> {
    let parsed = format.map(str::parse).transpose();
    let parsed: Option<HookFormat> = parsed.map_err(|error: Error| error.pointing(place))?;
    Ok(parsed.unwrap_or_default())
}

pub(crate) fn checked_secret(secret: Option<&Hidden>, place: &str) -> Result<Option<SigningSecret>> {
    let parsed = secret.map(Hidden::checked).transpose();
    parsed.map_err(|error| error.pointing(place))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn read(notify: serde_json::Value) -> Result<Vec<Target>> {
        let forms: Vec<TargetForm> = serde_json::from_value(notify).unwrap();
        targets(&forms, &Reach::default())
    }

    #[test]
    fn webhooks_and_addresses_are_taken() {
        let secret = SigningSecret::generate().unwrap();
        let taken = read(json!([
            {"webhook": "https://example.org/a", "format": "slack", "secret": secret.reveal()},
            {"email": "anna@example.org"},
        ]));
        let webhook = Target::Webhook {
            url: "https://example.org/a".to_owned(),
            format: HookFormat::Slack,
            secret: Some(secret.clone()),
        };
        let email = Target::Email {
            address: "anna@example.org".to_owned(),
        };
        assert_eq!(taken.unwrap(), [webhook.clone(), email]);
        let shown = serde_json::to_string(&TargetShown::from(&webhook)).unwrap();
        assert_eq!(shown, r#"{"webhook":"https://example.org/a","format":"slack"}"#);
        let form: TargetForm = serde_json::from_value(json!({"secret": secret.reveal()})).unwrap();
        assert!(!format!("{form:?}").contains(secret.reveal()));
    }

    #[test]
    fn addresses_alone_tell_what_they_are() {
        let forms = ["https://example.org/a@b", "anna@example.org"].map(|text| TargetForm::of_address(text.to_owned()));
        let taken = targets(&forms, &Reach::default()).unwrap();
        assert!(
            matches!(&taken[..], [Target::Webhook { .. }, Target::Email { .. }]),
            "{taken:?}"
        );
        assert!(targets(&[TargetForm::of_address("anna".to_owned())], &Reach::default()).is_err());
    }

    #[test]
    fn all_that_is_wrong_is_told_with_its_place() {
        let error = read(json!([
            {"webhook": "https://example.org/", "secret": "whsec_short"},
            {"email": "anna@example.org"},
            {"webhook": "ftp://example.org/"},
            {"webhook": "http://2130706433/"},
            {"webhook": "https://example.org/", "format": "slak"},
            {"email": "anna"},
            {"email": "anna@example.org", "webhook": "https://example.org/"},
            {},
        ]));
        let places: Vec<String> = error
            .unwrap_err()
            .errors
            .into_iter()
            .filter_map(|detail| detail.pointer)
            .collect();
        let expected = [
            "/notify/0/secret",
            "/notify/2/webhook",
            "/notify/3/webhook",
            "/notify/4/format",
            "/notify/5/email",
            "/notify/6",
            "/notify/7",
        ];
        assert_eq!(places, expected);
        let refused = read(json!([{"webhook": "http://169.254.169.254/"}])).unwrap_err();
        assert_eq!(refused.code, Code::AddressRefused);
        let many = vec![json!({"email": "anna@example.org"}); 11];
        assert_eq!(
            read(json!(many)).unwrap_err().errors[0].pointer.as_deref(),
            Some("/notify")
        );
    }
}
