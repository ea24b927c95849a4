//! Versions of data sets.

use assay_core::{
    Author, Clock as _, Code, Commit, CommitMode, DatasetChange, DeclaredTypes, KeySource, NewDataset, Operation,
    PageRequest, PinnedInput, Rejects, Rules, Timestamp, TypeHint, Version, WriteOutcome,
};

use crate::support::{Scene, committed, refused};
use crate::warehouse::{Warehouse, delete, name, put};

const DAY: i64 = 24 * 3_600_000;

fn new() -> NewDataset {
    NewDataset {
        name: name(),
        key: Some("id".to_owned()),
        description: None,
        rules: None,
        source: None,
    }
}

fn page() -> PageRequest {
    PageRequest {
        after: None,
        limit: 100,
    }
}

async fn keys(scene: &Scene, warehouse: &Warehouse, version: Option<u64>) -> Vec<String> {
    let snapshot = scene.catalog().snapshot(&name(), version.map(Version)).await.unwrap();
    warehouse.read(&snapshot).into_keys().collect()
}

async fn loaded(scene: &Scene, warehouse: &Warehouse, mode: CommitMode, keys: &[&str]) {
    let rows = keys.iter().map(|key| ((*key).to_owned(), format!("part {key}")));
    let part = warehouse.part(scene, rows.collect(), None).await;
    let job = scene.load_parts(mode, vec![part]).await;
    assert_eq!(job.error, None);
}

pub async fn a_version_stays_what_it_was(scene: Scene) {
    let warehouse = Warehouse::default();
    loaded(&scene, &warehouse, CommitMode::Replace, &["a", "b"]).await;
    scene.put(vec![put("c", "1"), delete("a")]).await;
    scene.put(vec![put("a", "2")]).await;
    loaded(&scene, &warehouse, CommitMode::Upsert, &["a", "d"]).await;
    scene.put(vec![delete("d"), delete("b")]).await;
    let expected: [&[&str]; 5] = [
        &["a", "b"],
        &["b", "c"],
        &["a", "b", "c"],
        &["a", "b", "c", "d"],
        &["a", "c"],
    ];
    for (keys_then, version) in expected.iter().zip(1..) {
        assert_eq!(
            keys(&scene, &warehouse, Some(version)).await,
            *keys_then,
            "version {version}"
        );
    }
    let a = |version| warehouse.find(&scene, "a", Some(Version(version)));
    assert_eq!(a(1).await.unwrap(), ("part a".to_owned(), Version(1)));
    assert_eq!(a(2).await, None);
    assert_eq!(a(3).await.unwrap(), ("2".to_owned(), Version(3)));
    assert_eq!(a(5).await.unwrap(), ("part a".to_owned(), Version(4)));
    assert_eq!(
        refused(scene.records().find(&name(), &[], Some(Version(6))).await),
        Code::UnknownVersion
    );
}

pub async fn every_write_tells_who_and_what(scene: Scene) {
    let warehouse = Warehouse::default();
    let by = Author {
        user: Some("anna".parse().unwrap()),
        message: Some("begin".to_owned()),
    };
    scene.catalog().create(new(), by.clone()).await.unwrap();
    scene.put(vec![put("a", "1"), put("b", "1")]).await;
    scene.put(vec![put("a", "2"), delete("b"), put("c", "1")]).await;
    loaded(&scene, &warehouse, CommitMode::Replace, &["x"]).await;
    let entries = scene.catalog().versions(&name(), page()).await.unwrap().items;
    let told: Vec<_> = entries
        .iter()
        .map(|entry| {
            (
                entry.version.0,
                entry.operation,
                entry.rows,
                entry.created,
                entry.replaced,
                entry.deleted,
            )
        })
        .collect();
    assert_eq!(
        told,
        [
            (4, Operation::Replace, 1, 1, 0, 2),
            (3, Operation::Write, 2, 1, 1, 1),
            (2, Operation::Write, 2, 2, 0, 0),
            (1, Operation::Create, 0, 0, 0, 0),
        ]
    );
    assert_eq!(entries[3].author, by);
    assert!(entries[0].job.is_some() && entries[0].author.user.is_some());
    let first = scene
        .catalog()
        .versions(&name(), PageRequest { after: None, limit: 3 })
        .await
        .unwrap();
    let second = PageRequest {
        after: first.next,
        limit: 3,
    };
    assert_eq!(
        scene.catalog().versions(&name(), second).await.unwrap().items,
        entries[3..]
    );
}

