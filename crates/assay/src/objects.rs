//! Where the objects of a server lie, from its options and the environment.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::Context as _;
use assay_core::ObjectsAccess;
use assay_store::ObjectsUrl;

use crate::cli::ServeArgs;

/// The folders inside the store, for who names no others.
const OBJECTS: &str = "objects";
const CACHE: &str = "cache";

/// What opens the place, and how it is shown.
///
/// # Errors
/// When it is no place where objects can lie.
pub fn access(args: &ServeArgs) -> anyhow::Result<(ObjectsAccess, ObjectsUrl)> {
    let (url, place) = match &args.objects {
        Some(given) => (given.reveal().to_owned(), given.reveal().parse()?),
        None => (String::new(), ObjectsUrl::Folder(args.store.join(OBJECTS))),
    };
    // Engine processes are told the whole path.
    let (url, place) = match place {
        ObjectsUrl::Folder(folder) => {
            let whole = absolute(&folder)?;
            (whole.clone(), ObjectsUrl::Folder(whole.into()))
        }
        place => (url, place),
    };
    let cache_folder = args.cache.clone().unwrap_or_else(|| args.store.join(CACHE));
    let access = ObjectsAccess {
        url,
        options: options(&place),
        authorities: args.notices.ca_file.as_deref().map(authorities).transpose()?,
        cache_folder: std::path::absolute(cache_folder).context("finding the folder of the cache")?,
        cache_bytes: args.cache_size,
    };
    Ok((access, place))
}

fn absolute(folder: &Path) -> anyhow::Result<String> {
    let whole = std::path::absolute(folder).context("finding the folder of objects")?;
    let text = whole.into_os_string().into_string();
    text.map_err(|_| anyhow::anyhow!("the path of the folder of objects is not UTF-8"))
}

fn authorities(file: &Path) -> anyhow::Result<String> {
    std::fs::read_to_string(file).with_context(|| format!("reading the certificates in `{}`", file.display()))
}

/// The settings that the service of the place reads from the environment.
fn options(place: &ObjectsUrl) -> BTreeMap<String, String> {
    match place {
        ObjectsUrl::S3(_) => std::env::vars().filter(|(name, _)| name.starts_with("AWS_")).collect(),
        ObjectsUrl::Folder(_) | ObjectsUrl::Redis(_) => BTreeMap::new(),
    }
}
