//! After random histories a store is moved, and goes on as the one that stayed where it was.

use std::cell::Cell;
use std::sync::Arc;

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::test_runner::TestRunner;

use super::records::{self, Run};
use super::steps::{Step, crowded_step, step};
use super::twins::Twin;
use super::{cases, runtime};
use crate::moving::{End, fixed, free, moved};
use crate::redis::{RedisHarness, Server};
use crate::support::{EmbeddedHarness, Scene};

fn config() -> ProptestConfig {
    ProptestConfig {
        cases: cases() / 4,
        failure_persistence: None,
        ..ProptestConfig::default()
    }
}

/// Does the first steps in a folder, moves that into Redis and back, and does the others in all three places.
async fn jobs_go_on(redis: RedisHarness, first: Vec<Step>, then: Vec<Step>) {
    let (old, new) = (EmbeddedHarness::new(), EmbeddedHarness::new());
    let mut stayed = Twin::new(Scene::new(old.clone()));
    for step in &first {
        stayed.take(step).await;
    }
    if stayed.jobs.is_empty() {
        return;
    }
    // What runs is lost at once in the one, and by its lease in the other.
    stayed.scene.reopen();
    let clock = stayed.scene.clock.clone();
    stayed.scene.close();
    let there = moved(End::Folder(&old), End::Redis(&redis), &clock).await.unwrap();
    let back = moved(End::Redis(&redis), End::Folder(&new), &clock).await.unwrap();
    assert_eq!(fixed(&there), fixed(&back));
    free(End::Folder(&old), &clock).await;
    free(End::Redis(&redis), &clock).await;
    stayed.scene.reopen();
    let mut others = [
        Scene::with_clock(redis, clock.clone()),
        Scene::with_clock(new, clock.clone()),
    ]
    .map(|scene| Twin {
        scene,
        jobs: stayed.jobs.clone(),
        leases: stayed.leases.clone(),
    });
    for twin in &others {
        assert_eq!(stayed.seen().await, twin.seen().await);
        twin.scene.is_sound().await;
    }
    for step in &then {
        let now = assay_core::Clock::now(&*clock);
        let expected = stayed.take(step).await;
        let later = assay_core::Clock::now(&*clock);
        for twin in &mut others {
            // All have one clock, which each of them moves.
            clock.advance_millis(now.0 - assay_core::Clock::now(&*clock).0);
            assert_eq!(expected, twin.take(step).await, "{step:?}");
            assert_eq!(stayed.charged().await, twin.charged().await, "{step:?}");
        }
        assert_eq!(assay_core::Clock::now(&*clock), later);
    }
    for twin in &others {
        assert_eq!(stayed.seen().await, twin.seen().await);
        twin.scene.is_sound().await;
    }
}

fn check(steps: impl Strategy<Value = Step> + Clone) {
    let server = Arc::new(Server::start());
    let history = Cell::new(0);
    let histories = (vec(steps.clone(), 1..50), vec(steps, 1..20));
    let agreed = TestRunner::new(config()).run(&histories, |(first, then)| {
        history.set(history.get() + 1);
        let redis = RedisHarness::on(server.clone(), &format!("moved-{}", history.get()));
        runtime().block_on(async { jobs_go_on(redis, first, then).await });
        Ok(())
    });
    if let Err(error) = agreed {
        panic!("{error}");
    }
}

#[test]
fn jobs_go_on_after_a_move() {
    check(step().boxed());
}

#[test]
fn identical_jobs_go_on_after_a_move() {
    check(crowded_step().boxed());
}

/// Moves the data set into Redis and back into a folder between the steps.
async fn records_go_on(redis: RedisHarness, rounds: Vec<Vec<(records::Step, usize)>>) {
    let (old, new) = (EmbeddedHarness::new(), EmbeddedHarness::new());
    let mut run = Run::new(Scene::new(old.clone())).await;
    let clock = run.scene.clock.clone();
    for (round, steps) in rounds.into_iter().enumerate() {
        for (step, place) in steps {
            run.take(step).await;
            run.compare(place).await;
        }
        // Who compacts is gone.
        run.begun.clear();
        run.scene.close();
        match round {
            0 => {
                moved(End::Folder(&old), End::Redis(&redis), &clock).await.unwrap();
                run.scene = Scene::with_clock(redis.clone(), clock.clone());
            }
            _ => {
                moved(End::Redis(&redis), End::Folder(&new), &clock).await.unwrap();
                run.scene = Scene::with_clock(new.clone(), clock.clone());
            }
        }
        for place in 0..run.versions.len().max(12) {
            run.compare(place).await;
        }
        if round == 1 {
            return;
        }
    }
}

#[test]
fn records_are_as_a_map_says_after_moves() {
    let server = Arc::new(Server::start());
    let history = Cell::new(0);
    let steps = || vec((records::step(), any::<usize>()), 1..25);
    let histories = (steps(), steps());
    let agreed = TestRunner::new(config()).run(&histories, |(first, then)| {
        history.set(history.get() + 1);
        let redis = RedisHarness::on(server.clone(), &format!("moved-{}", history.get()));
        runtime().block_on(async { records_go_on(redis, vec![first, then]).await });
        Ok(())
    });
    if let Err(error) = agreed {
        panic!("{error}");
    }
}
