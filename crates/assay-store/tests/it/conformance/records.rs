//! Records by key.

use assay_core::{Change, Code, CommitMode, Condition, NewDataset, RecordWrite, Version, WriteOutcome};
use futures::future::join_all;

use crate::support::{Scene, refused};
use crate::warehouse::{Warehouse, delete, name, put, put_if};

/// Makes the data set `d` with the key `id`.
async fn made(scene: &Scene) {
    let new = NewDataset {
        name: name(),
        key: Some("id".to_owned()),
        description: None,
        rules: None,
        source: None,
    };
    scene.catalog().create(new, Default::default()).await.unwrap();
}

fn rows(keys: std::ops::Range<u32>, text: &str) -> Vec<(String, String)> {
    keys.map(|key| (key.to_string(), format!("{{\"id\":{key},\"x\":\"{text}\"}}")))
        .collect()
}

async fn records(scene: &Scene, warehouse: &Warehouse, version: Option<u64>) -> Vec<(String, String)> {
    let snapshot = scene.catalog().snapshot(&name(), version.map(Version)).await.unwrap();
    warehouse.read(&snapshot).into_iter().collect()
}

fn pairs(all: &[(&str, &str)]) -> Vec<(String, String)> {
    all.iter()
        .map(|(key, json)| ((*key).to_owned(), (*json).to_owned()))
        .collect()
}

pub async fn a_record_is_read_as_it_was_written(mut scene: Scene) {
    made(&scene).await;
    let text = "{\"id\": \"gene:HGNC:5\", \"b\":null,\"a\":[1,1.0,9007199254740993,\"é\u{1f9ec}\"]}";
    let written = scene.put(vec![put("gene:HGNC:5", text)]).await;
    assert_eq!(
        (written.version, written.outcomes),
        (Version(2), vec![WriteOutcome::Created])
    );
    scene.reopen();
    let warehouse = Warehouse::default();
    let found = warehouse.find(&scene, "gene:HGNC:5", None).await;
    assert_eq!(found, Some((text.to_owned(), Version(2))));
    assert_eq!(warehouse.find(&scene, "gene:HGNC:6", None).await, None);
    assert_eq!(warehouse.find(&scene, "gene:HGNC:5", Some(Version(1))).await, None);
    let found = scene.records().find(&name(), &[], None).await.unwrap();
    assert_eq!((found.key.as_str(), found.version), ("id", Version(2)));
}

pub async fn a_condition_decides_whether_a_write_happens(scene: Scene) {
    use WriteOutcome::{Created, Deleted, Missing, Replaced, Unmet};
    made(&scene).await;
    let absent = |json| vec![put_if("a", json, Condition::Absent)];
    let v = |number| Version(number);
    assert_eq!(scene.put(absent("1")).await.outcomes, [Created]);
    let again = scene.put(absent("2")).await;
    assert_eq!((again.version, again.outcomes), (v(2), vec![Unmet(Some(v(2)))]));
    let if_written = |version| vec![put_if("a", "3", Condition::Written(v(version)))];
    assert_eq!(scene.put(if_written(1)).await.outcomes, [Unmet(Some(v(2)))]);
    assert_eq!(scene.put(if_written(2)).await.outcomes, [Replaced]);
    assert_eq!(
        scene.put(vec![put_if("b", "1", Condition::Present)]).await.outcomes,
        [Unmet(None)]
    );
    assert_eq!(
        scene.put(vec![put_if("a", "4", Condition::Present)]).await.outcomes,
        [Replaced]
    );
    assert_eq!(scene.put(vec![delete("b")]).await.outcomes, [Missing]);
    let stale = RecordWrite {
        condition: Condition::Written(v(3)),
        ..delete("a")
    };
    assert_eq!(scene.put(vec![stale]).await.outcomes, [Unmet(Some(v(4)))]);
    assert_eq!(scene.put(vec![delete("a")]).await.outcomes, [Deleted]);
    assert_eq!(
        scene.put(vec![put_if("a", "5", Condition::Absent)]).await.outcomes,
        [Created]
    );
    assert_eq!(records(&scene, &Warehouse::default(), None).await, pairs(&[("a", "5")]));
}

