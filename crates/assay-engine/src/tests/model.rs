//! Random records, loaded, hot, deleted and compacted, against what a list of their texts says.

use std::collections::BTreeMap;

use assay_core::{Completion, Format, HotRecord, ImportFormat, KeyHash, RecordsTask, ResultData, RunControl};
use object_store::local::LocalFileSystem;
use proptest::collection::{btree_map, vec};
use proptest::prelude::*;
use serde_json::value::RawValue;

use super::compaction::{compact_task, hot};
use super::pages::task;
use super::*;

const NAMES: [&str; 7] = ["a", "b", "A", "ü\"", "x.y", "null", "\0document"];

fn number() -> impl Strategy<Value = String> {
    prop_oneof![
        any::<i64>().prop_map(|int| int.to_string()),
        (-20..20).prop_map(|int: i32| int.to_string()),
        any::<f64>()
            .prop_filter("JSON has no others", |double| double.is_finite())
            .prop_map(|double| serde_json::to_string(&double).unwrap()),
        "-?(0|[1-9][0-9]{0,50})",
        "-?(0|[1-9][0-9]{0,6})(\\.[0-9]{1,25})?([eE][+-]?[0-9]{1,3})?",
    ]
}

fn text() -> impl Strategy<Value = String> {
    let texts = prop_oneof![
        ".{0,6}",
        Just("null".to_owned()),
        Just(": null".to_owned()),
        "20[0-2][0-9]-0[1-9]-[0-2][0-9]",
        "200[0-9]-0[1-9]-1[0-9]T1[0-9]:00:00(\\.[0-9]{1,6})?Z",
        "-?[0-9]{1,4}",
    ];
    texts.prop_map(|text: String| serde_json::to_string(&text).unwrap())
}

/// JSON text of any value.
fn value() -> impl Strategy<Value = String> {
    let leaf = prop_oneof![
        Just("null".to_owned()),
        any::<bool>().prop_map(|bool| bool.to_string()),
        number(),
        text()
    ];
    leaf.prop_recursive(3, 12, 4, |inner| {
        prop_oneof![
            vec(inner.clone(), 0..4).prop_map(|items| format!("[{}]", items.join(","))),
            btree_map(0..NAMES.len(), inner, 0..4).prop_map(|members| object(&members)),
        ]
    })
}

fn object(members: &BTreeMap<usize, String>) -> String {
    let members = members.iter().map(|(name, value)| {
        let name = serde_json::to_string(NAMES[*name]).unwrap();
        format!("{name}: {value}")
    });
    format!("{{{}}}", members.collect::<Vec<_>>().join(", "))
}

#[derive(Debug, Clone)]
struct Record {
    members: BTreeMap<usize, String>,
    n: Option<i32>,
    is_deleted: bool,
}

fn record() -> impl Strategy<Value = Record> {
    let members = prop_oneof![
        btree_map(0..NAMES.len(), value(), 0..5),
        // Values that agree in type, so that columns are typed.
        (number(), text()).prop_map(|(number, text)| BTreeMap::from([(0, number), (1, text)])),
    ];
    (members, any::<Option<i32>>(), any::<bool>()).prop_map(|(members, n, is_deleted)| Record {
        members,
        n,
        is_deleted,
    })
}

/// The keys are of all forms and no two of them are the same text.
fn key(number: usize) -> (String, String) {
    match number % 5 {
        0 => (number.to_string(), number.to_string()),
        1 => (number.to_string(), format!("\"{number}\"")),
        2 => {
            let day = format!("2{number:03}-01-31");
            (day.clone(), format!("\"{day}\""))
        }
        3 => (format!("g:é\n{number}"), format!("\"g:\\u00e9\\n{number}\"")),
        _ => {
            let wide = format!("-9{number:030}");
            (wide.clone(), wide)
        }
    }
}

struct Written {
    key: String,
    text: String,
    n: Option<i32>,
    written: Version,
}

/// The text of a record: with a key, and an integer in the first one of each part.
fn written(record: &Record, number: usize, is_keyed: bool, is_first: bool, written: u64) -> Written {
    let (key, key_json) = key(number);
    let n = record.n.or(is_first.then_some(1));
    let mut members = object(&record.members);
    members.pop();
    let mut add = |member: String| {
        members.push_str(if members == "{" { "" } else { "," });
        members.push_str(&member);
    };
    if let Some(n) = n {
        add(format!("\"n\":{n}"));
    }
    if is_keyed {
        add(format!("\"id\":{key_json}"));
    }
    Written {
        key,
        text: members + "}",
        n,
        written: Version(written),
    }
}

/// A JSON value whose numbers keep their digits.
#[derive(Debug, PartialEq)]
enum Exact {
    Number {
        is_negative: bool,
        digits: String,
        exponent: i64,
    },
    Other(Value),
    List(Vec<Exact>),
    Object(BTreeMap<String, Exact>),
}

fn exact(text: &str) -> Exact {
    match text.as_bytes()[0] {
        b'[' => Exact::List(
            serde_json::from_str::<Vec<&RawValue>>(text)
                .unwrap()
                .iter()
                .map(|item| exact(item.get()))
                .collect(),
        ),
        b'{' => Exact::Object(
            serde_json::from_str::<BTreeMap<String, &RawValue>>(text)
                .unwrap()
                .into_iter()
                .map(|(name, value)| (name, exact(value.get())))
                .collect(),
        ),
        b'-' | b'0'..=b'9' => exact_number(text),
        _ => Exact::Other(serde_json::from_str(text).unwrap()),
    }
}

