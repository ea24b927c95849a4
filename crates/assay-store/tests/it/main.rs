//! Tests of the stores: the conformance suite that every store passes, random operations against a model, and what is
//! particular to the embedded store and the folder of objects.

#![allow(clippy::unwrap_used, reason = "a test may fail")]

mod compat;
mod conformance;
mod doctor;
mod folder;
mod leftovers;
mod links;
mod model;
mod moving;
mod objects;
mod redis;
mod redis_port;
mod services;
mod support;
mod warehouse;

use support::EmbeddedHarness;

conformance!(embedded, EmbeddedHarness::new());
conformance!(on_redis, redis::RedisHarness::new());
conformance!(on_a_cluster, redis::ClusterHarness::new());
