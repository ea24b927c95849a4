//! The store on Redis agrees with the same model; one server for all histories, each with a tag of its own.

use std::cell::Cell;
use std::sync::Arc;

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::test_runner::TestRunner;

use super::one_by_one::compare_one_by_one;
use super::steps::{Step, crowded_step, step};
use super::{cases, compare, runtime};
use crate::redis::{RedisHarness, Server};
use crate::support::Scene;

fn check<W: Future<Output = ()>>(steps: impl Strategy<Value = Step>, compare: impl Fn(Scene, Vec<Step>) -> W) {
    let server = Arc::new(Server::start());
    let history = Cell::new(0);
    let config = ProptestConfig {
        cases: cases() / 2,
        failure_persistence: None,
        ..ProptestConfig::default()
    };
    let agreed = TestRunner::new(config).run(&vec(steps, 1..60), |steps| {
        history.set(history.get() + 1);
        let harness = RedisHarness::on(server.clone(), &format!("history-{}", history.get()));
        runtime().block_on(async { compare(Scene::new(harness), steps).await });
        Ok(())
    });
    if let Err(error) = agreed {
        panic!("{error}");
    }
}

#[test]
fn the_store_on_redis_agrees_with_its_model() {
    check(step(), compare);
}

#[test]
fn ends_that_follow_one_by_one_on_redis_agree_with_the_model() {
    check(step(), compare_one_by_one);
}

#[test]
fn identical_jobs_on_redis_agree_with_the_model() {
    check(crowded_step(), compare);
}
