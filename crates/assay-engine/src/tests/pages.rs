//! Pages of records: filters, order, formats.

use assay_core::{Completion, Format, RecordFilter, RecordsTask, ResultData, RunControl};

use super::*;

async fn birds() -> (Lab, Input) {
    let mut lab = Lab::new();
    let first: &[(&str, Kind)] = &[
        ("id", Kind::Int64),
        ("name", Kind::Text),
        ("mass", Kind::Float64),
        ("seen", Kind::Date),
        ("tag", Kind::Int64),
    ];
    let second: &[(&str, Kind)] = &[
        ("id", Kind::Int64),
        ("name", Kind::Text),
        ("wild", Kind::Bool),
        ("tag", Kind::Text),
        ("where", Kind::List(Box::new(Kind::Text))),
    ];
    let parts = [
        (
            first,
            json!([
                [3, "Gentoo", 5.0, "2007-11-11", 1],
                [1, "Adelie", 3.7, null, 2],
                [2, "a,b", null, "2008-01-01", null]
            ]),
        ),
        (
            second,
            json!([[5, "Chinstrap", true, "x", ["Dream"]], [4, "adelie", false, "1", null]]),
        ),
    ];
    let input = lab.dataset("birds", &parts).await;
    (lab, input)
}

pub(super) fn task(input: &Input) -> RecordsTask {
    RecordsTask {
        input: input.clone(),
        select: Vec::new(),
        filters: Vec::new(),
        condition: None,
        order: Vec::new(),
        offset: 0,
        limit: 100,
        format: Format::Json,
    }
}

pub(super) fn filter(text: &str) -> RecordFilter {
    let (attribute, rest) = text.split_once('=').unwrap();
    let (negated, rest) = rest.strip_prefix("not.").map_or((false, rest), |rest| (true, rest));
    let (operator, value) = rest.split_once('.').unwrap();
    RecordFilter {
        attribute: attribute.into(),
        negated,
        operator: operator.into(),
        value: value.into(),
    }
}

pub(super) async fn read(lab: &Lab, task: &RecordsTask) -> Result<String, Error> {
    let control = &mut RunControl::unattended();
    let completion = lab.engine.records(task, "scratch", &Limits::default(), control).await?;
    let Completion::Encoded {
        data: ResultData::Inline(bytes),
        ..
    } = completion
    else {
        panic!("{completion:?}")
    };
    Ok(String::from_utf8(bytes).unwrap())
}

async fn ids(lab: &Lab, task: &RecordsTask) -> Result<Vec<i64>, Error> {
    let text = read(lab, task).await?;
    let rows: Vec<Value> = serde_json::from_str(&text).unwrap();
    Ok(rows.iter().map(|row| row["id"].as_i64().unwrap()).collect())
}

#[tokio::test]
async fn records_come_as_they_are_stored_without_what_they_lack() {
    let (lab, input) = birds().await;
    let text = read(
        &lab,
        &RecordsTask {
            limit: 4,
            offset: 1,
            format: Format::Ndjson,
            ..task(&input)
        },
    )
    .await
    .unwrap();
    assert_eq!(
        text,
        "{\"id\":1,\"name\":\"Adelie\",\"mass\":3.7,\"tag\":2}\n\
         {\"id\":2,\"name\":\"a,b\",\"seen\":\"2008-01-01\"}\n\
         {\"id\":5,\"name\":\"Chinstrap\",\"tag\":\"x\",\"wild\":true,\"where\":[\"Dream\"]}\n\
         {\"id\":4,\"name\":\"adelie\",\"tag\":\"1\",\"wild\":false}\n"
    );
    assert_eq!(
        ids(
            &lab,
            &RecordsTask {
                limit: u64::MAX,
                offset: u64::MAX,
                ..task(&input)
            }
        )
        .await
        .unwrap(),
        [0; 0]
    );
    let select = vec!["name".to_owned(), "id".to_owned()];
    let text = read(
        &lab,
        &RecordsTask {
            select,
            limit: 1,
            format: Format::Csv,
            ..task(&input)
        },
    )
    .await
    .unwrap();
    assert_eq!(text, "name,id\r\nGentoo,3\r\n");
}

