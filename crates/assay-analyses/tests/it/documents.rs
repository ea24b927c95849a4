//! What is said about the analyses: specs, schemas, examples and the reference page.

use std::path::Path;

use assay_analyses::{reference_page, specs};

use crate::support::Laboratory;

#[test]
fn every_spec_is_whole_and_every_schema_is_closed() {
    let specs = specs();
    let names: Vec<&str> = specs.iter().map(|spec| spec.name.as_str()).collect();
    assert_eq!(
        names,
        ["sql", "describe", "aggregate", "histogram", "correlation", "ping"]
    );
    for spec in &specs {
        assert!(
            !spec.summary.is_empty() && !spec.summary.contains('\n'),
            "{}",
            spec.name
        );
        assert!(spec.description.len() > 80, "{}", spec.name);
        assert_eq!(spec.params["type"], "object", "{}", spec.name);
        assert_eq!(spec.params["additionalProperties"], false, "{}", spec.name);
        let known = spec.params["properties"].as_object();
        for (name, member) in known.into_iter().flatten() {
            assert!(
                member["description"].is_string(),
                "`{name}` of `{}` is explained",
                spec.name
            );
        }
        for name in spec.example.as_object().unwrap().keys() {
            assert!(
                known.is_some_and(|known| known.contains_key(name)),
                "`{name}` of `{}` is known",
                spec.name
            );
        }
    }
}

#[tokio::test]
async fn every_example_runs_on_penguins() {
    let laboratory = Laboratory::new();
    let penguins = laboratory.load("penguins", "penguins/penguins.csv").await;
    for spec in specs() {
        let table = laboratory.run(&spec.name, &[&penguins], spec.example).await;
        assert!(!table.rows.is_empty(), "{}", spec.name);
    }
}

#[test]
fn the_reference_page_is_what_the_code_says() {
    let path = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/reference/analyses.md"));
    if std::env::var_os("ASSAY_UPDATE_DOCS").is_some() {
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, reference_page()).unwrap();
    }
    let page = std::fs::read_to_string(path).unwrap_or_default();
    assert!(
        page == reference_page(),
        "run the tests once with ASSAY_UPDATE_DOCS=1 and look at the difference"
    );
}
