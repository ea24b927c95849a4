//! Many parts and hot records as fewer parts.

use assay_core::{CompactTask, HotRecord, KeyEntry, KeyHash, KeyIndex, RunControl};
use futures::TryStreamExt as _;

use super::*;

pub(super) fn compact_task(input: &Input, hot: Vec<HotRecord>) -> CompactTask {
    let InputSource::Dataset { parts, .. } = &input.source else {
        panic!("{:?}", input.source)
    };
    CompactTask {
        dataset: input.name.parse().unwrap(),
        key: input.key.clone(),
        version: Version(9),
        parts: parts.clone(),
        hot,
        folder: "datasets/d/new".into(),

        declared: Vec::new(),
    }
}

pub(super) fn hot(id: u64, key: Option<&str>, written: u64, json: &str) -> HotRecord {
    HotRecord {
        id,
        key: key.map(Into::into),
        written: Version(written),
        json: json.into(),
    }
}

impl Lab {
    pub(super) async fn index_of(&self, part: &Part) -> KeyIndex {
        let path = Path::from(KeyIndex::path_of(&part.path));
        let bytes = self.objects.get(&path).await.unwrap().bytes().await.unwrap();
        let told = part.index.as_ref().unwrap();
        assert_eq!(told.checksum, assay_formats::ingest::checksum(&bytes));
        KeyIndex::parse(bytes).unwrap()
    }

    async fn objects_in(&self, folder: &str) -> usize {
        let list = self.objects.list(Some(&Path::from(folder)));
        list.try_collect::<Vec<_>>().await.unwrap().len()
    }
}

