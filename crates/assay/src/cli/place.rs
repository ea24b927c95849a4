//! Where the data of a server or worker lies: the options that both take.

use std::ffi::OsStr;
use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

use assay_core::{Code, Error};
use assay_store::{ObjectsUrl, RedisUrl};
use clap::builder::TypedValueParser;
use clap::error::ErrorKind;
use clap::{Arg, Args, Command};

use super::serve::Hidden;
use super::units;

const DEFAULT_STORE: &str = "./assay-data";
pub const DEFAULT_CACHE_SIZE: u64 = 10 << 30;

#[derive(Debug, Clone, Args)]
pub struct PlaceArgs {
    /// Where data and jobs lie: a folder, made when it is not there, or a Redis that servers and workers share, as
    /// `redis://host:6379/0`
    #[arg(long, env = "ASSAY_STORE", hide_env_values = true, default_value = DEFAULT_STORE, value_name = "PATH|URL")]
    #[arg(value_parser = StoreParser)]
    pub store: StorePlace,
    /// Where parts, results and uploads lie: a folder, `s3://bucket/prefix` or `redis://host:6379/0` [default: `objects`
    /// in the folder of the store, or the Redis of the store]
    #[arg(long, env = "ASSAY_OBJECTS", hide_env_values = true, value_name = "URL")]
    pub objects: Option<Hidden>,
    /// Folder for copies of objects that lie far away [default: `cache` in the folder of the store, or `./assay-cache`]
    #[arg(long, env = "ASSAY_CACHE", value_name = "PATH")]
    pub cache: Option<PathBuf>,
    /// Room for these copies; those that were not used for the longest go first
    #[arg(long, default_value = "10GiB", value_name = "SIZE", value_parser = units::parse_room)]
    pub cache_size: u64,
}

impl PlaceArgs {
    /// Everything in one folder.
    pub fn at(folder: PathBuf) -> Self {
        Self {
            store: StorePlace::Folder(folder),
            objects: None,
            cache: None,
            cache_size: DEFAULT_CACHE_SIZE,
        }
    }
}

/// A folder that belongs to one process, or a Redis that any number of them share. Shown without secrets.
#[derive(Debug, Clone)]
pub enum StorePlace {
    Folder(PathBuf),
    Redis {
        url: RedisUrl,
        /// As it was given, with its password.
        given: Hidden,
    },
}

impl FromStr for StorePlace {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        match text.parse()? {
            ObjectsUrl::Folder(folder) => Ok(Self::Folder(folder)),
            ObjectsUrl::Redis(url) => Ok(Self::Redis {
                url,
                given: text.to_owned().into(),
            }),
            ObjectsUrl::S3(_) => {
                let error = Error::new(Code::InvalidParameter, "a bucket holds objects, but no jobs");
                Err(error.hint("give the bucket as `--objects`, and a folder or a Redis as `--store`"))
            }
        }
    }
}

impl fmt::Display for StorePlace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Folder(folder) => folder.display().fmt(f),
            Self::Redis { url, .. } => url.fmt(f),
        }
    }
}

/// Tells what is wrong without the text, which may hold a password.
#[derive(Debug, Clone)]
pub(super) struct StoreParser;

impl TypedValueParser for StoreParser {
    type Value = StorePlace;

    fn parse_ref(&self, command: &Command, arg: Option<&Arg>, text: &OsStr) -> Result<StorePlace, clap::Error> {
        let text = text
            .to_str()
            .ok_or_else(|| clap::Error::new(ErrorKind::InvalidUtf8).with_cmd(command))?;
        parse_store(text).map_err(|message| {
            let option = arg.and_then(Arg::get_long).unwrap_or("store");
            let message = format!("the value of `--{option}` cannot be used: {message}\n");
            clap::Error::raw(ErrorKind::ValueValidation, message).with_cmd(command)
        })
    }
}

fn parse_store(text: &str) -> Result<StorePlace, String> {
    text.parse().map_err(|error: Error| match error.hint {
        Some(hint) => format!("{}; {hint}", error.message),
        None => error.message,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_store_is_a_folder_or_a_redis() {
        assert!(matches!(parse_store("./a"), Ok(StorePlace::Folder(_))));
        let redis = parse_store("redis://:geheim@db:7000/3").unwrap();
        assert_eq!(redis.to_string(), "redis://db:7000/3");
        assert!(!format!("{redis:?}").contains("geheim"));
        assert!(parse_store("s3://bucket/a").unwrap_err().contains("no jobs"));
        assert!(!parse_store("redis://:geheim@db/x").unwrap_err().contains("geheim"));
    }

    #[test]
    fn a_store_that_cannot_be_is_told_without_its_password() {
        #[derive(Debug, clap::Parser)]
        struct Line {
            #[command(flatten)]
            place: PlaceArgs,
        }
        let told = |store| {
            let parsed = <Line as clap::Parser>::try_parse_from(["assay", "--store", store]);
            parsed.unwrap_err().to_string()
        };
        let refused = told("redis+cluster://:geheim@db/3");
        assert!(
            refused.contains("no database but 0") && !refused.contains("geheim"),
            "{refused}"
        );
    }
}
