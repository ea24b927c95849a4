//! Rows that are deleted in the version that is read.

use assay_core::{Completion, Format, RecordsTask, ResultData, RunControl};

use super::*;

const ROWS: i64 = 4_000;

/// Rows `n`, each part of several groups of rows, of which `is_deleted` ones are deleted.
async fn numbers(parts: i64, is_deleted: impl Fn(i64) -> bool) -> (Lab, Vec<i64>) {
    let mut lab = Lab::new();
    let columns = [("n", Kind::Int64), ("t", Kind::Text)];
    let described = columns.clone().map(|(name, kind)| Column {
        name: name.into(),
        kind,
    });
    let mut written = Vec::new();
    for part in 0..parts {
        let range = part * ROWS..(part + 1) * ROWS;
        let arrays: Vec<arrow::array::ArrayRef> = vec![
            Arc::new(arrow::array::Int64Array::from_iter_values(range.clone())),
            Arc::new(arrow::array::StringArray::from_iter_values(
                range.clone().map(|n| format!("t{}", n % 10)),
            )),
        ];
        let batch = execute::batch_of(&described, arrays, ROWS as usize).unwrap();
        let properties = WriterProperties::builder()
            .set_max_row_group_row_count(Some(900))
            .set_data_page_row_count_limit(100)
            .set_write_batch_size(100)
            .build();
        let path = format!("datasets/d/{part}.parquet");
        let part = lab.write_with(&path, &described, &batch, Some(properties)).await;
        let deleted = range.clone().filter(|n| is_deleted(*n));
        let deleted = deleted.map(|n| u32::try_from(n - range.start).unwrap()).collect();
        written.push(LivePart { deleted, ..live(part) });
    }
    let all = (0..parts * ROWS).filter(|n| !is_deleted(*n)).collect();
    lab.add_live("d", written);
    (lab, all)
}

async fn read(lab: &Lab, sql: &str, threads: usize) -> Vec<Value> {
    let session = lab.engine.session(&lab.inputs, &[], threads).await.unwrap();
    let plan = session.plan(sql, &SqlParams::None).await.unwrap();
    let rows = session.rows(plan).await.unwrap();
    rows.into_iter().map(Value::Object).collect()
}

async fn check(parts: i64, is_deleted: impl Fn(i64) -> bool) {
    let (lab, left) = numbers(parts, is_deleted).await;
    assert_eq!(lab.inputs[0].rows, left.len() as u64);
    for threads in [1, 3] {
        let one = async |sql: &str| read(&lab, sql, threads).await.remove(0)["x"].clone();
        assert_eq!(one("SELECT count(*) AS x FROM d").await, json!(left.len()));
        assert_eq!(one("SELECT sum(n) AS x FROM d").await, json!(left.iter().sum::<i64>()));
        assert_eq!(one("SELECT min(n) AS x FROM d").await, json!(left.iter().min()));
        assert_eq!(one("SELECT max(n) AS x FROM d").await, json!(left.iter().max()));
        assert_eq!(
            one("SELECT count(t) AS x FROM d WHERE n >= 1000").await,
            json!(left.iter().filter(|n| **n >= 1_000).count())
        );
        assert_eq!(
            one("SELECT count(*) AS x FROM d WHERE t = 't3'").await,
            json!(left.iter().filter(|n| *n % 10 == 3).count())
        );
        assert_eq!(read(&lab, "SELECT 1 AS x FROM d", threads).await.len(), left.len());
        let five = one("SELECT count(*) AS x FROM (SELECT 1 FROM d LIMIT 5)").await;
        assert_eq!(five, json!(left.len().min(5)));
        assert_eq!(
            one("SELECT count(*) AS x FROM d AS a JOIN d AS b ON a.n = b.n + 1").await,
            json!(left.windows(2).filter(|pair| pair[0] + 1 == pair[1]).count())
        );
        // Every row of the file is matched by its statistics, so that counting them would be enough for the limit.
        for limit in [1, 10, left.len() - 1, left.len() + 5] {
            let sql = format!("SELECT n FROM d WHERE n >= 0 LIMIT {limit}");
            assert_eq!(read(&lab, &sql, threads).await.len(), limit.min(left.len()), "{limit}");
        }
        let first: Vec<_> = left.iter().take(3).map(|n| json!({"n": n})).collect();
        assert_eq!(read(&lab, "SELECT n FROM d ORDER BY n LIMIT 3", threads).await, first);
        let last: Vec<_> = left.iter().rev().take(3).map(|n| json!({"n": n})).collect();
        assert_eq!(
            read(&lab, "SELECT n FROM d ORDER BY n DESC LIMIT 3", threads).await,
            last
        );
    }
    let task = |offset, limit| RecordsTask {
        input: lab.inputs[0].clone(),
        select: vec!["n".into()],
        filters: Vec::new(),
        condition: None,
        order: Vec::new(),
        offset,
        limit,
        format: Format::Csv,
    };
    for (offset, limit) in [(0, 20), (left.len() / 2, 1_000), (0, 100_000)] {
        let (page, control) = (task(offset as u64, limit as u64), &mut RunControl::unattended());
        let given = lab
            .engine
            .records(&page, "s", &Limits::default(), control)
            .await
            .unwrap();
        let Completion::Encoded {
            data: ResultData::Inline(bytes),
            rows,
        } = given
        else {
            panic!("{given:?}")
        };
        let text = String::from_utf8(bytes).unwrap();
        let found: Vec<i64> = text.lines().skip(1).map(|line| line.parse().unwrap()).collect();
        let wanted: Vec<i64> = left.iter().copied().skip(offset).take(limit).collect();
        assert_eq!((found, rows), (wanted.clone(), wanted.len() as u64));
    }
}

