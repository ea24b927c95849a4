//! The forms that go over the wire. They are part of the contract; the stored types are not.

pub(crate) mod analysis;
pub(crate) mod change;
pub(crate) mod dataset;
pub(crate) mod event;
pub(crate) mod hook;
pub(crate) mod job;
pub(crate) mod link;
pub(crate) mod notify;
pub(crate) mod queue;
pub(crate) mod record;
pub(crate) mod request;
pub(crate) mod schedule;
pub(crate) mod upload;
