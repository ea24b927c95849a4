//! What a job reads: which versions of which data sets, or the answer of which job. Fixed when it is submitted.

use std::collections::{BTreeMap, HashMap};

use assay_core::{
    AnalysisSpec, Code, DatasetName, Error, HistoryTable, Input, Job, JobId, PinnedInput, Result, ResultData, State,
    Version,
};

use serde_json::Value;

use crate::app::App;
use crate::asker::Asker;
use crate::submit::SQL;
use crate::when;
use crate::wire::request::{AtForm, InputForm};

/// What a job reads.
#[derive(Debug, Default)]
pub(crate) struct Pins {
    pub(crate) datasets: Vec<PinnedInput>,
    /// The job whose answer is the input, as it is now.
    job: Option<Box<Job>>,
    history: Vec<HistoryTable>,
}

/// The data sets of a job, at the versions named or at their newest ones, or the job whose answer it reads.
///
/// # Errors
/// `InvalidParameter` when an input is missing or not wanted; `UnknownDataset` and `UnknownVersion` with what there is;
/// `UnknownJob`, and `DependencyFailed` or `ResultExpired` for a job that has no answer.
pub(crate) async fn of_job(
    app: &App,
    asker: &Asker,
    spec: &AnalysisSpec,
    input: Option<&InputForm>,
    sql: Option<&str>,
    at: Option<&AtForm>,
) -> Result<Pins> {
    let is_sql = spec.name == SQL;
    if at.is_some() && !is_sql {
        let error = Error::new(Code::InvalidParameter, format!("`{}` takes no `at`", spec.name));
        return Err(error
            .hint("write it inside `input`: `{\"dataset\": name, \"at\": time}`")
            .pointing("/at"));
    }
    let mut pins = Pins::default();
    match input {
        None if spec.needs_input => {
            return Err(Error::new(
                Code::InvalidParameter,
                format!("`{}` needs a data set or the answer of a job", spec.name),
            )
            .hint("name one as `input`; `/v1/datasets` and `/v1/jobs` list them")
            .pointing("/input"));
        }
        None => {}
        Some(InputForm::Answer(answer)) if spec.needs_input || is_sql => {
            let job = answering(app, asker, &answer.job).await;
            pins.job = Some(job.map_err(|error| error.pointing("/input/job"))?);
        }
        Some(input) if spec.needs_input => pins.datasets.push(named(app, input).await?),
        Some(_) => {
            let hint = match is_sql {
                true => "name data sets in the SQL text; `{\"job\": id}` makes the answer of a job the table `input`",
                false => "leave it out",
            };
            return Err(
                Error::new(Code::InvalidParameter, format!("`{}` takes no `input`", spec.name))
                    .hint(hint)
                    .pointing("/input"),
            );
        }
    }
    if is_sql {
        let sql = sql.unwrap_or_default();
        pins.datasets = mentioned(app, sql, at).await?;
        pins.history = HistoryTable::mentioned(sql);
        if pins.job.is_some() {
            // The name means the answer then.
            pins.datasets.retain(|pin| pin.name.folded() != Input::ANSWER);
        }
    }
    Ok(pins)
}

impl Pins {
    /// The job whose answer is the input; a job that reads it also depends on it.
    pub(crate) fn input_job(&self) -> Option<JobId> {
        self.job.as_ref().map(|job| job.id.clone())
    }

    /// What an engine needs to know of the inputs to find out whether the job could start, without their rows; `None`
    /// as long as nobody knows the columns of the answer that is the input.
    ///
    /// # Errors
    /// What the catalog says, e.g. of a version that is gone.
    pub(crate) async fn inputs(&self, app: &App) -> Result<Option<Vec<Input>>> {
        let mut inputs = Vec::with_capacity(self.datasets.len() + 1);
        if let Some(job) = &self.job {
            let Some(mut result) = job.result.clone() else {
                return Ok(None);
            };
            result.data = ResultData::Inline(Vec::new());
            inputs.push(Input::answer(result));
        }
        for pin in &self.datasets {
            inputs.push(app.catalog.snapshot(&pin.name, Some(pin.version)).await?.into());
        }
        inputs.extend(self.history.iter().copied().map(Input::empty_history));
        Ok(Some(inputs))
    }
}

