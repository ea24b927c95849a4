//! The worker from outside: jobs in a real store with a scripted engine, and real processes with scripted orders.

#![allow(clippy::unwrap_used, reason = "a test may fail")]

mod engine_pool;
mod inputs;
mod notices;
mod pool;
mod receivers;
mod support;