pub async fn of_two_writers_with_one_condition_one_is_refused(scene: Scene) {
    made(&scene).await;
    scene.put(vec![put("a", "0")]).await;
    for round in 2..12 {
        let writes = (0..8).map(|writer| {
            let write = put_if("a", &writer.to_string(), Condition::Written(Version(round)));
            scene.put(vec![write])
        });
        let outcomes: Vec<_> = join_all(writes)
            .await
            .into_iter()
            .flat_map(|written| written.outcomes)
            .collect();
        let won = outcomes.iter().filter(|outcome| **outcome == WriteOutcome::Replaced);
        assert_eq!((won.count(), outcomes.len()), (1, 8), "{outcomes:?}");
    }
}

pub async fn a_batch_is_one_version_and_its_writes_follow_each_other(scene: Scene) {
    use WriteOutcome::{Created, Deleted, Replaced, Unmet};
    made(&scene).await;
    let batch = vec![
        put("a", "1"),
        put_if("a", "2", Condition::Absent),
        put("a", "3"),
        put("b", "1"),
        delete("b"),
        put("c", "1"),
        delete("c"),
        put("c", "2"),
    ];
    let written = scene.put(batch).await;
    assert_eq!(written.version, Version(2));
    let unmet = Unmet(Some(Version(2)));
    assert_eq!(
        written.outcomes,
        [Created, unmet, Replaced, Created, Deleted, Created, Deleted, Created]
    );
    let warehouse = Warehouse::default();
    assert_eq!(
        records(&scene, &warehouse, None).await,
        pairs(&[("a", "3"), ("c", "2")])
    );
    let nothing = scene.put(vec![put("d", "1"), delete("d"), delete("e")]).await;
    assert_eq!(nothing.version, Version(2));
    assert_eq!(scene.put(vec![]).await.version, Version(2));
}

pub async fn a_record_of_a_part_is_replaced_and_deleted(mut scene: Scene) {
    let warehouse = Warehouse::default();
    let part = warehouse.part(&scene, rows(0..5, "old"), None).await;
    scene.load_parts(CommitMode::Replace, vec![part]).await;
    assert_eq!(warehouse.find(&scene, "3", None).await.unwrap().1, Version(1));
    let stale = scene.put(vec![put_if("3", "new", Condition::Absent)]).await;
    assert_eq!(stale.outcomes, [WriteOutcome::Unmet(Some(Version(1)))]);
    let written = scene
        .put(vec![put_if("3", "new", Condition::Written(Version(1))), delete("4")])
        .await;
    assert_eq!(written.outcomes, [WriteOutcome::Replaced, WriteOutcome::Deleted]);
    scene.reopen();
    assert_eq!(scene.put(vec![delete("4")]).await.outcomes, [WriteOutcome::Missing]);
    assert_eq!(warehouse.find(&scene, "4", None).await, None);
    assert_eq!(
        warehouse.find(&scene, "3", None).await,
        Some(("new".to_owned(), Version(2)))
    );
    let old = records(&scene, &warehouse, Some(1)).await;
    assert_eq!((old.len(), old[3].1.as_str()), (5, "{\"id\":3,\"x\":\"old\"}"));
    let entry = scene.catalog().find(&name()).await.unwrap().unwrap();
    assert_eq!((entry.rows, entry.version), (4, Version(2)));
    assert_eq!(scene.put(vec![delete("3")]).await.outcomes, [WriteOutcome::Deleted]);
    assert_eq!(warehouse.find(&scene, "3", None).await, None);
}

/// What lies under `0` to `4`, asked for twice: a store may remember what it found.
async fn found(scene: &Scene, warehouse: &Warehouse) -> [Option<String>; 5] {
    let ask = async || {
        let mut found = [const { None }; 5];
        for (key, place) in found.iter_mut().enumerate() {
            let record = warehouse.find(scene, &key.to_string(), None).await;
            *place = record.map(|(json, _)| json);
        }
        found
    };
    let found = ask().await;
    assert_eq!(ask().await, found);
    found
}

