//! `assay serve`: the options of a server. Starting it is the wiring's work.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use clap::Args;

use super::units;

pub const DEFAULT_LISTEN: &str = "127.0.0.1:7373";
const DEFAULT_MEMORY: u64 = 1 << 30;
const DEFAULT_TIMEOUT: Duration = Duration::from_secs(600);

#[derive(Debug, Clone, Args)]
pub struct ServeArgs {
    /// Folder for data, jobs and results; made when it is not there
    #[arg(long, env = "ASSAY_STORE", default_value = "./assay-data", value_name = "PATH")]
    pub store: PathBuf,
    /// Address of this machine to listen on
    #[arg(long, env = "ASSAY_LISTEN", default_value = DEFAULT_LISTEN, value_name = "ADDRESS")]
    #[arg(value_parser = parse_listen)]
    pub listen: SocketAddr,
    /// Jobs that run at the same time [default: the number of cores]
    #[arg(long, value_name = "N", value_parser = parse_workers)]
    pub workers: Option<usize>,
    /// Memory that one job may take
    #[arg(long, default_value = "1GiB", value_name = "SIZE", value_parser = units::parse_bytes)]
    pub memory: u64,
    /// Time that one attempt of a job may take
    #[arg(long, default_value = "10m", value_name = "TIME", value_parser = units::parse_duration)]
    pub timeout: Duration,
}

impl ServeArgs {
    /// A server with default limits.
    pub fn at(store: PathBuf, listen: SocketAddr) -> Self {
        Self {
            store,
            listen,
            workers: None,
            memory: DEFAULT_MEMORY,
            timeout: DEFAULT_TIMEOUT,
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

    #[test]
    fn the_defaults_of_the_command_line_are_those_of_the_code() {
        #[derive(clap::Parser)]
        struct Line {
            #[command(flatten)]
            serve: ServeArgs,
        }
        let serve = <Line as clap::Parser>::parse_from(["assay"]).serve;
        assert_eq!((serve.memory, serve.timeout), (DEFAULT_MEMORY, DEFAULT_TIMEOUT));
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
