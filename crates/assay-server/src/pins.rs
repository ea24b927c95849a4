//! Which versions of which data sets a job reads: fixed when it is submitted.

use assay_core::{AnalysisSpec, Code, DatasetName, Error, PinnedInput, Result, Version};

use crate::app::App;
use crate::wire::request::InputForm;

/// The data sets of a job, at the versions named or at their newest ones.
///
/// # Errors
/// `InvalidParameter` when an input is missing or not wanted; `UnknownDataset` and `UnknownVersion` with what there is.
pub(crate) async fn of_job(
    app: &App,
    spec: &AnalysisSpec,
    input: Option<&InputForm>,
    sql: Option<&str>,
) -> Result<Vec<PinnedInput>> {
    match (spec.needs_input, input) {
        (true, None) => Err(
            Error::new(Code::InvalidParameter, format!("`{}` needs a data set", spec.name))
                .hint("name one as `input`; `/v1/datasets` lists them")
                .pointing("/input"),
        ),
        (false, Some(_)) => Err(
            Error::new(Code::InvalidParameter, format!("`{}` takes no `input`", spec.name))
                .hint("name data sets in the SQL text")
                .pointing("/input"),
        ),
        (true, Some(input)) => Ok(vec![named(app, input).await?]),
        (false, None) => mentioned(app, sql.unwrap_or_default()).await,
    }
}

async fn named(app: &App, input: &InputForm) -> Result<PinnedInput> {
    let (name, version) = match input {
        InputForm::Newest(name) => (name, None),
        InputForm::Pinned(pinned) => (&pinned.dataset, pinned.version),
    };
    let name = known_name(app, name).await.map_err(|error| error.pointing("/input"))?;
    let snapshot = app
        .catalog
        .snapshot(&name, version.map(Version))
        .await
        .map_err(|error| error.pointing("/input"))?;
    Ok(PinnedInput {
        name: snapshot.name,
        version: snapshot.version,
    })
}

/// A name out of a request. What cannot be a name cannot be known either.
///
/// # Errors
/// `UnknownDataset` with the nearest names.
pub(crate) async fn known_name(app: &App, name: &str) -> Result<DatasetName> {
    if let Ok(name) = name.parse() {
        return Ok(name);
    }
    let known = app.catalog.names().await?;
    let shown: String = name.chars().take(80).collect();
    Err(
        Error::new(Code::UnknownDataset, format!("there is no data set `{shown}`"))
            .hint(assay_core::names::suggest(&shown, known.iter().map(String::as_str))),
    )
}

/// Every data set whose name occurs in the text. That may be more than the query reads, and never less.
async fn mentioned(app: &App, sql: &str) -> Result<Vec<PinnedInput>> {
    let sql = sql.to_lowercase();
    let mut pins = Vec::new();
    for name in app.catalog.names().await? {
        if !sql.contains(&name.to_lowercase()) {
            continue;
        }
        let Ok(name) = name.parse::<DatasetName>() else {
            continue;
        };
        // Gone since the names were read: then the query does not find it either.
        if let Some(dataset) = app.catalog.find(&name).await? {
            pins.push(PinnedInput {
                name: dataset.name,
                version: dataset.version,
            });
        }
    }
    Ok(pins)
}
