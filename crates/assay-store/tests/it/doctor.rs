//! Damage done to the rows behind the back of the store is found, named by its invariant, and repaired.

use assay_core::{Finding, JobId, Queue as _};
use rusqlite::Connection;

use crate::support::{EmbeddedHarness, Scene, open, succeeded};

/// A store with a job of each kind, damaged by one statement while nobody looks. `{done}`, `{running}` and `{waiting}`
/// stand for the ids of the jobs.
async fn damaged(sql: &str) -> (EmbeddedHarness, Vec<Finding>, Vec<Finding>) {
    let harness = EmbeddedHarness::new();
    let scene = Scene::new(harness.clone());
    let done = scene.running().await;
    scene.jobs().finish(&done, succeeded()).await.unwrap();
    let waiting = scene.submit_as(|spec| spec.unique_key = Some("k".to_owned())).await;
    scene.queue().pause(Some("describe"), "").await.unwrap();
    let running = scene.submit_as(|spec| spec.analysis = "sql".to_owned()).await;
    scene.claim_one().await;
    scene.is_sound().await;
    let named = [("{done}", &done.job), ("{running}", &running), ("{waiting}", &waiting)];
    let sql = named.iter().fold(sql.to_owned(), |sql, (name, id): &(&str, &JobId)| {
        sql.replace(name, id.as_str())
    });
    let connection = Connection::open(harness.folder().join("assay.db")).unwrap();
    connection.execute_batch(&sql).unwrap();
    let found = scene.queue().check(true).await.unwrap();
    let left = scene.queue().check(false).await.unwrap();
    (harness, found, left)
}

#[tokio::test]
async fn each_kind_of_damage_is_found_and_repaired() {
    let cases = [
        ("I1", "UPDATE job SET state = 'queued' WHERE id = '{running}'"),
        (
            "I1",
            "UPDATE job SET state = 'scheduled', run_at = 5 WHERE id = '{waiting}'",
        ),
        (
            "I1",
            "INSERT INTO dependency (parent, child) VALUES ('{done}', '{waiting}')",
        ),
        (
            "I5",
            "INSERT INTO attempt SELECT 'job_gone', fence, number, worker, started_at, ended_at, outcome, error, usage
                FROM attempt WHERE job = '{done}'",
        ),
        ("I5", "UPDATE result SET job = 99"),
        ("I6", "UPDATE attempt SET ended_at = NULL WHERE job = '{done}'"),
        ("I6", "UPDATE attempt SET ended_at = 1 WHERE job = '{running}'"),
        ("I6", "UPDATE job SET finished_at = NULL WHERE id = '{done}'"),
        (
            "I7",
            "INSERT INTO idempotency (key, fingerprint, job, at) VALUES ('k', 'f', 'job_gone', 1)",
        ),
        (
            "I8",
            "UPDATE event SET state = 'running' WHERE job = '{done}' AND state = 'succeeded'",
        ),
        ("I9", "DELETE FROM unique_key"),
        ("I9", "UPDATE unique_key SET job = '{done}'"),
        ("I11", "UPDATE job SET cancel_requested = 1 WHERE id = '{waiting}'"),
        (
            "I13",
            "INSERT INTO job_tag (name, value, job) VALUES ('a', 'b', 'job_gone')",
        ),
        (
            "I13",
            "INSERT INTO job_dataset (dataset, job) VALUES ('genes', 'job_gone')",
        ),
        ("I13", "INSERT INTO job_spec (job, spec) VALUES (99, '{}')"),
    ];
    for (invariant, sql) in cases {
        let (_harness, found, left) = damaged(sql).await;
        assert!(
            found.iter().any(|finding| finding.invariant == invariant),
            "{sql}: {found:#?}"
        );
        assert!(found.iter().all(|finding| finding.fixed), "{sql}: {found:#?}");
        assert_eq!(left, [], "{sql}");
    }
}

#[tokio::test]
async fn what_only_a_person_can_judge_is_told_and_left_alone() {
    let twice = "INSERT INTO attempt SELECT job, fence + 1, number, worker, started_at, ended_at, outcome, error, usage
                 FROM attempt WHERE job = '{done}'";
    let (_harness, found, left) = damaged(twice).await;
    assert!(
        found.iter().any(|finding| finding.invariant == "I6" && !finding.fixed),
        "{found:#?}"
    );
    assert_eq!(found, left);
}

#[tokio::test]
async fn a_sound_store_has_no_findings() {
    let harness = EmbeddedHarness::new();
    assert_eq!(open(harness.folder()).check(true).await.unwrap(), []);
}
