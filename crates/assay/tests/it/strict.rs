//! Data sets in the mode `strict` through the whole program: whatever is written is checked, whichever way it comes.

use serde_json::{Value, json};

use crate::support::{TestServer, answer, assay, data, stdout};

async fn create(server: &TestServer, body: Value) {
    let (status, made) = server.post("/v1/datasets", &body).await;
    assert_eq!(status, 201, "{made:#}");
}

fn shops() -> Value {
    json!({
        "name": "shops", "key": "id", "mode": "strict", "required": ["zip"],
        "types": {"id": "text", "zip": "text", "n": "int64", "price": "decimal(8,2)", "x": "double", "open": "bool",
                  "day": "date", "at": "timestamp", "more": "json"},
    })
}

fn places(problem: &Value) -> Vec<&str> {
    let errors = problem["errors"].as_array().unwrap();
    errors.iter().map(|fault| fault["pointer"].as_str().unwrap()).collect()
}

async fn types(server: &TestServer, name: &str) -> Value {
    let (_, schema) = server.get(&format!("/v1/datasets/{name}/schema")).await;
    let attributes = schema["attributes"].as_array().unwrap();
    let types = attributes.iter().map(|attribute| {
        let name = attribute["name"].as_str().unwrap().to_owned();
        (name, attribute["type"].clone())
    });
    Value::Object(types.collect())
}

