//! Records are read back as they were written.

use assay_core::{CommitMode, Format, ImportFile, ImportFormat, ImportTask, RecordsTask, RunControl};

use super::pages::{read, task};
use super::*;

impl Lab {
    /// Loads a file and gives its parts.
    pub(super) async fn load(&mut self, name: &str, key: Option<&str>, file: &[u8]) -> Result<Vec<Part>, Error> {
        self.load_as(name, key, file, None).await
    }

    pub(super) async fn load_as(
        &mut self,
        name: &str,
        key: Option<&str>,
        file: &[u8],
        format: Option<ImportFormat>,
    ) -> Result<Vec<Part>, Error> {
        let upload = Path::from("uploads/u");
        self.objects.put(&upload, file.to_vec().into()).await.unwrap();
        let task = ImportTask {
            files: vec![ImportFile::of_object(upload.to_string(), file.len() as u64)],
            dataset: name.parse().unwrap(),
            key: key.map(Into::into),
            mode: CommitMode::Append,
            format,
            record_path: None,
            read: Default::default(),
            author: Default::default(),
            folder: format!("datasets/{name}"),
            attributes: Vec::new(),
            rules: None,
            ruled: assay_core::Version(0),
        };
        let control = &mut RunControl::unattended();
        let loaded = self
            .engine
            .import(&task, "scratch", 2, &Limits::default(), control)
            .await?;
        Ok(loaded.1.parts)
    }
}

async fn loaded(file: &str, key: Option<&str>) -> (Lab, Input) {
    let mut lab = Lab::new();
    let parts = lab.load("d", key, file.as_bytes()).await.unwrap();
    let input = lab.add("d", parts);
    (lab, input)
}

async fn lines(lab: &Lab, task: RecordsTask) -> Vec<String> {
    let format = Format::Ndjson;
    let text = read(lab, &RecordsTask { format, ..task }).await.unwrap();
    text.lines().map(ToOwned::to_owned).collect()
}

/// Records whose members have an order that columns keep.
const EXACT: [&str; 9] = [
    r#"{"a":1,"b":{"c":null}}"#,
    r#"{"a":"1","b":{}}"#,
    r#"{"a":null}"#,
    r#"{"a":[],"b":{"c":[{"d":null},{},null]}}"#,
    r#"{"a":{},"b":{"c":[]}}"#,
    r#"{}"#,
    r#"{"a":123456789012345678901234567890123456789012345}"#,
    r#"{"a":"ünï\n\"\\","b":{"c":[[1,"x"],[null]]}}"#,
    r#"{"a":9223372036854775807,"b":null}"#,
];

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn what_columns_do_not_tell_is_read_back_as_well() {
    let file = EXACT.join("\n") + "\n";
    let (lab, input) = loaded(&file, None).await;
    assert_eq!(lines(&lab, task(&input)).await, EXACT);
    let mut hot = Lab::new();
    hot.dataset("d", &[]).await;
    hot.heat(&EXACT);
    assert_eq!(lines(&hot, task(&hot.inputs[0])).await, EXACT);
    let selected = RecordsTask {
        select: vec!["b".into(), "a".into()],
        limit: 3,
        ..task(&input)
    };
    let wanted = [r#"{"b":{"c":null},"a":1}"#, r#"{"b":{},"a":"1"}"#, r#"{"a":null}"#];
    assert_eq!(lines(&lab, selected).await, wanted);
    let last = RecordsTask {
        select: vec!["b".into()],
        offset: 8,
        ..task(&input)
    };
    assert_eq!(lines(&lab, last).await, [r#"{"b":null}"#]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn wide_integers_inside_are_not_rounded_by_doubles_of_another_part() {
    let mut lab = Lab::new();
    let first = r#"{"s":{"n":9007199254740993},"l":[9007199254740993]}"#;
    let second = r#"{"s":{"n":0.5},"l":[0.5]}"#;
    let mut parts = lab
        .load("d", None, format!("{first}\n{{}}\n").as_bytes())
        .await
        .unwrap();
    parts.extend(
        lab.load("d", None, format!("{second}\n{{}}\n").as_bytes())
            .await
            .unwrap(),
    );
    let input = lab.add("d", parts);
    assert_eq!(lines(&lab, task(&input)).await, [first, "{}", second, "{}"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_kept_text_holds_the_key_that_came_from_outside_of_it() {
    let file =
        r#"{"one": {"a": null}, "two": {"a": 2}, "three": {"id": "three", "a": null}, "four": {"b": [1, null]}}"#;
    let (lab, input) = loaded(file, Some("id")).await;
    let wanted = [
        r#"{"a":null,"id":"one"}"#,
        r#"{"a":2,"id":"two"}"#,
        r#"{"id":"three","a":null}"#,
        r#"{"id":"four","b":[1,null]}"#,
    ];
    assert_eq!(lines(&lab, task(&input)).await, wanted);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn kept_texts_are_no_column_of_anything() {
    let name = "\\u0000document";
    let file = format!("{{\"a\":null,\"{name}\":1}}\n{{\"a\":\n2}}");
    let (mut lab, input) = loaded(&format!("[{}]", file.replace("}\n{", "},{")), None).await;
    let others = lab.load("e", None, b"{\"b\":null}\n{\"b\":1}\n").await.unwrap();
    let InputSource::Dataset { mut parts, .. } = input.source else {
        panic!()
    };
    parts.extend(others.into_iter().map(live));
    lab.inputs.clear();
    let input = lab.add_live("d", parts);
    let names: Vec<_> = input
        .schema
        .attributes
        .iter()
        .map(|attribute| attribute.name.as_str())
        .collect();
    assert_eq!(names, ["a", "\0document", "b"]);
    assert_eq!(lab.engine.schema(&input).await.unwrap(), input.schema);
    assert_eq!(
        lab.rows("SELECT * FROM d").await,
        [
            json!({"a": null, "\0document": 1, "b": null}),
            json!({"a": 2, "\0document": null, "b": null}),
            json!({"a": null, "\0document": null, "b": null}),
            json!({"a": null, "\0document": null, "b": 1}),
        ]
    );
    let csv = RecordsTask {
        format: Format::Csv,
        ..task(&input)
    };
    assert_eq!(read(&lab, &csv).await.unwrap().lines().next(), Some("a,\0document,b"));
    let wanted = [
        &format!("{{\"a\":null,\"{name}\":1}}"),
        "{\"a\":2}",
        "{\"b\":null}",
        "{\"b\":1}",
    ];
    assert_eq!(lines(&lab, task(&input)).await, wanted);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn only_parts_with_need_keep_texts() {
    let mut lab = Lab::new();
    for (file, keeps) in [
        ("{\"a\":\"null\"}\n{\"a\":[null]}\n", false),
        ("{\"a\":1}\n{\"a\":null}\n", true),
    ] {
        let parts = lab.load("d", None, file.as_bytes()).await.unwrap();
        let bytes = lab.objects.get(&Path::from(parts[0].path.as_str())).await.unwrap();
        let bytes = bytes.bytes().await.unwrap();
        let reader = parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder::try_new(bytes).unwrap();
        assert_eq!(reader.schema().fields().len() > 1, keeps, "{file}");
    }
}
