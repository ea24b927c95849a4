//! Refreshing: linked data sets with an interval are read again when it has passed since the last refresh ended.
//!
//! Nothing is remembered but the jobs themselves: the newest refresh of a data set tells when the next is due. Any number
//! of servers may look; an unfinished refresh keeps others of the same data set away.

use std::time::Duration;

use assay_core::{Code, Dataset, PageRequest, RefreshParams, Result, Timestamp, UserName};
use serde_json::Value;
use tokio::time::sleep;

use crate::app::{App, Services};
use crate::routes::links;

/// Longest pause between two looks: so late may a refresh be.
const PATIENCE: Duration = Duration::from_secs(5);
/// Data sets that are looked at together.
const PAGE: usize = 500;

/// Refreshes what is due until the shutdown of `services`.
pub async fn refresh_linked_until(services: Services) {
    let app = App::new(services, Value::Null);
    let mut shutdown = app.shutdown.clone();
    let mut trouble = None;
    loop {
        let looked = look(&app).await;
        let code = looked.as_ref().err().map(|error| error.code);
        let pause = looked.unwrap_or_else(|error| {
            // Told once, and not again at every look.
            if code != trouble {
                tracing::warn!(%error, code = %error.code, "linked data sets wait: they cannot be refreshed now");
            }
            PATIENCE
        });
        trouble = code;
        tokio::select! {
            stopped = shutdown.wait_for(|stop| *stop) => {
                drop(stopped);
                return;
            }
            () = sleep(pause) => {}
        }
    }
}

/// Refreshes all that is due; how long there is nothing to do, as far as is known.
async fn look(app: &App) -> Result<Duration> {
    let mut pause = PATIENCE;
    let mut page = PageRequest {
        after: None,
        limit: PAGE,
    };
    loop {
        let found = app.catalog.list(page.clone()).await?;
        for dataset in found.items {
            if let Some(due_at) = due_at(app, &dataset).await? {
                let now = app.clock.now();
                match due_at <= now {
                    true => refresh(app, &dataset).await?,
                    false => pause = pause.min(Duration::from_millis(due_at.millis_since(now))),
                }
            }
        }
        match found.next {
            Some(next) => page.after = Some(next),
            None => return Ok(pause),
        }
    }
}

/// When the data set is to be refreshed by itself; never while it is refreshed.
async fn due_at(app: &App, dataset: &Dataset) -> Result<Option<Timestamp>> {
    let Some(interval) = dataset.source.as_ref().and_then(|source| source.refresh_ms) else {
        return Ok(None);
    };
    let newest = links::newest_refresh(app, &dataset.name).await?;
    Ok(match newest {
        // It was made anew since.
        Some(job) if job.submitted_at < dataset.created_at => Some(dataset.created_at.plus_millis(interval)),
        Some(job) => job.finished_at.map(|at| at.plus_millis(interval)),
        None => Some(dataset.created_at.plus_millis(interval)),
    })
}

async fn refresh(app: &App, dataset: &Dataset) -> Result<()> {
    let params = RefreshParams {
        dataset: dataset.name.clone(),
        message: None,
    };
    let job = links::refresh_job(app, UserName::local(), &params, Vec::new())?;
    match app.jobs.submit(job, None).await {
        // Another server was first.
        Err(error) if error.code != Code::UniqueKeyTaken => Err(error),
        _ => Ok(()),
    }
}
