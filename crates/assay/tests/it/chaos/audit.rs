//! What has become of the jobs: over HTTP once everything has ended, and in the store after the last kill.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;

use assay_core::{AttemptOutcome, Jobs, ResultData, State, SystemClock, Upkeep as _};
use assay_store::{EmbeddedStore, StoreSettings};
use futures::{StreamExt as _, stream};
use serde_json::{Value, json};

use super::asked::{Kind, LARGE_ROWS};
use super::client::{Acknowledged, exchange, get, submission};

/// Requests at the same time.
const TOGETHER: usize = 4;

/// Jobs as they ended, by id.
pub type Ended = BTreeMap<String, Value>;

/// Waits for every job, and checks each, the list of all, the event log and the queue. So many attempts at least must
/// have been lost. `others` are jobs that are looked at elsewhere.
pub async fn of_server(url: &str, acknowledged: &[Acknowledged], least_lost: usize, others: &[String]) -> Ended {
    let http = reqwest::Client::new();
    let jobs: Ended = stream::iter(acknowledged)
        .map(|job| async { (job.id.clone(), ended(&http, url, job).await) })
        .buffer_unordered(TOGETHER)
        .collect()
        .await;
    assert_eq!(
        jobs.len(),
        acknowledged.len(),
        "two requests were answered with one job"
    );
    for job in acknowledged {
        check_job(job, &jobs[&job.id], &jobs);
    }
    let lost = jobs.values().map(lost_attempts).sum::<usize>();
    assert!(
        lost >= least_lost,
        "the kills met only {lost} running jobs: they prove little"
    );
    check_unique_keys(acknowledged, &jobs);
    check_list(&http, url, jobs.keys().chain(others).cloned().collect()).await;
    check_events(&http, url, &jobs).await;
    stream::iter(acknowledged)
        .for_each_concurrent(TOGETHER, |job| check_replay(&http, url, job))
        .await;
    let check = http.post(format!("{url}/v1/queue/check"));
    let (_, checkup) = exchange(check).await.unwrap();
    assert_eq!(checkup, json!({"sound": true, "findings": []}));
    jobs
}

/// The job at its end, by long polls.
async fn ended(http: &reqwest::Client, url: &str, job: &Acknowledged) -> Value {
    let path = format!("/v1/jobs/{}", job.id);
    loop {
        let poll = get(http, url, &path, job.user).header("prefer", "wait=30");
        let (status, found) = exchange(poll).await.unwrap();
        assert_eq!(status, 200, "{job:?}: {found:#}");
        if found["finished_at"].is_string() {
            if job.kind == Kind::Large {
                check_large(http, url, job).await;
            }
            return found;
        }
    }
}

async fn check_large(http: &reqwest::Client, url: &str, job: &Acknowledged) {
    let path = format!("/v1/jobs/{}/result?limit=1", job.id);
    let (_, page) = exchange(get(http, url, &path, job.user)).await.unwrap();
    assert_eq!(
        (&page["rows"], &page["row_count"]),
        (&json!([{"n": job.number}]), &json!(LARGE_ROWS)),
        "{page:#}"
    );
}

/// It has ended as it should, its attempts tell how, and it has its own answer.
fn check_job(asked: &Acknowledged, job: &Value, jobs: &Ended) {
    let state = job["state"].as_str().unwrap();
    let is_right = match asked.cancel {
        Some(200) => state == "canceled",
        // Asked to stop while it ran: it may have been faster.
        Some(202) => ["canceled", asked.kind.end()].contains(&state),
        _ => state == asked.kind.end(),
    };
    assert!(is_right, "{asked:?}: {job:#}");
    if let Some(seen) = &asked.seen {
        assert_eq!(seen, job, "a job has changed after its end");
    }
    check_attempts(job);
    let rows = &job["result"]["rows"];
    match asked.kind {
        Kind::Number => assert_eq!(rows, &json!([{"n": asked.number}])),
        Kind::Describe => assert_eq!(job["result"]["row_count"], 8, "{job:#}"),
        Kind::Failing => assert_eq!(job["result"], Value::Null),
        Kind::FromAnswer => {
            let earlier = jobs[job["input_job"].as_str().unwrap()]["result"]["rows"][0]["n"].as_u64();
            assert_eq!(rows, &json!([{"n": earlier.unwrap() + 1}]));
        }
        Kind::After => {
            let earlier = &jobs[job["depends_on"][0].as_str().unwrap()];
            assert!(time(earlier, "finished_at") <= time(job, "started_at"), "{job:#}");
        }
        _ => {}
    }
}

