//! Jobs and deliveries for the tests of this folder.

use assay_core::{
    Code, Column, Delivery, DeliveryId, DeliveryState, Destination, Error, EventId, HookFormat, Job, JobId, JobSpec,
    Kind, Notice, PinnedInput, Progress, ResultData, ResultSet, State, StoredResult, Target, Timestamp, Usage,
    UserName, Version,
};

const NOON: Timestamp = Timestamp(1_740_571_200_000);

fn job(state: State) -> Job {
    Job {
        id: JobId::generate(NOON),
        spec: JobSpec {
            inputs: vec![PinnedInput {
                name: "penguins".parse().unwrap(),
                version: Version(1),
            }],
            tags: [("team".to_owned(), "blue".to_owned())].into(),
            ..JobSpec::new("describe", serde_json::json!({}))
        },
        state,
        cancel_requested: false,
        revision: 3,
        attempt: 1,
        progress: Progress::default(),
        submitted_at: NOON,
        run_at: None,
        started_at: Some(NOON.plus_millis(500)),
        finished_at: Some(NOON.plus_millis(2_000)),
        error: None,
        result: None,
        expires_at: None,
        shares: None,
        wrote: None,
        usage: Usage::default(),
    }
}

pub(super) fn succeeded_job() -> Job {
    job(State::Succeeded)
}

pub(super) fn failed_job() -> Job {
    let error = Error::new(Code::UnknownColumn, "column `<b>` does not exist").hint("there are `a`");
    Job {
        error: Some(error),
        ..job(State::Failed)
    }
}

pub(super) fn charted_job(columns: &[(&str, Kind)], rows: &str) -> Job {
    let columns = columns.iter().map(|(name, kind)| Column {
        name: (*name).to_owned(),
        kind: kind.clone(),
    });
    let result = StoredResult {
        set: ResultSet {
            columns: columns.collect(),
            rows: 2,
            ..ResultSet::default()
        },
        rows_json: Some(rows.to_owned()),
        data: ResultData::Inline(Vec::new()),
    };
    Job {
        result: Some(result),
        ..job(State::Succeeded)
    }
}

fn of(notice: Notice) -> Delivery {
    Delivery {
        id: DeliveryId(3),
        notice,
        owner: UserName::local(),
        destination: Destination::Target(Target::Webhook {
            url: "https://example.org/".to_owned(),
            format: HookFormat::Standard,
            secret: None,
        }),
        state: DeliveryState::Waiting,
        next_at: Some(NOON),
        tries: 0,
        created_at: NOON,
        log: Vec::new(),
    }
}

pub(super) fn delivery(job: &Job) -> Delivery {
    of(Notice::Ended {
        event: EventId(7),
        job: job.id.clone(),
    })
}

pub(super) fn ping() -> Delivery {
    of(Notice::Ping)
}