#[tokio::test]
async fn every_operator_picks_what_it_says() {
    let (lab, input) = birds().await;
    let cases: &[(&str, &[i64])] = &[
        ("id=eq.3", &[3]),
        ("id=not.eq.3", &[1, 2, 5, 4]),
        ("id=neq.3", &[1, 2, 5, 4]),
        ("mass=gt.4", &[3]),
        ("mass=lte.3.7", &[1]),
        ("seen=lt.2008-01-01", &[3]),
        ("name=like.*delie", &[1, 4]),
        ("name=ilike.ad%", &[1, 4]),
        ("name=not.ilike.ad%", &[3, 2, 5]),
        ("name=in.(\"a,b\",Gentoo)", &[3, 2]),
        ("id=not.in.(1,2,3)", &[5, 4]),
        ("mass=is.null", &[2, 5, 4]),
        ("mass=not.is.null", &[3, 1]),
        ("wild=is.true", &[5]),
        ("wild=eq.false", &[4]),
        ("tag=eq.1", &[3, 4]),
        ("where=not.is.null", &[5]),
    ];
    for (text, wanted) in cases {
        let found = ids(
            &lab,
            &RecordsTask {
                filters: vec![filter(text)],
                ..task(&input)
            },
        )
        .await
        .unwrap();
        assert_eq!(&found, wanted, "{text}");
    }
    let filters = vec![filter("id=gte.2"), filter("id=lte.4"), filter("name=like.%e%")];
    assert_eq!(
        ids(
            &lab,
            &RecordsTask {
                filters,
                ..task(&input)
            }
        )
        .await
        .unwrap(),
        [3, 4]
    );
}

#[tokio::test]
async fn order_is_stable_from_page_to_page() {
    let (lab, input) = birds().await;
    let ordered = |order: &[(&str, bool)], offset, limit| RecordsTask {
        order: order
            .iter()
            .map(|(name, descends)| ((*name).to_owned(), *descends))
            .collect(),
        offset,
        limit,
        ..task(&input)
    };
    assert_eq!(
        ids(&lab, &ordered(&[("id", true)], 0, 100)).await.unwrap(),
        [5, 4, 3, 2, 1]
    );
    assert_eq!(
        ids(&lab, &ordered(&[("mass", true)], 0, 100)).await.unwrap(),
        [3, 1, 2, 5, 4]
    );
    let mut pages = Vec::new();
    for offset in 0..5 {
        pages.extend(ids(&lab, &ordered(&[("wild", false)], offset, 1)).await.unwrap());
    }
    assert_eq!(pages, [4, 5, 3, 1, 2]);
    let keyed = Input {
        key: Some("id".into()),
        ..input.clone()
    };
    let task = RecordsTask {
        input: keyed,
        ..ordered(&[("wild", true)], 0, 100)
    };
    assert_eq!(ids(&lab, &task).await.unwrap(), [5, 4, 1, 2, 3]);
}

#[tokio::test]
async fn what_does_not_suit_an_attribute_is_refused() {
    let (lab, input) = birds().await;
    let refused = async |text: &str| {
        ids(
            &lab,
            &RecordsTask {
                filters: vec![filter(text)],
                ..task(&input)
            },
        )
        .await
        .unwrap_err()
    };
    let error = refused("nmae=eq.x").await;
    check(&error, Code::UnknownColumn, "`nmae`");
    assert!(error.hint.unwrap().contains("`name`"));
    check(
        &refused("id=eq.x").await,
        Code::InvalidParameter,
        "`id`, which is of kind int64",
    );
    check(&refused("seen=gt.yesterday").await, Code::InvalidParameter, "date");
    check(&refused("id=like.1%").await, Code::InvalidParameter, "like");
    check(&refused("id=near.1").await, Code::InvalidParameter, "`near`");
    check(&refused("where=eq.x").await, Code::InvalidParameter, "compared");
    check(&refused("name=is.true").await, Code::InvalidParameter, "is.true");
    check(&refused("id=in.1,2").await, Code::InvalidParameter, "list");
    let order = RecordsTask {
        order: vec![("where".into(), false)],
        ..task(&input)
    };
    check(&ids(&lab, &order).await.unwrap_err(), Code::InvalidParameter, "ordered");
    let select = RecordsTask {
        select: vec!["nam".into()],
        ..task(&input)
    };
    check(&ids(&lab, &select).await.unwrap_err(), Code::UnknownColumn, "`nam`");
}