/// Two parts with keys, the second of other types, and a row deleted in each.
async fn keyed() -> (Lab, Input) {
    let mut lab = Lab::new();
    let first = b"{\"id\":1,\"v\":1}\n{\"id\":\"x\",\"v\":2.5}\n{\"id\":3,\"v\":9}\n";
    let second = b"{\"id\":\"2024-01-31\",\"v\":\"a\"}\n{\"id\":5,\"v\":null}\n";
    let mut parts = Vec::new();
    for (file, added, gone) in [(&first[..], 2, 1), (&second[..], 4, 5)] {
        let part = lab.load("d", Some("id"), file).await.unwrap().remove(0);
        parts.push(LivePart {
            added: Version(added),
            deleted: [gone].into_iter().filter(|row| u64::from(*row) < part.rows).collect(),
            part: part.into(),
        });
    }
    let input = Input {
        key: Some("id".into()),
        ..lab.add_live("d", parts)
    };
    (lab, input)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn what_is_left_becomes_one_part_with_the_versions_of_its_records() {
    let (mut lab, input) = keyed().await;
    let hot = vec![
        hot(1, Some("7"), 6, "{\"id\":7,\"w\":true}"),
        hot(2, Some("8"), 7, "{\"id\":\"8\",\"v\":null}"),
    ];
    let task = compact_task(&input, hot);
    let parts = lab.engine.compact(&task, &RunControl::unattended()).await.unwrap();
    assert_eq!(parts.iter().map(|part| part.rows).collect::<Vec<_>>(), [6]);
    let index = lab.index_of(&parts[0]).await;
    let wanted = [("1", 2), ("3", 2), ("2024-01-31", 4), ("5", 4), ("7", 6), ("8", 7)];
    for (row, (key, written)) in (0..).zip(wanted) {
        let hash = KeyHash::of(key);
        let written = Some(Version(written));
        assert_eq!(index.find(&hash), Some(KeyEntry { hash, row, written }), "{key}");
    }
    let seen = |name: &str| parts[0].schema.find(name).unwrap().clone();
    assert_eq!((seen("v").kind, seen("w").kind), (Kind::Json, Kind::Bool));
    let counts = seen("v").seen;
    assert_eq!((counts.int, counts.float, counts.text, counts.null), (2, 0, 1, 2));
    // Compacted once more, the records keep the versions that wrote them.
    lab.inputs.clear();
    let again = Input {
        key: Some("id".into()),
        ..lab.add("d", parts)
    };
    let again = compact_task(&again, Vec::new());
    let parts = lab.engine.compact(&again, &RunControl::unattended()).await.unwrap();
    let index = lab.index_of(&parts[0]).await;
    assert_eq!(index.find(&KeyHash::of("5")).unwrap().written, Some(Version(4)));
    assert_eq!(index.find(&KeyHash::of("8")).unwrap().row, 5);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn parts_without_an_index_get_one() {
    let (lab, input) = keyed().await;
    let mut task = compact_task(&input, Vec::new());
    task.parts
        .iter_mut()
        .for_each(|live| Arc::make_mut(&mut live.part).index = None);
    let parts = lab.engine.compact(&task, &RunControl::unattended()).await.unwrap();
    let index = lab.index_of(&parts[0]).await;
    let found = ["1", "3", "2024-01-31", "5"].map(|key| index.find(&KeyHash::of(key)).unwrap());
    assert_eq!(found.map(|entry| entry.row), [0, 1, 2, 3]);
    assert_eq!(
        found.map(|entry| entry.written),
        [2, 2, 4, 4].map(|version| Some(Version(version)))
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn new_parts_are_not_without_bound_and_follow_each_other() {
    let mut lab = Lab::new();
    let mut parts = Vec::new();
    for range in [0..70_000, 70_000..130_000, 130_000..140_000] {
        let file: String = range.map(|n| format!("{{\"n\":{n}}}\n")).collect();
        parts.extend(lab.load("d", None, file.as_bytes()).await.unwrap());
    }
    let input = lab.add("d", parts);
    let task = compact_task(&input, vec![hot(1, None, 5, "{\"n\":140000}")]);
    let parts = lab.engine.compact(&task, &RunControl::unattended()).await.unwrap();
    assert_eq!(
        parts.iter().map(|part| part.rows).collect::<Vec<_>>(),
        [130_000, 10_001]
    );
    assert!(parts.iter().all(|part| part.index.is_none()));
    assert_eq!(parts[1].schema.find("n").unwrap().seen.int, 10_001);
    lab.inputs.clear();
    lab.add("d", parts);
    assert_eq!(
        lab.rows("SELECT n FROM d LIMIT 1 OFFSET 130000").await,
        [json!({"n": 130_000})]
    );
    assert_eq!(
        lab.rows("SELECT count(*) AS c, sum(n) AS s FROM d").await,
        [json!({"c": 140_001, "s": 9_800_070_000_i64})]
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn nothing_is_left_of_a_compaction_that_fails() {
    let (lab, input) = keyed().await;
    let control = RunControl::unattended();
    let mut broken = compact_task(&input, vec![hot(1, Some("9"), 6, "{\"id\":")]);
    let error = lab.engine.compact(&broken, &control).await.unwrap_err();
    check(&error, Code::InvalidJson, "line 1");
    broken.hot.clear();
    Arc::make_mut(&mut broken.parts[1].part).checksum = broken.parts[0].part.checksum.clone();
    check(
        &lab.engine.compact(&broken, &control).await.unwrap_err(),
        Code::FileDamaged,
        "not what was written",
    );
    let (stop, cancel) = tokio::sync::watch::channel(true);
    let stopped = RunControl::new(tokio::sync::mpsc::channel(1).0, cancel);
    let task = compact_task(&input, Vec::new());
    assert_eq!(
        lab.engine.compact(&task, &stopped).await.unwrap_err().code,
        Code::Canceled
    );
    drop(stop);
    assert_eq!(lab.objects_in("datasets/d/new").await, 0);
    let mut gone = task.clone();
    gone.parts
        .iter_mut()
        .for_each(|live| live.deleted = RowSet::new().complement(3));
    assert_eq!(lab.engine.compact(&gone, &control).await.unwrap(), []);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn records_without_attributes_are_records() {
    let mut lab = Lab::new();
    let input = lab.add("d", Vec::new());
    let task = compact_task(&input, vec![hot(1, None, 5, "{}"), hot(2, None, 5, "{ }")]);
    let parts = lab.engine.compact(&task, &RunControl::unattended()).await.unwrap();
    lab.inputs.clear();
    let input = lab.add("d", parts);
    assert_eq!(lab.rows("SELECT count(*) AS n FROM d").await, [json!({"n": 2})]);
    assert_eq!(pages::read(&lab, &pages::task(&input)).await.unwrap(), "[\n{},\n{}\n]");
}
