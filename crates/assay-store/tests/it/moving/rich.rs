//! A store with something of everything.

use assay_core::{
    Author, Beat, Change, Code, CommitMode, Condition, DatasetChange, DatasetName, DeliveryOutcome, Hook, HookFormat,
    HookId, Idempotency, JobId, Misfire, NewDataset, Overlap, RecordWrite, Rejects, Rules, Schedule, ShareLimits,
    SigningSecret, State, Target, UserName, Version,
};
use object_store::ObjectStoreExt as _;
use object_store::path::Path;

use crate::support::{Scene, commit, committed, failed, new_job, progress, succeeded};
use crate::warehouse::{Warehouse, delete, name, put};

/// What is looked at again after a move.
pub struct Rich {
    pub warehouse: Warehouse,
    pub keyed_with: Idempotency,
    pub keyed: JobId,
    pub unique: JobId,
    pub running: JobId,
    pub child: JobId,
}

pub fn mail() -> Target {
    Target::Email {
        address: "anna@example.org".to_owned(),
    }
}

pub fn loose() -> DatasetName {
    "Loose".parse().unwrap()
}

pub async fn fill(scene: &Scene) -> Rich {
    let warehouse = Warehouse::default();
    fill_keyed(scene, &warehouse).await;
    fill_loose(scene).await;
    fill_notices(scene).await;
    let rich = fill_jobs(scene, warehouse).await;
    scene.is_sound().await;
    rich
}

/// A data set with a key: loads, single writes, deletions, compactions of few and of all, a restore.
async fn fill_keyed(scene: &Scene, warehouse: &Warehouse) {
    let row = |key: &str| (key.to_owned(), format!("{{\"id\":\"{key}\"}}"));
    let part = warehouse.part(scene, ["a", "b", "c"].map(row).to_vec(), None).await;
    scene.load_parts(CommitMode::Replace, vec![part]).await;
    for round in 0..4 {
        let text = format!("{{\"round\":{round}}}");
        scene.put(vec![put("a", &text), put(&format!("n{round}"), &text)]).await;
    }
    scene.put(vec![delete("b"), delete("n0"), put("ä", "\"ü\"")]).await;
    let snapshot = scene.catalog().snapshot(&name(), None).await.unwrap();
    let task = |hot| assay_core::CompactTask {
        dataset: snapshot.name.clone(),
        key: snapshot.key.clone(),
        version: snapshot.version,
        parts: Vec::new(),
        hot,
        folder: "datasets/d".to_owned(),
        declared: Vec::new(),
    };
    let few = warehouse.compact(scene, task(snapshot.hot[..1].to_vec()), 2).await;
    assert!(scene.records().compact(few).await.unwrap());
    scene.put(vec![put("a", "1"), put("n1", "2")]).await;
    let old = scene.catalog().snapshot(&name(), None).await.unwrap();
    let task = assay_core::CompactTask {
        version: old.version,
        hot: old.hot.clone(),
        ..task(Vec::new())
    };
    let all = warehouse.compact(scene, task, 2).await;
    assert!(scene.records().compact(all).await.unwrap());
    scene.put(vec![put("c", "3"), put("late", "4")]).await;
    let by = Author {
        user: Some("anna".parse().unwrap()),
        message: Some("as it was".to_owned()),
    };
    scene
        .catalog()
        .restore(&name(), Version(old.version.0 - 1), by)
        .await
        .unwrap();
    scene.put(vec![put("later", "5"), delete("c")]).await;
}

/// One without a key, with rules, rejects and a description; and one that is gone.
async fn fill_loose(scene: &Scene) {
    let new = NewDataset {
        name: loose(),
        key: None,
        description: Some("no key".to_owned()),
        rules: None,
        source: None,
    };
    scene.catalog().create(new, Author::default()).await.unwrap();
    let write = |json: &str| RecordWrite {
        key: None,
        condition: Condition::Any,
        change: Change::Put(json.to_owned()),
    };
    for round in 0..12 {
        let writes = vec![write(&format!("{{\"n\":{round}}}")), write("{}")];
        let by = Author::default();
        scene.records().write(&loose(), writes, Version(0), by).await.unwrap();
    }
    let lease = scene.running().await;
    let part = "datasets/loose/1";
    let objects = scene.ports().objects.clone();
    objects.put(&Path::from(part), vec![7].into()).await.unwrap();
    let mut aside = commit(CommitMode::Append, "loose", part);
    aside.rejects = Some(Rejects {
        path: "datasets/loose/rejects".to_owned(),
        count: 3,
    });
    scene.jobs().finish(&lease, committed(aside)).await.unwrap();
    let change = DatasetChange {
        rules: Some(Some(Rules::Schema(serde_json::json!({"type": "object"})))),
        ..DatasetChange::default()
    };
    scene
        .catalog()
        .change(&loose(), change, Author::default())
        .await
        .unwrap();
    scene.load(CommitMode::Append, "gone", "datasets/gone/1").await;
    scene.catalog().remove(&"gone".parse().unwrap()).await.unwrap();
}

