//! Attributes beyond those that have columns.

use assay_core::{Format, RecordsTask, RunControl};

use super::compaction::{compact_task, hot};
use super::pages::{read, task};
use super::*;

/// `{"<letter>0":0,"<letter>1":1,…}`
fn wide(letter: char, more: &str) -> String {
    let members: Vec<String> = (0..2_100).map(|n| format!("\"{letter}{n}\":{n}")).collect();
    format!("{{{}{more}}}", members.join(","))
}

async fn sums(lab: &Lab) -> Value {
    let session = lab.engine.session(&lab.inputs, &[], 2).await.unwrap();
    let sql = "SELECT count(*) AS rows, sum(a0) AS a0, sum(b1) AS b1, sum(b2099) AS b, min(z) AS z,
                      sum(CAST(json_get(_rest, 'b2098') AS BIGINT)) AS gone FROM d WHERE b2099 > 0 OR a0 = 0";
    let plan = session.plan(sql, &SqlParams::None).await.unwrap();
    Value::Object(session.rows(plan).await.unwrap().remove(0))
}

async fn written(lab: &Lab) -> Vec<String> {
    let lines = RecordsTask {
        format: Format::Ndjson,
        ..task(&lab.inputs[0])
    };
    let lines = read(lab, &lines).await.unwrap();
    lines.lines().map(ToOwned::to_owned).collect()
}

/// `b2099` has a column in the first part, and is in the rest of the hot records; `b2098` is nowhere else.
#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn attributes_without_a_column_are_kept_and_found() {
    let mut lab = Lab::new();
    let file = b"{\"b2099\":5,\"z\":\"x\"}\n{\"z\":\"y\"}\n";
    let parts = lab.load("d", None, file).await.unwrap();
    let plain = lab.add("d", parts);
    let texts = [wide('a', ""), wide('b', ",\"z\":\"w\""), "{\"b2099\":7}".to_owned()];
    lab.heat(&texts.each_ref().map(String::as_str));
    let expected = json!({"rows": 4, "a0": 0, "b1": 1, "b": 5 + 2_099 + 7, "z": "w", "gone": 2_098});
    assert_eq!(sums(&lab).await, expected);
    let attributes = lab.engine.schema(&lab.inputs[0]).await.unwrap().attributes;
    let rest = attributes.iter().find(|attribute| attribute.name == "_rest").unwrap();
    assert_eq!((rest.seen.object, &rest.kind), (2, &Kind::Json));
    assert!(attributes.len() < 4_010, "{}", attributes.len());
    assert_eq!(written(&lab).await[2..], texts, "a record is what was written");

    // As parts, and joined with others, they are the same.
    let records = (1..).zip(&texts).map(|(id, text)| hot(id, None, 9, text)).collect();
    let mut task_of = compact_task(&plain, records);
    let kept = std::mem::take(&mut task_of.parts);
    let apart = lab.engine.compact(&task_of, &RunControl::unattended()).await.unwrap();
    let apart: Vec<LivePart> = kept.into_iter().chain(apart.into_iter().map(live)).collect();
    lab.inputs.clear();
    let input = lab.add_live("d", apart.clone());
    assert_eq!(sums(&lab).await, expected);
    let (task_of, control) = (compact_task(&input, Vec::new()), RunControl::unattended());
    let joined = lab.engine.compact(&task_of, &control).await;
    let joined: Vec<LivePart> = joined.unwrap().into_iter().map(live).collect();
    lab.inputs.clear();
    lab.add_live("d", joined.clone());
    assert_eq!(sums(&lab).await, expected);
    assert_eq!(written(&lab).await[2..], texts);

    let mut without_wide = joined;
    without_wide[1].deleted.insert(1);
    lab.inputs.clear();
    lab.add_live("d", without_wide);
    let expected = json!({"rows": 3, "a0": 0, "b1": null, "b": 5 + 7, "z": "x", "gone": null});
    assert_eq!(sums(&lab).await, expected);
    assert_eq!(written(&lab).await[2..], [&*texts[0], &*texts[2]]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_value_that_its_column_does_not_hold_is_told() {
    let mut lab = Lab::new();
    lab.dataset("d", &[(&[("b2099", Kind::Text)], json!([["x"]]))]).await;
    lab.heat(&[&wide('a', ""), &wide('b', "")]);
    let error = lab.refusal("SELECT max(b2099) FROM d").await;
    assert!(error.message.contains("`b2099`"), "{error:?}");
    let error = lab.refusal("SELECT b2098 FROM d").await;
    assert_eq!(error.code, Code::UnknownColumn);
    assert!(
        error.hint.as_ref().unwrap().contains("json_get(_rest, 'b2098')"),
        "{error:?}"
    );
}
