//! Stores of older formats are read as what they were.

use std::fs;
use std::path::Path;

use assay_core::{
    Catalog as _, Code, JobFilter, JobId, Jobs as _, PageRequest, Queue as _, Records as _, State, UserName, Version,
};
use rusqlite::Connection;

use crate::support::{EmbeddedHarness, open, succeeded, worker};

/// A store as the program of that format left it.
fn write(folder: &Path, format: u32, migrations: &[&str], sample: &str) {
    fs::create_dir_all(folder).unwrap();
    let connection = Connection::open(folder.join("assay.db")).unwrap();
    for migration in migrations {
        connection.execute_batch(migration).unwrap();
    }
    connection.execute_batch(sample).unwrap();
    connection.pragma_update(None, "user_version", format).unwrap();
}

#[tokio::test]
async fn a_store_of_format_1_goes_on() {
    let harness = EmbeddedHarness::new();
    let migrations = [include_str!("../../migrations/0001.sql")];
    write(harness.folder(), 1, &migrations, include_str!("../compat/0001.sql"));
    let store = open(harness.folder());
    let id = |end: &str| format!("job_01jd8q2x5m7k9n3p4r6s8t0v2{end}").parse().unwrap();

    let (loaded, attempts) = store.get(&id("1")).await.unwrap();
    assert_eq!((loaded.state, attempts.len()), (State::Succeeded, 1));
    assert_eq!(
        (loaded.spec.owner, loaded.spec.tags["team"].as_str()),
        (UserName::local(), "blue")
    );
    assert_eq!(loaded.result.unwrap().rows_json.as_deref(), Some("[{\"rows\":7}]"));
    assert_eq!(loaded.expires_at.unwrap().0, 1_732_000_001_000 + 7 * 24 * 3_600_000);
    let failed = store.get(&id("2")).await.unwrap().0;
    assert_eq!(failed.error.unwrap().code, Code::UnknownColumn);
    let tagged = assay_core::JobFilter {
        tag: Some(("team".to_owned(), "blue".to_owned())),
        ..assay_core::JobFilter::default()
    };
    assert_eq!(
        assay_core::Jobs::list(&store, tagged, Default::default())
            .await
            .unwrap()
            .items
            .len(),
        1
    );
    let snapshot = store.snapshot(&"genes".parse().unwrap(), None).await.unwrap();
    assert_eq!((snapshot.rows, snapshot.parts.len()), (7, 1));

    let (lease, job) = store.claim(&worker(), 1, None).await.unwrap().remove(0);
    assert_eq!((job.id, lease.fence.0 >> 32), (id("3"), 5));
    assert_eq!(store.check(false).await.unwrap(), []);
}

#[tokio::test]
async fn a_store_of_format_2_goes_on() {
    let harness = EmbeddedHarness::new();
    let migrations = [
        include_str!("../../migrations/0001.sql"),
        include_str!("../../migrations/0002.sql"),
    ];
    write(harness.folder(), 2, &migrations, include_str!("../compat/0002.sql"));
    let store = open(harness.folder());
    let id = |end: &str| -> JobId { format!("job_01jd8q2x5m7k9n3p4r6s8t0v3{end}").parse().unwrap() };
    assert_eq!(store.check(false).await.unwrap(), []);

    let of_schedule = JobFilter {
        schedule: Some("nightly".parse().unwrap()),
        ..JobFilter::default()
    };
    let listed = assay_core::Jobs::list(&store, of_schedule, PageRequest { after: None, limit: 10 }).await;
    let listed: Vec<JobId> = listed.unwrap().items.into_iter().map(|job| job.id).collect();
    assert_eq!(listed, [id("2"), id("1")]);
    assert!(assay_core::Outbox::next_due(&store).await.unwrap().is_some());

    // What ran runs again, and what waited for it is free but paused.
    let (lease, job) = store.claim(&worker(), 1, None).await.unwrap().remove(0);
    assert_eq!((job.id, job.attempt, lease.fence.0 >> 32), (id("2"), 2, 7));
    store.finish(&lease, succeeded()).await.unwrap();
    assert_eq!(store.get(&id("3")).await.unwrap().0.state, State::Queued);
    assert_eq!(store.claim(&worker(), 1, None).await.unwrap(), []);
    assert!(store.resume(Some("sql")).await.unwrap());
    assert_eq!(store.claim(&worker(), 1, None).await.unwrap()[0].1.id, id("3"));
    assert_eq!(store.check(false).await.unwrap(), []);
}

