//! The address of the place where objects lie, read once.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

use assay_core::{Code, Error, Result};
use object_store::path::Path;
use url::Url;

use crate::seat::{self, RedisUrl, is_redis};

const HINT: &str = "name a folder, `s3://bucket/prefix`, `redis://user:password@host:6379/0`, `rediss://…`, \
                    `redis+unix:///path/of/socket?db=0`, `redis+sentinel://…` or `redis+cluster://…`";

/// A place where objects lie. Shown without secrets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ObjectsUrl {
    Folder(PathBuf),
    S3(S3Url),
    Redis(RedisUrl),
}

/// A bucket of a service that speaks S3, and what the names of all objects in it begin with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct S3Url {
    pub(super) bucket: String,
    pub(super) prefix: Path,
}

impl ObjectsUrl {
    /// What kind of place it is, in one word.
    #[must_use]
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Folder(_) => "folder",
            Self::S3(_) => "s3",
            Self::Redis(_) => "redis",
        }
    }
}

impl FromStr for ObjectsUrl {
    type Err = Error;

    /// # Errors
    /// `InvalidParameter`, without a word of the text but its scheme: it may hold a password.
    fn from_str(text: &str) -> Result<Self> {
        let scheme = match text.split_once(':') {
            Some((scheme, rest)) if rest.starts_with("//") || scheme == "unix" => scheme,
            _ if text.is_empty() => return Err(refused("the place of the objects is empty")),
            _ => return Ok(Self::Folder(PathBuf::from(text))),
        };
        if is_redis(scheme) {
            return text.parse().map(Self::Redis).map_err(of_all_places);
        }
        let url = Url::parse(text).map_err(|cause| refused(&format!("the `{scheme}` URL cannot be read: {cause}")))?;
        match scheme {
            "file" => url
                .to_file_path()
                .map(Self::Folder)
                .map_err(|()| refused("the `file` URL names no folder of this machine")),
            "s3" => s3(&url).map(Self::S3),
            _ => Err(refused(&format!("objects cannot lie at a `{scheme}` URL"))),
        }
    }
}

fn refused(message: &str) -> Error {
    Error::new(Code::InvalidParameter, message).hint(HINT)
}

/// A hint of how a Redis is named becomes one of how any place is.
fn of_all_places(error: Error) -> Error {
    let is_general = error.hint.as_deref() == Some(seat::HINT);
    if is_general { error.hint(HINT) } else { error }
}

fn s3(url: &Url) -> Result<S3Url> {
    let is_plain = url.username().is_empty() && url.password().is_none() && url.port().is_none();
    if !is_plain || url.query().is_some() || url.fragment().is_some() {
        let error = Error::new(
            Code::InvalidParameter,
            "an `s3` URL is a bucket and a prefix and nothing else",
        );
        return Err(error.hint("keys, region and endpoint are given by `AWS_…` variables of the environment"));
    }
    let bucket = url.host_str().filter(|bucket| !bucket.is_empty());
    let prefix = Path::from_url_path(url.path()).map_err(|_| refused("the prefix of the `s3` URL is no path"))?;
    Ok(S3Url {
        bucket: bucket
            .ok_or_else(|| refused("the `s3` URL names no bucket"))?
            .to_owned(),
        prefix,
    })
}

impl fmt::Display for ObjectsUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Folder(folder) => write!(f, "{}", folder.display()),
            Self::S3(url) => url.fmt(f),
            Self::Redis(url) => url.fmt(f),
        }
    }
}

impl fmt::Display for S3Url {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "s3://{}/{}", self.bucket, self.prefix)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(text: &str) -> String {
        let url: ObjectsUrl = text.parse().unwrap();
        format!("{} {url}", url.kind())
    }

    #[test]
    fn every_kind_of_place_is_known_by_its_scheme() {
        for (text, expected) in [
            ("./assay-data/objects", "folder ./assay-data/objects"),
            ("/srv/a:b", "folder /srv/a:b"),
            ("file:///srv/objects", "folder /srv/objects"),
            ("s3://lab/assay/prod", "s3 s3://lab/assay/prod"),
            ("s3://lab", "s3 s3://lab/"),
            ("redis://db/3", "redis redis://db:6379/3"),
            ("rediss://db:7000", "redis rediss://db:7000"),
            (
                "redis+unix:///run/redis.sock?db=2",
                "redis redis+unix:///run/redis.sock?db=2",
            ),
            ("unix:/run/redis.sock", "redis unix:///run/redis.sock"),
            ("redis://db/0?prefix=lab", "redis redis://db:6379/0 under `lab`"),
        ] {
            assert_eq!(shown(text), expected);
        }
    }

    #[test]
    fn passwords_reach_the_connection_and_nothing_that_is_shown() {
        for text in [
            "redis://assay:ge%40heim@db:6379/0",
            "redis+unix:///run/redis.sock?user=assay&pass=ge%40heim",
        ] {
            let url: ObjectsUrl = text.parse().unwrap();
            let ObjectsUrl::Redis(redis) = &url else {
                panic!("{url}")
            };
            let connection = redis.servers().unwrap().remove(0);
            assert_eq!(connection.redis_settings().password(), Some("ge@heim"));
            assert!(!format!("{url} {url:?}").contains("heim"), "{url:?}");
        }
        for text in [
            "redis://assay:geheim@db:port/0",
            "http://assay:geheim@db/",
            "s3://key:geheim@bucket/",
            "redis://assay:geheim@db/x",
            "redis://:geheim@db/0?tls=no",
            "redis://:geheim@db/0#insecure",
        ] {
            let error = text.parse::<ObjectsUrl>().unwrap_err();
            assert!(!format!("{error:?}").contains("geheim"), "{error:?}");
        }
    }

    #[test]
    fn what_names_no_place_is_refused() {
        for text in [
            "",
            "s3://",
            "s3:///a",
            "s3://bucket/?x=1",
            "gs://bucket",
            "redis://db/0?prefix={a}",
        ] {
            assert!(text.parse::<ObjectsUrl>().is_err(), "{text}");
        }
    }
}
