//! Data sets and their versions.

use assay_core::{Catalog, Clock as _, Code, CommitMode, JobId, PageRequest, Snapshot, State, Version};

use crate::support::{LEASE_MS, Scene, commit, committed, pinned, refused};

async fn snapshot(scene: &Scene, name: &str, version: Option<u64>) -> Snapshot {
    let name = name.parse().unwrap();
    scene.catalog().snapshot(&name, version.map(Version)).await.unwrap()
}

fn paths(snapshot: &Snapshot) -> Vec<&str> {
    snapshot.parts.iter().map(|part| part.part.path.as_str()).collect()
}

pub async fn a_version_is_visible_with_the_state_of_its_job(scene: Scene) {
    let lease = scene.running().await;
    let name = "genes".parse().unwrap();
    assert_eq!(scene.catalog().find(&name).await.unwrap(), None);
    let outcome = committed(commit(CommitMode::Replace, "genes", "a"));
    let job = scene.jobs().finish(&lease, outcome).await.unwrap();
    assert_eq!(
        (job.state, job.wrote.clone()),
        (State::Succeeded, Some(pinned("genes", 1)))
    );
    assert_eq!(scene.get(&lease.job).await, job);
    let entry = scene.catalog().find(&name).await.unwrap().unwrap();
    assert_eq!((entry.version, entry.rows, entry.bytes), (Version(1), 2, 10));
    assert_eq!(
        (entry.created_at, entry.updated_at),
        (scene.clock.now(), scene.clock.now())
    );
    let snapshot = snapshot(&scene, "genes", None).await;
    assert_eq!((snapshot.written_by, snapshot.version), (Some(job.id), Version(1)));
}

pub async fn replacing_and_appending_make_the_next_version(scene: Scene) {
    scene.load(CommitMode::Replace, "genes", "a").await;
    scene.advance(1_000);
    let job = scene.load(CommitMode::Append, "genes", "b").await;
    assert_eq!(job.wrote, Some(pinned("genes", 2)));
    let appended = snapshot(&scene, "genes", None).await;
    assert_eq!(
        (paths(&appended), appended.rows, appended.bytes),
        (vec!["a", "b"], 4, 20)
    );
    scene.load(CommitMode::Replace, "genes", "c").await;
    let replaced = snapshot(&scene, "genes", None).await;
    assert_eq!(
        (paths(&replaced), replaced.version, replaced.rows),
        (vec!["c"], Version(3), 2)
    );
    let entry = scene.catalog().find(&"genes".parse().unwrap()).await.unwrap().unwrap();
    assert_eq!(entry.updated_at.millis_since(entry.created_at), 1_000);
}

pub async fn former_versions_stay_readable(scene: Scene) {
    let mut seen = Vec::new();
    for (mode, path) in [
        (CommitMode::Replace, "a"),
        (CommitMode::Append, "b"),
        (CommitMode::Replace, "c"),
        (CommitMode::Append, "d"),
    ] {
        scene.load(mode, "genes", path).await;
        seen.push(snapshot(&scene, "genes", None).await);
    }
    for (before, version) in seen.iter().zip(1..) {
        assert_eq!(&snapshot(&scene, "genes", Some(version)).await, before);
    }
    assert_eq!(paths(&seen[1]), ["a", "b"]);
    assert_eq!(paths(&seen[3]), ["c", "d"]);
}

pub async fn an_append_goes_onto_whatever_is_newest(scene: Scene) {
    scene.load(CommitMode::Replace, "genes", "a").await;
    let (first, second) = (scene.running().await, scene.running().await);
    for (lease, path) in [(&second, "c"), (&first, "b")] {
        let outcome = committed(commit(CommitMode::Append, "genes", path));
        scene.jobs().finish(lease, outcome).await.unwrap();
    }
    let newest = snapshot(&scene, "genes", None).await;
    assert_eq!((paths(&newest), newest.version), (vec!["a", "c", "b"], Version(3)));
}

