//! `assay serve`: the options of a server. Starting it is the wiring's work.

use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use assay_core::{Network, WebhookUrl};
use clap::Args;

use super::place::PlaceArgs;
use super::units;

pub const DEFAULT_LISTEN: &str = "127.0.0.1:7373";
const DEFAULT_MEMORY: u64 = 1 << 30;
const DEFAULT_ANSWERS: u64 = 50 << 30;
const DEFAULT_TIMEOUT: Duration = Duration::from_secs(600);
const DEFAULT_KEEP_VERSIONS: Duration = Duration::from_secs(7 * 24 * 3_600);
const DEFAULT_MAIL_PAUSE: Duration = Duration::from_secs(30);

#[derive(Debug, Clone, Args)]
pub struct ServeArgs {
    #[command(flatten)]
    pub place: PlaceArgs,
    /// Address of this machine to listen on
    #[arg(long, env = "ASSAY_LISTEN", default_value = DEFAULT_LISTEN, value_name = "ADDRESS")]
    #[arg(value_parser = parse_listen)]
    pub listen: SocketAddr,
    #[command(flatten)]
    pub work: JobArgs,
    #[command(flatten)]
    pub notices: NoticeArgs,
}

/// How jobs are run.
#[derive(Debug, Clone, Args)]
pub struct JobArgs {
    /// Jobs that run at the same time [default: the number of cores]
    #[arg(long, visible_alias = "slots", value_name = "N", value_parser = parse_workers)]
    pub workers: Option<usize>,
    /// Analyses whose jobs this process runs, with commas between several, e.g. `describe,histogram,import`; others are
    /// left to other processes of the store [default: all]
    #[arg(long, env = "ASSAY_ANALYSES", value_name = "NAMES", value_delimiter = ',')]
    pub analyses: Option<Vec<String>>,
    /// Memory that one job may take
    #[arg(long, default_value = "1GiB", value_name = "SIZE", value_parser = units::parse_bytes)]
    pub memory: u64,
    /// Time that one attempt of a job may take
    #[arg(long, default_value = "10m", value_name = "TIME", value_parser = units::parse_duration)]
    pub timeout: Duration,
    /// Room for the answers of jobs; the oldest go when all together take more
    #[arg(long, default_value = "50GiB", value_name = "SIZE", value_parser = units::parse_bytes)]
    pub answers: u64,
    /// Time that versions of data sets are kept after newer ones came; several processes of a store are given the same
    #[arg(long, default_value = "7d", value_name = "TIME", value_parser = units::parse_duration)]
    pub keep_versions: Duration,
    /// Redis server whose keys may be read into data sets and be written, e.g. `redis://10.0.0.5:6379`, with all its
    /// databases or with one; may be given several times. Where a password is needed, put
    /// `redis://user:password@host:port` into ASSAY_LINKS, with commas between several
    #[arg(
        long = "link",
        env = "ASSAY_LINKS",
        hide_env_values = true,
        value_name = "URL",
        value_delimiter = ','
    )]
    pub links: Vec<Hidden>,
}

impl Default for JobArgs {
    fn default() -> Self {
        Self {
            workers: None,
            analyses: None,
            memory: DEFAULT_MEMORY,
            timeout: DEFAULT_TIMEOUT,
            answers: DEFAULT_ANSWERS,
            keep_versions: DEFAULT_KEEP_VERSIONS,
            links: Vec::new(),
        }
    }
}

/// How users are told of the ends of their jobs.
#[derive(Debug, Clone, Args)]
pub struct NoticeArgs {
    /// Mail server to send notices by, e.g. `smtps://user:password@mail.example.org` [default: none, no mail is sent]
    #[arg(
        long,
        env = "ASSAY_SMTP_URL",
        hide_env_values = true,
        value_name = "URL",
        requires = "smtp_from"
    )]
    pub smtp_url: Option<Hidden>,
    /// Sender of mail, e.g. `Assay <assay@example.org>`
    #[arg(long, env = "ASSAY_SMTP_FROM", value_name = "ADDRESS", requires = "smtp_url")]
    pub smtp_from: Option<String>,
    /// Least time between two mails to one address; what comes in between is told in the next
    #[arg(long, default_value = "30s", value_name = "TIME", value_parser = units::parse_duration)]
    pub mail_pause: Duration,
    /// Network inside which webhooks may be received too, e.g. `10.1.0.0/16`; may be given several times
    #[arg(long, value_name = "NETWORK", value_parser = parse_network)]
    pub notify_allow: Vec<Network>,
    /// File of certificates in PEM whose authorities vouch for receivers, the mail server, a Redis over TLS and
    /// the place of the objects
    #[arg(long, env = "ASSAY_CA_FILE", value_name = "PATH")]
    pub ca_file: Option<PathBuf>,
    /// Where users reach this server, for links in notices, e.g. `https://assay.example.org`
    #[arg(long, env = "ASSAY_PUBLIC_URL", value_name = "URL", value_parser = parse_public_url)]
    pub public_url: Option<String>,
}

