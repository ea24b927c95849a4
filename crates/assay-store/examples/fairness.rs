//! Prints how far three users of weights 1, 1 and 3 are from what is due to them over 2,000 claims. It is a
//! measurement, not a test: nothing is checked.
//!
//! A share is a part of all work, and the error of a share is how much of all work a user had too much or too little.
//! Beside it stands the same difference as a part of what was due to that user. That one can never be sure to be below
//! one job of the user: a claim is not divisible, and who is due half a job has a whole one or none.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};
use std::sync::Arc;

use assay_core::{
    Code, Error, JobId, JobSpec, Jobs, Lease, NewJob, Outcome, Queue, ResultData, ResultSet, ShareLimits, StoredResult,
    SystemClock, Timestamp, Usage, UserName, WorkerId,
};
use assay_store::{EmbeddedStore, StoreSettings};
use futures::future::try_join_all;

const CLAIMS: u64 = 2_000;
const WEIGHTS: [(&str, u32); 3] = [("anna", 1), ("bob", 1), ("carla", 3)];
/// Each user has this many jobs for each unit of weight: more than are claimed, so that nobody runs dry.
const JOBS: usize = 1_000;

/// How long the job of a user takes that is claimed as the so-and-so-manieth of all.
type Length = fn(user: &str, number: u64) -> u64;

const SCENARIOS: [(&str, Length); 3] = [
    ("equal jobs", |_, _| 5),
    ("long jobs of one", |user, _| if user == "anna" { 50 } else { 5 }),
    ("unequal jobs", |_, number| 1 + number * 7_919 % 40),
];

#[tokio::main]
async fn main() -> Result<(), Error> {
    let folder = std::env::temp_dir().join(format!("assay-fairness-{}", std::process::id()));
    for slots in [1, 2, 16] {
        for (name, length) in SCENARIOS {
            let store = EmbeddedStore::open(&folder, Arc::new(SystemClock), StoreSettings::default())?;
            fill(&store).await?;
            let had = work(&store, slots, length).await?;
            show(&format!("{name}, {slots} at a time"), &had);
            store.close().await;
            std::fs::remove_dir_all(&folder).map_err(|cause| Error::new(Code::Internal, cause.to_string()))?;
        }
    }
    Ok(())
}

async fn fill(store: &EmbeddedStore) -> Result<(), Error> {
    for (user, weight) in WEIGHTS {
        let user: UserName = user.parse()?;
        let limits = ShareLimits {
            weight,
            max_running: 1_000,
            max_waiting: 100_000,
        };
        store.set_limits(&user, Some(limits)).await?;
        let jobs = 0..JOBS * weight as usize;
        try_join_all(jobs.map(|_| store.submit(job_of(&user), None))).await?;
    }
    Ok(())
}

#[derive(Debug, Default, Clone, Copy)]
struct Had {
    claims: u64,
    work_ms: u64,
    longest_ms: u64,
}

/// Runs jobs in so many slots, each taken again as soon as its job has ended, until enough were claimed.
async fn work(store: &EmbeddedStore, slots: usize, length: Length) -> Result<BTreeMap<String, Had>, Error> {
    let worker = WorkerId("bench".to_owned());
    let mut had: BTreeMap<String, Had> = BTreeMap::new();
    // What runs: when it ends, in the order of its claim.
    let mut ends = BinaryHeap::new();
    let mut running: BTreeMap<u64, (Lease, u64)> = BTreeMap::new();
    let (mut now_ms, mut number) = (0, 0);
    while number < CLAIMS || !running.is_empty() {
        let free = if number < CLAIMS { slots - running.len() } else { 0 };
        for (lease, job) in store.claim(&worker, free, None).await? {
            let owner = job.spec.owner.to_string();
            let work_ms = length(&owner, number);
            let had = had.entry(owner).or_default();
            had.claims += 1;
            had.work_ms += work_ms;
            had.longest_ms = had.longest_ms.max(work_ms);
            ends.push(Reverse((now_ms + work_ms, number)));
            running.insert(number, (lease, work_ms));
            number += 1;
        }
        let Some(Reverse((ended_ms, first))) = ends.pop() else {
            break;
        };
        now_ms = ended_ms;
        if let Some((lease, work_ms)) = running.remove(&first) {
            store.finish(&lease, succeeded(work_ms)).await?;
        }
    }
    Ok(had)
}

#[expect(clippy::cast_precision_loss, reason = "rates for display")]
fn show(name: &str, had: &BTreeMap<String, Had>) {
    let total: u64 = had.values().map(|had| had.work_ms).sum();
    let weights: u32 = WEIGHTS.iter().map(|(_, weight)| weight).sum();
    let (mut of_all, mut of_own) = (0.0_f64, 0.0_f64);
    let mut users = Vec::new();
    for (user, weight) in WEIGHTS {
        let had = had.get(user).copied().unwrap_or_default();
        let due_ms = total as f64 * f64::from(weight) / f64::from(weights);
        let off_ms = had.work_ms as f64 - due_ms;
        of_all = of_all.max(off_ms.abs() / total as f64 * 100.0);
        of_own = of_own.max(off_ms.abs() / due_ms * 100.0);
        let Had {
            claims,
            work_ms,
            longest_ms,
        } = had;
        users.push(format!(
            "{user} {claims} jobs, {work_ms} ms ({off_ms:+.0}, longest {longest_ms})"
        ));
    }
    println!("{name}: shares off by {of_all:.2} % of all work, {of_own:.2} % of what was due to one user");
    println!("  {}", users.join("; "));
}

fn job_of(owner: &UserName) -> NewJob {
    let mut spec = JobSpec::new("ping", serde_json::json!({}));
    spec.owner = owner.clone();
    NewJob {
        id: JobId::generate(Timestamp(0)),
        spec,
        sharing: None,
    }
}

fn succeeded(cpu_ms: u64) -> Outcome {
    Outcome::Succeeded {
        result: StoredResult {
            set: ResultSet::default(),
            rows_json: None,
            data: ResultData::Inline(Vec::new()),
        },
        commit: None,
        usage: Usage {
            run_ms: cpu_ms,
            cpu_ms,
            ..Usage::default()
        },
    }
}
