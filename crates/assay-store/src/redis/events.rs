//! Events as they are stored: CloudEvents JSON, one entry of a stream each.
//!
//! What a foreign program reads there is what this one reads back, so there is one form.

use assay_core::{Event, EventId, EventKind, JobId, Progress, State, Timestamp, UserName};
use serde::{Deserialize, Serialize};

use super::failure::{Fallible, Fault};

/// The source of every event, as a reference to be resolved against the address of a server.
const SOURCE: &str = "/v1/jobs";
const STATE: &str = "assay.job.state";
const PROGRESS: &str = "assay.job.progress";

/// An event that has no number yet.
#[derive(Debug)]
pub(super) struct Told {
    pub job: JobId,
    /// The JSON without its opening brace and its `id`, which come before it.
    pub json: String,
}

/// All members but `id`, which the server gives.
#[derive(Serialize)]
struct EventOut<'a> {
    specversion: &'a str,
    source: &'a str,
    #[serde(rename = "type")]
    kind: &'a str,
    subject: &'a JobId,
    time: String,
    datacontenttype: &'a str,
    data: Data<'a>,
}

#[derive(Serialize)]
struct Data<'a> {
    owner: &'a UserName,
    revision: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    state: Option<State>,
    #[serde(skip_serializing_if = "Option::is_none")]
    cancel_requested: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    progress: Option<&'a Progress>,
}

/// An event of a job, ready to be told.
pub(super) fn told(job: &JobId, owner: &UserName, revision: u64, at: Timestamp, kind: &EventKind) -> Fallible<Told> {
    let (name, state, cancel_requested, progress) = match kind {
        EventKind::State {
            state,
            cancel_requested,
        } => (STATE, Some(*state), Some(*cancel_requested), None),
        EventKind::Progress { progress } => (PROGRESS, None, None, Some(progress)),
    };
    let whole = serde_json::to_string(&EventOut {
        specversion: "1.0",
        source: SOURCE,
        kind: name,
        subject: job,
        time: at.to_string(),
        datacontenttype: "application/json",
        data: Data {
            owner,
            revision,
            state,
            cancel_requested,
            progress,
        },
    })?;
    let json = whole.strip_prefix('{').unwrap_or(&whole).to_owned();
    Ok(Told { job: job.clone(), json })
}

/// The JSON of [`told`] for a job that begins to run, as the parts before its job, before its owner, before its revision
/// and after that.
pub(super) fn begun_pattern(at: Timestamp) -> [String; 4] {
    [
        format!(r#""specversion":"1.0","source":"{SOURCE}","type":"{STATE}","subject":""#),
        format!(r#"","time":"{at}","datacontenttype":"application/json","data":{{"owner":""#),
        r#"","revision":"#.to_owned(),
        r#","state":"running","cancel_requested":false}}"#.to_owned(),
    ]
}

#[derive(Deserialize)]
struct EventIn {
    id: String,
    subject: JobId,
    time: String,
    data: DataIn,
}

#[derive(Deserialize)]
struct DataIn {
    owner: UserName,
    revision: u64,
    state: Option<State>,
    #[serde(default)]
    cancel_requested: bool,
    progress: Option<Progress>,
}

/// Reads an event back.
pub(super) fn read(json: &[u8]) -> Fallible<Event> {
    let EventIn {
        id,
        subject,
        time,
        data,
    } = serde_json::from_slice(json)?;
    let unreadable = |what: &str| Fault::Stored(format!("event `{id}` has no readable {what}"));
    let kind = match (data.state, data.progress) {
        (Some(state), _) => EventKind::State {
            state,
            cancel_requested: data.cancel_requested,
        },
        (None, Some(progress)) => EventKind::Progress { progress },
        (None, None) => return Err(unreadable("data")),
    };
    Ok(Event {
        id: EventId(id.parse().map_err(|_| unreadable("number"))?),
        at: time.parse().map_err(|_| unreadable("time"))?,
        job: subject,
        owner: data.owner,
        revision: data.revision,
        kind,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_told_is_read_back_and_the_pattern_is_of_the_same_form() {
        let at = Timestamp(1_000_000_000_000);
        let (job, owner) = (JobId::generate(at), UserName::local());
        let begun = EventKind::State {
            state: State::Running,
            cancel_requested: false,
        };
        let told = told(&job, &owner, 7, at, &begun).unwrap();
        let [first, second, third, last] = begun_pattern(at);
        assert_eq!(told.json, format!("{first}{job}{second}{owner}{third}7{last}"));
        let event = read(format!(r#"{{"id":"12",{}"#, told.json).as_bytes()).unwrap();
        let expected = Event {
            id: EventId(12),
            at,
            job,
            owner,
            revision: 7,
            kind: begun,
        };
        assert_eq!(event, expected);
    }
}
