//! Lists of jobs: order, pages and filters.

use assay_core::{Code, IMPORT, JobFilter, JobId, PageRequest, ResultData, State};

use serde_json::json;

use crate::support::{Scene, failed, pinned, result, succeeded};

fn page(after: Option<String>, limit: usize) -> PageRequest {
    PageRequest { after, limit }
}

async fn ids(scene: &Scene, filter: JobFilter) -> Vec<JobId> {
    let jobs = scene.jobs().list(filter, page(None, 100)).await.unwrap();
    jobs.items.into_iter().map(|job| job.id).collect()
}

/// Submits jobs at different times, so that their ids are in order.
async fn submit_many(scene: &Scene, count: usize) -> Vec<JobId> {
    let mut ids = Vec::new();
    for _ in 0..count {
        scene.advance(1);
        ids.push(scene.submit().await);
    }
    ids.reverse();
    ids
}

pub async fn jobs_are_listed_newest_first_in_pages(scene: Scene) {
    let expected = submit_many(&scene, 5).await;
    let (mut seen, mut after) = (Vec::new(), None);
    loop {
        let part = scene.jobs().list(JobFilter::default(), page(after, 2)).await.unwrap();
        assert!(part.items.len() <= 2);
        seen.extend(part.items.into_iter().map(|job| job.id));
        after = part.next;
        if after.is_none() {
            break;
        }
    }
    assert_eq!(seen, expected);
    let whole = scene.jobs().list(JobFilter::default(), page(None, 5)).await.unwrap();
    assert_eq!(whole.next, None);
}

pub async fn pages_stay_as_they_are_while_jobs_come_in(scene: Scene) {
    let expected = submit_many(&scene, 4).await;
    let first = scene.jobs().list(JobFilter::default(), page(None, 2)).await.unwrap();
    submit_many(&scene, 3).await;
    let second = scene
        .jobs()
        .list(JobFilter::default(), page(first.next, 2))
        .await
        .unwrap();
    let seen: Vec<_> = first.items.into_iter().chain(second.items).map(|job| job.id).collect();
    assert_eq!(seen, expected);
}

pub async fn lists_filter_by_state_analysis_and_dataset(scene: Scene) {
    let written = scene.load(Default::default(), "Genes", "a").await.id;
    scene.advance(1);
    let lease = scene.running().await;
    let broken = scene
        .jobs()
        .finish(&lease, failed(Code::UnknownColumn))
        .await
        .unwrap()
        .id;
    scene.advance(1);
    let reading = scene
        .submit_as(|job| job.inputs = vec![pinned("genes", 1), pinned("other", 1)])
        .await;
    scene.advance(1);
    let histogram = scene.submit_as(|job| job.analysis = "histogram".to_owned()).await;
    scene.advance(1);
    let load = scene
        .submit_as(|job| {
            job.analysis = IMPORT.to_owned();
            job.params = json!({"dataset": "Genes", "upload_bytes": 1});
        })
        .await;

    let states = |states: &[State]| JobFilter {
        states: states.to_vec(),
        ..JobFilter::default()
    };
    let of_genes = |states: &[State]| JobFilter {
        states: states.to_vec(),
        dataset: Some("GENES".parse().unwrap()),
        ..JobFilter::default()
    };
    let analysis = |states: &[State], name: &str| JobFilter {
        states: states.to_vec(),
        analysis: Some(name.to_owned()),
        ..JobFilter::default()
    };
    use State::{Canceled, Failed, Queued, Succeeded};
    let cases = [
        (states(&[Queued]), vec![&load, &histogram, &reading]),
        (
            states(&[Queued, Failed, Queued]),
            vec![&load, &histogram, &reading, &broken],
        ),
        (states(&[Canceled]), vec![]),
        (of_genes(&[]), vec![&load, &reading, &written]),
        (of_genes(&[Succeeded, Failed]), vec![&written]),
        (analysis(&[], "histogram"), vec![&histogram]),
        (analysis(&[Queued, Succeeded], "describe"), vec![&reading, &written]),
        (analysis(&[], "unknown"), vec![]),
    ];
    for (filter, expected) in cases {
        let found = ids(&scene, filter.clone()).await;
        assert_eq!(found.iter().collect::<Vec<_>>(), expected, "{filter:?}");
    }
}

pub async fn lists_leave_the_rows_of_results_out(scene: Scene) {
    let lease = scene.running().await;
    let job = scene.jobs().finish(&lease, succeeded()).await.unwrap();
    let listed = scene
        .jobs()
        .list(JobFilter::default(), page(None, 1))
        .await
        .unwrap()
        .items
        .remove(0);
    let shown = listed.result.clone().unwrap();
    assert_eq!((&shown.set, shown.rows_json), (&result().set, None));
    assert_eq!(shown.data, ResultData::Inline(Vec::new()));
    let mut rest = listed;
    rest.result = job.result.clone();
    assert_eq!(rest, job);
}
