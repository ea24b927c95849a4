//! Random writes, loads, compactions and restores of one data set, and a map that says what must come of them.

use std::cell::Cell;
use std::collections::BTreeMap;
use std::sync::Arc;

use assay_core::{Author, Code, CommitMode, Compacted, Condition, NewDataset, Operation, Version, WriteOutcome};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::test_runner::TestRunner;

use super::{cases, runtime};
use crate::redis::{RedisHarness, Server};
use crate::support::{EmbeddedHarness, Scene, refused};
use crate::warehouse::{Warehouse, delete, name, put_if};

/// What a version holds: text and writer of each key.
pub(super) type Content = BTreeMap<String, (String, Version)>;

#[derive(Debug, Clone, Copy)]
pub(super) enum If {
    Any,
    Absent,
    Present,
    /// The record as it is, if there is one.
    Current,
    Stale,
}

#[derive(Debug, Clone)]
pub(super) enum Step {
    /// Keys, whether it is put, and on which condition.
    Write(Vec<(u8, bool, If)>),
    Load(CommitMode, Vec<u8>),
    /// Begins to compact parts (of those there, by bits) and perhaps the hot records, into parts of some rows.
    Begin {
        parts: u8,
        with_hot: bool,
        size: usize,
    },
    /// Ends the oldest compaction that was begun.
    End,
    Restore(usize),
    Sweep {
        hours: i64,
    },
    Reopen,
}

pub(super) fn step() -> impl Strategy<Value = Step> {
    let condition = prop_oneof![
        4 => Just(If::Any),
        1 => Just(If::Absent),
        1 => Just(If::Present),
        1 => Just(If::Current),
        1 => Just(If::Stale)
    ];
    let mode = prop_oneof![
        1 => Just(CommitMode::Replace),
        2 => Just(CommitMode::Append),
        3 => Just(CommitMode::Upsert)
    ];
    prop_oneof![
        8 => vec((0_u8..12, prop::bool::weighted(0.7), condition), 1..5).prop_map(Step::Write),
        2 => (mode, vec(0_u8..12, 1..8)).prop_map(|(mode, keys)| Step::Load(mode, keys)),
        3 => (any::<u8>(), any::<bool>(), 1_usize..5)
            .prop_map(|(parts, with_hot, size)| Step::Begin { parts, with_hot, size }),
        3 => Just(Step::End),
        2 => any::<usize>().prop_map(Step::Restore),
        1 => prop_oneof![Just(1_i64), Just(100)].prop_map(|hours| Step::Sweep { hours }),
        1 => Just(Step::Reopen),
    ]
}

pub(super) struct Run {
    pub scene: Scene,
    warehouse: Warehouse,
    /// By version, from the oldest that is kept.
    pub versions: BTreeMap<u64, Content>,
    pub begun: Vec<Compacted>,
    /// Makes texts differ.
    texts: u64,
}

impl Run {
    pub(super) async fn new(scene: Scene) -> Self {
        let new = NewDataset {
            name: name(),
            key: Some("id".to_owned()),
            description: None,
            rules: None,
            source: None,
        };
        scene.catalog().create(new, Author::default()).await.unwrap();
        Self {
            scene,
            warehouse: Warehouse::default(),
            versions: [(1, Content::new())].into(),
            begun: Vec::new(),
            texts: 0,
        }
    }

    fn newest(&self) -> (u64, &Content) {
        let (version, content) = self.versions.last_key_value().unwrap();
        (*version, content)
    }

    fn text(&mut self) -> String {
        self.texts += 1;
        self.texts.to_string()
    }

    pub(super) async fn take(&mut self, step: Step) {
        match step {
            Step::Write(writes) => self.write(writes).await,
            Step::Load(mode, keys) => self.load(mode, keys).await,
            Step::Begin { parts, with_hot, size } => self.begin(parts, with_hot, size).await,
            Step::End => self.end().await,
            Step::Restore(place) => {
                let version = *self.versions.keys().nth(place % self.versions.len()).unwrap();
                let author = Author::default();
                let entry = self
                    .scene
                    .catalog()
                    .restore(&name(), Version(version), author)
                    .await
                    .unwrap();
                let content = self.versions[&version].clone();
                assert_eq!(
                    (entry.operation, entry.rows),
                    (Operation::Restore, content.len() as u64)
                );
                self.next(content);
            }
            Step::Sweep { hours } => self.sweep(hours).await,
            Step::Reopen => self.scene.reopen(),
        }
    }

    fn next(&mut self, content: Content) {
        let version = self.newest().0 + 1;
        self.versions.insert(version, content);
    }

    async fn write(&mut self, writes: Vec<(u8, bool, If)>) {
        let (newest, content) = self.newest();
        let (version, mut content) = (Version(newest + 1), content.clone());
        let before = content.clone();
        let (mut batch, mut expected) = (Vec::new(), Vec::new());
        for (key, is_put, condition) in writes {
            let key = key.to_string();
            let there = content.get(&key).map(|(_, written)| *written);
            let condition = match (condition, there) {
                (If::Absent, _) => Condition::Absent,
                (If::Present, _) => Condition::Present,
                (If::Current, Some(written)) => Condition::Written(written),
                (If::Stale, _) => Condition::Written(Version(0)),
                _ => Condition::Any,
            };
            let text = self.text();
            let mut write = put_if(&key, &text, condition);
            if !is_put {
                write.change = delete(&key).change;
            }
            batch.push(write);
            expected.push(match (condition.holds(there), is_put, there) {
                (false, _, _) => WriteOutcome::Unmet(there),
                (true, true, None) => WriteOutcome::Created,
                (true, true, Some(_)) => WriteOutcome::Replaced,
                (true, false, None) => WriteOutcome::Missing,
                (true, false, Some(_)) => WriteOutcome::Deleted,
            });
            match condition.holds(there) {
                true if is_put => drop(content.insert(key, (text, version))),
                true => drop(content.remove(&key)),
                false => {}
            }
        }
        let written = self.scene.put(batch).await;
        assert_eq!(written.outcomes, expected);
        if content != before {
            self.next(content);
        }
        assert_eq!(written.version.0, self.newest().0);
    }