/// A job of the asker's that has an answer or may come to have one.
async fn answering(app: &App, asker: &Asker, id: &str) -> Result<Box<Job>> {
    let (job, _) = app.jobs.get(&id.parse()?).await?;
    asker.check(&job)?;
    match job.state {
        State::Failed | State::Canceled => Err(Error::new(
            Code::DependencyFailed,
            format!(
                "job `{id}` is {}, so it has no answer that could be the input",
                job.state
            ),
        )
        .hint("run that job again and name the new one")),
        State::Succeeded if job.result.is_none() => Err(Error::new(
            Code::ResultExpired,
            format!("the answer of job `{id}` has expired"),
        )
        .hint("run that job again and name the new one")),
        _ => Ok(Box::new(job)),
    }
}

async fn named(app: &App, input: &InputForm) -> Result<PinnedInput> {
    let (name, version, at) = match input {
        InputForm::Newest(name) => (name, None, None),
        InputForm::Pinned(pinned) => (&pinned.dataset, pinned.version, pinned.at.as_deref()),
        InputForm::Answer(answer) => (&answer.job, None, None),
    };
    if version.is_some() && at.is_some() {
        let error = Error::new(Code::InvalidParameter, "`version` and `at` are both given");
        return Err(error.hint("give one of them").pointing("/input/at"));
    }
    let is_job = name.parse::<JobId>().is_ok();
    let told = |error: Error| match is_job && error.code == Code::UnknownDataset {
        true => error
            .hint("write `{\"job\": id}` to read the answer of a job")
            .pointing("/input"),
        false => error.pointing("/input"),
    };
    let name = known_name(app, name).await.map_err(told)?;
    let version = match at {
        Some(_) => when::version(app, &name, at, "at")
            .await
            .map_err(|error| error.pointing("/input/at"))?,
        None => version.map(Version),
    };
    let snapshot = app.catalog.snapshot(&name, version).await.map_err(told)?;
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
async fn mentioned(app: &App, sql: &str, at: Option<&AtForm>) -> Result<Vec<PinnedInput>> {
    let sql = sql.to_lowercase();
    let mut pins = Vec::new();
    let each = match at {
        Some(AtForm::Each(each)) => versions_of(app, each).await?,
        _ => HashMap::new(),
    };
    for name in app.catalog.names().await? {
        if !sql.contains(&name.to_lowercase()) {
            continue;
        }
        let Ok(name) = name.parse::<DatasetName>() else {
            continue;
        };
        // What was not there yet at the time is no table of the query.
        let version = match at {
            Some(AtForm::All(at)) => match when::version(app, &name, Some(at), "at").await {
                Err(error) if error.code == Code::UnknownVersion => continue,
                found => found.map_err(|error| error.pointing("/at"))?,
            },
            _ => each.get(&name.folded()).copied(),
        };
        if let Some(version) = version {
            let snapshot = app.catalog.snapshot(&name, Some(version)).await;
            let snapshot = snapshot.map_err(|error| error.pointing("/at"))?;
            pins.push(PinnedInput {
                name: snapshot.name,
                version,
            });
            continue;
        }
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

/// The versions that are named for single data sets, by folded name.
async fn versions_of(app: &App, each: &BTreeMap<String, Value>) -> Result<HashMap<String, Version>> {
    let mut versions = HashMap::new();
    for (name, at) in each {
        let place = format!("/at/{}", name.replace('~', "~0").replace('/', "~1"));
        let told = |error: Error| error.pointing(place.clone());
        let name = known_name(app, name).await.map_err(told)?;
        let at = match at {
            Value::String(text) => text.clone(),
            other => other.to_string(),
        };
        if let Some(version) = when::version(app, &name, Some(&at), "at").await.map_err(told)? {
            let snapshot = app.catalog.snapshot(&name, Some(version)).await.map_err(told)?;
            versions.insert(snapshot.name.folded(), snapshot.version);
        }
    }
    Ok(versions)
}