pub async fn a_restored_version_has_its_records(mut scene: Scene) {
    let warehouse = Warehouse::default();
    loaded(&scene, &warehouse, CommitMode::Replace, &["a", "b", "c"]).await;
    scene.put(vec![delete("a"), put("b", "hot"), put("d", "hot")]).await;
    scene.put(vec![delete("d"), put("e", "hot")]).await;
    loaded(&scene, &warehouse, CommitMode::Replace, &["z"]).await;
    for (version, expected) in [
        (2, vec!["b", "c", "d"]),
        (1, vec!["a", "b", "c"]),
        (3, vec!["b", "c", "e"]),
    ] {
        let before = scene.catalog().snapshot(&name(), Some(Version(version))).await.unwrap();
        let entry = scene
            .catalog()
            .restore(&name(), Version(version), Author::default())
            .await
            .unwrap();
        assert_eq!((entry.operation, entry.rows), (Operation::Restore, 3));
        scene.reopen();
        assert_eq!(keys(&scene, &warehouse, None).await, expected);
        let after = scene.catalog().snapshot(&name(), None).await.unwrap();
        assert_eq!(warehouse.read(&after), warehouse.read(&before));
        assert_eq!(
            (after.key, after.schema, after.bytes),
            (before.key, before.schema, before.bytes)
        );
    }
    // It is written to like any other, and the old ones are as they were.
    assert_eq!(
        warehouse.find(&scene, "b", None).await.unwrap(),
        ("hot".to_owned(), Version(2))
    );
    let outcomes = scene
        .put(vec![delete("c"), put("a", "new"), delete("e")])
        .await
        .outcomes;
    assert_eq!(
        outcomes,
        [WriteOutcome::Deleted, WriteOutcome::Created, WriteOutcome::Deleted]
    );
    assert_eq!(keys(&scene, &warehouse, None).await, ["a", "b"]);
    assert_eq!(keys(&scene, &warehouse, Some(6)).await, ["a", "b", "c"]);
    assert_eq!(keys(&scene, &warehouse, Some(4)).await, ["z"]);
    let unknown = scene.catalog().restore(&name(), Version(99), Author::default()).await;
    assert_eq!(refused(unknown), Code::UnknownVersion);
}

pub async fn a_point_in_time_is_a_version(scene: Scene) {
    let begin = scene.clock.now();
    scene.advance(1_000);
    scene.catalog().create(new(), Author::default()).await.unwrap();
    scene.advance(1_000);
    scene.put(vec![put("a", "1")]).await;
    scene.put(vec![put("a", "2")]).await;
    for (offset, version) in [(1_000, 1), (1_999, 1), (2_000, 3), (9_000, 3)] {
        let found = scene
            .catalog()
            .version_at(&name(), Timestamp(begin.0 + offset))
            .await
            .unwrap();
        assert_eq!(found, Version(version), "{offset}");
    }
    assert_eq!(
        refused(scene.catalog().version_at(&name(), begin).await),
        Code::UnknownVersion
    );
}

pub async fn changes_are_told_in_order(scene: Scene) {
    let warehouse = Warehouse::default();
    scene.catalog().create(new(), Author::default()).await.unwrap();
    scene.put(vec![put("b", "1"), put("a", "1")]).await;
    loaded(&scene, &warehouse, CommitMode::Upsert, &["p"]).await;
    scene.put(vec![delete("p"), put("a", "2"), delete("b")]).await;
    let all = scene.records().changes(&name(), Version(0), 10).await.unwrap();
    let told: Vec<Vec<(&str, Option<&str>)>> = all
        .iter()
        .map(|version| {
            let records = version.records.iter();
            records
                .map(|change| (change.key.as_deref().unwrap(), change.json.as_deref()))
                .collect()
        })
        .collect();
    assert_eq!(told[0], []);
    assert_eq!(told[1], [("a", Some("1")), ("b", Some("1"))]);
    assert_eq!((told[2].len(), all[2].entry.created), (0, 1));
    assert_eq!(told[3], [("b", None), ("p", None), ("a", Some("2"))]);
    let later = scene.records().changes(&name(), Version(2), 1).await.unwrap();
    assert_eq!(later, all[2..3]);
    assert_eq!(scene.records().changes(&name(), Version(4), 10).await.unwrap(), []);
}

