//! Prints how far the shares of three users of weights 1, 1 and 3 are from what they should be over 2,000 claims, in
//! percent. It is a measurement, not a test: nothing is checked.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use assay_core::{
    Code, Error, JobId, JobSpec, Jobs, NewJob, Outcome, Queue, ResultData, ResultSet, ShareLimits, StoredResult,
    SystemClock, Timestamp, Usage, UserName, WorkerId,
};
use assay_store::{EmbeddedStore, StoreSettings};
use futures::future::try_join_all;

const CLAIMS: usize = 2_000;
/// Jobs that a worker claims at a time.
const AT_A_TIME: usize = 2;
const WEIGHTS: [(&str, u32); 3] = [("anna", 1), ("bob", 1), ("carla", 3)];
/// Each user has this many jobs for each unit of weight: more than are claimed, so that nobody runs dry.
const JOBS: usize = 1_000;

#[tokio::main]
async fn main() -> Result<(), Error> {
    let folder = std::env::temp_dir().join(format!("assay-fairness-{}", std::process::id()));
    // Every job takes as long as any other; then one user's jobs take ten times as long; then all differ.
    measure(&folder, "equal jobs", |_, _| 5).await?;
    measure(
        &folder,
        "long jobs of one",
        |user, _| if user == "anna" { 50 } else { 5 },
    )
    .await?;
    measure(&folder, "unequal jobs", |_, number| 1 + number * 7_919 % 40).await?;
    Ok(())
}

async fn measure(folder: &Path, name: &str, cpu_ms: impl Fn(&str, u64) -> u64) -> Result<(), Error> {
    let store = EmbeddedStore::open(folder, Arc::new(SystemClock), StoreSettings::default())?;
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
    let worker = WorkerId("bench".to_owned());
    let mut claims: BTreeMap<String, u64> = BTreeMap::new();
    let mut work: BTreeMap<String, u64> = BTreeMap::new();
    let mut number = 0;
    while number < CLAIMS as u64 {
        for (lease, job) in store.claim(&worker, AT_A_TIME).await? {
            number += 1;
            let owner = job.spec.owner.to_string();
            let cpu_ms = cpu_ms(&owner, number);
            *claims.entry(owner.clone()).or_default() += 1;
            *work.entry(owner).or_default() += cpu_ms;
            store.finish(&lease, succeeded(cpu_ms)).await?;
        }
    }
    println!(
        "{name}: off by at most {:.2} % of the share by work; claims {claims:?}, work in ms {work:?}",
        worst_error(&work)
    );
    store.close().await;
    std::fs::remove_dir_all(folder).map_err(|cause| Error::new(Code::Internal, cause.to_string()))
}

/// The largest difference between what a user had and what is due to them, in percent of what is due.
#[expect(clippy::cast_precision_loss, reason = "a rate for display")]
fn worst_error(had: &BTreeMap<String, u64>) -> f64 {
    let total: u64 = had.values().sum();
    let weights: u32 = WEIGHTS.iter().map(|(_, weight)| weight).sum();
    let error = |(user, weight): &(&str, u32)| {
        let due = total as f64 * f64::from(*weight) / f64::from(weights);
        let had = had.get(*user).copied().unwrap_or_default() as f64;
        (had - due).abs() / due * 100.0
    };
    WEIGHTS.iter().map(error).fold(0.0, f64::max)
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
