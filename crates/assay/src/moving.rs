//! The two ends of `assay migrate`, opened.

use std::sync::Arc;

use assay_core::{Clock, SystemClock};
use assay_store::moving::{Moving, MovingObjects, Place};
use assay_store::{Objects, ObjectsUrl, RedisSettings};

use crate::cli::{MigrateArgs, PlaceArgs, StorePlace};
use crate::objects;

/// An end with its objects, and where they lie.
struct End {
    place: Place,
    objects: Arc<dyn Objects>,
    url: ObjectsUrl,
}

async fn open(args: &PlaceArgs, must_exist: bool, ca_file: Option<&std::path::Path>) -> anyhow::Result<End> {
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let (access, url) = objects::access(args, ca_file)?;
    let open_objects = || assay_store::objects::open(&access, clock.clone());
    // A folder is looked at first, so that none is made in vain.
    match &args.store {
        StorePlace::Folder(folder) => {
            let place = Place::folder(folder, must_exist, args.objects.is_some(), clock.clone())?;
            let objects = open_objects()?;
            Ok(End { place, objects, url })
        }
        StorePlace::Redis { url: server, .. } => {
            let objects = open_objects()?;
            let settings = RedisSettings {
                authorities: access.authorities.clone(),
                ..RedisSettings::from(server)
            };
            let place = Place::redis(settings, server.to_string(), objects.clone()).await?;
            Ok(End { place, objects, url })
        }
    }
}

/// The store that is moved, and its objects.
pub async fn source(args: &MigrateArgs) -> anyhow::Result<(Place, Arc<dyn Objects>)> {
    let End { place, objects, .. } = open(&args.source(), true, args.ca_file.as_deref()).await?;
    Ok((place, objects))
}

/// Both stores.
pub async fn both(args: &MigrateArgs) -> anyhow::Result<Moving> {
    let ca_file = args.ca_file.as_deref();
    let target = args
        .target()
        .ok_or_else(|| anyhow::anyhow!("no place was named to move the store to"))?;
    let source = open(&args.source(), true, ca_file).await?;
    let target = open(&target, false, ca_file).await?;
    let objects = MovingObjects {
        is_same: source.url == target.url,
        from: source.objects,
        to: target.objects,
    };
    Ok(Moving::new(source.place, target.place, objects))
}
