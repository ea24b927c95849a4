//! What is particular to the embedded store: its folder, its lock, its format, and the end of its process.

use std::fs;
use std::path::Path;

use assay_core::{Code, CommitMode, EventId, Events as _, JobSpec, Jobs as _, Lease, State, Timestamp};
use rusqlite::Connection;

use crate::support::{
    Bounds, EmbeddedHarness, Scene, clock, commit, committed, failed, new_job, open, open_at, refused, succeeded,
    worker,
};

#[tokio::test]
async fn a_folder_belongs_to_one_store_at_a_time() {
    let harness = EmbeddedHarness::new();
    let folder = harness.folder().join("data");
    let store = open(&folder);
    let error = open_at(&folder, clock(), Bounds::default()).unwrap_err();
    assert_eq!(error.code, Code::StoreLocked);
    assert_eq!(error.message, format!("the store `{}` is in use", folder.display()));
    let clone = store.clone();
    store.close().await;
    open(&folder).close().await;
    let answer = clone.submit(new_job(Timestamp(1)), None).await;
    assert_eq!(refused(answer), Code::StoreFailed);
}

#[tokio::test]
async fn closing_waits_for_what_was_asked_before() {
    let harness = EmbeddedHarness::new();
    let store = open(harness.folder());
    let mut asked = Vec::new();
    for _ in 0..100 {
        let store = store.clone();
        asked.push(tokio::spawn(
            async move { store.submit(new_job(Timestamp(1)), None).await },
        ));
    }
    tokio::task::yield_now().await;
    store.close().await;
    let mut taken = 0;
    for task in asked {
        taken += usize::from(task.await.unwrap().is_ok());
    }
    assert!(
        !harness.folder().join("assay.db-wal").exists(),
        "the log is folded into the file"
    );
    let store = open(harness.folder());
    assert_eq!(store.claim(&worker(), 1_000, None).await.unwrap().len(), taken);
}

#[tokio::test]
async fn acknowledged_work_is_found_after_the_process_was_killed() {
    let harness = EmbeddedHarness::new();
    let (alive, dead) = (harness.folder().join("alive"), harness.folder().join("dead"));
    let store = open(&alive);
    let loading = store.submit(new_job(Timestamp(1)), None).await.unwrap().job.id;
    let (lease, _) = store.claim(&worker(), 1, None).await.unwrap().remove(0);
    let outcome = committed(commit(CommitMode::Replace, "genes", "a"));
    store.finish(&lease, outcome).await.unwrap();
    let running = store.submit(new_job(Timestamp(2)), None).await.unwrap().job.id;
    store.claim(&worker(), 1, None).await.unwrap();
    let queued = store.submit(new_job(Timestamp(3)), None).await.unwrap().job.id;

    // What a kill leaves behind are the files as they are, without anything that closing would do.
    fs::create_dir(&dead).unwrap();
    for file in ["assay.db", "assay.db-wal"] {
        fs::copy(alive.join(file), dead.join(file)).unwrap();
    }
    let store = open(&dead);
    for (id, state) in [
        (&loading, State::Succeeded),
        (&running, State::Queued),
        (&queued, State::Queued),
    ] {
        assert_eq!(store.get(id).await.unwrap().0.state, state);
    }
    let snapshot = assay_core::Catalog::snapshot(&store, &"genes".parse().unwrap(), None)
        .await
        .unwrap();
    assert_eq!(snapshot.written_by, Some(loading));
    let again = store.claim(&worker(), 2, None).await.unwrap();
    assert!(again.iter().all(|(new, _)| new.fence > lease.fence));
}

#[test]
fn a_store_of_a_newer_format_is_refused() {
    let harness = EmbeddedHarness::new();
    drop(open(harness.folder()));
    let connection = Connection::open(harness.folder().join("assay.db")).unwrap();
    connection.pragma_update(None, "user_version", 99).unwrap();
    drop(connection);
    let error = open_at(harness.folder(), clock(), Bounds::default()).unwrap_err();
    assert_eq!(error.code, Code::StoreFailed);
    assert_eq!(
        error.message,
        "the store has format 99, this program knows formats up to 6"
    );
}

#[test]
fn a_file_that_is_no_database_is_refused() {
    let harness = EmbeddedHarness::new();
    fs::write(harness.folder().join("assay.db"), "x".repeat(5_000)).unwrap();
    let error = open_at(harness.folder(), clock(), Bounds::default()).unwrap_err();
    assert_eq!(error.code, Code::StoreFailed);
}

#[cfg(unix)]
#[tokio::test]
async fn files_are_for_the_owner_alone() {
    use std::os::unix::fs::PermissionsExt as _;
    let harness = EmbeddedHarness::new();
    let folder = harness.folder().join("data");
    let store = open(&folder);
    store.submit(new_job(Timestamp(1)), None).await.unwrap();
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!((mode(&folder), mode(&folder.join("objects"))), (0o700, 0o700));
    for file in ["lock", "assay.db", "assay.db-wal", "assay.db-shm"] {
        assert_eq!(mode(&folder.join(file)), 0o600, "{file}");
    }
}

/// Makes every write of jobs of one analysis fail inside the database, as a fault of ours or of the disk would.
fn break_jobs_of(folder: &Path, analysis: &str) {
    let connection = Connection::open(folder.join("assay.db")).unwrap();
    let trigger = format!(
        "CREATE TRIGGER broken AFTER UPDATE ON job WHEN NEW.analysis = '{analysis}'
         BEGIN SELECT raise(ABORT, 'broken on purpose'); END"
    );
    connection.execute_batch(&trigger).unwrap();
}

