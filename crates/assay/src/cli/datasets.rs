//! `assay datasets`: what is there, and what one of them looks like.

use std::collections::BTreeMap;

use assay_client::{Attribute, Dataset, Exact, SeenIn, SeenTypes};
use clap::Args;

use super::Failure;
use super::context::{Context, FormatArgs, OutputFormat};
use crate::output::table::{Heading, Sheet};
use crate::output::{self, text};

#[derive(Debug, Clone, Args)]
pub struct DatasetsArgs {
    /// Show this one, with its attributes
    pub name: Option<String>,
    #[command(flatten)]
    pub format: FormatArgs,
}

pub async fn run(context: &Context, args: DatasetsArgs) -> Result<(), Failure> {
    let format = context.format(args.format);
    match args.name {
        Some(name) => show(context, &name, format).await,
        None => list(context, format).await,
    }
}

async fn list(context: &Context, format: OutputFormat) -> Result<(), Failure> {
    let mut datasets: Vec<Exact<Dataset>> = Vec::new();
    let mut cursor = None;
    loop {
        let mut page = context.client.datasets(cursor.as_deref()).await?;
        datasets.append(&mut page.value.items);
        cursor = page.cursor();
        if cursor.is_none() {
            break;
        }
    }
    if datasets.is_empty() {
        context.say("there is no data set yet; `assay load FILE --as NAME` makes one");
    }
    let items: Vec<_> = datasets.iter().map(|dataset| &*dataset.text).collect();
    let is_table = format == OutputFormat::Table;
    if is_table && datasets.is_empty() {
        return Ok(());
    }
    context.print_list(format, &sheet(&datasets, is_table), &items)
}

fn sheet(datasets: &[Exact<Dataset>], for_eyes: bool) -> Sheet {
    let headings = vec![
        Heading::text("name"),
        Heading::text("key"),
        Heading::number("version"),
        Heading::number("records"),
        Heading::number(if for_eyes { "size" } else { "bytes" }),
        Heading::text("updated_at"),
    ];
    let row = |dataset: &Exact<Dataset>| {
        let (records, size) = if for_eyes {
            (text::count(dataset.rows), text::bytes(dataset.bytes))
        } else {
            (dataset.rows.to_string(), dataset.bytes.to_string())
        };
        vec![
            Some(dataset.name.clone()),
            dataset.key.clone(),
            Some(dataset.version.to_string()),
            Some(records),
            Some(size),
            dataset.updated_at.clone(),
        ]
    };
    Sheet {
        headings,
        rows: datasets.iter().map(row).collect(),
    }
}

async fn show(context: &Context, name: &str, format: OutputFormat) -> Result<(), Failure> {
    let dataset = context.client.dataset(name).await?;
    let schema = context.client.schema(name, Some(&dataset.version.to_string())).await?;
    match format {
        OutputFormat::Json => {
            let (dataset, schema) = (dataset.text.get(), schema.text.get());
            Ok(output::print(&format!(
                "{{\"dataset\":{dataset},\n\"schema\":{schema}}}\n"
            ))?)
        }
        OutputFormat::Table => {
            output::print(&about(&dataset))?;
            context.print_sheet(&attributes(&schema.attributes))
        }
        _ => {
            let items: Vec<_> = schema.attributes.iter().map(|attribute| &*attribute.text).collect();
            context.print_list(format, &attributes(&schema.attributes), &items)
        }
    }
}

fn about(dataset: &Dataset) -> String {
    let key = dataset
        .key
        .as_ref()
        .map_or_else(String::new, |key| format!(" · key `{key}`"));
    let mode = match dataset.mode.as_deref() {
        Some("strict") => " · strict",
        _ => "",
    };
    let description = dataset
        .description
        .as_ref()
        .map_or_else(String::new, |text| format!(" {}\n", text::printable(text)));
    let source = dataset.source.as_ref().map_or_else(String::new, |source| {
        let every = source.refresh.as_ref();
        let every = every.map_or_else(String::new, |every| format!(", read again every {every}"));
        format!(
            " linked to `{}` of {}{every}\n",
            text::printable(&source.pattern),
            source.redis
        )
    });
    format!(
        " {} · version {} · {} · {}{key}{mode}\n{description}{source}\n",
        dataset.name,
        dataset.version,
        text::counted(dataset.rows, "record"),
        text::bytes(dataset.bytes)
    )
}

pub(super) fn attributes(attributes: &[Exact<Attribute>]) -> Sheet {
    let headings = vec![
        Heading::text("attribute"),
        Heading::text("type"),
        Heading::number("present"),
        Heading::number("missing"),
        Heading::text("seen"),
        Heading::text("in versions"),
    ];
    let row = |attribute: &Exact<Attribute>| {
        vec![
            Some(text::printable(&attribute.name)),
            Some(attribute.kind.clone()),
            Some(attribute.present.to_string()),
            Some(attribute.missing.to_string()),
            Some(seen(&attribute.seen)),
            Some(versions(&attribute.versions)),
        ]
    };
    Sheet {
        headings,
        rows: attributes.iter().map(row).collect(),
    }
}

/// The versions that wrote values of each type, e.g. `text 1-4, int 2`.
fn versions(spans: &BTreeMap<String, SeenIn>) -> String {
    let told = spans.iter().map(|(name, SeenIn { first, last })| match first == last {
        true => format!("{name} {first}"),
        false => format!("{name} {first}-{last}"),
    });
    told.collect::<Vec<_>>().join(", ")
}

/// Which JSON types came under an attribute, e.g. `text 593, int 14`.
fn seen(types: &SeenTypes) -> String {
    let SeenTypes {
        null,
        bool,
        int,
        float,
        big,
        text,
        list,
        object,
    } = *types;
    let counts = [
        ("text", text),
        ("int", int),
        ("float", float),
        ("big number", big),
        ("bool", bool),
        ("list", list),
        ("object", object),
        ("null", null),
    ];
    let mut counts: Vec<_> = counts.into_iter().filter(|(_, count)| *count > 0).collect();
    counts.sort_by_key(|(_, count)| std::cmp::Reverse(*count));
    counts
        .iter()
        .map(|(name, count)| format!("{name} {count}"))
        .collect::<Vec<_>>()
        .join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seen_types_are_named_with_the_commonest_first() {
        let types = SeenTypes {
            int: 14,
            text: 593,
            ..SeenTypes::default()
        };
        assert_eq!(seen(&types), "text 593, int 14");
        assert_eq!(seen(&SeenTypes::default()), "");
    }
}