pub async fn old_versions_go_with_what_only_they_held(scene: Scene) {
    let warehouse = Warehouse::default();
    loaded(&scene, &warehouse, CommitMode::Replace, &["a"]).await;
    scene.put(vec![put("h", "1")]).await;
    loaded(&scene, &warehouse, CommitMode::Replace, &["b"]).await;
    scene.put(vec![put("i", "1")]).await;
    scene.put(vec![put("i", "2"), delete("b")]).await;
    scene.advance(3 * DAY);
    assert_eq!(scene.upkeep().sweep().await.unwrap().objects, Vec::<String>::new());
    scene.put(vec![put("j", "1")]).await;
    scene.advance(5 * DAY);
    let swept = scene.upkeep().sweep().await.unwrap();
    assert_eq!(swept.objects, ["datasets/d/0.keys", "datasets/d/0"]);
    // The version of seven days ago is there, and what came before it is not.
    assert_eq!(keys(&scene, &warehouse, Some(5)).await, ["i"]);
    assert_eq!(keys(&scene, &warehouse, None).await, ["i", "j"]);
    for version in [1, 4] {
        let snapshot = scene.catalog().snapshot(&name(), Some(Version(version))).await;
        assert_eq!(refused(snapshot), Code::VersionExpired, "{version}");
    }
    assert_eq!(
        refused(scene.records().changes(&name(), Version(2), 10).await),
        Code::VersionExpired
    );
    assert_eq!(scene.records().changes(&name(), Version(4), 10).await.unwrap().len(), 2);
    assert_eq!(scene.catalog().versions(&name(), page()).await.unwrap().items.len(), 2);
    let referenced = scene.upkeep().referenced_objects().await.unwrap();
    assert!(referenced.contains("datasets/d/1") && !referenced.contains("datasets/d/0"));
    assert_eq!(scene.upkeep().sweep().await.unwrap().objects, Vec::<String>::new());
}

pub async fn a_version_that_a_job_reads_stays(scene: Scene) {
    let warehouse = Warehouse::default();
    loaded(&scene, &warehouse, CommitMode::Replace, &["a"]).await;
    loaded(&scene, &warehouse, CommitMode::Replace, &["b"]).await;
    let pinned = |version| PinnedInput {
        name: name(),
        version: Version(version),
    };
    let reader = scene.submit_as(|job| job.inputs = vec![pinned(1)]).await;
    scene.advance(9 * DAY);
    scene.upkeep().sweep().await.unwrap();
    assert_eq!(keys(&scene, &warehouse, Some(1)).await, ["a"]);
    scene.jobs().cancel(&reader).await.unwrap();
    scene.upkeep().sweep().await.unwrap();
    let gone = scene.catalog().snapshot(&name(), Some(Version(1))).await;
    assert_eq!(refused(gone), Code::VersionExpired);
}

pub async fn a_data_set_made_anew_goes_on_counting(scene: Scene) {
    let warehouse = Warehouse::default();
    loaded(&scene, &warehouse, CommitMode::Replace, &["a"]).await;
    scene.put(vec![put("b", "1")]).await;
    scene.catalog().remove(&name()).await.unwrap();
    assert_eq!(scene.catalog().find(&name()).await.unwrap(), None);
    assert_eq!(
        refused(scene.catalog().snapshot(&name(), None).await),
        Code::UnknownDataset
    );
    assert!(scene.upkeep().referenced_objects().await.unwrap().is_empty());
    let made = scene.catalog().create(new(), Author::default()).await.unwrap();
    assert_eq!((made.version, made.rows), (Version(3), 0));
    assert_eq!(scene.put(vec![put("a", "1")]).await.version, Version(4));
    assert_eq!(
        refused(scene.catalog().snapshot(&name(), Some(Version(2))).await),
        Code::VersionExpired
    );
    assert_eq!(keys(&scene, &warehouse, None).await, ["a"]);
    scene.catalog().remove(&name()).await.unwrap();
    loaded(&scene, &warehouse, CommitMode::Replace, &["c"]).await;
    let entry = scene.catalog().find(&name()).await.unwrap().unwrap();
    assert_eq!(entry.version, Version(5));
}