#[tokio::test]
async fn an_operation_that_the_database_fails_leaves_nothing_behind() {
    let harness = EmbeddedHarness::new();
    drop(open(harness.folder()));
    break_jobs_of(harness.folder(), "broken");
    let store = open(harness.folder());
    let sound = store.submit(new_job(Timestamp(1)), None).await.unwrap().job.id;
    let mut new = new_job(Timestamp(2));
    new.spec.analysis = "broken".to_owned();
    let broken = store.submit(new, None).await.unwrap().job;
    // Both are claimed in one operation: the second fails it, so the first is not claimed either.
    let newest = store.newest().await.unwrap();
    assert_eq!(refused(store.claim(&worker(), 2, None).await), Code::StoreFailed);
    assert_eq!(store.newest().await.unwrap(), newest);
    let (job, attempts) = store.get(&sound).await.unwrap();
    assert_eq!((job.state, attempts.len()), (State::Queued, 0));
    assert_eq!(store.get(&broken.id).await.unwrap().0, broken);
    let (lease, _) = store.claim(&worker(), 1, None).await.unwrap().remove(0);
    assert_eq!(lease.job, sound);
    assert_eq!(store.finish(&lease, succeeded()).await.unwrap().state, State::Succeeded);
}

/// Tries an end that the database fails when the job has ended in memory, and undoes.
async fn fail_to_finish(scene: &Scene, folder: &Path, lease: &Lease) {
    break_jobs_of(folder, "broken");
    let answer = scene.jobs().finish(lease, failed(Code::UnknownColumn)).await;
    assert_eq!(refused(answer), Code::StoreFailed);
    let connection = Connection::open(folder.join("assay.db")).unwrap();
    connection.execute_batch("DROP TRIGGER broken").unwrap();
    scene.is_sound().await;
}

#[tokio::test]
async fn an_undone_end_does_not_give_an_heir_more_time() {
    let harness = EmbeddedHarness::new();
    let scene = Scene::new(harness.clone());
    let limited = |timeout_ms| move |spec: &mut JobSpec| spec.limits.timeout_ms = timeout_ms;
    let leader = scene.submit_sharing_as("k", None, limited(1_000)).await;
    let first_heir = scene.submit_sharing_as("k", None, limited(50_000)).await;
    let heir = scene.submit_sharing_as("k", None, limited(60_000)).await;
    let follower = |spec: &mut JobSpec| spec.analysis = "broken".to_owned();
    scene.submit_sharing_as("k", None, follower).await;
    let lease = scene.claim_one().await;
    scene.jobs().cancel(&leader.id).await.unwrap();
    scene.advance(1);
    scene.jobs().cancel(&first_heir.id).await.unwrap();
    fail_to_finish(&scene, harness.folder(), &lease).await;
    scene.advance(1_000 + 15_000 - 2);
    assert_eq!(scene.jobs().reap().await.unwrap().stopped, 0);
    scene.advance(1);
    assert_eq!(scene.jobs().reap().await.unwrap().stopped, 1);
    let job = scene.get(&heir.id).await;
    assert_eq!((job.state, job.attempt), (State::Queued, 0));
    scene.is_sound().await;
}

#[tokio::test]
async fn an_undone_end_does_not_put_off_a_cancel() {
    let harness = EmbeddedHarness::new();
    let scene = Scene::new(harness.clone());
    let lease = scene.running().await;
    let parent = lease.job.clone();
    let child = |spec: &mut JobSpec| (spec.analysis, spec.depends_on) = ("broken".to_owned(), vec![parent]);
    scene.submit_as(child).await;
    scene.jobs().cancel(&lease.job).await.unwrap();
    scene.advance(1_000);
    fail_to_finish(&scene, harness.folder(), &lease).await;
    scene.advance(15_000 - 1_000 - 1);
    assert_eq!(scene.jobs().reap().await.unwrap().stopped, 0);
    scene.advance(1);
    assert_eq!(scene.jobs().reap().await.unwrap().stopped, 1);
    assert_eq!(scene.state(&lease.job).await, State::Canceled);
    scene.is_sound().await;
}

#[tokio::test]
async fn old_events_are_removed_and_the_newest_kept() {
    let harness = EmbeddedHarness::new();
    drop(open(harness.folder()));
    let connection = Connection::open(harness.folder().join("assay.db")).unwrap();
    connection
        .execute_batch(
            "WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 200300)
             INSERT INTO event (job, at, revision, state, cancel_requested)
             SELECT 'job_00000000000000000000000000', 0, 1, 'queued', 0 FROM n",
        )
        .unwrap();
    drop(connection);
    let store = open(harness.folder());
    assert_eq!(store.oldest().await.unwrap(), EventId(1));
    store.submit(new_job(Timestamp(1)), None).await.unwrap();
    assert_eq!(store.oldest().await.unwrap(), EventId(302));
    assert_eq!(store.newest().await.unwrap(), EventId(200_301));
}

#[tokio::test]
async fn work_goes_on_after_a_caller_went_away() {
    let scene = Scene::new(EmbeddedHarness::new());
    let id = scene.submit().await;
    let lease = scene.claim_one().await;
    let jobs = scene.ports().jobs.clone();
    let finishing = tokio::spawn(async move { jobs.finish(&lease, succeeded()).await });
    finishing.abort();
    let _ = finishing.await;
    // The writer has either done it or never seen it; both are whole.
    let state = scene.state(&id).await;
    assert!(matches!(state, State::Running | State::Succeeded), "{state}");
}
