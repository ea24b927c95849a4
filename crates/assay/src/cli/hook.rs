//! `assay hook`: webhooks that are told of every job, and what became of each notice.

use assay_client::{Delivery, Exact, Hook, NewHook};
use clap::{Args, Subcommand};

use super::Failure;
use super::context::{Context, FormatArgs, OutputFormat};
use crate::output;
use crate::output::table::{Heading, Sheet};
use crate::output::text;

#[derive(Debug, Clone, Subcommand)]
pub enum HookCommand {
    /// Make a hook, and show the secret that signs what is sent
    Add(AddArgs),
    /// List the hooks
    List(ListArgs),
    /// Show a hook
    Show(HookArgs),
    /// Remove a hook; what waits for it is given up
    Rm(HookArgs),
    /// Give a hook a new secret; the one before goes on signing beside it
    Rotate(HookArgs),
    /// Send a test to a hook
    Test(HookArgs),
    /// List what was sent to a hook or for a job, the newest first
    Deliveries(DeliveriesArgs),
    /// Send a notice again
    Redeliver(RedeliverArgs),
}

#[derive(Debug, Clone, Args)]
pub struct AddArgs {
    /// Address that receives, e.g. `https://example.org/hooks/assay`
    pub url: String,
    /// `standard`, `cloudevents` or `slack` [default: standard]
    #[arg(long = "as", value_name = "FORMAT")]
    pub body: Option<String>,
    /// Ends that are told: `succeeded`, `failed`, `canceled` [default: all of them]
    #[arg(long, value_name = "STATE", value_delimiter = ',')]
    pub state: Vec<String>,
    /// Only jobs of this analysis
    #[arg(long, value_name = "NAME")]
    pub analysis: Option<String>,
    /// What it is for
    #[arg(long, value_name = "TEXT")]
    pub description: Option<String>,
}

#[derive(Debug, Clone, Args)]
pub struct ListArgs {
    #[command(flatten)]
    pub format: FormatArgs,
}

#[derive(Debug, Clone, Args)]
pub struct HookArgs {
    /// Id of the hook, as `assay hook list` shows it
    pub id: String,
}

#[derive(Debug, Clone, Args)]
pub struct DeliveriesArgs {
    /// Id of a hook or of a job
    pub id: String,
    /// How many
    #[arg(long, value_name = "N", default_value_t = 20)]
    pub limit: u32,
    #[command(flatten)]
    pub format: FormatArgs,
}

#[derive(Debug, Clone, Args)]
pub struct RedeliverArgs {
    /// Number of the delivery, as `assay hook deliveries` shows it
    pub id: u64,
}

pub async fn run(context: &Context, command: HookCommand) -> Result<(), Failure> {
    match command {
        HookCommand::Add(args) => add(context, args).await,
        HookCommand::List(args) => list(context, args).await,
        HookCommand::Show(args) => show(context, &context.client.hook(&args.id).await?),
        HookCommand::Rm(args) => {
            context.client.remove_hook(&args.id).await?;
            context.say(&format!("`{}` is removed", args.id));
            Ok(())
        }
        HookCommand::Rotate(args) => {
            let hook = context.client.rotate_hook(&args.id).await?;
            show_secret(context, &hook)
        }
        HookCommand::Test(args) => {
            let delivery = context.client.test_hook(&args.id).await?;
            on_its_way(context, &delivery, &args.id)
        }
        HookCommand::Deliveries(args) => deliveries(context, args).await,
        HookCommand::Redeliver(args) => {
            let delivery = context.client.redeliver(args.id).await?;
            let place = delivery.job.clone().unwrap_or_else(|| "HOOK".to_owned());
            on_its_way(context, &delivery, &place)
        }
    }
}

async fn add(context: &Context, args: AddArgs) -> Result<(), Failure> {
    let hook = NewHook {
        url: args.url,
        format: args.body,
        states: (!args.state.is_empty()).then_some(args.state),
        analysis: args.analysis,
        description: args.description,
    };
    let hook = context.client.create_hook(&hook).await?;
    show_secret(context, &hook)?;
    context.say(&format!("`assay hook test {}` sends a test", hook.id));
    Ok(())
}

/// The hook with its secret, which is told only now.
fn show_secret(context: &Context, hook: &Exact<Hook>) -> Result<(), Failure> {
    show(context, hook)?;
    context.say("keep the secret: it checks the signatures, and is not shown again");
    Ok(())
}

fn show(context: &Context, hook: &Exact<Hook>) -> Result<(), Failure> {
    if context.format(FormatArgs::default()) != OutputFormat::Table {
        return Ok(output::print(&format!("{}\n", hook.text.get()))?);
    }
    Ok(output::print(&about(hook))?)
}