#[tokio::test]
async fn deleted_rows_are_in_no_answer() {
    check(2, |n| n % 3 == 0).await;
    check(3, |n| n % 100 == 7).await;
    // In the first part scattered, in the second in one run, in the third not at all.
    check(3, |n| (n < ROWS && n % 50 == 0) || (5_000..7_500).contains(&n)).await;
    check(2, |n| (100..2_000).contains(&n) || n == 5_000).await;
    check(1, |n| n != 2_345).await;
    check(1, |n| !(10..=3_990).contains(&n)).await;
}

#[tokio::test]
async fn a_part_without_live_rows_is_not_touched() {
    let (lab, left) = numbers(2, |n| n < ROWS).await;
    assert_eq!(left.len() as i64, ROWS);
    lab.objects.delete(&Path::from("datasets/d/0.parquet")).await.unwrap();
    assert_eq!(
        lab.rows("SELECT count(*) AS n, min(n) AS m FROM d WHERE t <> ''").await,
        [json!({"n": ROWS, "m": ROWS})]
    );
    let (lab, _) = numbers(1, |_| true).await;
    assert_eq!(lab.rows("SELECT n FROM d").await, [json!(null); 0]);
    assert_eq!(lab.rows("SELECT count(*) AS n FROM d").await, [json!({"n": 0})]);
}

/// Names and members that the scan itself could use.
#[tokio::test]
async fn members_of_objects_are_read_alone_and_names_may_be_any() {
    let mut lab = Lab::new();
    let field = |name: &str, kind| assay_core::Field {
        name: name.into(),
        kind,
    };
    let columns: &[(&str, Kind)] = &[
        ("\u{0}part", Kind::Int64),
        ("\u{0}row", Kind::Text),
        ("s", Kind::Struct(vec![field("a", Kind::Int64), field("b", Kind::Text)])),
    ];
    let rows = json!([[1, "x", {"a": 10, "b": "p"}], [2, "y", {"a": 20, "b": "q"}], [3, "z", {"a": 40, "b": "r"}]]);
    lab.dataset("d", &[(columns, rows.clone()), (columns, rows)]).await;
    delete(&mut lab, 0, 1);
    assert_eq!(lab.rows("SELECT sum(s.a) AS a FROM d").await, [json!({"a": 120})]);
    assert_eq!(
        lab.rows("SELECT s.b AS b FROM d WHERE s.a < 40 ORDER BY b").await,
        [json!({"b": "p"}), json!({"b": "p"}), json!({"b": "q"})]
    );
    let sql = "SELECT sum(\"\u{0}part\") AS p, count(DISTINCT \"\u{0}row\") AS r, min(1 / (s.a - 20)) AS q FROM d";
    delete(&mut lab, 1, 1);
    assert_eq!(lab.rows(sql).await, [json!({"p": 8, "r": 2, "q": 0})]);
    assert_eq!(lab.rows("SELECT count(*) AS n FROM d").await, [json!({"n": 4})]);
    // Of a deleted row this cannot be computed.
    assert_eq!(lab.rows("SELECT 20 / (s.a - 20) AS q FROM d").await.len(), 4);
}

fn delete(lab: &mut Lab, part: usize, row: u32) {
    let InputSource::Dataset { parts, .. } = &mut lab.inputs[0].source else {
        panic!()
    };
    parts[part].deleted.insert(row);
}
