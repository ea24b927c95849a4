//! Jobs, their queue and their log in Redis.
//!
//! A job is a hash (`row`); the indexes follow from it (`index`). Operations take jobs onto a sheet, move them and write
//! them back (`sheet`): `submit` takes a job in, `moves` takes it to its end, `ends` ends it with whatever must end with
//! it, `reap` does what time brings, `changes` has what users change and remove, `workers` forgets those that are gone.
//! Picking the next job and keeping leases are scripts of their own (`claims`, `beats`), because they are asked at every
//! turn.

mod beats;
mod changes;
mod check;
mod claims;
mod ends;
mod explain;
mod index;
mod lists;
mod moves;
pub(super) mod moving;
mod pauses;
mod ports;
mod reap;
mod remove;
mod row;
mod shares;
mod sheet;
mod stats;
mod submit;
mod workers;

pub(super) use remove::{remove_record, remove_result};
pub(super) use row::Row;
pub(super) use sheet::{Sheet, take, take_found};
pub(super) use submit::submit;