pub async fn a_record_is_found_as_the_last_write_left_it(scene: Scene) {
    let warehouse = Warehouse::default();
    let texts = |all: [&str; 5]| all.map(|text| (!text.is_empty()).then(|| text.to_owned()));
    let part = async |keys: std::ops::Range<u32>, text: &str| {
        let rows = keys.map(|key| (key.to_string(), text.to_owned())).collect();
        warehouse.part(&scene, rows, None).await
    };
    let first = part(0..4, "old").await;
    scene.load_parts(CommitMode::Replace, vec![first]).await;
    assert_eq!(found(&scene, &warehouse).await, texts(["old", "old", "old", "old", ""]));
    scene.put(vec![put("1", "new"), delete("2"), put("4", "four")]).await;
    assert_eq!(
        found(&scene, &warehouse).await,
        texts(["old", "new", "", "old", "four"])
    );
    scene.put(vec![delete("1"), put("4", "five")]).await;
    assert_eq!(found(&scene, &warehouse).await, texts(["old", "", "", "old", "five"]));
    let by = Default::default();
    scene.catalog().restore(&name(), Version(1), by).await.unwrap();
    assert_eq!(found(&scene, &warehouse).await, texts(["old", "old", "old", "old", ""]));
    let second = part(4..5, "more").await;
    scene.load_parts(CommitMode::Append, vec![second]).await;
    assert_eq!(
        found(&scene, &warehouse).await,
        texts(["old", "old", "old", "old", "more"])
    );
    scene.catalog().remove(&name()).await.unwrap();
    let gone = scene.records().find(&name(), &["0".to_owned()], None).await;
    assert_eq!(refused(gone), Code::UnknownDataset);
    made(&scene).await;
    assert_eq!(found(&scene, &warehouse).await, texts(["", "", "", "", ""]));
    scene.put(vec![put("3", "again")]).await;
    assert_eq!(found(&scene, &warehouse).await, texts(["", "", "", "again", ""]));
}

/// Writes so many records that they want to become a part.
async fn many(scene: &Scene, keys: std::ops::Range<u32>, text: &str) {
    let writes = rows(keys, text).iter().map(|(key, json)| put(key, json)).collect();
    scene.put(writes).await;
}

pub async fn compaction_changes_nothing_that_a_reader_sees(mut scene: Scene) {
    let warehouse = Warehouse::default();
    made(&scene).await;
    assert_eq!(scene.records().wants_compaction().await.unwrap(), None);
    many(&scene, 0..1_200, "a").await;
    scene.put(vec![delete("7"), put("8", "{}")]).await;
    let before = records(&scene, &warehouse, None).await;
    let task = scene.records().wants_compaction().await.unwrap().unwrap();
    assert_eq!((task.hot.len(), task.parts.len(), task.version), (1_199, 0, Version(3)));
    let compacted = warehouse.compact(&scene, task, 500).await;
    assert!(scene.records().compact(compacted).await.unwrap());
    scene.reopen();
    assert_eq!(records(&scene, &warehouse, None).await, before);
    assert_eq!(records(&scene, &warehouse, Some(3)).await, before);
    let snapshot = scene.catalog().snapshot(&name(), None).await.unwrap();
    assert_eq!(
        (snapshot.parts.len(), snapshot.hot.len(), snapshot.version),
        (3, 0, Version(4))
    );
    assert_eq!(
        warehouse.find(&scene, "8", None).await,
        Some(("{}".to_owned(), Version(3)))
    );
    assert_eq!(warehouse.find(&scene, "9", None).await.unwrap().1, Version(2));
    assert_eq!(scene.records().wants_compaction().await.unwrap(), None);
}

pub async fn what_is_written_during_compaction_stays(scene: Scene) {
    let warehouse = Warehouse::default();
    let part = warehouse.part(&scene, rows(0..10, "part"), None).await;
    scene.load_parts(CommitMode::Replace, vec![part]).await;
    scene.put(vec![delete("0"), put("1", "one")]).await;
    many(&scene, 100..1_200, "hot").await;
    let mut task = scene.records().wants_compaction().await.unwrap().unwrap();
    task.parts = scene.catalog().snapshot(&name(), None).await.unwrap().parts;
    let compacted = warehouse.compact(&scene, task, 600).await;
    let meanwhile = vec![
        put("2", "two"),
        delete("3"),
        put("100", "hundred"),
        delete("101"),
        put("new", "new"),
    ];
    scene.put(meanwhile).await;
    scene.put(vec![put("100", "again"), delete("1")]).await;
    let before = records(&scene, &warehouse, None).await;
    assert!(scene.records().compact(compacted).await.unwrap());
    assert_eq!(records(&scene, &warehouse, None).await, before);
    let snapshot = scene.catalog().snapshot(&name(), None).await.unwrap();
    assert_eq!(snapshot.hot.len(), 3);
    assert_eq!(
        warehouse.find(&scene, "100", None).await.unwrap(),
        ("again".to_owned(), Version(5))
    );
    assert_eq!(warehouse.find(&scene, "101", None).await, None);
    assert_eq!(warehouse.find(&scene, "4", None).await.unwrap().1, Version(1));
}