/// Times of one length and zone: their texts are ordered as they are.
fn time<'a>(job: &'a Value, name: &str) -> &'a str {
    job[name].as_str().unwrap()
}

/// Every attempt but the last was lost in a kill, and the last ended as the job did.
fn check_attempts(job: &Value) {
    let attempts = job["attempts"].as_array().unwrap();
    for (place, attempt) in attempts.iter().enumerate() {
        assert_eq!(attempt["number"], json!(place + 1), "{job:#}");
        let is_last = place + 1 == attempts.len();
        let is_right = match (is_last, job["state"].as_str().unwrap()) {
            (false, _) => attempt["outcome"] == "lost",
            // It was lost and canceled afterwards, or the other way round.
            (true, "canceled") => attempt["outcome"] == "canceled" || attempt["outcome"] == "lost",
            (true, state) => attempt["outcome"] == state,
        };
        assert!(is_right, "{job:#}");
    }
    assert!(job["state"] == "canceled" || !attempts.is_empty(), "{job:#}");
}

fn lost_attempts(job: &Value) -> usize {
    let attempts = job["attempts"].as_array().unwrap();
    attempts.iter().filter(|attempt| attempt["outcome"] == "lost").count()
}

/// Jobs of one user with a unique key follow each other without overlap.
fn check_unique_keys(acknowledged: &[Acknowledged], jobs: &Ended) {
    let mut lives: BTreeMap<Option<&str>, Vec<(&str, &str)>> = BTreeMap::new();
    for asked in acknowledged.iter().filter(|asked| asked.kind == Kind::Unique) {
        let job = &jobs[&asked.id];
        let life = (time(job, "submitted_at"), time(job, "finished_at"));
        lives.entry(asked.user).or_default().push(life);
    }
    for lives in lives.values_mut() {
        lives.sort_unstable();
        for pair in lives.windows(2) {
            assert!(pair[0].1 <= pair[1].0, "two jobs had one unique key: {pair:?}");
        }
    }
}

/// There are exactly the jobs that were acknowledged, and none is unfinished.
async fn check_list(http: &reqwest::Client, url: &str, known: BTreeSet<String>) {
    let (_, stats) = exchange(get(http, url, "/v1/stats", None)).await.unwrap();
    for state in ["scheduled", "queued", "running"] {
        assert_eq!(stats["jobs"][state].as_u64().unwrap_or(0), 0, "{stats:#}");
    }
    let mut listed = BTreeSet::new();
    let mut next = Some("/v1/jobs?limit=1000".to_owned());
    while let Some(path) = next {
        let (_, page) = exchange(get(http, url, &path, None)).await.unwrap();
        for job in page["items"]
            .as_array()
            .unwrap()
            .iter()
            .filter(|job| job["analysis"] != "import")
        {
            assert!(
                listed.insert(job["id"].as_str().unwrap().to_owned()),
                "listed twice: {job:#}"
            );
        }
        next = page["next"].as_str().map(str::to_owned);
    }
    let unknown: Vec<_> = listed.symmetric_difference(&known).collect();
    assert!(unknown.is_empty(), "listed or acknowledged only: {unknown:?}");
}