async fn fill_notices(scene: &Scene) {
    let anna: UserName = "anna".parse().unwrap();
    let hook = Hook {
        id: HookId::generate(scene.clock_now()),
        owner: UserName::local(),
        url: "https://example.org/hook".to_owned(),
        format: HookFormat::Slack,
        secrets: vec![SigningSecret::generate().unwrap()],
        states: vec![State::Succeeded],
        analysis: None,
        description: "for the team".to_owned(),
        disabled: None,
        created_at: scene.clock_now(),
    };
    assert!(scene.hooks().put(hook.clone(), None).await.unwrap());
    scene.outbox().ping(&hook.id).await.unwrap();
    let secret = SigningSecret::generate().unwrap();
    scene.hooks().signing_secrets(&anna, &secret).await.unwrap();
    for (name, paused) in [("nightly", false), ("weekly", true)] {
        let schedule = Schedule {
            owner: anna.clone(),
            name: name.parse().unwrap(),
            cron: "0 6 * * 1-5".to_owned(),
            time_zone: "Europe/Zurich".to_owned(),
            job: serde_json::json!({"analysis": "histogram", "params": {"z": 0.1}}),
            misfire: Misfire::All,
            overlap: Overlap::Cancel,
            paused,
            created_at: scene.clock_now(),
            next_at: Some(scene.later(10_000)),
            last: None,
        };
        assert!(scene.schedules().put(schedule, None).await.unwrap());
    }
    let limits = ShareLimits {
        weight: 3,
        max_running: 2,
        max_waiting: 20,
    };
    scene.queue().set_limits(&anna, Some(limits)).await.unwrap();
    scene.queue().pause(Some("histogram"), "too slow").await.unwrap();
}

async fn fill_jobs(scene: &Scene, warehouse: Warehouse) -> Rich {
    let ended = scene
        .submit_as(|spec| {
            spec.notify = vec![mail()];
        })
        .await;
    let lease = scene.claim_one().await;
    assert_eq!(lease.job, ended);
    scene.jobs().finish(&lease, succeeded()).await.unwrap();
    let taken = scene.outbox().take_due(1).await.unwrap().remove(0);
    scene
        .outbox()
        .settle(taken.id, DeliveryOutcome::Delivered, None)
        .await
        .unwrap();

    let keyed_with = Idempotency {
        key: "order 7".to_owned(),
        fingerprint: "ab12".to_owned(),
    };
    let new = new_job(scene.clock_now());
    let keyed = scene.jobs().submit(new, Some(keyed_with.clone())).await.unwrap().job.id;
    let lease = scene.claim_one().await;
    scene.jobs().finish(&lease, failed(Code::UnknownColumn)).await.unwrap();

    let lead = scene.submit_sharing("digest-1", None).await;
    scene.submit_sharing("digest-1", None).await;
    let running = scene.claim_one().await;
    assert_eq!(running.job, lead.id);
    let beat = Beat {
        lease: running.clone(),
        progress: Some(progress("reading", 5)),
    };
    scene.jobs().beat(vec![beat]).await.unwrap();
    let unique = scene
        .submit_as(|spec| {
            spec.owner = "anna".parse().unwrap();
            spec.unique_key = Some("only one".to_owned());
        })
        .await;
    let child = scene.submit_as(|spec| spec.depends_on = vec![unique.clone()]).await;
    let run_at = scene.later(60_000);
    scene.submit_as(|spec| spec.run_at = Some(run_at)).await;
    scene
        .submit_as(|spec| spec.inputs = vec![crate::support::pinned("d", 3)])
        .await;
    let canceled = scene.submit().await;
    scene.jobs().cancel(&canceled).await.unwrap();
    Rich {
        warehouse,
        keyed_with,
        keyed,
        unique,
        running: running.job,
        child,
    }
}