fn about(hook: &Hook) -> String {
    let mut lines = vec![
        ("url", text::printable(&hook.url)),
        ("format", hook.format.clone()),
        ("told", hook.states.join(", ")),
    ];
    lines.extend(hook.analysis.clone().map(|analysis| ("analysis", analysis)));
    if !hook.description.is_empty() {
        lines.push(("description", text::printable(&hook.description)));
    }
    lines.push(("state", state_of(hook)));
    lines.extend(hook.created_at.clone().map(|at| ("created", at)));
    lines.extend(hook.secret.clone().map(|secret| ("secret", secret)));
    let mut shown = format!(" {}\n\n", hook.id);
    for (name, value) in lines {
        shown.push_str(&format!(" {name:<13}{value}\n"));
    }
    shown
}

fn state_of(hook: &Hook) -> String {
    match &hook.disabled_reason {
        None => "enabled".to_owned(),
        Some(reason) => format!("disabled: {}", text::printable(reason)),
    }
}

async fn list(context: &Context, args: ListArgs) -> Result<(), Failure> {
    let page = context.client.hooks().await?;
    let format = context.format(args.format);
    if page.items.is_empty() && format == OutputFormat::Table {
        context.say("there is no hook; `assay hook add URL` makes one");
        return Ok(());
    }
    let row = |hook: &Exact<Hook>| {
        vec![
            Some(hook.id.clone()),
            Some(text::printable(&hook.url)),
            Some(hook.format.clone()),
            Some(hook.states.join(", ")),
            hook.analysis.clone(),
            Some(state_of(hook)),
        ]
    };
    let sheet = Sheet {
        headings: ["id", "url", "format", "told", "analysis", "state"]
            .map(Heading::text)
            .into(),
        rows: page.items.iter().map(row).collect(),
    };
    let items: Vec<_> = page.items.iter().map(|hook| &*hook.text).collect();
    context.print_list(format, &sheet, &items)
}

async fn deliveries(context: &Context, args: DeliveriesArgs) -> Result<(), Failure> {
    let page = match args.id.starts_with("job_") {
        true => context.client.job_deliveries(&args.id, args.limit).await?,
        false => context.client.hook_deliveries(&args.id, args.limit).await?,
    };
    let format = context.format(args.format);
    if page.items.is_empty() && format == OutputFormat::Table {
        context.say("nothing was sent");
        return Ok(());
    }
    let items: Vec<_> = page.items.iter().map(|delivery| &*delivery.text).collect();
    context.print_list(format, &sheet(&page.items), &items)?;
    if page.next.is_some() {
        context.say("there are older ones; `--limit N` shows more");
    }
    Ok(())
}

fn sheet(deliveries: &[Exact<Delivery>]) -> Sheet {
    let headings = vec![
        Heading::number("id"),
        Heading::text("message"),
        Heading::text("job"),
        Heading::text("state"),
        Heading::number("tries"),
        Heading::number("status"),
        Heading::text("error"),
        Heading::text("next_at"),
    ];
    let row = |delivery: &Exact<Delivery>| {
        let last = delivery.log.last();
        vec![
            Some(delivery.id.to_string()),
            Some(delivery.message_id.clone()),
            delivery.job.clone(),
            Some(delivery.state.clone()),
            Some(delivery.tries.to_string()),
            last.and_then(|entry| entry.status).map(|status| status.to_string()),
            last.and_then(|entry| entry.error.as_deref()).map(text::printable),
            delivery.next_at.clone(),
        ]
    };
    Sheet {
        headings,
        rows: deliveries.iter().map(row).collect(),
    }
}

fn on_its_way(context: &Context, delivery: &Exact<Delivery>, place: &str) -> Result<(), Failure> {
    if context.wants_json() {
        output::print(&format!("{}\n", delivery.text.get()))?;
    }
    context.say(&format!(
        "`{}` is on its way; `assay hook deliveries {place}` shows what became of it",
        delivery.message_id
    ));
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hook_shows_why_it_is_disabled_and_no_secret_that_it_has_not_got() {
        let hook: Hook = serde_json::from_str(
            r#"{"id":"hook_1","url":"https://a.example/","format":"slack","states":["failed"],"enabled":false,
                "disabled_reason":"the receiver answered 410"}"#,
        )
        .unwrap();
        let shown = about(&hook);
        assert!(shown.contains("disabled: the receiver answered 410"), "{shown}");
        assert!(!shown.contains("secret"), "{shown}");
    }
}
