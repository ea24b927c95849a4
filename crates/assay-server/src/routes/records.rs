//! Records: filtered, selected, ordered and paged.

use assay_core::{Code, CountTask, Counted, Error, Facet, Format, RecordFilter, RecordsTask, Result, Task};
use axum::extract::{RawQuery, State};
use axum::response::{IntoResponse, Response};
use http::{HeaderMap, HeaderName, header};
use serde_json::{Value, json};

use super::results::closed;
use crate::app::{App, Shared};
use crate::cursor::Cursor;
use crate::extract::Path;
use crate::problem::Problem;
use crate::{answer, extract, negotiate, pins, read, when};

static TOTAL: HeaderName = HeaderName::from_static("assay-total");
const PAGE: u64 = 100;
const LARGEST_PAGE: u64 = 10_000;
const MAX_FILTERS: usize = 100;

/// Read records.
///
/// Any other parameter is a filter `attribute=operator.value` with the operators of PostgREST (`eq`, `neq`, `gt`,
/// `gte`, `lt`, `lte`, `like`, `ilike`, `in`, `is`, and `not.` before any of them). Pages of one walk are all of the
/// same version, whatever is written meanwhile.
#[utoipa::path(
    get, path = "/v1/datasets/{name}/records", tag = "data sets",
    params(
        ("name" = String, Path),
        ("_select" = Option<String>, Query, description = "attributes, separated by commas"),
        ("_order" = Option<String>, Query, description = "attributes, each perhaps with `.asc` or `.desc`"),
        ("_limit" = Option<u64>, Query, description = "100 by default, at most 10,000"),
        ("_next" = Option<String>, Query, description = "where the page before ended, as its `next` says"),
        ("_where" = Option<String>, Query, description = "a condition in SQL, e.g. `year >= 2008 AND sex IS NULL`"),
        ("_count" = Option<bool>, Query, description = "tell how many records pass, as `total`"),
        ("_facet" = Option<String>, Query, description = "attributes, separated by commas, whose 30 commonest values are counted"),
        ("_at" = Option<String>, Query, description = "a version, or a time in RFC 3339; the newest by default"),
        ("_format" = Option<String>, Query, description = "`json`, `ndjson`, `csv`, `parquet` or `arrow`; or by `Accept`"),
    ),
    responses(
        (status = 200, description = "`{items, next, version, total, facets}`, or the records in the format asked for", body = Object),
        (status = "4XX", body = Problem, content_type = "application/problem+json"),
    ),
)]
pub(crate) async fn list_records(
    State(app): State<Shared>,
    Path(name): Path<String>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let request = Request::parse(query.as_deref())?;
    let format = negotiate::format(request.format.as_deref(), &headers)?;
    let name = pins::known_name(&app, &name).await?;
    let identity = format!("{}?{}", name.folded(), request.identity());
    let cursor = request.cursor.as_deref();
    let cursor = cursor.map(|text| Cursor::decode(text, &identity)).transpose()?;
    let version = match &cursor {
        Some(cursor) => Some(cursor.version),
        None => when::version(&app, &name, request.at.as_deref(), "_at").await?,
    };
    let offset = cursor.map_or(0, |cursor| cursor.offset);
    let snapshot = app.catalog.snapshot(&name, version).await?;
    let version = snapshot.version;
    let limit = request.limit;
    let address = format!("/v1/datasets/{name}/records");
    let page = request.pairs;
    let counting = (request.count || !request.facets.is_empty()).then(|| CountTask {
        input: snapshot.clone().into(),
        filters: request.filters.clone(),
        condition: request.condition.clone(),
        facets: request.facets,
    });
    let task = RecordsTask {
        input: snapshot.into(),
        select: request.select,
        filters: request.filters,
        condition: request.condition,
        order: request.order,
        offset,
        limit,
        format,
    };
    let reading = read::run(&app, Task::Records(Box::new(task)), app.settings.read_limits);
    let (encoded, counted) = tokio::try_join!(reading, counted(&app, counting))?;
    let next = (encoded.rows >= limit).then(|| {
        let cursor = Cursor::new(version, offset.saturating_add(encoded.rows), &identity);
        let mut pairs = form_urlencoded::Serializer::new(String::new());
        pairs.extend_pairs(page).append_pair("_next", &cursor.encode());
        format!("{address}?{}", pairs.finish())
    });
    let mut headers = answer::next_link(next.as_ref());
    answer::set(&mut headers, header::CONTENT_TYPE, format.media_type());
    answer::set(&mut headers, header::VARY, "Accept");
    if let Some(total) = counted.as_ref().map(|counted| counted.rows) {
        answer::set(&mut headers, TOTAL.clone(), &total.to_string());
    }
    let body = match format {
        Format::Json => {
            let mut tail = json!({"next": next, "version": version});
            if let Some(counted) = counted {
                tail["total"] = counted.rows.into();
                tail["facets"] = facets(counted.facets);
            }
            encoded.between("{\"items\":".to_owned(), closed(&tail))
        }
        _ => encoded.into_body(),
    };
    Ok((headers, body).into_response())
}