impl Default for NoticeArgs {
    fn default() -> Self {
        Self {
            smtp_url: None,
            smtp_from: None,
            mail_pause: DEFAULT_MAIL_PAUSE,
            notify_allow: Vec::new(),
            ca_file: None,
            public_url: None,
        }
    }
}

/// A value that holds a secret: it never enters a log.
#[derive(Clone)]
pub struct Hidden(String);

impl Hidden {
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl From<String> for Hidden {
    fn from(text: String) -> Self {
        Self(text)
    }
}

impl fmt::Debug for Hidden {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("…")
    }
}

fn parse_network(text: &str) -> Result<Network, String> {
    text.parse()
        .map_err(|error: assay_core::Error| error.hint.unwrap_or(error.message))
}

/// An address to which paths are appended.
fn parse_public_url(text: &str) -> Result<String, String> {
    let url: WebhookUrl = text
        .parse()
        .map_err(|_| "it is not an address, such as `https://assay.example.org`".to_owned())?;
    let url = url.as_url();
    if url.query().is_some() || url.fragment().is_some() {
        return Err("paths are appended to it, so it ends without `?` and `#`".to_owned());
    }
    Ok(url.as_str().trim_end_matches('/').to_owned())
}

impl ServeArgs {
    /// A server with default limits.
    pub fn at(store: PathBuf, listen: SocketAddr) -> Self {
        Self {
            place: PlaceArgs::at(store),
            listen,
            work: JobArgs::default(),
            notices: NoticeArgs::default(),
        }
    }
}

/// An address that only this machine can reach.
pub fn parse_listen(text: &str) -> Result<SocketAddr, String> {
    let spelled = match text.strip_prefix("localhost:") {
        Some(port) => format!("127.0.0.1:{port}"),
        None => text.to_owned(),
    };
    let address: SocketAddr = spelled
        .parse()
        .map_err(|_| format!("it is not an address and a port, such as `{DEFAULT_LISTEN}`"))?;
    if address.ip().is_loopback() {
        return Ok(address);
    }
    Err(format!(
        "others could reach the server at {}, and it has no keys to tell them apart yet; listen where only this machine \
         can reach it, e.g. on `{DEFAULT_LISTEN}`",
        address.ip()
    ))
}

/// How many jobs may run at the same time.
pub fn parse_workers(text: &str) -> Result<usize, String> {
    let number = text.parse().ok().filter(|number| (1..=1024).contains(number));
    number.ok_or_else(|| "it must be a number from 1 to 1024".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::place::DEFAULT_CACHE_SIZE;

    #[test]
    fn the_defaults_of_the_command_line_are_those_of_the_code() {
        #[derive(clap::Parser)]
        struct Line {
            #[command(flatten)]
            serve: ServeArgs,
        }
        let serve = <Line as clap::Parser>::parse_from(["assay"]).serve;
        assert_eq!(
            (serve.work.memory, serve.work.timeout),
            (DEFAULT_MEMORY, DEFAULT_TIMEOUT)
        );
        assert_eq!(serve.place.cache_size, DEFAULT_CACHE_SIZE);
        assert_eq!(serve.notices.mail_pause, DEFAULT_MAIL_PAUSE);
    }

    #[test]
    fn public_addresses_end_without_a_slash() {
        assert_eq!(
            parse_public_url("https://a.example/"),
            Ok("https://a.example".to_owned())
        );
        assert_eq!(
            parse_public_url("https://a.example/assay/"),
            Ok("https://a.example/assay".to_owned())
        );
        for refused in ["a.example", "https://a.example/?x=1", "ftp://a.example"] {
            assert!(parse_public_url(refused).is_err(), "{refused}");
        }
    }

    #[test]
    fn only_addresses_of_this_machine_are_taken() {
        for fine in ["127.0.0.1:7373", "localhost:0", "[::1]:80", "127.8.0.1:9"] {
            assert!(parse_listen(fine).is_ok(), "{fine}");
        }
        for refused in ["0.0.0.0:7373", "[::]:80", "192.168.1.5:80", "7373", "example.org:80"] {
            assert!(parse_listen(refused).is_err(), "{refused}");
        }
    }
}
