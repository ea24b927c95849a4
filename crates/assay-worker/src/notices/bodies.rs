//! What webhooks say, in each of the formats. Thin: which job, how it ended, and where to look; never rows.
//!
//! A notice is made of what does not change any more, so that it has the same bytes however often it is sent.

use assay_core::{Delivery, HookFormat, Job, Notice, State, Timestamp};
use serde_json::{Map, Value, json};

/// Receivers may count on this.
const MAX_BYTES: usize = 20_000;
/// Longest text of an error that is told.
const MAX_MESSAGE_CHARS: usize = 2_000;

pub(super) struct Body {
    pub content_type: &'static str,
    pub text: String,
}

/// What is told, apart from how.
pub(super) struct Told<'a> {
    id: String,
    at: Timestamp,
    job: Option<&'a Job>,
    public_url: Option<&'a str>,
}

impl<'a> Told<'a> {
    /// `job` is that of the notice.
    pub(super) fn new(delivery: &Delivery, job: Option<&'a Job>, public_url: Option<&'a str>) -> Self {
        let ended = job.and_then(|job| job.finished_at);
        let at = match delivery.notice {
            Notice::Ended { .. } => ended.unwrap_or(delivery.created_at),
            Notice::Ping => delivery.created_at,
        };
        Self {
            id: delivery.message_id(),
            at,
            job,
            public_url,
        }
    }

    fn kind(&self) -> String {
        self.job
            .map_or_else(|| "ping".to_owned(), |job| format!("job.{}", job.state))
    }

    /// The job without its tags when it would be too long with them.
    fn data(&self, with_tags: bool) -> Value {
        match self.job {
            Some(job) => about(job, self.public_url, with_tags),
            None => json!({"message": "This is a test. Notices of jobs will come here."}),
        }
    }
}

pub(super) fn of(told: &Told<'_>, format: HookFormat) -> Body {
    let whole = written(told, format, true);
    if whole.text.len() <= MAX_BYTES {
        return whole;
    }
    written(told, format, false)
}

fn written(told: &Told<'_>, format: HookFormat, with_tags: bool) -> Body {
    let (content_type, value) = match format {
        HookFormat::Standard => (
            "application/json",
            json!({"type": told.kind(), "timestamp": told.at.to_string(), "data": told.data(with_tags)}),
        ),
        HookFormat::Cloudevents => ("application/cloudevents+json", cloudevent(told, with_tags)),
        HookFormat::Slack => ("application/json", slack(told)),
    };
    Body {
        content_type,
        text: value.to_string(),
    }
}

fn cloudevent(told: &Told<'_>, with_tags: bool) -> Value {
    let mut event = Map::new();
    event.insert("specversion".to_owned(), json!("1.0"));
    event.insert("id".to_owned(), json!(told.id));
    event.insert("source".to_owned(), json!(told.public_url.unwrap_or("/v1/jobs")));
    event.insert("type".to_owned(), json!(format!("assay.{}", told.kind())));
    if let Some(job) = told.job {
        event.insert("subject".to_owned(), json!(job.id));
    }
    event.insert("time".to_owned(), json!(told.at.to_string()));
    event.insert("datacontenttype".to_owned(), json!("application/json"));
    event.insert("data".to_owned(), told.data(with_tags));
    Value::Object(event)
}

fn about(job: &Job, public_url: Option<&str>, with_tags: bool) -> Value {
    let input = |input: &assay_core::PinnedInput| json!({"dataset": input.name, "version": input.version});
    let mut data = json!({
        "id": job.id,
        "state": job.state,
        "analysis": job.spec.analysis,
        "inputs": job.spec.inputs.iter().take(20).map(input).collect::<Vec<_>>(),
        "tags": if with_tags { json!(job.spec.tags) } else { json!({}) },
        "submitted_at": job.submitted_at.to_string(),
        "started_at": job.started_at.map(|at| at.to_string()),
        "finished_at": job.finished_at.map(|at| at.to_string()),
        "attempt": job.attempt,
        "wrote": job.wrote.as_ref().map(input),
        "error": job.error.as_ref().map(|error| json!({"code": error.code, "message": message(error)})),
        "links": links(job, ""),
    });
    if let Some(public_url) = public_url {
        data["urls"] = links(job, public_url);
    }
    data
}

fn links(job: &Job, before: &str) -> Value {
    let itself = format!("{before}/v1/jobs/{}", job.id);
    json!({"self": itself, "result": format!("{itself}/result"), "events": format!("{itself}/events")})
}

fn message(error: &assay_core::Error) -> String {
    error.message.chars().take(MAX_MESSAGE_CHARS).collect()
}

