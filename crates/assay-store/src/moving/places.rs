//! The two ends of a move, opened so that nobody else can change them.

use std::path::Path;
use std::sync::Arc;

use assay_core::{Clock, Result};

use super::Side;
use super::driver::free;
use crate::embedded::EmbeddedSide;
use crate::objects::Objects;
use crate::redis::{RedisSettings, RedisSide};

/// A store that can be moved.
pub struct Place(pub(super) Box<dyn Side>);

impl Place {
    /// The store in a folder, which nobody else may have open. With `must_exist` there must be one already.
    /// `objects_elsewhere` says that its objects lie in a place of their own.
    ///
    /// # Errors
    /// `StoreLocked` when another process has it; `StoreFailed` when it cannot be read, or is not there and must be.
    pub fn folder(folder: &Path, must_exist: bool, objects_elsewhere: bool, clock: Arc<dyn Clock>) -> Result<Self> {
        let side = EmbeddedSide::open(folder, must_exist, objects_elsewhere, clock)?;
        Ok(Self(Box::new(side)))
    }

    /// The store on a Redis server, whose objects are `objects`. `shown` is its address without secrets.
    ///
    /// # Errors
    /// As [`RedisStore::open`](crate::RedisStore::open).
    pub async fn redis(settings: RedisSettings, shown: String, objects: Arc<dyn Objects>) -> Result<Self> {
        let side = RedisSide::open(settings, shown, objects).await?;
        Ok(Self(Box::new(side)))
    }

    /// Lets the source of a move be used again, whether the move came to its end or not; what came to the other store
    /// since is not there.
    ///
    /// # Errors
    /// `Conflict` when it is the source of no move; `StoreLocked` when it is the target of one.
    pub async fn free(&self) -> Result<()> {
        free(&*self.0).await
    }
}

/// Two stores, from one of which everything is moved to the other.
pub struct Moving {
    pub(super) source: Box<dyn Side>,
    pub(super) target: Box<dyn Side>,
    pub(super) objects: MovingObjects,
}

/// Where the objects of both lie.
pub struct MovingObjects {
    pub from: Arc<dyn Objects>,
    pub to: Arc<dyn Objects>,
    /// Both are one and the same place.
    pub is_same: bool,
}

impl Moving {
    #[must_use]
    pub fn new(source: Place, target: Place, objects: MovingObjects) -> Self {
        Self {
            source: source.0,
            target: target.0,
            objects,
        }
    }
}
