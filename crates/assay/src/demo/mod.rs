//! `assay demo`: a server, real data and analyses side by side, with nothing to be set up. The data are inside the
//! program, so that it needs no network.

mod board;
mod data;
mod plan;
mod story;

use std::net::{SocketAddr, TcpListener};
use std::path::PathBuf;

use assay_core::{Code, Error};
use clap::Args;

use crate::cli::{Context, DEFAULT_LISTEN, Failure, GlobalArgs, Host, Running, ServeArgs};
use board::Board;

/// Ports tried when the one that was asked for is taken.
const PORTS: u16 = 100;

#[derive(Debug, Clone, Args)]
pub struct DemoArgs {
    /// Folder for the demo's data; made when it is not there
    #[arg(long, default_value = "./assay-demo-data", value_name = "PATH")]
    pub store: PathBuf,
    /// Address of this machine to listen on; the next free port when it is taken
    #[arg(long, default_value = DEFAULT_LISTEN, value_name = "ADDRESS")]
    #[arg(value_parser = crate::cli::parse_listen)]
    pub listen: SocketAddr,
    /// Jobs that run at the same time [default: the number of cores]
    #[arg(long, value_name = "N", value_parser = crate::cli::parse_workers)]
    pub workers: Option<usize>,
    /// Stop after the answers instead of leaving the server running
    #[arg(long)]
    pub exit: bool,
}

/// Shows it all, then serves until Ctrl-C.
///
/// # Errors
/// When the server does not start, or a load or an analysis fails.
pub async fn run(global: &GlobalArgs, args: DemoArgs, host: &dyn Host) -> Result<(), Failure> {
    let listen = free_address(args.listen)?;
    let mut serve = ServeArgs::at(args.store.clone(), listen);
    serve.work.workers = args.workers;
    let mut running = host.start(serve).await?;
    let context = Context::new(&GlobalArgs {
        server: running.base_url.clone(),
        ..global.clone()
    })?;
    if listen.port() != args.listen.port() {
        context.say(&format!(
            "port {} is taken, so the demo listens on {}",
            args.listen.port(),
            listen.port()
        ));
    }
    context.say(&format!(
        "a server runs at {} with its data in `{}`",
        running.base_url,
        args.store.display()
    ));
    let shown = tokio::select! {
        shown = show(&context, !args.exit) => shown,
        pressed = tokio::signal::ctrl_c() => { pressed?; Err(Failure::Interrupted) }
    };
    if shown.is_ok() && !args.exit {
        context.say("\nThe server runs until you press Ctrl-C.");
        if linger(&mut running).await? {
            return Ok(());
        }
    }
    let stopped = running.stop().await;
    shown?;
    Ok(stopped?)
}

async fn show(context: &Context, stays: bool) -> Result<(), Failure> {
    let board = Board::new(context);
    data::load(context, &board).await?;
    let ended = plan::run(context, &board).await?;
    story::tell(context, &ended).await?;
    story::credits()?;
    if stays {
        story::addresses(&context.client.base_url())?;
    }
    let failed = ended.iter().filter(|one| one.job.error.is_some()).count();
    if failed == 0 {
        return Ok(());
    }
    let error = Error::new(Code::Internal, format!("{failed} of {} analyses failed", ended.len()));
    Err(Failure::Job {
        error: error.hint("what they met is told above"),
        source: None,
    })
}

/// Waits for Ctrl-C; `true` when the server ended by itself before.
async fn linger(running: &mut Running) -> Result<bool, Failure> {
    tokio::select! {
        pressed = tokio::signal::ctrl_c() => { pressed?; Ok(false) }
        ended = &mut running.stopped => { ended?; Ok(true) }
    }
}

/// The address itself or, when it is taken, the same with the next free port.
fn free_address(wanted: SocketAddr) -> Result<SocketAddr, Failure> {
    let candidates = (0..PORTS).filter_map(|offset| wanted.port().checked_add(offset));
    let mut candidates = candidates.map(|port| SocketAddr::new(wanted.ip(), port));
    let free = candidates.find(|address| TcpListener::bind(address).is_ok());
    free.ok_or_else(|| {
        let error = Error::new(
            Code::Conflict,
            format!("neither `{wanted}` nor any of the ports after it is free"),
        );
        Failure::from(anyhow::Error::from(
            error.hint("name another with `--listen 127.0.0.1:PORT`"),
        ))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_taken_port_is_passed_over() {
        let taken = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = taken.local_addr().unwrap();
        let free = free_address(address).ok().unwrap();
        assert!(free.port() > address.port());
        assert_eq!(free.ip(), address.ip());
    }
}
