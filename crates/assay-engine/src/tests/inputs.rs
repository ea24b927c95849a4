//! Answers and the history as inputs: what was stored is what is read, however large, and damage is told.

use assay_core::{HistoryTable, ResultData};

use super::*;

/// A laboratory whose only input is the answer of `sql`.
async fn chained(mut lab: Lab, sql: &str) -> Lab {
    let stored = lab.stored(sql, &Limits::default()).await.unwrap();
    lab.inputs = vec![Input::answer(stored)];
    lab
}

fn object_of(input: &Input) -> Path {
    match &input.source {
        InputSource::Answer(ResultData::Object { path, .. }) => Path::from(path.as_str()),
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn an_answer_is_read_with_its_columns_and_kinds() {
    let sql = "SELECT carrier, \"tailNum\", delay, day, [1, 2] AS \"a,b\", {x: distance} AS s, NULL AS nothing, \
               count(*) OVER () AS \"count(*)\" FROM flights WHERE carrier = 'UA'";
    let lab = chained(small_flights().await, sql).await;
    assert_eq!(
        lab.rows("SELECT * FROM input ORDER BY day").await,
        [
            json!({"carrier": "UA", "tailNum": "N1", "delay": 2.5, "day": "2013-01-01", "a,b": [1, 2],
                   "s": {"x": 1400}, "nothing": null, "count(*)": 2}),
            json!({"carrier": "UA", "tailNum": "N2", "delay": null, "day": "2013-01-02", "a,b": [1, 2],
                   "s": {"x": 1416}, "nothing": null, "count(*)": 2}),
        ]
    );
    assert_eq!(
        lab.rows("SELECT i.TAILNUM, sum(\"count(*)\") AS n FROM Input AS i GROUP BY 1 ORDER BY 1")
            .await,
        [json!({"tailNum": "N1", "n": 2}), json!({"tailNum": "N2", "n": 2})]
    );
    let error = lab.refusal("SELECT tailnumber FROM input").await;
    check(&error, Code::UnknownColumn, "tailnumber");
}

#[tokio::test]
async fn an_answer_without_rows_has_its_columns() {
    let lab = chained(small_flights().await, "SELECT carrier, delay FROM flights WHERE false").await;
    assert_eq!(lab.rows("SELECT carrier FROM input").await, Vec::<Value>::new());
    assert_eq!(
        lab.rows("SELECT count(*) AS n, max(delay) AS most FROM input").await,
        [json!({"n": 0, "most": null})]
    );
}

#[tokio::test]
async fn a_large_answer_is_streamed_and_may_be_read_twice_in_one_query() {
    // Much larger than the pool: it is not held.
    let lab = Lab::with_pool(4 << 20);
    let lab = chained(lab, "SELECT value AS v, repeat('x', 100) AS s FROM range(300000)").await;
    assert_eq!(
        lab.rows("SELECT count(*) AS n, sum(v) AS total, max(length(s)) AS longest FROM input")
            .await,
        [json!({"n": 300_000, "total": 44_999_850_000_i64, "longest": 100})]
    );
    assert_eq!(
        lab.rows("SELECT count(*) AS n FROM input WHERE v > (SELECT avg(v) FROM input)")
            .await,
        [json!({"n": 150_000})]
    );
    assert_eq!(lab.rows("SELECT v FROM input LIMIT 1").await.len(), 1);
}

#[tokio::test]
async fn a_damaged_answer_is_refused_before_a_row_of_it_is_used() {
    let lab = chained(Lab::new(), "SELECT value AS v FROM range(300000)").await;
    let path = object_of(&lab.inputs[0]);
    let mut bytes = lab.objects.get(&path).await.unwrap().bytes().await.unwrap().to_vec();
    let last = bytes.len() - 1_000;
    bytes[last] ^= 1;
    lab.objects.put(&path, bytes.into()).await.unwrap();
    let error = lab.refusal("SELECT v FROM input LIMIT 1").await;
    check(&error, Code::FileDamaged, "damaged");
    lab.objects.delete(&path).await.unwrap();
    let error = lab.refusal("SELECT v FROM input LIMIT 1").await;
    check(&error, Code::ResultExpired, "removed");
}

#[tokio::test]
async fn bytes_that_are_no_answer_are_not_an_empty_answer() {
    let mut lab = chained(small_flights().await, "SELECT carrier FROM flights").await;
    let InputSource::Answer(ResultData::Inline(bytes)) = lab.inputs[0].source.clone() else {
        panic!()
    };
    for broken in [Vec::new(), bytes[..bytes.len() / 2].to_vec()] {
        lab.inputs[0].source = InputSource::Answer(ResultData::Inline(broken));
        let error = lab.refusal("SELECT carrier FROM input").await;
        check(&error, Code::FileDamaged, "damaged");
    }
}

fn history(table: HistoryTable, rows: &[Value]) -> Input {
    let lines: String = rows.iter().map(|row| format!("{row}\n")).collect();
    Input::history(table, rows.len() as u64, false, ResultData::Inline(lines.into_bytes()))
}

fn job(id: &str, state: &str, run_ms: Option<u64>) -> Value {
    json!([
        id, "local", "describe", state, 5, "2025-02-26T12:00:00.000Z", "2025-02-26T12:00:00.250Z", null, 250, run_ms,
        1, 1024, 344, 1, 8, 4096, null, null, [{"dataset": "Flights", "version": 1}], null, {"team": "blue"}, null, null
    ])
}

fn attempt(job: &str, number: u32) -> Value {
    json!([
        job,
        number,
        "worker-1",
        "2025-02-26T12:00:00.250Z",
        null,
        null,
        null,
        null,
        null,
        null,
        null
    ])
}

async fn with_history() -> Lab {
    let mut lab = small_flights().await;
    let jobs = [
        job("job_a", "succeeded", Some(10)),
        job("job_b", "succeeded", Some(20)),
        job("job_c", "running", None),
    ];
    let attempts = [attempt("job_a", 1), attempt("job_b", 1), attempt("job_b", 2)];
    lab.inputs.push(history(HistoryTable::Jobs, &jobs));
    lab.inputs.push(history(HistoryTable::Attempts, &attempts));
    lab.inputs.push(Input::empty_history(HistoryTable::Events));
    lab
}

#[tokio::test]
async fn the_history_is_queried_like_data_sets_and_with_them() {
    let lab = with_history().await;
    assert_eq!(
        lab.rows(
            "SELECT analysis, count(*) AS n, avg(run_ms) FROM assay.jobs WHERE state = 'succeeded' GROUP BY analysis"
        )
        .await,
        [json!({"analysis": "describe", "n": 2, "avg(run_ms)": 15.0})]
    );
    assert_eq!(
        lab.rows(
            "SELECT j.id, count(a.job) AS tries FROM Assay.Jobs AS j LEFT JOIN \"assay\".\"attempts\" AS a ON a.job = j.id \
             GROUP BY j.id ORDER BY j.id"
        )
        .await,
        [
            json!({"id": "job_a", "tries": 1}),
            json!({"id": "job_b", "tries": 2}),
            json!({"id": "job_c", "tries": 0})
        ]
    );
    assert_eq!(
        lab.rows(
            "SELECT ASSAY.JOBS.ID, jobs.State, assay.jobs.started_at - assay.jobs.submitted_at > INTERVAL '0' SECOND \
                  AS waited FROM assay.jobs WHERE assay.jobs.id = 'job_c'"
        )
        .await,
        [json!({"id": "job_c", "state": "running", "waited": true})]
    );
    assert_eq!(
        lab.rows("SELECT json_get(tags, 'team') AS team, json_get(inputs, 0, 'dataset') AS d FROM assay.jobs LIMIT 1")
            .await,
        [json!({"team": "blue", "d": "Flights"})]
    );
    assert_eq!(lab.rows("SELECT assay.jobs.* FROM assay.jobs").await.len(), 3);
    assert_eq!(
        lab.rows("SELECT count(*) AS n FROM flights CROSS JOIN assay.attempts")
            .await,
        [json!({"n": 12})]
    );
    assert_eq!(lab.rows("SELECT type, at FROM assay.events").await, Vec::<Value>::new());
}

#[tokio::test]
async fn names_near_the_history_are_told() {
    let lab = with_history().await;
    let error = lab.refusal("SELECT * FROM assay.job").await;
    check(&error, Code::UnknownDataset, "table `assay.job` does not exist");
    assert!(
        error.hint.as_ref().unwrap().starts_with("did you mean `assay.jobs`"),
        "{error:?}"
    );
    assert_eq!(place(&error), Some((1, 15)));
    let error = lab.refusal("SELECT stat FROM assay.jobs").await;
    check(&error, Code::UnknownColumn, "stat");
    // Without a schema it is a data set, and so is a name in one pair of quotes.
    for sql in [
        "SELECT * FROM jobs",
        "SELECT * FROM \"assay.jobs\"",
        "SELECT * FROM other.jobs",
    ] {
        let error = lab.refusal(sql).await;
        assert_eq!(error.code, Code::UnknownDataset, "{sql}: {error:?}");
    }
}

#[tokio::test]
async fn a_data_set_called_like_the_schema_is_itself() {
    let mut lab = with_history().await;
    let columns: &[(&str, Kind)] = &[("jobs", Kind::Int64)];
    lab.dataset("Assay", &[(columns, json!([[7]]))]).await;
    assert_eq!(lab.rows("SELECT assay.jobs FROM assay").await, [json!({"jobs": 7})]);
    assert_eq!(
        lab.rows("SELECT count(*) AS n FROM assay.jobs").await,
        [json!({"n": 3})]
    );
}

#[tokio::test]
async fn lines_that_are_cut_or_of_another_width_are_damage() {
    let mut lab = with_history().await;
    for lines in ["[1,2]\n", "{\"id\":1}\n", "[\"job_a\""] {
        lab.inputs = vec![Input::history(
            HistoryTable::Events,
            1,
            false,
            ResultData::Inline(lines.as_bytes().to_vec()),
        )];
        let error = lab.refusal("SELECT count(*) FROM assay.events").await;
        check(&error, Code::FileDamaged, "damaged");
    }
}

#[tokio::test]
async fn many_lines_in_an_object_come_in_batches() {
    let mut lab = Lab::new();
    let lines: String = (0..20_000)
        .map(|id| format!("[{id},\"2025-02-26T12:00:00.000Z\",\"job_ä\",\"job.state\",\"queued\",false,1,null]\n"))
        .collect();
    let checksum = assay_formats::hexadecimal(&<sha2::Sha256 as sha2::Digest>::digest(lines.as_bytes()));
    let path = "results/job/1/assay.events.ndjson";
    lab.objects
        .put(&Path::from(path), lines.into_bytes().into())
        .await
        .unwrap();
    let data = ResultData::Object {
        path: path.to_owned(),
        checksum,
    };
    lab.inputs = vec![Input::history(HistoryTable::Events, 20_000, false, data)];
    assert_eq!(
        lab.rows("SELECT count(*) AS n, sum(id) AS s, min(job) AS job, min(at) AS at FROM assay.events")
            .await,
        [json!({"n": 20_000, "s": 199_990_000, "job": "job_ä", "at": "2025-02-26T12:00:00Z"})]
    );
}
