//! The history as tables: columns, whose rows, how many.

use assay_core::{Code, HistoryRows, HistoryTable, Kind};
use serde_json::{Map, Value, json};

use crate::support::{Scene, failed, pinned, progress, succeeded};

async fn read(scene: &Scene, table: HistoryTable, owner: Option<&str>, limit: usize) -> HistoryRows {
    let owner = owner.map(|owner| owner.parse().unwrap());
    let mut found = scene.history().rows(&[table], owner.as_ref(), limit).await.unwrap();
    assert_eq!(found.len(), 1);
    found.remove(0)
}

/// The rows as objects, each value of the kind of its column.
fn objects(found: &HistoryRows) -> Vec<Map<String, Value>> {
    let schema = found.table.schema();
    let text = std::str::from_utf8(&found.lines).unwrap();
    let mut objects = Vec::new();
    for line in text.lines() {
        let values: Vec<Value> = serde_json::from_str(line).unwrap();
        assert_eq!(values.len(), schema.attributes.len(), "{line}");
        for (value, column) in values.iter().zip(&schema.attributes) {
            let fits = match column.kind {
                Kind::Int64 => value.is_i64(),
                Kind::Bool => value.is_boolean(),
                Kind::Timestamp => value.as_str().is_some_and(|text| text.ends_with('Z')),
                Kind::Json => value.is_object() || value.is_array(),
                _ => value.is_string(),
            };
            assert!(fits || value.is_null(), "{}: {value}", column.name);
        }
        let names = schema.attributes.iter().map(|column| column.name.clone());
        objects.push(names.zip(values).collect());
    }
    assert_eq!(objects.len() as u64, found.rows);
    objects
}

async fn table(scene: &Scene, table: HistoryTable) -> Vec<Map<String, Value>> {
    objects(&read(scene, table, None, 100).await)
}

pub async fn a_job_is_told_from_submission_to_its_end(scene: Scene) {
    let id = scene.submit_as(|spec| spec.inputs = vec![pinned("Genes", 7)]).await;
    let waiting = table(&scene, HistoryTable::Jobs).await.remove(0);
    assert_eq!((&waiting["state"], &waiting["attempts"]), (&json!("queued"), &json!(0)));
    for unknown in ["started_at", "wait_ms", "run_ms", "result_rows", "error_code"] {
        assert_eq!(waiting[unknown], Value::Null, "{unknown}");
    }
    scene.advance(40);
    let lease = scene.claim_one().await;
    let running = table(&scene, HistoryTable::Jobs).await.remove(0);
    assert_eq!((&running["wait_ms"], &running["run_ms"]), (&json!(40), &Value::Null));
    scene.advance(12);
    scene.jobs().finish(&lease, succeeded()).await.unwrap();
    let ended = table(&scene, HistoryTable::Jobs).await.remove(0);
    let expected = json!({
        "id": id, "owner": "local", "analysis": "describe", "state": "succeeded", "priority": 5,
        "submitted_at": "2001-09-09T01:46:40.000Z", "started_at": "2001-09-09T01:46:40.040Z",
        "finished_at": "2001-09-09T01:46:40.052Z", "wait_ms": 40, "run_ms": 12, "cpu_ms": 7, "peak_bytes": 1 << 20,
        "rows_read": 3, "attempts": 1, "result_rows": 1, "result_bytes": 4, "error_code": null, "error_message": null,
        "inputs": [{"dataset": "Genes", "version": 7}], "input_job": null, "tags": {"team": "blue"}, "schedule": null,
        "shares": null,
    });
    assert_eq!(Value::Object(ended), expected);
    let attempt = table(&scene, HistoryTable::Attempts).await.remove(0);
    let expected = json!({
        "job": id, "number": 1, "worker": "worker-1", "started_at": "2001-09-09T01:46:40.040Z",
        "ended_at": "2001-09-09T01:46:40.052Z", "outcome": "succeeded", "error_code": null, "error_message": null,
        "run_ms": 12, "cpu_ms": 7, "peak_bytes": 1 << 20,
    });
    assert_eq!(Value::Object(attempt), expected);
}

pub async fn failures_and_progress_are_told(scene: Scene) {
    let lease = scene.running().await;
    let beat = assay_core::Beat {
        lease: lease.clone(),
        progress: Some(progress("reading", 5)),
    };
    scene.jobs().beat(vec![beat]).await.unwrap();
    scene
        .jobs()
        .finish(&lease, failed(Code::EvaluationFailed))
        .await
        .unwrap();
    let job = table(&scene, HistoryTable::Jobs).await.remove(0);
    let attempt = table(&scene, HistoryTable::Attempts).await.remove(0);
    for row in [&job, &attempt] {
        assert_eq!(row["error_code"], "evaluation_failed");
        assert_eq!(row["error_message"], "it went wrong");
    }
    let mut events = table(&scene, HistoryTable::Events).await;
    events.sort_by_key(|event| event["id"].as_u64());
    let told: Vec<_> = events.iter().map(|event| (&event["type"], &event["state"])).collect();
    let state = json!("job.state");
    assert_eq!(told[0], (&state, &json!("queued")));
    assert_eq!(told[told.len() - 1], (&state, &json!("failed")));
    let news = events.iter().find(|event| event["type"] == "job.progress").unwrap();
    assert_eq!(
        (&news["progress"]["stage"], &news["state"]),
        (&json!("reading"), &Value::Null)
    );
}

pub async fn everybody_may_see_their_own_and_the_newest_come_first(scene: Scene) {
    for owner in ["anna", "bert", "anna"] {
        scene.advance(1);
        scene.submit_as(|spec| spec.owner = owner.parse().unwrap()).await;
        let lease = scene.claim_one().await;
        scene.jobs().finish(&lease, succeeded()).await.unwrap();
    }
    for (table, of_anna, of_all) in [
        (HistoryTable::Jobs, 2, 3),
        (HistoryTable::Attempts, 2, 3),
        (HistoryTable::Events, 6, 9),
    ] {
        let all = read(&scene, table, None, 100).await;
        assert_eq!((all.rows, all.truncated), (of_all, false), "{table:?}");
        let anna = read(&scene, table, Some("anna"), 100).await;
        assert_eq!((anna.rows, anna.truncated), (of_anna, false), "{table:?}");
        assert_eq!(read(&scene, table, Some("nobody"), 100).await.lines, b"");
        let newest = read(&scene, table, None, 1).await;
        assert_eq!((newest.rows, newest.truncated), (1, true), "{table:?}");
        assert_eq!(objects(&newest)[0], objects(&all)[0]);
        let exactly = read(&scene, table, None, usize::try_from(of_all).unwrap()).await;
        assert!(!exactly.truncated, "{table:?}");
    }
    let jobs = table(&scene, HistoryTable::Jobs).await;
    let owners: Vec<_> = jobs.iter().map(|job| &job["owner"]).collect();
    assert_eq!(owners, ["anna", "bert", "anna"]);
    assert!(jobs.is_sorted_by(|a, b| a["submitted_at"].as_str() > b["submitted_at"].as_str()));
}

pub async fn several_tables_come_in_the_order_they_were_asked_for(scene: Scene) {
    let asked = [HistoryTable::Events, HistoryTable::Jobs];
    let found = scene.history().rows(&asked, None, 10).await.unwrap();
    let tables: Vec<_> = found.iter().map(|found| (found.table, found.rows)).collect();
    assert_eq!(tables, [(HistoryTable::Events, 0), (HistoryTable::Jobs, 0)]);
}