#[tokio::test]
async fn a_store_of_format_3_goes_on() {
    use assay_core::Operation::{Append, Replace};
    let harness = EmbeddedHarness::new();
    let migrations = [
        include_str!("../../migrations/0001.sql"),
        include_str!("../../migrations/0002.sql"),
        include_str!("../../migrations/0003.sql"),
    ];
    write(harness.folder(), 3, &migrations, include_str!("../compat/0003.sql"));
    let store = open(harness.folder());
    let genes = "genes".parse().unwrap();
    let first = store.snapshot(&genes, Some(Version(1))).await.unwrap();
    assert_eq!(
        (first.rows, first.parts.len(), first.schema.attributes[0].seen.text),
        (7, 1, 7)
    );
    let newest = store.snapshot(&genes, None).await.unwrap();
    let parts: Vec<_> = newest
        .parts
        .iter()
        .map(|part| (part.part.path.as_str(), part.added.0))
        .collect();
    assert_eq!(parts, [("datasets/genes/b", 2), ("datasets/genes/c", 3)]);
    let versions = store
        .versions(&genes, PageRequest { after: None, limit: 10 })
        .await
        .unwrap()
        .items;
    let told: Vec<_> = versions
        .iter()
        .map(|entry| {
            (
                entry.operation,
                entry.rows,
                entry.created,
                entry.deleted,
                entry.job.is_some(),
            )
        })
        .collect();
    assert_eq!(
        told,
        [
            (Append, 9, 5, 0, true),
            (Replace, 4, 4, 7, true),
            (Replace, 7, 7, 0, true)
        ]
    );
    // Its parts have no index of keys; until compaction makes them one, single records cannot be written.
    let write = crate::warehouse::put("a", "{}");
    let refused = store
        .write(&genes, vec![write], Version(0), Default::default())
        .await
        .unwrap_err();
    assert_eq!(refused.code, Code::Overloaded);
    let task = store.wants_compaction().await.unwrap().unwrap();
    assert_eq!((task.parts.len(), task.hot.len()), (2, 0));
}

#[tokio::test]
async fn a_store_of_format_4_goes_on() {
    let harness = EmbeddedHarness::new();
    let migrations = [
        include_str!("../../migrations/0001.sql"),
        include_str!("../../migrations/0002.sql"),
        include_str!("../../migrations/0003.sql"),
        include_str!("../../migrations/0004.sql"),
    ];
    write(harness.folder(), 4, &migrations, include_str!("../compat/0004.sql"));
    let store = open(harness.folder());
    let genes = "genes".parse().unwrap();
    let newest = store.snapshot(&genes, None).await.unwrap();
    let deleted: Vec<u32> = newest.parts[0].deleted.iter().collect();
    assert_eq!(
        (newest.rows, newest.hot.len(), deleted, newest.schema.attributes.len()),
        (7, 1, vec![2], 1)
    );
    assert_eq!(store.rejects(&genes, None, 10).await.unwrap(), []);
    let older = store.snapshot(&genes, Some(Version(2))).await.unwrap();
    assert_eq!((older.hot.len(), older.parts[0].deleted.len()), (0, 0));
    let write = crate::warehouse::delete("HGNC:9");
    let refused = store
        .write(&genes, vec![write], Version(0), Default::default())
        .await
        .unwrap_err();
    assert_eq!(refused.code, Code::Overloaded);
    assert_eq!(store.check(false).await.unwrap(), []);
}

#[tokio::test]
async fn a_store_of_format_5_goes_on() {
    let harness = EmbeddedHarness::new();
    let migrations = [
        include_str!("../../migrations/0001.sql"),
        include_str!("../../migrations/0002.sql"),
        include_str!("../../migrations/0003.sql"),
        include_str!("../../migrations/0004.sql"),
        include_str!("../../migrations/0005.sql"),
    ];
    write(harness.folder(), 5, &migrations, include_str!("../compat/0005.sql"));
    let store = open(harness.folder());
    let known = assay_core::Catalog::find(&store, &"genes".parse().unwrap())
        .await
        .unwrap()
        .unwrap();
    assert_eq!(
        (known.description.as_deref(), known.ruled),
        (Some("Human genes"), Version(2))
    );
    assert!(known.rules.is_some() && known.source.is_none());
    assert_eq!(store.check(false).await.unwrap(), []);
}