pub async fn a_commit_that_cannot_apply_fails_its_job(scene: Scene) {
    scene.load(CommitMode::Replace, "genes", "a").await;
    let lease = scene.running().await;
    let mut bad = commit(CommitMode::Append, "genes", "b");
    bad.key = Some("id".to_owned());
    let job = scene.jobs().finish(&lease, committed(bad)).await.unwrap();
    assert_eq!(
        (job.state, job.result.clone(), job.wrote.clone()),
        (State::Failed, None, None)
    );
    assert_eq!(job.error.as_ref().unwrap().code, Code::Conflict);
    assert_eq!(scene.get(&lease.job).await, job);
    assert_eq!(paths(&snapshot(&scene, "genes", None).await), ["a"]);
}

pub async fn an_old_fence_commits_nothing(scene: Scene) {
    let lease = scene.running().await;
    scene.advance(LEASE_MS);
    scene.jobs().reap().await.unwrap();
    let outcome = committed(commit(CommitMode::Replace, "genes", "a"));
    assert_eq!(refused(scene.jobs().finish(&lease, outcome).await), Code::LeaseLost);
    assert_eq!(scene.catalog().find(&"genes".parse().unwrap()).await.unwrap(), None);
}

pub async fn names_are_compared_without_regard_to_case(scene: Scene) {
    scene.load(CommitMode::Replace, "Genes", "a").await;
    let job = scene.load(CommitMode::Append, "gENES", "b").await;
    assert_eq!(job.wrote.unwrap().version, Version(2));
    assert_eq!(paths(&snapshot(&scene, "genes", None).await), ["a", "b"]);
    assert_eq!(scene.catalog().names().await.unwrap().len(), 1);
}

pub async fn what_is_not_there_is_told_with_a_hint(scene: Scene) {
    scene.load(CommitMode::Replace, "penguins", "a").await;
    let error = scene
        .catalog()
        .snapshot(&"pengiuns".parse().unwrap(), None)
        .await
        .unwrap_err();
    assert_eq!(error.code, Code::UnknownDataset);
    assert_eq!(error.message, "data set `pengiuns` does not exist");
    assert_eq!(error.hint.as_deref(), Some("did you mean `penguins`?"));
    let penguins = "penguins".parse().unwrap();
    for version in [0, 2] {
        let error = scene
            .catalog()
            .snapshot(&penguins, Some(Version(version)))
            .await
            .unwrap_err();
        assert_eq!(error.code, Code::UnknownVersion);
        assert_eq!(error.hint.as_deref(), Some("its newest version is `1`"));
    }
}

pub async fn data_sets_are_listed_by_name_in_pages(scene: Scene) {
    for name in ["b", "C", "a"] {
        scene.load(CommitMode::Replace, name, name).await;
    }
    let page = |after| PageRequest { after, limit: 2 };
    let first = Catalog::list(scene.catalog(), page(None)).await.unwrap();
    let second = Catalog::list(scene.catalog(), page(first.next.clone())).await.unwrap();
    let all: Vec<_> = first
        .items
        .iter()
        .chain(&second.items)
        .map(|entry| entry.name.as_str())
        .collect();
    assert_eq!((first.items.len(), second.next), (2, None));
    assert_eq!(all, ["a", "b", "C"]);
    assert_eq!(scene.catalog().names().await.unwrap(), ["a", "b", "C"]);
}

pub async fn what_is_referred_to_is_known(scene: Scene) {
    scene.load(CommitMode::Replace, "genes", "datasets/genes/a").await;
    scene.load(CommitMode::Replace, "genes", "datasets/genes/b").await;
    let lease = scene.running().await;
    let mut stored = crate::support::result();
    stored.data = assay_core::ResultData::Object {
        path: "results/x".to_owned(),
        checksum: String::new(),
    };
    let outcome = assay_core::Outcome::Succeeded {
        result: stored,
        commit: None,
        usage: Default::default(),
    };
    scene.jobs().finish(&lease, outcome).await.unwrap();
    let upload = |id: &mut Option<String>, path: &str| *id = Some(path.to_owned());
    scene.submit_as(|job| upload(&mut job.upload, "uploads/waiting")).await;
    let done: JobId = scene.submit_as(|job| upload(&mut job.upload, "uploads/done")).await;
    scene.jobs().cancel(&done).await.unwrap();
    let mut referenced: Vec<_> = scene.upkeep().referenced_objects().await.unwrap().into_iter().collect();
    referenced.sort();
    assert_eq!(
        referenced,
        ["datasets/genes/a", "datasets/genes/b", "results/x", "uploads/waiting"]
    );
}
