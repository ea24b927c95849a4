//! The model on stores that end one job at a time of those who wait for one that ended badly.

use assay_core::Timestamp;
use proptest::collection::vec;
use proptest::prelude::*;

use super::queue::Reaping;
use super::steps::{Step, step};
use super::{Model, cases, runtime};
use crate::support::{EmbeddedHarness, Scene};

/// Compares after each step, when all have ended that are to end.
pub async fn compare_one_by_one(mut scene: Scene, steps: Vec<Step>) {
    scene.bound(|bounds| bounds.max_together = 1);
    let mut model = Model::new(scene);
    for step in steps {
        model.take(step).await;
        model.scene.is_sound().await;
        model.reap().await;
        model.agree().await;
    }
    model.check_log().await;
}

/// Reaps until nobody has still to end; what that did in all, and when there will be more.
pub async fn reap_all(scene: &Scene) -> (Reaping, Option<Timestamp>) {
    let mut told = (0, 0, 0);
    loop {
        let reaped = scene.jobs().reap().await.unwrap();
        told.0 += reaped.queued;
        told.1 += reaped.lost;
        told.2 += reaped.stopped;
        if reaped.next_at.is_none_or(|at| at > scene.clock_now()) {
            return (told, reaped.next_at);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: cases(), failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn ends_that_follow_one_by_one_agree_with_the_model(steps in vec(step(), 1..60)) {
        runtime().block_on(compare_one_by_one(Scene::new(EmbeddedHarness::new()), steps));
    }
}