pub async fn compaction_of_what_is_gone_does_nothing(scene: Scene) {
    let warehouse = Warehouse::default();
    made(&scene).await;
    many(&scene, 0..1_000, "a").await;
    let task = scene.records().wants_compaction().await.unwrap().unwrap();
    let compacted = warehouse.compact(&scene, task.clone(), 1_000).await;
    assert!(scene.records().compact(compacted.clone()).await.unwrap());
    assert!(!scene.records().compact(compacted).await.unwrap());
    assert_eq!(records(&scene, &warehouse, None).await.len(), 1_000);
    let first = scene.catalog().snapshot(&name(), None).await.unwrap();
    let again = assay_core::CompactTask {
        parts: first.parts.clone(),
        hot: Vec::new(),
        ..task
    };
    let again = warehouse.compact(&scene, again, 400).await;
    let part = warehouse.part(&scene, rows(0..3, "b"), None).await;
    scene.load_parts(CommitMode::Replace, vec![part]).await;
    assert!(!scene.records().compact(again).await.unwrap());
    assert_eq!(records(&scene, &warehouse, None).await.len(), 3);
    scene.catalog().remove(&name()).await.unwrap();
}

pub async fn few_small_parts_of_a_data_set_that_is_left_alone_become_one(scene: Scene) {
    let warehouse = Warehouse::default();
    for part in 0..3 {
        let rows = rows(part * 10..part * 10 + 10, "a");
        let part = warehouse.part(&scene, rows, None).await;
        scene.load_parts(CommitMode::Append, vec![part]).await;
    }
    assert_eq!(scene.records().wants_compaction().await.unwrap(), None);
    scene.advance(6_000);
    let before = records(&scene, &warehouse, None).await;
    let task = scene.records().wants_compaction().await.unwrap().unwrap();
    assert_eq!((task.parts.len(), task.hot.len()), (3, 0));
    // What makes no fewer parts takes no effect and is not tried again,
    let compacted = warehouse.compact(&scene, task.clone(), 10).await;
    assert!(!scene.records().compact(compacted).await.unwrap());
    assert_eq!(scene.records().wants_compaction().await.unwrap(), None);
    // unless there are others.
    let part = warehouse.part(&scene, rows(30..40, "a"), None).await;
    scene.load_parts(CommitMode::Append, vec![part]).await;
    scene.advance(6_000);
    let task = scene.records().wants_compaction().await.unwrap().unwrap();
    let compacted = warehouse.compact(&scene, task, 1_000).await;
    assert!(scene.records().compact(compacted).await.unwrap());
    assert_eq!(records(&scene, &warehouse, None).await.len(), before.len() + 10);
    scene.advance(6_000);
    assert_eq!(scene.records().wants_compaction().await.unwrap(), None);
}

pub async fn hot_records_of_a_data_set_that_is_left_alone_become_a_part(scene: Scene) {
    let warehouse = Warehouse::default();
    let part = warehouse.part(&scene, rows(0..10, "a"), None).await;
    scene.load_parts(CommitMode::Append, vec![part]).await;
    scene
        .put((10..74).map(|key| put(&key.to_string(), "b")).collect())
        .await;
    assert_eq!(scene.records().wants_compaction().await.unwrap(), None);
    scene.advance(6_000);
    let before = records(&scene, &warehouse, None).await;
    let task = scene.records().wants_compaction().await.unwrap().unwrap();
    assert_eq!((task.parts.len(), task.hot.len()), (0, 64));
    let compacted = warehouse.compact(&scene, task, 1_000).await;
    assert!(scene.records().compact(compacted).await.unwrap());
    assert_eq!(records(&scene, &warehouse, None).await, before);
    // A few of them are left as they are.
    scene.put(vec![put("100", "b")]).await;
    scene.advance(6_000);
    assert_eq!(scene.records().wants_compaction().await.unwrap(), None);
}