    async fn load(&mut self, mode: CommitMode, mut keys: Vec<u8>) {
        keys.sort_unstable();
        keys.dedup();
        let (newest, content) = self.newest();
        let (version, mut content) = (Version(newest + 1), content.clone());
        if mode == CommitMode::Replace {
            content.clear();
        }
        let rows: Vec<_> = keys.iter().map(|key| (key.to_string(), self.text())).collect();
        let is_refused = mode == CommitMode::Append && rows.iter().any(|(key, _)| content.contains_key(key));
        let half = rows.len() / 2;
        let parts = [
            self.warehouse.part(&self.scene, rows[..half].to_vec(), None).await,
            self.warehouse.part(&self.scene, rows[half..].to_vec(), None).await,
        ];
        let job = self.scene.load_parts(mode, parts.into()).await;
        assert_eq!(
            job.error.map(|error| error.code),
            is_refused.then_some(Code::DuplicateKey)
        );
        if !is_refused {
            content.extend(rows.into_iter().map(|(key, text)| (key, (text, version))));
            self.next(content);
        }
    }

    async fn begin(&mut self, parts: u8, with_hot: bool, size: usize) {
        let snapshot = self.scene.catalog().snapshot(&name(), None).await.unwrap();
        let chosen = snapshot
            .parts
            .into_iter()
            .enumerate()
            .filter(|(at, _)| parts >> (at % 8) & 1 == 1);
        let task = assay_core::CompactTask {
            dataset: snapshot.name,
            key: snapshot.key,
            version: snapshot.version,
            parts: chosen.map(|(_, part)| part).collect(),
            hot: if with_hot { snapshot.hot } else { Vec::new() },
            folder: "datasets/d".to_owned(),
            declared: Vec::new(),
        };
        let compacted = self.warehouse.compact(&self.scene, task, size).await;
        self.begun.push(compacted);
    }

    async fn end(&mut self) {
        if self.begun.is_empty() {
            return;
        }
        let compacted = self.begun.remove(0);
        if self.scene.records().compact(compacted).await.unwrap() {
            let content = self.newest().1.clone();
            self.next(content);
        }
    }

    async fn sweep(&mut self, hours: i64) {
        self.scene.advance(hours * 3_600_000);
        self.scene.upkeep().sweep().await.unwrap();
        let page = assay_core::PageRequest {
            after: None,
            limit: 1_000,
        };
        let kept = self.scene.catalog().versions(&name(), page).await.unwrap().items;
        let oldest = kept.last().unwrap().version.0;
        self.versions.retain(|version, _| *version >= oldest);
        assert_eq!(kept.len(), self.versions.len());
        if oldest > 1 {
            let gone = self.scene.catalog().snapshot(&name(), Some(Version(oldest - 1))).await;
            assert_eq!(refused(gone), Code::VersionExpired);
        }
    }

    /// Every version that is kept reads as the model says, by scan and by key.
    pub(super) async fn compare(&self, place: usize) {
        let older = *self.versions.keys().nth(place % self.versions.len()).unwrap();
        for version in [self.newest().0, older] {
            let content = &self.versions[&version];
            let snapshot = self
                .scene
                .catalog()
                .snapshot(&name(), Some(Version(version)))
                .await
                .unwrap();
            let texts = content.iter().map(|(key, (text, _))| (key.clone(), text.clone()));
            assert_eq!(self.warehouse.read(&snapshot), texts.collect(), "version {version}");
            let key = (place % 12).to_string();
            let found = self.warehouse.find(&self.scene, &key, Some(Version(version))).await;
            assert_eq!(found.as_ref(), content.get(&key), "`{key}` in version {version}");
        }
        let entry = self.scene.catalog().find(&name()).await.unwrap().unwrap();
        let (newest, content) = self.newest();
        assert_eq!((entry.version.0, entry.rows), (newest, content.len() as u64));
    }
}

async fn compare(scene: Scene, steps: Vec<(Step, usize)>) {
    let mut run = Run::new(scene).await;
    for (step, place) in steps {
        run.take(step).await;
        run.compare(place).await;
    }
}

fn check(scene: impl Fn() -> Scene) {
    let config = ProptestConfig {
        cases: cases() * 3 / 8,
        max_shrink_iters: 2_000,
        failure_persistence: None,
        ..ProptestConfig::default()
    };
    let agreed = TestRunner::new(config).run(&vec((step(), any::<usize>()), 1..40), |steps| {
        runtime().block_on(async { compare(scene(), steps).await });
        Ok(())
    });
    if let Err(error) = agreed {
        panic!("{error}");
    }
}

#[test]
fn records_are_as_a_map_says() {
    check(|| Scene::new(EmbeddedHarness::new()));
}

#[test]
fn records_on_redis_are_as_a_map_says() {
    let server = Arc::new(Server::start());
    let history = Cell::new(0);
    check(|| {
        history.set(history.get() + 1);
        Scene::new(RedisHarness::on(server.clone(), &format!("history-{}", history.get())))
    });
}