/// A sentence: what has become of which job.
pub(super) fn sentence(job: &Job) -> String {
    let mut names: Vec<&str> = job
        .spec
        .inputs
        .iter()
        .map(|input| input.name.as_str())
        .take(3)
        .collect();
    if names.is_empty() {
        names.extend(job.wrote.as_ref().map(|wrote| wrote.name.as_str()));
    }
    let on = if names.is_empty() {
        String::new()
    } else {
        format!(" on {}", names.join(", "))
    };
    format!("{}{on} {}", job.spec.analysis, ending(job.state))
}

pub(super) fn ending(state: State) -> &'static str {
    match state {
        State::Succeeded => "has succeeded",
        State::Failed => "has failed",
        State::Canceled => "was canceled",
        State::Scheduled | State::Queued | State::Running => "has not ended",
    }
}

fn slack(told: &Told<'_>) -> Value {
    let Some(job) = told.job else {
        return json!({"text": "This is a test. Notices of jobs will come here."});
    };
    let title = sentence(job);
    let mut lines = vec![format!("*{}*", escaped(&title)), format!("`{}`", job.id)];
    if let Some(error) = job.error.as_ref().filter(|_| job.state == State::Failed) {
        lines.push(format!("{}: {}", error.code, escaped(&message(error))));
    }
    if let Some(public_url) = told.public_url {
        lines.push(format!(
            "<{public_url}/v1/jobs/{0}|job> · <{public_url}/v1/jobs/{0}/result|answer>",
            job.id
        ));
    }
    json!({
        "text": escaped(&title),
        "blocks": [{"type": "section", "text": {"type": "mrkdwn", "text": lines.join("\n")}}],
    })
}

/// The three characters that mean something in texts of Slack.
fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::notices::samples::{delivery, failed_job, ping, succeeded_job};

    fn read(body: &Body) -> Value {
        serde_json::from_str(&body.text).unwrap()
    }

    #[test]
    fn the_standard_body_tells_the_job_and_where_to_look() {
        let job = succeeded_job();
        let body = of(&Told::new(&delivery(&job), Some(&job), None), HookFormat::Standard);
        let told = read(&body);
        assert_eq!(told["type"], "job.succeeded");
        assert_eq!(told["timestamp"], "2025-02-26T12:00:02.000Z");
        assert_eq!(told["data"]["id"], job.id.as_str());
        assert_eq!(told["data"]["inputs"], json!([{"dataset": "penguins", "version": 1}]));
        assert_eq!(told["data"]["tags"], json!({"team": "blue"}));
        assert_eq!(told["data"]["links"]["result"], format!("/v1/jobs/{}/result", job.id));
        assert_eq!(told["data"]["urls"], Value::Null);
    }

    #[test]
    fn a_cloudevent_has_what_the_standard_asks_for() {
        let job = failed_job();
        let told = Told::new(&delivery(&job), Some(&job), Some("https://assay.example.org"));
        let body = of(&told, HookFormat::Cloudevents);
        assert_eq!(body.content_type, "application/cloudevents+json");
        let event = read(&body);
        assert_eq!(event["specversion"], "1.0");
        assert_eq!(event["id"], "evt_7");
        assert_eq!(event["type"], "assay.job.failed");
        assert_eq!(event["source"], "https://assay.example.org");
        assert_eq!(event["subject"], job.id.as_str());
        assert_eq!(event["data"]["error"]["code"], "unknown_column");
        let there = format!("https://assay.example.org/v1/jobs/{}", job.id);
        assert_eq!(event["data"]["urls"]["self"], there);
    }

    #[test]
    fn slack_is_told_in_its_own_marks() {
        let job = failed_job();
        let body = read(&of(&Told::new(&delivery(&job), Some(&job), None), HookFormat::Slack));
        assert_eq!(body["text"], "describe on penguins has failed");
        let text = body["blocks"][0]["text"]["text"].as_str().unwrap();
        assert!(text.contains("column `&lt;b&gt;` does not exist"), "{text}");
    }

    #[test]
    fn long_tags_are_left_out_and_a_ping_has_no_job() {
        let mut job = succeeded_job();
        for number in 0..32 {
            job.spec.tags.insert(format!("tag{number}"), "ä".repeat(1_000));
        }
        let body = of(&Told::new(&delivery(&job), Some(&job), None), HookFormat::Standard);
        assert!(body.text.len() <= MAX_BYTES);
        assert_eq!(read(&body)["data"]["tags"], json!({}));
        for format in HookFormat::ALL {
            let body = of(&Told::new(&ping(), None, None), format);
            assert!(body.text.contains("This is a test"), "{}", body.text);
        }
    }
}