pub async fn a_data_set_is_made_once(scene: Scene) {
    scene.catalog().create(new(), Author::default()).await.unwrap();
    let other = NewDataset {
        name: "D".parse().unwrap(),
        key: None,
        description: None,
        rules: None,
        source: None,
    };
    assert_eq!(
        refused(scene.catalog().create(other, Author::default()).await),
        Code::Conflict
    );
}

/// A load of one record that puts `count` aside.
async fn loaded_aside(scene: &Scene, warehouse: &Warehouse, mode: CommitMode, key: &str, count: u64) {
    let part = warehouse
        .part(scene, vec![(key.to_owned(), "{}".to_owned())], None)
        .await;
    let lease = scene.running().await;
    let commit = Commit {
        name: name(),
        key: Some("id".to_owned()),
        mode,
        parts: vec![part],
        author: Author::default(),
        rejects: Some(Rejects {
            path: format!("datasets/d/{key}.rejects"),
            count,
        }),
        ruled: Version(0),
        rewrites: None,
    };
    let job = scene.jobs().finish(&lease, committed(commit)).await.unwrap();
    assert_eq!(job.error, None);
}

pub async fn what_a_load_puts_aside_is_kept_as_long_as_its_version(mut scene: Scene) {
    let warehouse = Warehouse::default();
    loaded_aside(&scene, &warehouse, CommitMode::Replace, "a", 3).await;
    scene.put(vec![put("h", "1")]).await;
    loaded_aside(&scene, &warehouse, CommitMode::Append, "b", 1).await;
    scene.reopen();
    let told = async |scene: &Scene, newest: Option<u64>, limit| {
        let loads = scene
            .records()
            .rejects(&name(), newest.map(Version), limit)
            .await
            .unwrap();
        loads
            .into_iter()
            .map(|load| (load.version.0, load.rejects.count))
            .collect::<Vec<_>>()
    };
    assert_eq!(told(&scene, None, 10).await, [(3, 1), (1, 3)]);
    assert_eq!(told(&scene, None, 1).await, [(3, 1)]);
    assert_eq!(told(&scene, Some(2), 10).await, [(1, 3)]);
    let unknown = scene.records().rejects(&name(), Some(Version(4)), 1).await;
    assert_eq!(refused(unknown), Code::UnknownVersion);
    let referenced = scene.upkeep().referenced_objects().await.unwrap();
    assert!(referenced.contains("datasets/d/a.rejects") && referenced.contains("datasets/d/b.rejects"));
    scene.advance(8 * DAY);
    let swept = scene.upkeep().sweep().await.unwrap();
    assert_eq!(swept.objects, ["datasets/d/a.rejects"]);
    assert_eq!(told(&scene, None, 10).await, [(3, 1)]);
    let expired = scene.records().rejects(&name(), Some(Version(1)), 1).await;
    assert_eq!(refused(expired), Code::VersionExpired);
    scene.catalog().remove(&name()).await.unwrap();
    assert!(scene.upkeep().referenced_objects().await.unwrap().is_empty());
    let gone = scene.records().rejects(&name(), None, 1).await;
    assert_eq!(refused(gone), Code::UnknownDataset);
}

fn declared(types: &[(&str, &str)]) -> Rules {
    Rules::Types(DeclaredTypes::parse(types.iter().copied(), &[], Some("id")).unwrap())
}

