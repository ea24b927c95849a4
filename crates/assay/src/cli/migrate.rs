//! `assay migrate`: a whole store is moved to another place. Opening both ends is the wiring's work.

use std::path::PathBuf;
use std::time::Duration;

use assay_core::{Clock as _, SystemClock};
use assay_store::moving::{Kind, MoveReport, Told, estimate, migrate};
use clap::Args;
use indicatif::ProgressBar;
use serde_json::json;

use super::place::{PlaceArgs, StoreParser, StorePlace};
use super::serve::Hidden;
use super::{Context, Failure, GlobalArgs, Host};
use crate::output::table::{Heading, Sheet};
use crate::output::{self, progress, text};

const AFTER_HELP: &str = "\
Stop all servers and workers of the old store first. Everything is taken along: data sets with their
versions, jobs, the queue, events, schedules, hooks and what is still to be told. When the command is
ended, run it again: it goes on where it was. At the end both stores are read again and compared.

Give addresses with passwords in ASSAY_FROM, ASSAY_TO, ASSAY_FROM_OBJECTS and ASSAY_TO_OBJECTS: options
are seen by everybody on the machine.";

#[derive(Debug, Clone, Args)]
#[command(after_help = AFTER_HELP)]
pub struct MigrateArgs {
    /// The store to move: its folder, or its Redis
    #[arg(long, env = "ASSAY_FROM", hide_env_values = true, value_name = "PATH|URL", value_parser = StoreParser)]
    pub from: StorePlace,
    /// Where to: a folder, made when it is not there, or a Redis
    #[arg(long, env = "ASSAY_TO", hide_env_values = true, value_name = "PATH|URL", value_parser = StoreParser)]
    #[arg(required_unless_present_any = ["dry_run", "abandon"])]
    pub to: Option<StorePlace>,
    /// Where the old store has parts, results and uploads, as `--objects` said [default: in it]
    #[arg(long, env = "ASSAY_FROM_OBJECTS", hide_env_values = true, value_name = "URL")]
    pub from_objects: Option<Hidden>,
    /// Where the new store will have them; the same place for both leaves them where they are [default: in it]
    #[arg(long, env = "ASSAY_TO_OBJECTS", hide_env_values = true, value_name = "URL")]
    pub to_objects: Option<Hidden>,
    /// File of certificates in PEM whose authorities vouch for the places of the objects
    #[arg(long, env = "ASSAY_CA_FILE", value_name = "PATH")]
    pub ca_file: Option<PathBuf>,
    /// Only tell how much there is to move
    #[arg(long)]
    pub dry_run: bool,
    /// Let the old store be used again, whether it was moved already or not; what came to the new one is not in it
    #[arg(long, conflicts_with_all = ["dry_run", "to", "to_objects"])]
    pub abandon: bool,
}

impl MigrateArgs {
    /// The store that is moved. No copies of objects are kept on the way.
    pub fn source(&self) -> PlaceArgs {
        PlaceArgs {
            store: self.from.clone(),
            objects: self.from_objects.clone(),
            cache: None,
            cache_size: 0,
        }
    }

    /// The store that is moved to, when one is named.
    pub fn target(&self) -> Option<PlaceArgs> {
        Some(PlaceArgs {
            store: self.to.clone()?,
            objects: self.to_objects.clone(),
            cache: None,
            cache_size: 0,
        })
    }
}

pub async fn run(global: &GlobalArgs, args: MigrateArgs, host: &dyn Host) -> Result<(), Failure> {
    let context = Context::new(global)?;
    if args.abandon {
        host.movable(&args).await?.0.free().await.map_err(anyhow::Error::from)?;
        context.say(&format!("{} can be used again", args.from));
        return Ok(());
    }
    let Some(to) = args.to.as_ref().filter(|_| !args.dry_run) else {
        return tell_estimate(&context, &args, host).await;
    };
    let moving = host.moving(&args).await?;
    let bar = ProgressBar::with_draw_target(None, progress::target(context.quiet)).with_style(progress::job_style());
    bar.enable_steady_tick(Duration::from_millis(100));
    let moved = migrate(&moving, SystemClock.now(), &|told| bar.set_message(words(told))).await;
    bar.finish_and_clear();
    show(&context, &moved.map_err(anyhow::Error::from)?)?;
    context.say(&format!(
        "everything was moved and is the same in both; start servers and workers with {to} from now on\n\
         {} is left as it was, and refused by servers until `assay migrate --abandon --from` frees it",
        args.from
    ));
    Ok(())
}

/// How far it is, in a few words.
fn words(told: Told) -> String {
    let of = |done: u64, total: u64| format!("{} of {}", text::count(done), text::count(total));
    match told {
        Told::Copied { kind, done, total } => format!("moving {}: {}", kind.as_str(), of(done, total)),
        Told::Objects { done, bytes } => format!("moving objects: {}, {}", text::count(done), text::bytes(bytes)),
        Told::Compared { kind, done, total } => format!("comparing {}: {}", kind.as_str(), of(done, total)),
    }
}

async fn tell_estimate(context: &Context, args: &MigrateArgs, host: &dyn Host) -> Result<(), Failure> {
    let (place, objects) = host.movable(args).await?;
    let (items, objects) = estimate(&place, &*objects).await.map_err(anyhow::Error::from)?;
    if context.wants_json() {
        let items: Vec<_> = items
            .iter()
            .map(|(kind, count)| json!({"kind": kind, "count": count}))
            .collect();
        return print_json(&json!({"items": items, "objects": objects}));
    }
    let row = |name: &str, count: u64| vec![Some(name.to_owned()), Some(text::count(count))];
    let mut rows: Vec<_> = items.iter().map(|(kind, count)| row(kind.as_str(), *count)).collect();
    rows.push(row("objects", objects.count));
    let headings = vec![Heading::text("what"), Heading::number("about")];
    context.print_sheet(&Sheet { headings, rows })?;
    context.say(&format!("objects take {}", text::bytes(objects.bytes)));
    Ok(())
}

fn show(context: &Context, report: &MoveReport) -> Result<(), Failure> {
    if context.wants_json() {
        return print_json(&serde_json::to_value(report).map_err(anyhow::Error::from)?);
    }
    let items = report.items.iter().filter(|item| item.kind != Kind::Numbers);
    let rows = items.map(|item| {
        vec![
            Some(item.kind.as_str().to_owned()),
            Some(text::count(item.count)),
            Some(item.sha256.clone()),
        ]
    });
    let headings = vec![Heading::text("what"), Heading::number("items"), Heading::id("sha256")];
    let rows = rows.collect();
    context.print_sheet(&Sheet { headings, rows })?;
    let objects = &report.objects;
    context.say(&match objects.stayed {
        true => "the objects stay where they are".to_owned(),
        false => format!(
            "{} with {}",
            text::counted(objects.count, "object"),
            text::bytes(objects.bytes)
        ),
    });
    Ok(())
}

fn print_json(value: &serde_json::Value) -> Result<(), Failure> {
    Ok(output::print(&format!("{value}\n"))?)
}
