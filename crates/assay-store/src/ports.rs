//! All ports of a store together.

use std::sync::Arc;

use assay_core::{Catalog, Changes, Events, History, Hooks, Jobs, Outbox, Queue, Records, Schedules, Upkeep, Workers};
use object_store::ObjectStore;

use crate::{EmbeddedStore, RedisStore};

/// A store as its users see it, whichever it is.
#[derive(Clone)]
pub struct Ports {
    pub jobs: Arc<dyn Jobs>,
    pub queue: Arc<dyn Queue>,
    pub workers: Arc<dyn Workers>,
    pub changes: Arc<dyn Changes>,
    pub upkeep: Arc<dyn Upkeep>,
    pub catalog: Arc<dyn Catalog>,
    pub events: Arc<dyn Events>,
    pub schedules: Arc<dyn Schedules>,
    pub outbox: Arc<dyn Outbox>,
    pub hooks: Arc<dyn Hooks>,
    pub history: Arc<dyn History>,
    pub records: Arc<dyn Records>,
    pub objects: Arc<dyn ObjectStore>,
}

impl Ports {
    fn of<S>(store: &S, objects: Arc<dyn ObjectStore>) -> Self
    where
        S: Jobs + Queue + Changes + Upkeep + Catalog + Events + Schedules + Outbox + Hooks + History + Records,
        S: Workers + Clone + 'static,
    {
        let store = Arc::new(store.clone());
        Self {
            jobs: store.clone(),
            queue: store.clone(),
            workers: store.clone(),
            changes: store.clone(),
            upkeep: store.clone(),
            catalog: store.clone(),
            events: store.clone(),
            schedules: store.clone(),
            outbox: store.clone(),
            hooks: store.clone(),
            history: store.clone(),
            records: store,
            objects,
        }
    }
}

impl From<&EmbeddedStore> for Ports {
    fn from(store: &EmbeddedStore) -> Self {
        Self::of(store, store.objects())
    }
}

impl From<&RedisStore> for Ports {
    fn from(store: &RedisStore) -> Self {
        Self::of(store, store.objects())
    }
}