pub async fn other_rules_are_a_version_and_hold_for_what_follows(mut scene: Scene) {
    let name = name();
    let rules = declared(&[("id", "text")]);
    let strict = NewDataset {
        description: Some("first".to_owned()),
        rules: Some(rules.clone()),
        ..new()
    };
    let made = scene.catalog().create(strict, Author::default()).await.unwrap();
    assert_eq!((made.ruled, made.rules.as_ref()), (Version(1), Some(&rules)));
    let write = |ruled| {
        scene
            .records()
            .write(&name, vec![put("a", "{}")], Version(ruled), Author::default())
    };
    assert_eq!(refused(write(0).await), Code::Conflict);
    assert_eq!(write(1).await.unwrap().version, Version(2));
    let change = |description: Option<&str>, rules: Option<Option<Rules>>| {
        let description = description.map(|text| Some(text.to_owned()));
        let change = DatasetChange {
            description,
            rules,
            ..DatasetChange::default()
        };
        scene.catalog().change(&name, change, Author::default())
    };
    // What is so already, and a description, make no version.
    assert_eq!(
        change(Some("first"), Some(Some(rules.clone()))).await.unwrap().version,
        Version(2)
    );
    assert_eq!(change(Some("second"), None).await.unwrap().version, Version(2));
    let wider = declared(&[("id", "text"), ("n", "int64")]);
    let changed = change(None, Some(Some(wider.clone()))).await.unwrap();
    assert_eq!(
        (changed.version, changed.ruled, changed.rules),
        (Version(3), Version(3), Some(wider))
    );
    assert_eq!(refused(write(1).await), Code::Conflict);
    // To delete, nobody needs to know the rules.
    let deleted = scene
        .records()
        .write(&name, vec![delete("a")], Version(0), Author::default());
    assert_eq!(deleted.await.unwrap().version, Version(4));
    scene.reopen();
    let change = DatasetChange {
        rules: Some(None),
        ..DatasetChange::default()
    };
    let flexible = scene.catalog().change(&name, change, Author::default()).await.unwrap();
    assert_eq!((flexible.rules, flexible.ruled), (None, Version(5)));
    assert_eq!(flexible.description.as_deref(), Some("second"));
    let known = async |version| {
        let snapshot = scene.catalog().snapshot(&name, Some(Version(version))).await.unwrap();
        snapshot.declared.len()
    };
    assert_eq!(
        (known(1).await, known(2).await, known(4).await, known(5).await),
        (1, 1, 2, 0)
    );
    let entries = scene.catalog().versions(&name, page()).await.unwrap().items;
    assert_eq!(
        (entries[0].operation, entries[2].operation),
        (Operation::Declare, Operation::Declare)
    );
    scene.is_sound().await;
}

pub async fn the_source_of_a_linked_data_set_is_kept_until_it_is_taken_away(mut scene: Scene) {
    let name = name();
    let source = KeySource {
        redis: "redis://h:6379/3".parse().unwrap(),
        pattern: "gene:*".to_owned(),
        types: vec![("n".to_owned(), TypeHint::Int64)],
        rate: None,
        refresh_ms: Some(60_000),
    };
    let linked = NewDataset {
        source: Some(source.clone()),
        ..new()
    };
    let made = scene.catalog().create(linked, Author::default()).await.unwrap();
    assert_eq!(made.source.as_ref(), Some(&source));
    let written = scene
        .records()
        .write(&name, vec![put("a", "{}")], Version(0), Author::default());
    written.await.unwrap();
    scene.reopen();
    let known = scene.catalog().find(&name).await.unwrap().unwrap();
    assert_eq!(known.source.as_ref(), Some(&source));
    let listed = scene.catalog().list(page()).await.unwrap().items;
    assert_eq!(listed[0].source.as_ref(), Some(&source));
    let change = |source| {
        let change = DatasetChange {
            source: Some(source),
            ..DatasetChange::default()
        };
        scene.catalog().change(&name, change, Author::default())
    };
    let slower = KeySource {
        rate: Some(5),
        ..source
    };
    let changed = change(Some(slower.clone())).await.unwrap();
    assert_eq!((changed.version, changed.source), (known.version, Some(slower)));
    let unlinked = change(None).await.unwrap();
    assert_eq!((unlinked.version, unlinked.source), (known.version, None));
    scene.is_sound().await;
}

pub async fn a_load_that_was_checked_with_other_rules_is_refused(scene: Scene) {
    let warehouse = Warehouse::default();
    let strict = NewDataset {
        rules: Some(declared(&[("id", "text")])),
        ..new()
    };
    scene.catalog().create(strict, Author::default()).await.unwrap();
    let part = warehouse
        .part(&scene, vec![("a".to_owned(), "{}".to_owned())], None)
        .await;
    let job = scene.load_parts(CommitMode::Replace, vec![part]).await;
    assert_eq!(job.error.unwrap().code, Code::Conflict);
    assert_eq!(keys(&scene, &warehouse, None).await, [] as [String; 0]);
}
