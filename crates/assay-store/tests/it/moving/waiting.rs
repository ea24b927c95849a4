//! A store is moved while jobs that waited for a failed one have still to end: they end in the new place.

use assay_core::{Code, JobId, State};

use super::{End, moved};
use crate::redis::RedisHarness;
use crate::support::{EmbeddedHarness, Harness, Scene};

async fn child_of(scene: &Scene, parent: &JobId) -> JobId {
    let depends_on = vec![parent.clone()];
    scene.submit_as(|spec| spec.depends_on = depends_on).await
}

/// Reaps until all have ended, one at a time; gives how often that was.
async fn end_all(scene: &Scene, waiting: &[JobId]) -> usize {
    for times in 1.. {
        scene.is_sound().await;
        if scene.jobs().reap().await.unwrap().next_at.is_some() {
            continue;
        }
        for id in waiting {
            let job = scene.get(id).await;
            let code = job.error.map(|error| error.code);
            assert_eq!((job.state, code), (State::Failed, Some(Code::DependencyFailed)));
        }
        return times;
    }
    unreachable!("it returns")
}

async fn moves(old: impl Harness + Clone + 'static, new: impl Harness + Clone + 'static, from: End<'_>, to: End<'_>) {
    let mut scene = Scene::new(old);
    scene.bound(|bounds| bounds.max_together = 1);
    let parent = scene.submit().await;
    let mut waiting = Vec::new();
    for _ in 0..3 {
        let child = child_of(&scene, &parent).await;
        waiting.push(child_of(&scene, &child).await);
        waiting.push(child);
    }
    scene.jobs().cancel(&parent).await.unwrap();
    let clock = scene.clock.clone();
    scene.close();
    moved(from, to, &clock).await.unwrap();
    let mut scene = Scene::with_clock(new, clock);
    scene.bound(|bounds| bounds.max_together = 1);
    assert_eq!(end_all(&scene, &waiting).await, 5);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_waits_for_a_canceled_job_ends_in_redis() {
    let (old, new) = (EmbeddedHarness::new(), RedisHarness::new());
    moves(old.clone(), new.clone(), End::Folder(&old), End::Redis(&new)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_waits_for_a_canceled_job_ends_in_a_folder() {
    let (old, new) = (RedisHarness::new(), EmbeddedHarness::new());
    moves(old.clone(), new.clone(), End::Redis(&old), End::Folder(&new)).await;
}