fn exact_number(text: &str) -> Exact {
    // Of a double, the shortest text is as good as any other.
    let shortest = match assay_core::number::read(text) {
        assay_core::number::Number::Float(double) => format!("{double:e}"),
        _ => text.to_owned(),
    };
    let (mantissa, exponent) = shortest.split_once(['e', 'E']).unwrap_or((&shortest, "0"));
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let digits = format!("{}{fraction}", whole.trim_start_matches('-'));
    let digits = digits.trim_start_matches('0');
    let exponent = exponent.parse::<i64>().unwrap() - fraction.len() as i64;
    let kept = digits.trim_end_matches('0');
    Exact::Number {
        is_negative: whole.starts_with('-') && !kept.is_empty(),
        exponent: if kept.is_empty() {
            0
        } else {
            exponent + (digits.len() - kept.len()) as i64
        },
        digits: kept.to_owned(),
    }
}

async fn check_against(lab: &Lab, model: &[&Written]) {
    let input = &lab.inputs[0];
    let page = RecordsTask {
        format: Format::Ndjson,
        limit: 1_000,
        ..task(input)
    };
    let control = &mut RunControl::unattended();
    let page = lab
        .engine
        .records(&page, "scratch", &Limits::default(), control)
        .await
        .unwrap();
    let Completion::Encoded {
        data: ResultData::Inline(bytes),
        rows,
    } = page
    else {
        panic!("{page:?}")
    };
    assert_eq!(rows, model.len() as u64);
    let text = String::from_utf8(bytes).unwrap();
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!(lines.len(), model.len(), "{text}");
    for (line, record) in lines.iter().zip(model) {
        assert_eq!(
            exact(line),
            exact(&record.text),
            "{line} was written as {}",
            record.text
        );
    }
    let total = model.iter().filter_map(|record| record.n).map(i64::from);
    let total = (model.iter().any(|record| record.n.is_some())).then(|| total.sum::<i64>());
    assert_eq!(
        lab.rows("SELECT count(*) AS c, count(n) AS k, sum(n) AS s FROM d")
            .await,
        [json!({
            "c": model.len(),
            "k": model.iter().filter(|record| record.n.is_some()).count(),
            "s": total,
        })]
    );
    assert_eq!(
        lab.rows("SELECT count(*) AS c FROM d").await,
        [json!({"c": model.len()})]
    );
}

async fn check_indexes(lab: &Lab, parts: &[Part], model: &[&Written]) {
    let mut left = model;
    for part in parts {
        let (here, rest) = left.split_at(part.rows as usize);
        let index = lab.index_of(part).await;
        assert_eq!(index.len(), here.len());
        for (row, record) in (0..).zip(here) {
            let entry = index.find(&KeyHash::of(&record.key)).unwrap();
            assert_eq!(
                (entry.row, entry.written),
                (row, Some(record.written)),
                "{}",
                record.key
            );
        }
        left = rest;
    }
    assert!(left.is_empty());
}

async fn lives_through(batches: &[Vec<Record>], hot_records: &[Record], is_keyed: bool) {
    let folder = tempfile::tempdir().unwrap();
    let mut lab = Lab::over(Arc::new(LocalFileSystem::new_with_prefix(folder.path()).unwrap()));
    let key = is_keyed.then_some("id");
    let (mut parts, mut model, mut number) = (Vec::new(), Vec::new(), 0);
    for (batch, version) in batches.iter().zip(1..) {
        let mut file = String::new();
        let mut deleted = RowSet::new();
        for (row, record) in (0..).zip(batch) {
            let record_written = written(record, number, is_keyed, row == 0, version);
            number += 1;
            file.push_str(&record_written.text);
            file.push('\n');
            match record.is_deleted {
                true => drop(deleted.insert(row)),
                false => model.push(record_written),
            }
        }
        let loaded = lab.load_as("d", key, file.as_bytes(), Some(ImportFormat::Ndjson)).await;
        let part = loaded.unwrap().remove(0);
        let added = Version(version);
        parts.push(LivePart {
            part: part.into(),
            added,
            deleted,
        });
    }
    let mut texts: Vec<HotRecord> = Vec::new();
    for (record, version) in hot_records.iter().zip(100..) {
        let record = written(record, number, is_keyed, false, version);
        number += 1;
        texts.push(hot(version, key.map(|_| record.key.as_str()), version, &record.text));
        model.push(record);
    }
    lab.add_live("d", parts);
    lab.inputs[0].key = key.map(Into::into);
    lab.heat(&texts.iter().map(|record| record.json.as_str()).collect::<Vec<_>>());
    let model: Vec<&Written> = model.iter().collect();
    check_against(&lab, &model).await;

    let compacted = compact_task(&lab.inputs[0], texts);
    let parts = lab.engine.compact(&compacted, &RunControl::unattended()).await.unwrap();
    if is_keyed {
        check_indexes(&lab, &parts, &model).await;
    }
    // What all records were deleted of is not in any part any more.
    let schema = lab.inputs[0].schema.clone();
    lab.inputs.clear();
    lab.add("d", parts);
    lab.inputs[0].schema = lab.inputs[0].schema.union(&schema);
    check_against(&lab, &model).await;
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    #[test]
    fn records_are_what_was_written_and_not_deleted(
        batches in vec(vec(record(), 1..6), 1..4),
        hot_records in vec(record(), 0..5),
        is_keyed in any::<bool>(),
    ) {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).build().unwrap();
        runtime.block_on(lives_through(&batches, &hot_records, is_keyed));
    }
}
