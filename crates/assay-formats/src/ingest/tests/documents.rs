//! Records inside of one JSON document.

use super::*;

async fn values(bytes: &str, options: Options) -> (Vec<String>, Option<String>) {
    let (imported, objects) = load_with(bytes.as_bytes(), options).await;
    let imported = imported.unwrap_or_else(|error| panic!("{error}: {bytes}"));
    (
        texts(&imported, &objects, "a").await,
        shape(&imported).record_path.clone(),
    )
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn records_are_found_wherever_they_lie() {
    let cases = [
        (r#"[{"a":1},{"a":2}]"#, None, None),
        (r#"{"x":{"a":1},"y":{"a":2}}"#, None, Some("")),
        (r#"{"n":2,"docs":[{"a":1},{"a":2}]}"#, None, Some("/docs")),
        (
            r#"{"other":[{"b":1}],"r":{"docs":[{"a":1},{"a":2}]}}"#,
            Some("/r/docs"),
            Some("/r/docs"),
        ),
        (
            r#"{"other":[{"b":1}],"r":{"x":{"a":1},"y":{"a":2}}}"#,
            Some("/r"),
            Some("/r"),
        ),
        (r#"[{"a":1},{"a":2}]"#, Some(""), Some("")),
    ];
    for (text, record_path, found) in cases {
        let options = Options {
            record_path,
            ..Options::default()
        };
        let (found_values, path) = values(text, options).await;
        assert_eq!(
            (found_values, path.as_deref()),
            (vec!["1".to_owned(), "2".to_owned()], found),
            "{text}"
        );
    }
    let options = Options {
        record_path: Some("/docs"),
        ..Options::default()
    };
    let error = load_with(br#"[{"a":1}]"#, options).await.0.unwrap_err();
    assert_eq!(error.code, Code::NoRecords);
    let options = Options {
        key: Some("id"),
        read: &[("types", "a:text"), ("on_error", "skip")],
        ..Options::default()
    };
    let (imported, objects) = load_with(br#"{"x":{"a":1},"y":{"a":[]},"z":{"a":"3"}}"#, options).await;
    let imported = imported.unwrap();
    assert_eq!(texts(&imported, &objects, "a").await, ["1", "3"]);
    assert_eq!(texts(&imported, &objects, "id").await, ["x", "z"]);
    assert_eq!(imported.rejected, 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn the_features_of_a_collection_are_its_records() {
    let feature =
        r#"{"type":"Feature","id":"q","geometry":{"type":"Point","coordinates":[1.5,2]},"properties":{"mag":1}}"#;
    let collections = [
        format!(r#"{{"type":"FeatureCollection","metadata":{{"links":[{{"href":"x"}}]}},"features":[{feature}]}}"#),
        format!(r#"{{"features":[{feature}],"type":"FeatureCollection"}}"#),
    ];
    for text in collections {
        let imported = load(text.as_bytes()).await.unwrap();
        let names: Vec<_> = kinds(&imported).into_iter().map(|(name, _)| name.to_owned()).collect();
        assert_eq!(names, ["type", "id", "geometry", "properties"], "{text}");
        assert_eq!(shape(&imported).record_path.as_deref(), Some("/features"));
    }
    for text in [
        r#"{"type":"FeatureCollection","features":[]}"#,
        r#"{"features":[],"bbox":[1,2],"type":"FeatureCollection"}"#,
    ] {
        assert_eq!(refused(text.as_bytes()).await.code, Code::NoRecords, "{text}");
    }
    // The figures of the feed, counted with pandas and DuckDB.
    let (earthquakes, objects) = load_with(&data("earthquakes/earthquakes.geojson.gz"), Options::default()).await;
    let earthquakes = earthquakes.unwrap();
    let properties = texts(&earthquakes, &objects, "properties").await;
    let magnitudes: Vec<f64> = properties
        .iter()
        .filter_map(|text| serde_json::from_str::<serde_json::Value>(text).unwrap()["mag"].as_f64())
        .collect();
    assert_eq!(
        (earthquakes.rows, magnitudes.iter().copied().fold(f64::MIN, f64::max)),
        (1_707, 6.4)
    );
    assert_eq!(magnitudes.iter().filter(|magnitude| **magnitude >= 4.5).count(), 85);
}

/// Beside an escaped character, numbers that no double holds are numbers all the same.
#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn numbers_beyond_doubles_stand_beside_escapes() {
    let imported = load(b"{\"a\":{\"\\u00e9\":0.1E310}}\n{\"a\":\"x\"}\n").await.unwrap();
    assert_eq!(kinds(&imported), [("a", "json".to_owned())]);
    let error = refused(b"{\"a\":[{\"b\":\"\\ud800\"}]}\n{\"a\":1}\n").await;
    assert_eq!(error.code, Code::InvalidJson);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn lines_may_be_longer_than_what_is_looked_at() {
    for length in [200_000, 262_130, 262_140, 300_000, 2_000_000] {
        let lines = format!("{{\"a\":\"{}\"}}\n{{\"a\":\"y\"}}\n", "x".repeat(length));
        let imported = load(lines.as_bytes()).await.unwrap();
        assert_eq!(
            (imported.rows, shape(&imported).format),
            (2, ImportFormat::Ndjson),
            "{length}"
        );
    }
    let document = format!("{{\"text\":\"{}\",\"rows\":[{{\"a\":1}}]}}\n", "x".repeat(300_000));
    let imported = load(document.as_bytes()).await.unwrap();
    assert_eq!(shape(&imported).record_path.as_deref(), Some("/rows"));
}
