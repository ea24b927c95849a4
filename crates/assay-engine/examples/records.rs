//! What hot and deleted records cost: the time of a scan with and without them, and of reading one record.
//!
//! `cargo run --release -p assay-engine --example records`

use std::sync::Arc;
use std::time::{Duration, Instant};

use assay_core::{
    CommitMode, Completion, Format, ImportFile, ImportFormat, ImportTask, Input, InputSource, Limits, LivePart, Part,
    RecordsTask, Result, RowSet, RunControl, TableSchema, Version,
};
use assay_engine::{Engine, EngineSettings, SqlParams};
use object_store::local::LocalFileSystem;
use object_store::path::Path;
use object_store::{ObjectStore, ObjectStoreExt as _};

const ROWS: u32 = 1_000_000;
const HOT: u32 = 10_000;
const TIMES: usize = 15;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let folder = tempfile::tempdir()?;
    let objects: Arc<dyn ObjectStore> = Arc::new(LocalFileSystem::new_with_prefix(folder.path())?);
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).build()?;
    runtime.block_on(measure(objects))
}

async fn measure(objects: Arc<dyn ObjectStore>) -> Result<(), Box<dyn std::error::Error>> {
    let settings = EngineSettings {
        pool_bytes: 1 << 30,
        spill_folder: None,
    };
    let engine = Engine::new(Arc::clone(&objects), settings)?;
    let parts = load(&engine, &objects).await?;
    let plain = input(parts.clone(), Vec::new());
    let hot = input(parts.clone(), (ROWS..ROWS + HOT).map(record).collect());
    let mut deleted = parts.clone();
    for live in &mut deleted {
        live.deleted = (0..131_072).step_by(100).collect();
    }
    let deleted = input(deleted, Vec::new());
    for sql in [
        "SELECT sum(n) FROM d",
        "SELECT species, avg(mass), count(*) FROM d GROUP BY species",
        "SELECT island, species, avg(mass), max(length), sum(n) FROM d WHERE name LIKE '%7%' GROUP BY island, species",
        "SELECT count(DISTINCT name), min(day), max(at), avg(depth), sum(year), count(tags) FROM d",
    ] {
        let base = query(&engine, &plain, sql).await?;
        let with_hot = query(&engine, &hot, sql).await?;
        let with_deleted = query(&engine, &deleted, sql).await?;
        let ratio = |time: Duration| time.as_secs_f64() / base.as_secs_f64();
        println!(
            "{sql}\n  parts {base:.1?}, with {HOT} hot records {with_hot:.1?} ({:.2}x), with 1 of 100 deleted {with_deleted:.1?} ({:.2}x)",
            ratio(with_hot),
            ratio(with_deleted),
        );
    }
    let mut one = parts[3].clone();
    one.deleted = [77_777].into_iter().collect::<RowSet>().complement(131_072);
    println!(
        "one record of a part: {:.2?}",
        page(&engine, input(vec![one], Vec::new())).await?
    );
    println!(
        "one hot record: {:.2?}",
        page(&engine, input(Vec::new(), vec![record(1)])).await?
    );
    Ok(())
}

fn record(n: u32) -> String {
    let species = ["Adelie", "Gentoo", "Chinstrap"][n as usize % 3];
    let mixed = n.wrapping_mul(2_654_435_761);
    format!(
        r#"{{"id":"p:{n}","n":{n},"species":"{species}","island":"island {}","mass":{}.5,"length":{}.25,"depth":{}.75,"year":{},"name":"penguin {mixed}","day":"20{:02}-0{}-1{}","at":"2020-01-01T0{}:00:00Z","tags":["a","{}"]}}"#,
        mixed % 11,
        mixed % 5_000,
        mixed % 300,
        mixed % 90,
        2_000 + n % 20,
        n % 24,
        1 + n % 9,
        n % 9,
        n % 10,
        n % 7,
    )
}

async fn load(engine: &Engine, objects: &Arc<dyn ObjectStore>) -> Result<Vec<LivePart>, Box<dyn std::error::Error>> {
    let file: String = (0..ROWS).map(|n| record(n) + "\n").collect();
    let task = ImportTask {
        files: vec![ImportFile::of_object("uploads/u".to_owned(), file.len() as u64)],
        dataset: "d".parse()?,
        key: Some("id".to_owned()),
        mode: CommitMode::Replace,
        format: Some(ImportFormat::Ndjson),
        record_path: None,
        read: Default::default(),
        author: Default::default(),
        folder: "datasets/d".to_owned(),
        attributes: Vec::new(),
        rules: None,
        ruled: assay_core::Version(0),
    };
    objects.put(&Path::from("uploads/u"), file.into()).await?;
    let began = Instant::now();
    let control = &mut RunControl::unattended();
    let (_, commit, _) = engine.import(&task, "scratch", 2, &Limits::default(), control).await?;
    println!("loaded {ROWS} records in {:.1?}", began.elapsed());
    let live = |part: Part| LivePart {
        part: part.into(),
        added: Version(1),
        deleted: RowSet::new(),
    };
    Ok(commit.parts.into_iter().map(live).collect())
}

fn input(parts: Vec<LivePart>, hot: Vec<String>) -> Input {
    Input {
        name: "d".to_owned(),
        schema: parts
            .iter()
            .fold(TableSchema::default(), |all, live| all.union(&live.part.schema)),
        rows: parts.iter().map(LivePart::live_rows).sum::<u64>() + hot.len() as u64,
        key: Some("id".to_owned()),
        truncated: false,
        declared: Vec::new(),
        source: InputSource::Dataset { parts, hot },
    }
}

/// The median time of some runs, each from the order to the rows.
async fn query(engine: &Engine, input: &Input, sql: &str) -> Result<Duration> {
    let mut times = Vec::new();
    for _ in 0..TIMES {
        let began = Instant::now();
        let session = engine.session(std::slice::from_ref(input), &[], 2).await?;
        let plan = session.plan(sql, &SqlParams::None).await?;
        session.rows(plan).await?;
        times.push(began.elapsed());
    }
    times.sort();
    Ok(times[TIMES / 2])
}

async fn page(engine: &Engine, input: Input) -> Result<Duration> {
    let task = RecordsTask {
        input,
        select: Vec::new(),
        filters: Vec::new(),
        condition: None,
        order: Vec::new(),
        offset: 0,
        limit: 1,
        format: Format::Json,
    };
    let mut times = Vec::new();
    for _ in 0..TIMES * 10 {
        let began = Instant::now();
        let control = &mut RunControl::unattended();
        let read = engine.records(&task, "scratch", &Limits::default(), control).await?;
        times.push(began.elapsed());
        assert!(matches!(read, Completion::Encoded { rows: 1, .. }));
    }
    times.sort();
    Ok(times[times.len() / 2])
}
