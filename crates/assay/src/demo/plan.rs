//! The analyses of the demo, submitted at the same time and followed side by side.

use std::time::Duration;

use assay_client::{Exact, Input, Job, NewJob};
use assay_core::{Clock as _, State, SystemClock};
use serde_json::{Map, Value, json};

use super::board::Board;
use crate::cli::{Context, Failure};
use crate::output::text;

/// How an answer is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Picture {
    Table,
    /// Bars from the columns `lower`, `upper` and `count`.
    Histogram,
}

pub struct Plan {
    pub label: &'static str,
    /// What the answer tells.
    pub title: &'static str,
    pub picture: Picture,
    analysis: &'static str,
    input: Option<&'static str>,
    params: Value,
}

/// A plan and what became of it.
pub struct Ended {
    pub plan: Plan,
    pub job: Exact<Job>,
}

fn sql(label: &'static str, title: &'static str, picture: Picture, text: &str) -> Plan {
    Plan {
        label,
        title,
        picture,
        analysis: "sql",
        input: None,
        params: json!({"sql": text}),
    }
}

fn on(input: &'static str, analysis: &'static str, title: &'static str, params: Value) -> Plan {
    let picture = if analysis == "histogram" {
        Picture::Histogram
    } else {
        Picture::Table
    };
    Plan {
        label: analysis,
        title,
        picture,
        analysis,
        input: Some(input),
        params,
    }
}

fn plans() -> Vec<Plan> {
    vec![
        on("penguins", "describe", "Penguins, column by column", json!({})),
        on(
            "penguins",
            "correlation",
            "Which measures of a penguin go together",
            json!({}),
        ),
        on(
            "flights",
            "aggregate",
            "Departure delay by month, in minutes",
            json!({
                "group_by": ["month"],
                "measures": [
                    {"op": "count", "as": "flights"},
                    {"op": "mean", "column": "dep_delay", "as": "mean"},
                    {"op": "median", "column": "dep_delay", "as": "median"},
                    {"op": "quantile", "column": "dep_delay", "q": 0.9, "as": "nine_of_ten_below"},
                ],
                "order_by": [{"column": "month"}],
            }),
        ),
        on(
            "flights",
            "histogram",
            "Flights by arrival delay, in minutes",
            json!({"column": "arr_delay", "min": -60, "max": 120, "bins": 18}),
        ),
        sql(
            "airlines",
            "The latest airlines: a join of two data sets",
            Picture::Table,
            AIRLINES,
        ),
        sql(
            "magnitudes",
            "Earthquakes of one week by magnitude",
            Picture::Histogram,
            MAGNITUDES,
        ),
        sql("strongest", "The strongest of them", Picture::Table, STRONGEST),
        sql(
            "late planes",
            "How late a plane leaves, by how late it came in: windows over all flights",
            Picture::Table,
            LATE,
        ),
    ]
}

const AIRLINES: &str = "\
SELECT a.name AS airline, count(*) AS flights, avg(f.arr_delay) AS mean_arrival_delay
FROM flights f JOIN airlines a ON f.carrier = a.carrier
GROUP BY a.name ORDER BY mean_arrival_delay DESC LIMIT 8";

const MAGNITUDES: &str = "\
WITH halves AS (
  SELECT floor(properties['mag'] * 2) / 2 AS lower FROM earthquakes WHERE properties['mag'] IS NOT NULL
)
SELECT lower, lower + 0.5 AS upper, count(*) AS count FROM halves GROUP BY lower ORDER BY lower";

const STRONGEST: &str = "\
SELECT properties['mag'] AS magnitude, properties['place'] AS place,
       to_timestamp_millis(properties['time']) AS happened_at, geometry['coordinates'][3] AS depth_km
FROM earthquakes ORDER BY magnitude DESC, happened_at LIMIT 8";

const LATE: &str = "\
WITH legs AS (
  SELECT dep_delay, lag(arr_delay) OVER (PARTITION BY tailnum ORDER BY time_hour, sched_dep_time) AS came_late
  FROM flights WHERE tailnum IS NOT NULL
), grouped AS (
  SELECT dep_delay, came_late, CASE
    WHEN came_late <= 0 THEN 'in time' WHEN came_late <= 15 THEN 'up to 15 min'
    WHEN came_late <= 60 THEN 'up to 1 h' ELSE 'more than 1 h' END AS last_arrival
  FROM legs WHERE came_late IS NOT NULL AND dep_delay IS NOT NULL
)
SELECT last_arrival, count(*) AS flights, avg(dep_delay) AS mean_departure_delay
FROM grouped GROUP BY last_arrival ORDER BY min(came_late)";

/// Submits all plans at once and follows each to its end, whichever comes first.
///
/// # Errors
/// When a submission is refused or the server stays away; a job that fails is not an error here.
pub async fn run(context: &Context, board: &Board) -> Result<Vec<Ended>, Failure> {
    let plans = plans();
    board.say(&format!("\nRunning {} analyses at the same time:", plans.len()));
    let begun = SystemClock.now();
    let ended = futures::future::try_join_all(plans.into_iter().map(|plan| run_one(context, board, plan))).await?;
    let wall = Duration::from_millis(SystemClock.now().millis_since(begun));
    let worked: u64 = ended
        .iter()
        .filter_map(|one| Some(one.job.usage.as_ref()?.run_ms))
        .sum();
    let (wall, worked) = (text::duration(wall), text::duration(Duration::from_millis(worked)));
    board.say(&format!(
        "All have ended after {wall}; their run times add up to {worked}."
    ));
    Ok(ended)
}

async fn run_one(context: &Context, board: &Board, plan: Plan) -> Result<Ended, Failure> {
    let line = board.line(&format!("{:<12}", plan.label));
    let params: Map<String, Value> = plan.params.as_object().cloned().unwrap_or_default();
    let input = plan.input.map(|name| Input::Newest(name.to_owned()));
    let job = NewJob {
        analysis: plan.analysis.to_owned(),
        input,
        params,
        ..NewJob::default()
    };
    let begun = SystemClock.now();
    let submitted = context.client.submit(&job, Duration::ZERO, None).await?;
    line.job(&submitted);
    let job = context.client.wait(&submitted.id, |job| line.job(job)).await?;
    let after = text::duration(Duration::from_millis(SystemClock.now().millis_since(begun)));
    if job.state == State::Succeeded {
        let rows = job.result.as_ref().map_or(0, |result| result.row_count);
        line.done(&format!("told after {after}: {}", text::counted(rows, "row")));
    } else {
        let message = job
            .error
            .as_ref()
            .map_or_else(|| job.state.to_string(), |error| error.to_error().message);
        line.failed(&format!("told after {after}: {}", text::printable(&message)));
    }
    Ok(Ended { plan, job })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn at_least_six_analyses_run_and_every_label_is_told_apart() {
        let labels: std::collections::BTreeSet<&str> = plans().iter().map(|plan| plan.label).collect();
        assert!(labels.len() >= 6);
        assert_eq!(labels.len(), plans().len());
    }
}