#[tokio::test(flavor = "multi_thread")]
async fn records_are_checked_one_by_one_against_declared_types() {
    let folder = tempfile::tempdir().unwrap();
    let server = TestServer::start(&folder);
    create(&server, shops()).await;
    let (_, shown) = server.get("/v1/datasets/shops").await;
    assert_eq!(
        (&shown["mode"], &shown["required"]),
        (&json!("strict"), &json!(["zip"]))
    );
    assert_eq!(shown["types"], shops()["types"]);

    let sound = json!({"zip": "00501", "n": 1, "price": 1.5, "x": 2, "open": true, "day": "2024-02-29",
                       "at": "2024-02-29T12:00:00Z", "more": {"a": [1]}});
    let (status, written) = server.put("/v1/datasets/shops/records/a", &sound).await;
    assert_eq!(status, 201, "{written:#}");
    let broken = json!({"n": "1", "price": 1.505, "day": "29.02.2024", "zipp": "x"});
    let (status, problem) = server.put("/v1/datasets/shops/records/b", &broken).await;
    assert_eq!(
        (status, &problem["code"]),
        (422, &json!("schema_violation")),
        "{problem:#}"
    );
    assert_eq!(places(&problem), ["/n", "/price", "/day", "/zipp", "/zip"]);
    assert!(problem.to_string().contains("did you mean `zip`?"), "{problem:#}");
    let (status, problem) = server
        .patch("/v1/datasets/shops/records/a", &json!({"zip": null}))
        .await;
    assert_eq!((status, places(&problem)), (422, vec!["/zip"]), "{problem:#}");
    let (status, _) = server.patch("/v1/datasets/shops/records/a", &json!({"n": 7})).await;
    assert_eq!(status, 200);

    let many = json!([{"id": "c", "zip": "1"}, {"id": "d", "zip": 1}, {"id": "e"}, {"id": "f", "zip": "2", "y": 1}]);
    let (_, done) = server.post("/v1/datasets/shops/records", &many).await;
    assert_eq!((&done["created"], &done["refused"]), (&json!(1), &json!(3)), "{done:#}");
    assert_eq!(done["outcomes"][1]["error"]["code"], "schema_violation");
    assert_eq!(done["outcomes"][1]["error"]["errors"][0]["pointer"], "/zip");
    let (_, merged) = server
        .post(
            "/v1/datasets/shops/records?mode=merge",
            &json!([{"id": "c", "n": 2}, {"id": "c", "zip": 3}]),
        )
        .await;
    assert_eq!(
        (&merged["replaced"], &merged["refused"]),
        (&json!(1), &json!(1)),
        "{merged:#}"
    );

    // Also what no part holds yet has the declared types.
    let all = shops()["types"].clone();
    let found = types(&server, "shops").await;
    for (name, kind) in found.as_object().unwrap() {
        assert_eq!(kind, &all[name], "{name}");
    }
    let rows = server
        .rows("SELECT sum(price) AS sum, max(n) AS n, max(at) AS at FROM shops")
        .await;
    assert_eq!(rows[0]["n"], 7, "{rows:#}");
    assert_eq!(rows[0]["at"], "2024-02-29T12:00:00Z");
    assert_eq!(
        rows[0]["sum"].to_string().trim_matches('"').parse::<f64>().unwrap(),
        1.5,
        "{rows:#}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn files_are_checked_record_by_record_against_declared_types() {
    let folder = tempfile::tempdir().unwrap();
    let server = TestServer::start(&folder);
    create(&server, shops()).await;
    let lines = "{\"id\":\"a\",\"zip\":\"00501\",\"price\":10,\"at\":\"2024-01-31\"}\n{\"id\":\"b\",\"zip\":501}\n\
                 {\"id\":\"c\",\"zip\":\"1\",\"why\":1}\n{\"id\":\"d\"}\n{\"id\":\"e\",\"zip\":\"2\",\"n\":null}\n";
    let (status, fault) = server.import("shops", "key=id", lines.into()).await;
    assert_eq!((status, &fault["code"]), (422, &json!("schema_violation")), "{fault:#}");
    assert_eq!(
        (&fault["errors"][0]["line"], &fault["errors"][0]["pointer"]),
        (&json!(2), &json!("/zip"))
    );
    let (_, job) = server.import("shops", "key=id&on_error=quarantine", lines.into()).await;
    assert_eq!(
        (&job["state"], &job["result"]["summary"]["rejected"]),
        (&json!("succeeded"), &json!(3)),
        "{job:#}"
    );
    let (_, rejects) = server.get("/v1/datasets/shops/rejects").await;
    let told: Vec<_> = rejects["items"]
        .as_array()
        .unwrap()
        .iter()
        .map(|item| item["line"].clone())
        .collect();
    assert_eq!(told, [json!(2), json!(3), json!(4)]);
    assert_eq!(rejects["items"][0]["text"], "{\"id\":\"b\",\"zip\":501}");
    assert!(
        rejects["items"][1]["reason"]
            .as_str()
            .unwrap()
            .contains("`why` is no declared attribute"),
        "{rejects:#}"
    );

    // Cells of CSV are read as the types, with the format that the load names.
    let csv = "id,zip,price,day,why\nf,00777,2.50,31/01/2024,\ng,8,2.505,31/01/2024,\nh,,1,,\ni,9,1,,x\n";
    let query = "mode=append&on_error=quarantine&types=day:date[%25d/%25m/%25Y]";
    let (_, job) = server.import("shops", query, csv.into()).await;
    assert_eq!(
        (&job["state"], &job["result"]["summary"]["rejected"]),
        (&json!("succeeded"), &json!(3)),
        "{job:#}"
    );
    let (_, rejects) = server.get("/v1/datasets/shops/rejects?_at=3").await;
    let texts: Vec<_> = rejects["items"]
        .as_array()
        .unwrap()
        .iter()
        .map(|item| item["text"].clone())
        .collect();
    assert_eq!(
        texts,
        [json!("g,8,2.505,31/01/2024,"), json!("h,,1,,"), json!("i,9,1,,x")],
        "{rejects:#}"
    );
    let (status, other) = server.import("shops", "mode=append&types=zip:int64", csv.into()).await;
    assert_eq!(
        (status, &other["code"]),
        (422, &json!("invalid_parameter")),
        "{other:#}"
    );
    let rows = server.rows("SELECT id, zip, price, day FROM shops ORDER BY id").await;
    assert_eq!(rows.as_array().unwrap().len(), 3, "{rows:#}");
    assert_eq!(
        (&rows[2]["zip"], &rows[2]["day"]),
        (&json!("00777"), &json!("2024-01-31"))
    );
    let all = shops()["types"].clone();
    for (name, kind) in types(&server, "shops").await.as_object().unwrap() {
        assert_eq!(kind, &all[name], "{name}");
    }

    // Compaction keeps the types: a thousand records by themselves become a part.
    let many: Vec<Value> = (0..1_100)
        .map(|at| json!({"id": format!("r{at}"), "zip": format!("{at:05}"), "price": at, "day": "2024-01-01"}))
        .collect();
    let (_, done) = server.post("/v1/datasets/shops/records", &json!(many)).await;
    assert_eq!(done["created"], 1_100, "{:#}", done["outcomes"][0]);
    let changes = format!("{}/v1/datasets/shops/changes?after={}", server.url, done["version"]);
    let told = server
        .http
        .get(changes)
        .header("prefer", "wait=60")
        .send()
        .await
        .unwrap();
    assert!(told.text().await.unwrap().contains("\"compact\""));
    for (name, kind) in types(&server, "shops").await.as_object().unwrap() {
        assert_eq!(kind, &all[name], "{name}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn typed_files_are_checked_as_well() {
    let folder = tempfile::tempdir().unwrap();
    let server = TestServer::start(&folder);
    let source = "{\"id\":\"a\",\"n\":1,\"x\":1}\n{\"id\":\"b\",\"n\":2,\"extra\":\"y\"}\n{\"id\":\"c\",\"n\":3}\n";
    server.import("source", "", source.into()).await;
    for format in ["parquet", "arrow"] {
        let url = format!("{}/v1/datasets/source/export?_format={format}", server.url);
        let file = server
            .http
            .get(url)
            .send()
            .await
            .unwrap()
            .bytes()
            .await
            .unwrap()
            .to_vec();
        let name = format!("by_{format}");
        create(
            &server,
            json!({"name": name, "key": "id", "mode": "strict", "types": {"id": "text", "n": "int64", "x": "double"}}),
        )
        .await;
        let (_, fault) = server.import(&name, "mode=append", file.clone()).await;
        assert_eq!(fault["code"], "schema_violation", "{fault:#}");
        let (_, job) = server
            .import(&name, "mode=append&on_error=quarantine", file.clone())
            .await;
        assert_eq!(job["result"]["summary"]["rejected"], 1, "{job:#}");
        let expected = json!({"id": "text", "n": "int64", "x": "double"});
        assert_eq!(types(&server, &name).await, expected);
        let (_, rejects) = server.get(&format!("/v1/datasets/{name}/rejects")).await;
        assert_eq!(rejects["items"][0]["line"], 2, "{rejects:#}");
        assert!(
            rejects["items"][0]["text"]
                .as_str()
                .unwrap()
                .contains("\"extra\":\"y\""),
            "{rejects:#}"
        );
        let by_schema = format!("{name}_schema");
        let schema = json!({"properties": {"n": {"maximum": 2}}});
        create(&server, json!({"name": by_schema, "mode": "strict", "schema": schema})).await;
        let (_, job) = server.import(&by_schema, "on_error=skip", file).await;
        assert_eq!(job["result"]["summary"]["rejected"], 1, "{job:#}");
        let left = server
            .rows(&format!("SELECT max(n) AS n, count(*) AS c FROM {by_schema}"))
            .await;
        assert_eq!(left, json!([{"n": 2, "c": 2}]));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_json_schema_is_met_by_every_record() {
    let folder = tempfile::tempdir().unwrap();
    let server = TestServer::start(&folder);
    let schema = json!({
        "required": ["id", "age"],
        "properties": {
            "id": {"type": "string"}, "age": {"type": "integer", "minimum": 0},
            "tags": {"type": "array", "items": {"type": "string"}},
        },
        "additionalProperties": false,
    });
    create(
        &server,
        json!({"name": "people", "key": "id", "mode": "strict", "schema": schema}),
    )
    .await;
    let (_, shown) = server.get("/v1/datasets/people").await;
    assert_eq!((&shown["schema"], &shown["types"]), (&schema, &Value::Null));
    let broken = json!({"age": -1, "tags": ["a", 1], "x": 1});
    let (status, problem) = server.put("/v1/datasets/people/records/a", &broken).await;
    let mut found = places(&problem);
    found.sort_unstable();
    assert_eq!((status, found), (422, vec!["/age", "/tags/1", "/x"]), "{problem:#}");
    let (status, _) = server.put("/v1/datasets/people/records/a", &json!({"age": 1})).await;
    assert_eq!(status, 201);
    for (query, file) in [
        (
            "mode=append&on_error=quarantine",
            "{\"id\":\"b\",\"age\":2}\n{\"id\":\"c\",\"age\":-2,\"y\":1}\n",
        ),
        ("mode=append&on_error=quarantine&format=csv", "id,age\nd,3\ne,-3\n"),
        (
            "mode=append&on_error=quarantine&record_path=/rows",
            "{\"rows\":{\"f\":{\"age\":4},\"g\":{\"age\":\"x\"}}}",
        ),
    ] {
        let (_, job) = server.import("people", query, file.into()).await;
        assert_eq!(
            (&job["state"], &job["result"]["summary"]["rejected"]),
            (&json!("succeeded"), &json!(1)),
            "{job:#}"
        );
    }
    let (_, rejects) = server.get("/v1/datasets/people/rejects").await;
    let reasons: Vec<_> = rejects["items"]
        .as_array()
        .unwrap()
        .iter()
        .map(|item| item["reason"].to_string())
        .collect();
    assert!(
        reasons[2].contains("`/age`") && reasons[2].contains("`y` is not allowed"),
        "{reasons:#?}"
    );
    assert_eq!(rejects["items"][1]["text"], "e,-3");
    let ages = server.rows("SELECT sum(age) AS sum, count(*) AS n FROM people").await;
    assert_eq!(ages, json!([{"sum": 10, "n": 4}]));

    for (body, place) in [
        (json!({"name": "s", "mode": "strict"}), "/mode"),
        (json!({"name": "s", "mode": "strikt", "types": {"a": "text"}}), "/mode"),
        (json!({"name": "s", "types": {"a": "text"}}), "/types"),
        (
            json!({"name": "s", "mode": "strict", "types": {"a": "txt"}}),
            "/types/a",
        ),
        (json!({"name": "s", "mode": "strict", "types": {"a": 1}}), "/types/a"),
        (
            json!({"name": "s", "mode": "strict", "types": {"a": "text"}, "schema": {}}),
            "/schema",
        ),
        (
            json!({"name": "s", "mode": "strict", "schema": {"properties": {"a": {"type": "txt"}}}}),
            "/schema/properties/a/type",
        ),
        (
            json!({"name": "s", "mode": "strict", "schema": {"$ref": "http://localhost/a.json"}}),
            "/schema/$ref",
        ),
        (
            json!({"name": "s", "key": "k", "mode": "strict", "types": {"k": "double"}}),
            "/types/k",
        ),
    ] {
        let (status, problem) = server.post("/v1/datasets", &body).await;
        assert_eq!((status, places(&problem)[0]), (422, place), "{body}: {problem:#}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn rules_are_changed_for_what_follows() {
    let folder = tempfile::tempdir().unwrap();
    let server = TestServer::start(&folder);
    create(&server, json!({"name": "d", "key": "id", "description": "loose"})).await;
    server.put("/v1/datasets/d/records/a", &json!({"n": "one"})).await;
    let rules = json!({"mode": "strict", "types": {"id": "text", "n": "int64"}, "message": "tidy"});
    let (status, changed) = server.patch("/v1/datasets/d", &rules).await;
    assert_eq!(
        (status, &changed["mode"], &changed["version"]),
        (200, &json!("strict"), &json!(3)),
        "{changed:#}"
    );
    assert_eq!(changed["description"], "loose");
    let (status, _) = server.put("/v1/datasets/d/records/b", &json!({"n": "two"})).await;
    assert_eq!(status, 422);
    let (status, _) = server.put("/v1/datasets/d/records/b", &json!({"n": 2})).await;
    assert_eq!(status, 201);
    // What was there stays, and can be read.
    let rows = server.rows("SELECT id, n FROM d ORDER BY id").await;
    assert_eq!(rows, json!([{"id": "a", "n": "one"}, {"id": "b", "n": 2}]));
    let (status, _) = server
        .patch("/v1/datasets/d", &json!({"types": {"id": "text", "n": "json"}}))
        .await;
    assert_eq!(status, 200);
    server.kill_9();
    let server = TestServer::start(&folder);
    let (status, _) = server.put("/v1/datasets/d/records/c", &json!({"m": 1})).await;
    assert_eq!(status, 422);
    let (_, flexible) = server
        .patch("/v1/datasets/d", &json!({"mode": "flexible", "description": null}))
        .await;
    assert_eq!(
        (&flexible["mode"], &flexible["description"]),
        (&json!("flexible"), &Value::Null)
    );
    let (status, _) = server.put("/v1/datasets/d/records/c", &json!({"m": 1})).await;
    assert_eq!(status, 201);
    let (_, versions) = server.get("/v1/datasets/d/versions").await;
    let declared: Vec<_> = versions["items"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|one| one["operation"] == "declare")
        .collect();
    assert_eq!(
        (declared.len(), &declared[2]["message"]),
        (3, &json!("tidy")),
        "{versions:#}"
    );
    let request = server
        .http
        .patch(format!("{}/v1/datasets/d", server.url))
        .json(&json!({"modus": "strict"}));
    let (status, problem) = answer(request.send().await.unwrap()).await;
    assert_eq!((status, &problem["code"]), (400, &json!("invalid_request")));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_command_line_makes_and_changes_strict_data_sets() {
    let folder = tempfile::tempdir().unwrap();
    let server = TestServer::start(&folder);
    let made = assay(
        &server,
        &[
            "create",
            "shops",
            "--key",
            "id",
            "--mode",
            "strict",
            "--types",
            "id:text,price:decimal(8,2)",
            "--required",
            "price",
        ],
    );
    stdout(&made);
    let refused = assay(&server, &["records", "put", "shops", "a", "{\"price\":\"x\"}"]);
    let told = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert_eq!(refused.status.code(), Some(1));
    assert!(
        told.contains("`price` holds `\"x\"`, which is no decimal(8,2)"),
        "{told}"
    );
    let schema = folder.path().join("schema.json");
    std::fs::write(&schema, "{\"required\":[\"price\"]}").unwrap();
    stdout(&assay(
        &server,
        &[
            "alter",
            "shops",
            "--schema",
            schema.to_str().unwrap(),
            "--description",
            "all shops",
        ],
    ));
    stdout(&assay(&server, &["records", "put", "shops", "a", "{\"price\":\"x\"}"]));
    let shown = stdout(&assay(&server, &["datasets", "shops", "--format", "table"]));
    assert!(shown.contains("strict") && shown.contains("all shops"), "{shown}");
    let file = data("penguins/penguins.csv");
    let load = assay(
        &server,
        &["load", file.to_str().unwrap(), "--as", "shops", "--on-error", "skip"],
    );
    assert!(
        String::from_utf8_lossy(&load.stderr).contains("`price` is required"),
        "{load:?}"
    );
}
