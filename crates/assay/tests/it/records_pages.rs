//! Pages of records: conditions in SQL, counts and facets, and pages that stay while others write.

use serde_json::json;

use crate::support::TestServer;

const PENGUINS: &str = "/v1/datasets/penguins/records";

async fn with_penguins(folder: &tempfile::TempDir) -> TestServer {
    let server = TestServer::start(folder);
    server.import_file("penguins", "", "penguins/penguins.csv").await;
    server
}

/// 152 Adelie, 124 Gentoo and 68 Chinstrap penguins are in the data; 11 have no sex.
#[tokio::test(flavor = "multi_thread")]
async fn records_are_counted_and_their_values_too() {
    let folder = tempfile::tempdir().unwrap();
    let server = with_penguins(&folder).await;
    let (status, page) = server
        .get(&format!("{PENGUINS}?_count=true&_facet=species,sex&_limit=3"))
        .await;
    assert_eq!(
        (status, &page["total"], page["items"].as_array().unwrap().len()),
        (200, &json!(344), 3),
        "{page:#}"
    );
    assert_eq!(
        page["facets"]["species"],
        json!({"values": [
            {"value": "Adelie", "count": 152}, {"value": "Gentoo", "count": 124}, {"value": "Chinstrap", "count": 68},
        ], "more": false})
    );
    assert_eq!(page["facets"]["sex"]["values"][2], json!({"value": null, "count": 11}));
    let condition = "body_mass_g%20%3E%206000%20OR%20%28sex%20IS%20NULL%20AND%20species%20%3D%20%27Gentoo%27%29";
    let (_, page) = server
        .get(&format!("{PENGUINS}?_where={condition}&_count=1&year=gte.2008"))
        .await;
    let counted =
        "SELECT count(*) AS n FROM penguins WHERE (body_mass_g > 6000 OR (sex IS NULL AND species = 'Gentoo'))
                   AND year >= 2008";
    let n = server.rows(counted).await[0]["n"].clone();
    assert_eq!(
        (&page["total"], page["items"].as_array().unwrap().len() as i64),
        (&n, n.as_i64().unwrap())
    );
    assert!(n.as_i64().unwrap() > 0);
    let (_, many) = server.get(&format!("{PENGUINS}?_facet=body_mass_g&_limit=1")).await;
    let facet = &many["facets"]["body_mass_g"];
    assert_eq!(
        (facet["values"].as_array().unwrap().len(), &facet["more"]),
        (30, &json!(true))
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_condition_that_is_none_is_refused_with_its_place() {
    let folder = tempfile::tempdir().unwrap();
    let server = with_penguins(&folder).await;
    for (condition, code, column) in [
        ("yaer%20%3D%202008", "unknown_column", Some(1)),
        (
            "year%20%3D%202008%20AND%20speces%20IS%20NULL",
            "unknown_column",
            Some(17),
        ),
        ("year%20%3D", "sql_syntax", None),
        ("true%20ORDER%20BY%201", "sql_syntax", Some(6)),
        ("true%29%20OR%20%281%3D1", "sql_syntax", Some(5)),
        (
            "year%20IN%20%28SELECT%20year%20FROM%20penguins%29",
            "sql_unsupported",
            None,
        ),
        ("nothing%28year%29", "unknown_function", None),
        ("year%20%2B%201", "sql_unsupported", None),
    ] {
        let (status, problem) = server.get(&format!("{PENGUINS}?_where={condition}")).await;
        assert_eq!(
            (status, &problem["code"]),
            (422, &json!(code)),
            "{condition}: {problem:#}"
        );
        if let Some(column) = column {
            let place = &problem["errors"][0];
            assert_eq!(
                (&place["line"], &place["column"]),
                (&json!(1), &json!(column)),
                "{condition}: {problem:#}"
            );
        }
    }
    let (status, problem) = server.get(&format!("{PENGUINS}?_facet=weight")).await;
    assert_eq!((status, &problem["code"]), (422, &json!("unknown_column")));
}

#[tokio::test(flavor = "multi_thread")]
async fn pages_stay_as_they_are_while_records_are_written() {
    let folder = tempfile::tempdir().unwrap();
    let server = TestServer::start(&folder);
    server.post("/v1/datasets", &json!({"name": "d", "key": "id"})).await;
    let records: Vec<_> = (0..250).map(|id| json!({"id": format!("{id:03}"), "n": id})).collect();
    server.post("/v1/datasets/d/records", &json!(records)).await;
    let mut seen = Vec::new();
    let mut path = "/v1/datasets/d/records?_limit=60&_order=id".to_owned();
    loop {
        let (status, page) = server.get(&path).await;
        assert_eq!((status, &page["version"]), (200, &json!(2)), "{page:#}");
        seen.extend(
            page["items"]
                .as_array()
                .unwrap()
                .iter()
                .map(|item| item["n"].as_i64().unwrap()),
        );
        let Some(next) = page["next"].as_str() else { break };
        path = next.to_owned();
        // Others write before and behind the place of the walk, and delete what it has not seen.
        let writes = json!([{"id": "000a", "n": -1}, {"id": "200", "n": -2}, {"id": "zzz", "n": -3}]);
        server.post("/v1/datasets/d/records", &writes).await;
        server.post("/v1/datasets/d/delete?n=gt.240", &json!({})).await;
    }
    assert_eq!(seen, (0..250).collect::<Vec<_>>());
}

#[tokio::test(flavor = "multi_thread")]
async fn an_empty_data_set_is_asked_like_any_other() {
    let folder = tempfile::tempdir().unwrap();
    let server = TestServer::start(&folder);
    server.post("/v1/datasets", &json!({"name": "d", "key": "id"})).await;
    for path in [
        "?id=eq.a",
        "?_select=id&_order=id",
        "?_where=id%20%3D%20%27a%27&_count=1&_facet=id",
    ] {
        let (status, page) = server.get(&format!("/v1/datasets/d/records{path}")).await;
        assert_eq!((status, &page["items"]), (200, &json!([])), "{path}: {page:#}");
    }
    let (status, deleted) = server.post("/v1/datasets/d/delete?id=like.k*", &json!({})).await;
    assert_eq!((status, &deleted["deleted"]), (200, &json!(0)), "{deleted:#}");
    let (status, export) = server.get("/v1/datasets/d/export?_format=ndjson").await;
    assert_eq!((status, export), (200, json!("")));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_comparison_goes_on_between_the_versions_it_began_with() {
    let folder = tempfile::tempdir().unwrap();
    let server = TestServer::start(&folder);
    server.post("/v1/datasets", &json!({"name": "d", "key": "id"})).await;
    let records: Vec<_> = (0..30).map(|id| json!({"id": format!("{id:02}")})).collect();
    server.post("/v1/datasets/d/records", &json!(records)).await;
    let mut path = "/v1/datasets/d/diff?limit=10".to_owned();
    let mut keys = Vec::new();
    loop {
        let (status, page) = server.get(&path).await;
        assert_eq!(
            (status, &page["to"], &page["added"]),
            (200, &json!(2), &json!(30)),
            "{page:#}"
        );
        keys.extend(page["items"].as_array().unwrap().iter().map(|item| item["key"].clone()));
        server.post("/v1/datasets/d/records", &json!({"id": "more"})).await;
        let Some(next) = page["next"].as_str() else { break };
        path = next.to_owned();
    }
    assert_eq!(keys.len(), 30);
    // Many lines for one record are merged one after the other.
    let lines: Vec<_> = (0..60).map(|n| json!({"id": "m", format!("v{n}"): n})).collect();
    let (_, told) = server.post("/v1/datasets/d/records?mode=merge", &json!(lines)).await;
    assert_eq!(
        (&told["refused"], &told["replaced"]),
        (&json!(0), &json!(59)),
        "{}",
        told["outcomes"][59]
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_query_knows_what_time_it_is() {
    let folder = tempfile::tempdir().unwrap();
    let server = TestServer::start(&folder);
    let sql = "SELECT now() > TIMESTAMP '2025-01-01T00:00:00Z' AS later, current_date > DATE '2025-01-01' AS after";
    assert_eq!(server.rows(sql).await, json!([{"later": true, "after": true}]));
}
