//! An engine process for tests: it speaks the frames and does what the parameters of the order say, good or bad.
//!
//! It runs no analysis. Started with the argument `sick` it ends before it is ready.

use assay_core::{
    Code, Completion, EngineMessage, EngineReply, Error, Order, Progress, ResultData, ResultSet, StoredResult, Task,
    Usage, read_frame, write_frame,
};
use tokio::io::{Stdin, Stdout};

#[tokio::main(flavor = "current_thread")]
async fn main() -> std::io::Result<()> {
    if std::env::args().any(|argument| argument == "sick") {
        eprintln!("the engine is sick");
        std::process::exit(1);
    }
    let mut engine = Engine {
        orders: tokio::io::stdin(),
        replies: tokio::io::stdout(),
    };
    engine.reply(&EngineReply::Ready).await?;
    while let Some(message) = read_frame(&mut engine.orders).await? {
        if let EngineMessage::Run(order) = message {
            engine.obey(&order).await?;
        }
    }
    Ok(())
}

struct Engine {
    orders: Stdin,
    replies: Stdout,
}

impl Engine {
    async fn obey(&mut self, order: &Order) -> std::io::Result<()> {
        match command(order) {
            "answer" => self.complete(order).await,
            "report" => {
                self.report("half").await?;
                self.complete(order).await
            }
            "refuse" => {
                self.reply(&EngineReply::Failed(Error::new(Code::EvaluationFailed, "no")))
                    .await
            }
            "wait" => self.wait_for_cancel().await,
            "ignore" => {
                self.report("ignoring").await?;
                std::future::pending().await
            }
            "exhaust" => {
                eprintln!("memory allocation of 10000000000 bytes failed");
                std::process::abort()
            }
            "recurse" => {
                eprintln!("{}", recurse(1));
                Ok(())
            }
            "exit" => std::process::exit(3),
            "grow, then answer" => {
                std::mem::forget(std::hint::black_box(vec![1_u8; 600 << 20]));
                self.complete(order).await
            }
            "stammer" => self.reply(&EngineReply::Ready).await,
            other => panic!("the script has no command `{other}`"),
        }
    }

    async fn wait_for_cancel(&mut self) -> std::io::Result<()> {
        self.report("waiting").await?;
        // Nothing but a cancel may come during an order; the end of the pipe ends the process.
        if read_frame::<EngineMessage>(&mut self.orders).await?.is_none() {
            std::process::exit(0);
        }
        self.reply(&EngineReply::Failed(Error::new(Code::Canceled, "stopped")))
            .await
    }

    /// Tells the stage, and this process by its id.
    async fn report(&mut self, stage: &str) -> std::io::Result<()> {
        let progress = Progress {
            stage: stage.to_owned(),
            done: std::process::id().into(),
            ..Progress::default()
        };
        self.reply(&EngineReply::Progress(progress)).await
    }

    async fn complete(&mut self, order: &Order) -> std::io::Result<()> {
        let completion = match &order.task {
            Task::Check { .. } => Completion::Checked,
            _ => Completion::Stored {
                result: about_this_process(),
                commit: None,
                usage: Usage::default(),
            },
        };
        self.reply(&EngineReply::Completed(Box::new(completion))).await
    }

    async fn reply(&mut self, reply: &EngineReply) -> std::io::Result<()> {
        write_frame(&mut self.replies, reply).await
    }
}

fn command(order: &Order) -> &str {
    match &order.task {
        Task::Analyze { params, .. } | Task::Check { params, .. } => params.as_str().unwrap_or_default(),
        _ => "answer",
    }
}

fn about_this_process() -> StoredResult {
    let mut set = ResultSet::default();
    set.summary.insert("pid".to_owned(), std::process::id().into());
    let variables = std::env::vars_os()
        .map(|(name, _)| name.to_string_lossy().into_owned())
        .collect();
    set.summary.insert("variables".to_owned(), variables);
    StoredResult {
        set,
        rows_json: None,
        data: ResultData::Inline(Vec::new()),
    }
}

/// Ends by the end of the stack.
#[expect(unconditional_recursion, reason = "that is what it is for")]
fn recurse(depth: u64) -> u64 {
    let frame = std::hint::black_box([depth; 512]);
    recurse(depth + 1) + frame[0]
}