pub async fn small_parts_become_few(scene: Scene) {
    let warehouse = Warehouse::default();
    for part in 0..8 {
        assert_eq!(scene.records().wants_compaction().await.unwrap(), None);
        let rows = rows(part * 10..part * 10 + 10, "a");
        let part = warehouse.part(&scene, rows, None).await;
        scene.load_parts(CommitMode::Append, vec![part]).await;
    }
    let before = records(&scene, &warehouse, None).await;
    let task = scene.records().wants_compaction().await.unwrap().unwrap();
    assert_eq!((task.parts.len(), task.hot.len()), (8, 0));
    let compacted = warehouse.compact(&scene, task, 1_000).await;
    assert!(scene.records().compact(compacted).await.unwrap());
    assert_eq!(records(&scene, &warehouse, None).await, before);
    assert_eq!(warehouse.find(&scene, "75", None).await.unwrap().1, Version(8));
    // A part that has lost a third of its rows is written anew.
    let gone = (0..30).map(|key| delete(&key.to_string())).collect();
    scene.put(gone).await;
    let task = scene.records().wants_compaction().await.unwrap().unwrap();
    assert_eq!(task.parts[0].live_rows(), 50);
}

pub async fn an_upsert_takes_the_place_of_what_has_its_keys(scene: Scene) {
    let warehouse = Warehouse::default();
    let part = warehouse.part(&scene, rows(0..10, "old"), None).await;
    scene.load_parts(CommitMode::Replace, vec![part]).await;
    scene.put(vec![put("20", "hot"), put("21", "hot"), delete("9")]).await;
    let part = warehouse
        .part(&scene, [rows(5..12, "new"), rows(20..21, "new")].concat(), None)
        .await;
    let job = scene.load_parts(CommitMode::Upsert, vec![part]).await;
    assert_eq!(job.wrote.unwrap().version, Version(3));
    let all = records(&scene, &warehouse, None).await;
    assert_eq!(all.len(), 10 + 2 + 2);
    let new = all.iter().filter(|(_, json)| json.contains("new")).count();
    assert_eq!(
        (new, warehouse.find(&scene, "21", None).await.unwrap().0.as_str()),
        (8, "hot")
    );
    let entry = scene
        .catalog()
        .versions(&name(), page(1))
        .await
        .unwrap()
        .items
        .remove(0);
    assert_eq!((entry.created, entry.replaced, entry.deleted), (3, 5, 0));
    assert_eq!(records(&scene, &warehouse, Some(2)).await.len(), 11);
}

fn page(limit: usize) -> assay_core::PageRequest {
    assay_core::PageRequest { after: None, limit }
}

pub async fn an_append_of_a_known_key_is_refused(scene: Scene) {
    let warehouse = Warehouse::default();
    let part = warehouse.part(&scene, rows(0..10, "old"), None).await;
    scene.load_parts(CommitMode::Replace, vec![part]).await;
    scene.put(vec![put("20", "hot"), delete("3")]).await;
    for (keys, code) in [
        (9..12, Some(Code::DuplicateKey)),
        (20..22, Some(Code::DuplicateKey)),
        (3..4, None),
    ] {
        let part = warehouse.part(&scene, rows(keys, "new"), None).await;
        let job = scene.load_parts(CommitMode::Append, vec![part]).await;
        assert_eq!(job.error.map(|error| error.code), code);
    }
    assert_eq!(records(&scene, &warehouse, None).await.len(), 11);
}

pub async fn records_without_a_key_are_added_only(scene: Scene) {
    let new = NewDataset {
        name: name(),
        key: None,
        description: None,
        rules: None,
        source: None,
    };
    scene.catalog().create(new, Default::default()).await.unwrap();
    let add = || RecordWrite {
        key: None,
        condition: Condition::Any,
        change: Change::Put("{\"x\":1}".to_owned()),
    };
    let written = scene.put(vec![add(), add()]).await;
    assert_eq!(written.outcomes, [WriteOutcome::Created, WriteOutcome::Created]);
    let snapshot = scene.catalog().snapshot(&name(), None).await.unwrap();
    assert_eq!((snapshot.rows, snapshot.hot.len()), (2, 2));
    let keyed = scene
        .records()
        .write(&name(), vec![put("a", "{}")], Version(0), Default::default())
        .await;
    assert_eq!(refused(keyed), Code::InvalidRequest);
    assert_eq!(
        refused(scene.records().find(&name(), &["a".into()], None).await),
        Code::InvalidRequest
    );
}

pub async fn an_unknown_data_set_takes_no_records(scene: Scene) {
    let written = scene
        .records()
        .write(&name(), vec![put("a", "{}")], Version(0), Default::default())
        .await;
    assert_eq!(refused(written), Code::UnknownDataset);
    assert_eq!(
        refused(scene.records().changes(&name(), Version(0), 10).await),
        Code::UnknownDataset
    );
    assert_eq!(refused(scene.catalog().remove(&name()).await), Code::UnknownDataset);
}