async fn counted(app: &App, task: Option<CountTask>) -> Result<Option<Counted>> {
    match task {
        Some(task) => read::count(app, task).await.map(Some),
        None => Ok(None),
    }
}

/// By attribute `{values: [{value, count}], more}`.
fn facets(facets: Vec<Facet>) -> Value {
    let facet = |facet: Facet| {
        let values: Vec<Value> = facet
            .values
            .into_iter()
            .map(|value| json!({"value": value.value, "count": value.count}))
            .collect();
        (facet.attribute, json!({"values": values, "more": facet.more}))
    };
    Value::Object(facets.into_iter().map(facet).collect())
}

/// The query of a page of records.
#[derive(Default)]
pub(super) struct Request {
    /// All but the cursor, as given.
    pairs: Vec<(String, String)>,
    pub(super) select: Vec<String>,
    pub(super) filters: Vec<RecordFilter>,
    pub(super) condition: Option<String>,
    pub(super) order: Vec<(String, bool)>,
    count: bool,
    facets: Vec<String>,
    limit: u64,
    cursor: Option<String>,
    pub(super) at: Option<String>,
    pub(super) format: Option<String>,
}

impl Request {
    pub(super) fn parse(query: Option<&str>) -> Result<Self> {
        let mut request = Self {
            limit: PAGE,
            ..Self::default()
        };
        for (name, value) in extract::pairs(query) {
            match name.as_str() {
                "_select" => request.select = list(&value),
                "_order" => request.order = list(&value).iter().map(|item| ordered(item)).collect(),
                "_limit" => request.limit = extract::number("_limit", Some(&value), 1, LARGEST_PAGE, PAGE)?,
                "_where" => request.condition = Some(value.clone()),
                "_count" => request.count = extract::flag("_count", Some(&value))?,
                "_facet" => request.facets.extend(list(&value)),
                "_at" => request.at = Some(value.clone()),
                "_format" => request.format = Some(value.clone()),
                "_next" => {
                    request.cursor = Some(value);
                    continue;
                }
                _ => request.filters.push(filter(&name, &value)?),
            }
            request.pairs.push((name, value));
        }
        if request.filters.len() > MAX_FILTERS {
            return Err(Error::new(
                Code::InvalidRequest,
                format!("there are more than {MAX_FILTERS} filters"),
            ));
        }
        Ok(request)
    }

    /// For who gives all records.
    ///
    /// # Errors
    /// `InvalidParameter` for what belongs to pages.
    pub(super) fn refuse_pages(&self) -> Result<()> {
        let is_of_pages = |name: &str| ["_limit", "_next", "_count", "_facet"].contains(&name);
        let named = self.pairs.iter().find(|(name, _)| is_of_pages(name));
        match named
            .map(|(name, _)| name.as_str())
            .or(self.cursor.as_ref().map(|_| "_next"))
        {
            None => Ok(()),
            Some(name) => Err(Error::new(
                Code::InvalidParameter,
                format!("the parameter `{name}` is not known here"),
            )
            .hint("an export has all records; use `/records` for pages, or `Range` for pieces")),
        }
    }

    /// What a cursor is bound to.
    pub(super) fn identity(&self) -> String {
        form_urlencoded::Serializer::new(String::new())
            .extend_pairs(&self.pairs)
            .finish()
    }
}

fn list(text: &str) -> Vec<String> {
    text.split(',')
        .map(str::to_owned)
        .filter(|name| !name.is_empty())
        .collect()
}

fn ordered(item: &str) -> (String, bool) {
    match (item.strip_suffix(".desc"), item.strip_suffix(".asc")) {
        (Some(name), _) => (name.to_owned(), true),
        (None, Some(name)) => (name.to_owned(), false),
        (None, None) => (item.to_owned(), false),
    }
}

pub(super) fn filter(attribute: &str, text: &str) -> Result<RecordFilter> {
    let (negated, rest) = match text.strip_prefix("not.") {
        Some(rest) => (true, rest),
        None => (false, text),
    };
    let Some((operator, value)) = rest.split_once('.') else {
        return Err(Error::new(
            Code::InvalidParameter,
            format!("the filter `{attribute}={text}` has no operator"),
        )
        .hint(format!(
            "write `{attribute}=eq.{text}`; parameters of the page begin with `_`, e.g. `_limit`"
        )));
    };
    Ok(RecordFilter {
        attribute: attribute.to_owned(),
        negated,
        operator: operator.to_owned(),
        value: value.to_owned(),
    })
}