/// The log has every move of every job, only legal ones, and one end.
async fn check_events(http: &reqwest::Client, url: &str, jobs: &Ended) {
    // The last event is the end of this job.
    let ping = http.post(format!("{url}/v1/jobs")).header("prefer", "wait=30");
    let (_, marker) = exchange(ping.json(&json!({"analysis": "ping"}))).await.unwrap();
    let mut moves: BTreeMap<String, Vec<Value>> = BTreeMap::new();
    let mut stream = get(http, url, "/v1/events?after=0", None).send().await.unwrap();
    let mut text = String::new();
    let marker_ends = |event: &Value| event["job"] == marker["id"] && event["state"] == "succeeded";
    let mut is_over = false;
    let mut newest = 0;
    while !is_over {
        let chunk = stream.chunk().await.unwrap().expect("the stream goes on");
        text.push_str(std::str::from_utf8(&chunk).unwrap());
        while let Some((block, rest)) = text.split_once("\n\n") {
            if let Some(data) = block.lines().find_map(|line| line.strip_prefix("data: ")) {
                let event: Value = serde_json::from_str(data).unwrap();
                let id = event["id"].as_u64().unwrap();
                assert!(id > newest, "event {id} came after {newest}");
                newest = id;
                is_over |= marker_ends(&event);
                if event["type"] == "job.state" {
                    let job = event["job"].as_str().unwrap().to_owned();
                    moves.entry(job).or_default().push(event);
                }
            }
            text = rest.to_owned();
        }
    }
    for (id, job) in jobs {
        check_moves(&moves[id], job);
    }
}

fn check_moves(events: &[Value], job: &Value) {
    let states: Vec<State> = events
        .iter()
        .map(|event| event["state"].as_str().unwrap().parse().unwrap())
        .collect();
    assert!([State::Queued, State::Scheduled].contains(&states[0]), "{states:?}");
    for (pair, event) in states.windows(2).zip(&events[1..]) {
        let is_asked_to_stop = pair == [State::Running, State::Running] && event["cancel_requested"] == true;
        assert!(is_asked_to_stop || pair[0].may_become(pair[1]), "{states:?}: {job:#}");
    }
    let revisions: Vec<u64> = events.iter().map(|event| event["revision"].as_u64().unwrap()).collect();
    assert!(revisions.is_sorted_by(|a, b| a < b), "{revisions:?}");
    let ends = states.iter().filter(|state| state.is_terminal()).count();
    assert_eq!(
        (ends, states.last().unwrap().as_str()),
        (1, job["state"].as_str().unwrap())
    );
    let begun = events
        .iter()
        .filter(|event| event["state"] == "running" && event["cancel_requested"] == false)
        .count();
    assert_eq!(begun, job["attempts"].as_array().unwrap().len(), "{states:?}: {job:#}");
}

/// The same request with the same key is answered with the same job.
async fn check_replay(http: &reqwest::Client, url: &str, job: &Acknowledged) {
    let response = submission(http, url, job).send().await.unwrap();
    let replayed = response.headers().get("idempotency-replayed").cloned();
    let answer: Value = serde_json::from_str(&response.text().await.unwrap()).unwrap();
    assert_eq!(answer["id"], job.id, "{job:?}: {answer:#}");
    assert_eq!(replayed.unwrap(), "true");
}

/// Fences only grow, an answer is that of the attempt that succeeded, and nothing else was left.
pub async fn of_store(folder: &Path, acknowledged: &[Acknowledged]) {
    let store = EmbeddedStore::open(folder, Arc::new(SystemClock), StoreSettings::default()).unwrap();
    of_fences(&store, acknowledged).await;
    let large = acknowledged.iter().filter(|job| job.kind == Kind::Large).count();
    let referenced = store.referenced_objects().await.unwrap();
    // The penguins are the one other object.
    assert_eq!(referenced.len(), large + 1);
    assert_eq!(store.clear_leftovers().await.unwrap(), 0, "objects were left behind");
    store.close().await;
}

/// Fences only grow, and an answer is that of the attempt that succeeded.
pub async fn of_fences(store: &dyn Jobs, acknowledged: &[Acknowledged]) {
    let mut fences = BTreeSet::new();
    for asked in acknowledged {
        let (job, attempts) = store.get(&asked.id.parse().unwrap()).await.unwrap();
        assert!(attempts.is_sorted_by(|a, b| a.fence < b.fence), "{attempts:?}");
        assert!(
            attempts.iter().all(|attempt| fences.insert(attempt.fence)),
            "a fence was given twice"
        );
        if let Some(ResultData::Object { path, .. }) = job.result.map(|result| result.data) {
            let last = attempts.last().unwrap();
            assert_eq!(last.outcome, Some(AttemptOutcome::Succeeded));
            let scratch = format!("results/{}/{}/", asked.id, last.fence);
            assert!(path.starts_with(&scratch), "{path} was not written by {last:?}");
        }
    }
}
