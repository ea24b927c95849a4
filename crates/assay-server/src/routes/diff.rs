//! What has become of the records between two versions, key by key.

use std::collections::HashMap;

use assay_core::{Code, Difference, Error, Result, Side, Version};
use axum::Json;
use axum::extract::{RawQuery, State};
use axum::response::{IntoResponse, Response};
use serde_json::value::RawValue;

use crate::app::{App, Shared};
use crate::document::{Document, Node};
use crate::extract::{self, Path};
use crate::problem::Problem;
use crate::wire::record::{DiffItem, DiffPage};
use crate::{answer, pins, stored, when};

const PAGE: u64 = 100;
const LARGEST_PAGE: u64 = 10_000;
/// Records that are compared in memory; beyond that SQL is the way.
const MOST: u64 = 1_000_000;

/// Compare two versions by key.
///
/// Counts are of all records; items come in pages by key. Numbers are compared by value and members in any order, so a
/// record that was only written otherwise is no change.
#[utoipa::path(
    get, path = "/v1/datasets/{name}/diff", tag = "versions",
    params(
        ("name" = String, Path),
        ("from" = Option<String>, Query, description = "a version, or a time in RFC 3339; the one before `to` by default"),
        ("to" = Option<String>, Query, description = "a version, or a time; the newest by default"),
        ("limit" = Option<u64>, Query, description = "100 by default, at most 10,000"),
        ("cursor" = Option<String>, Query, description = "the last key seen"),
    ),
    responses(
        (status = 200, body = DiffPage),
        (status = 410, description = "a version is not kept any more", body = Problem, content_type = "application/problem+json"),
        (status = "4XX", body = Problem, content_type = "application/problem+json"),
    ),
)]
pub(crate) async fn diff(
    State(app): State<Shared>,
    Path(name): Path<String>,
    RawQuery(query): RawQuery,
) -> Result<Response, Problem> {
    let [from, to, limit, cursor] = extract::query(query.as_deref(), ["from", "to", "limit", "cursor"])?;
    let limit = extract::number("limit", limit.as_deref(), 1, LARGEST_PAGE, PAGE)?;
    let name = pins::known_name(&app, &name).await?;
    let to = match when::version(&app, &name, to.as_deref(), "to").await? {
        Some(version) => version,
        None => app.catalog.snapshot(&name, None).await?.version,
    };
    let named = when::version(&app, &name, from.as_deref(), "from").await?;
    let from = named.unwrap_or(Version(to.0.saturating_sub(1).max(1)));
    let difference = match app.records.difference(&name, from, to).await {
        // The oldest version that is kept has none before it.
        Err(error) if error.code == Code::VersionExpired && named.is_none() => {
            app.records.difference(&name, to, to).await?
        }
        found => found?,
    };
    let (from, to) = (difference.from, difference.to);
    let mut page = compare(&app, difference).await?;
    let limit = usize::try_from(limit).unwrap_or(usize::MAX);
    page.items.sort_by(|a, b| a.key.cmp(&b.key));
    if let Some(seen) = &cursor {
        page.items.retain(|item| item.key > *seen);
    }
    let last = page.items.get(limit - 1).map(|item| item.key.clone());
    let next = last.filter(|_| page.items.len() > limit);
    page.items.truncate(limit);
    // The next page is of the same versions, whatever is written meanwhile.
    page.next = next.map(|key| {
        let mut pairs = form_urlencoded::Serializer::new(String::new());
        pairs
            .append_pair("from", &from.to_string())
            .append_pair("to", &to.to_string());
        pairs
            .append_pair("limit", &limit.to_string())
            .append_pair("cursor", &key);
        format!("/v1/datasets/{name}/diff?{}", pairs.finish())
    });
    Ok((answer::next_link(page.next.as_ref()), Json(page)).into_response())
}

async fn compare(app: &App, difference: Difference) -> Result<DiffPage> {
    let Difference {
        dataset,
        key,
        from,
        to,
        before,
        after,
    } = difference;
    if before.rows().max(after.rows()) > MOST {
        let message = format!("more than {MOST} records lie elsewhere in version {to} than in version {from}");
        return Err(Error::new(Code::TooLarge, message).hint("compare the versions by SQL"));
    }
    let texts = |side: Side| {
        let (dataset, key) = (&dataset, &key);
        async move { by_key(&stored::side(app, dataset, key, side).await?, key) }
    };
    let mut old = texts(before).await?;
    let mut page = DiffPage {
        dataset: dataset.to_string(),
        key: key.clone(),
        from: from.0,
        to: to.0,
        added: 0,
        removed: 0,
        changed: 0,
        items: Vec::new(),
        next: None,
    };
    for (key, text) in texts(after).await? {
        let before = old.remove(&key);
        let change = match &before {
            None => "added",
            Some(before) if Node::parse(before)?.means(&Node::parse(&text)?) => continue,
            Some(_) => "changed",
        };
        page.items.push(DiffItem {
            key,
            change,
            before: before.map(raw).transpose()?,
            after: Some(raw(text)?),
        });
    }
    for (key, text) in old {
        page.items.push(DiffItem {
            key,
            change: "removed",
            before: Some(raw(text)?),
            after: None,
        });
    }
    let count = |change| page.items.iter().filter(|item| item.change == change).count() as u64;
    (page.added, page.removed, page.changed) = (count("added"), count("removed"), count("changed"));
    Ok(page)
}

fn by_key(lines: &str, attribute: &str) -> Result<HashMap<String, String>> {
    let lines = lines.lines().map(|line| {
        let key = Document::of(Node::parse(line)?)?.key(attribute)?;
        let key = key.ok_or_else(|| Error::internal("comparing the versions"))?;
        Ok((key, line.to_owned()))
    });
    lines.collect()
}

fn raw(text: String) -> Result<Box<RawValue>> {
    RawValue::from_string(text).map_err(|cause| {
        tracing::error!(error = %cause, "a record is no JSON");
        Error::internal("comparing the versions")
    })
}
