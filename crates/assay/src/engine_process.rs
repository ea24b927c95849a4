//! The inside of an engine process: orders come in on stdin after the word where the objects lie, completions go out on
//! stdout, and the memory an order may take is set before it runs.
//!
//! It knows neither catalog nor queue, and ends when its server does: the end of stdin ends the process, however busy
//! it is.

use std::io::Write as _;
use std::sync::Arc;

use anyhow::Context as _;
use assay_analyses::LocalRunner;
use assay_core::{
    EngineMessage, EngineReply, Order, RunControl, Runner, SystemClock, read_frame_blocking, write_frame,
};
use assay_engine::{Engine, EngineSettings};
use assay_store::objects;
use tokio::sync::{mpsc, watch};

/// Plans recurse; a guard bounds their depth and this leaves room for what it lets through.
const STACK_BYTES: usize = 256 << 20;
const THREAD_STACK_BYTES: usize = 32 << 20;
/// Threads for file reads; each takes its stack out of the order's memory when it is first needed.
const BLOCKING_THREADS: usize = 4;
/// What the threads that start during an order take beyond what its data take.
const SLACK_BYTES: u64 = (BLOCKING_THREADS * THREAD_STACK_BYTES) as u64 + (64 << 20);

/// Serves orders until stdin ends.
///
/// # Errors
/// When the process could not be set up; faults of orders are answered, not returned.
pub fn run(memory_bytes: u64, threads: usize) -> anyhow::Result<()> {
    let main = move || -> anyhow::Result<()> {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(threads.max(1))
            .thread_stack_size(THREAD_STACK_BYTES)
            .max_blocking_threads(BLOCKING_THREADS)
            .enable_all()
            .build()
            .context("starting the engine's threads")?;
        runtime.block_on(serve(memory_bytes))
    };
    let thread = std::thread::Builder::new()
        .name("engine".to_owned())
        .stack_size(STACK_BYTES)
        .spawn(main)?;
    thread.join().map_err(|_| anyhow::anyhow!("the engine panicked"))?
}

async fn serve(memory_bytes: u64) -> anyhow::Result<()> {
    let mut messages = spawn_reader()?;
    let Some(EngineMessage::Open(access)) = messages.recv().await else {
        anyhow::bail!("the server did not begin with where the objects lie");
    };
    let objects = objects::open(&access, Arc::new(SystemClock))?;
    // The pool is what sorts, joins and groups may hold before they spill; the rest is for what the pool cannot see.
    let pool_bytes = usize::try_from(memory_bytes / 2)?;
    let engine = Engine::new(
        objects,
        EngineSettings {
            pool_bytes,
            spill_folder: None,
        },
    )?;
    let runner = LocalRunner::new(engine);
    reply(&EngineReply::Ready).await?;
    while let Some(message) = messages.recv().await {
        match message {
            EngineMessage::Run(order) => run_order(&runner, *order, &mut messages).await?,
            // The order that a cancel meant has just been answered.
            EngineMessage::Cancel | EngineMessage::Open(_) => {}
        }
    }
    Ok(())
}

/// Reads frames on a thread of its own, so that the end of stdin is seen while all others compute.
fn spawn_reader() -> anyhow::Result<mpsc::UnboundedReceiver<EngineMessage>> {
    let (sender, receiver) = mpsc::unbounded_channel();
    std::thread::Builder::new().name("orders".to_owned()).spawn(move || {
        let mut stdin = std::io::stdin().lock();
        while let Ok(Some(message)) = read_frame_blocking(&mut stdin) {
            if sender.send(message).is_err() {
                break;
            }
        }
        std::process::exit(0);
    })?;
    Ok(receiver)
}

async fn run_order(
    runner: &LocalRunner,
    order: Order,
    messages: &mut mpsc::UnboundedReceiver<EngineMessage>,
) -> anyhow::Result<()> {
    limit_memory(order.limits.memory_bytes)?;
    let (progress, mut reports) = mpsc::channel(16);
    let (stop, cancel) = watch::channel(false);
    let run = runner.run(order, RunControl::new(progress, cancel));
    tokio::pin!(run);
    let outcome = loop {
        tokio::select! {
            outcome = &mut run => break outcome,
            Some(report) = reports.recv() => reply(&EngineReply::Progress(report)).await?,
            Some(EngineMessage::Cancel) = messages.recv() => { stop.send_replace(true); }
        }
    };
    match outcome {
        Ok(completion) => reply(&EngineReply::Completed(Box::new(completion))).await,
        Err(error) => reply(&EngineReply::Failed(error)).await,
    }
}

/// Bounds what the process may allocate from now on. What goes beyond makes the allocation fail and the process end,
/// which the server reports as `memory_exceeded`.
fn limit_memory(memory_bytes: u64) -> anyhow::Result<()> {
    let held = data_bytes().context("reading the size of the engine process")?;
    let soft = held.saturating_add(memory_bytes).saturating_add(SLACK_BYTES);
    let (_, hard) = rlimit::Resource::DATA.get()?;
    Ok(rlimit::Resource::DATA.set(soft.min(hard), hard)?)
}

/// Private writable memory of this process, as the kernel counts it for `RLIMIT_DATA`; see proc(5), `VmData`.
fn data_bytes() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmData:"))?;
    line.split_whitespace()
        .next()?
        .parse::<u64>()
        .ok()
        .map(|kib| kib * 1024)
}

async fn reply(reply: &EngineReply) -> anyhow::Result<()> {
    let mut bytes = Vec::new();
    write_frame(&mut bytes, reply).await?;
    let mut stdout = std::io::stdout().lock();
    stdout.write_all(&bytes)?;
    stdout.flush()?;
    Ok(())
}
