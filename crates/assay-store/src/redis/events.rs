//! Events as they are stored: CloudEvents JSON, one entry of a stream each. Here are those of jobs, and what all have in
//! common; `news` has those of data sets and workers.
//!
//! What a foreign program reads there is what this one reads back, so there is one form.

use assay_core::{Event, EventId, EventKind, JobId, Progress, State, Timestamp, UserName};
use serde::{Deserialize, Serialize};

use super::failure::{Fallible, Fault};
use super::news;

/// The source of events of jobs, as a reference to be resolved against the address of a server.
const SOURCE: &str = "/v1/jobs";
const STATE: &str = "assay.job.state";
const PROGRESS: &str = "assay.job.progress";

/// An event that has no number yet.
#[derive(Debug)]
pub(super) struct Told {
    /// Whose log it belongs to, when it is one of a job.
    pub job: Option<JobId>,
    /// The JSON without its opening brace and its `id`, which come before it.
    pub json: String,
}

/// All members but `id`, which the server gives.
#[derive(Serialize)]
pub(super) struct EventOut<'a, D> {
    specversion: &'a str,
    source: &'a str,
    #[serde(rename = "type")]
    kind: &'a str,
    subject: &'a str,
    time: String,
    datacontenttype: &'a str,
    data: D,
}

impl<'a, D: Serialize> EventOut<'a, D> {
    pub(super) fn new(source: &'a str, kind: &'a str, subject: &'a str, at: Timestamp, data: D) -> Self {
        Self {
            specversion: "1.0",
            source,
            kind,
            subject,
            time: at.to_string(),
            datacontenttype: "application/json",
            data,
        }
    }

    /// As [`Told::json`] has it.
    pub(super) fn json(&self) -> Fallible<String> {
        let whole = serde_json::to_string(self)?;
        Ok(whole.strip_prefix('{').unwrap_or(&whole).to_owned())
    }
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
    let data = Data {
        owner,
        revision,
        state,
        cancel_requested,
        progress,
    };
    Ok(Told {
        job: Some(job.clone()),
        json: EventOut::new(SOURCE, name, job.as_str(), at, data).json()?,
    })
}

/// The JSON of [`told`] for a job that begins to run, as the parts before its job, before its time, before its
/// owner, before its revision and after that.
pub(super) fn begun_pattern() -> [String; 5] {
    [
        format!(r#""specversion":"1.0","source":"{SOURCE}","type":"{STATE}","subject":""#),
        r#"","time":""#.to_owned(),
        r#"","datacontenttype":"application/json","data":{"owner":""#.to_owned(),
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

/// What an entry of the stream tells this store.
#[derive(Debug, PartialEq)]
pub(super) enum Heard {
    Job(Event),
    /// A data set has changed.
    Dataset,
    /// What only others want to know.
    Other,
}

impl Heard {
    pub(super) fn into_job(self) -> Option<Event> {
        match self {
            Self::Job(event) => Some(event),
            Self::Dataset | Self::Other => None,
        }
    }
}

#[derive(Deserialize)]
struct Typed<'a> {
    #[serde(rename = "type")]
    kind: &'a str,
}

/// Reads an event back, whatever it is of.
pub(super) fn read(json: &[u8]) -> Fallible<Heard> {
    let Typed { kind } = serde_json::from_slice(json)?;
    match kind {
        STATE | PROGRESS => read_job(json).map(Heard::Job),
        kind if kind.starts_with(news::DATASET) => Ok(Heard::Dataset),
        _ => Ok(Heard::Other),
    }
}

fn read_job(json: &[u8]) -> Fallible<Event> {
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
        let [first, second, third, fourth, last] = begun_pattern();
        assert_eq!(
            told.json,
            format!("{first}{job}{second}{at}{third}{owner}{fourth}7{last}")
        );
        let event = read(format!(r#"{{"id":"12",{}"#, told.json).as_bytes()).unwrap();
        let expected = Event {
            id: EventId(12),
            at,
            job,
            owner,
            revision: 7,
            kind: begun,
        };
        assert_eq!(event, Heard::Job(expected));
    }
}
