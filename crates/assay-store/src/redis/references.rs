//! The objects that somebody refers to.

use std::collections::HashSet;

use assay_core::{IMPORT, ImportParams, JobId, State};
use serde::Deserialize;
use serde_json::Value;

use super::failure::Fallible;
use super::reads::parsed;
use super::{Inner, data};

/// Jobs that are read together.
const AT_ONCE: usize = 500;

impl Inner {
    /// The objects of all versions, of what their loads put aside, and of results, and the uploads of unfinished jobs:
    /// objects, and folders of pieces.
    pub(super) async fn referenced_objects(&self) -> Fallible<HashSet<String>> {
        let mut objects = HashSet::new();
        self.add_uploads(&mut objects).await?;
        self.add_results(&mut objects).await?;
        objects.extend(data::referenced_objects(self).await?);
        Ok(objects)
    }

    async fn add_uploads(&self, objects: &mut HashSet<String>) -> Fallible<()> {
        for ids in self.unfinished_jobs().await?.chunks(AT_ONCE) {
            let mut pipeline = redis::pipe();
            for id in ids {
                let key = self.keys.job(&parsed::<JobId>(id)?);
                pipeline.cmd("HMGET").arg(key).arg("analysis").arg("spec");
            }
            let found: Vec<(Option<String>, Option<String>)> = self.connection.pipe(&pipeline).await?;
            for (analysis, spec) in found {
                if let (Some(analysis), Some(spec)) = (analysis, spec) {
                    objects.extend(uploads_of(&analysis, &spec)?);
                }
            }
        }
        Ok(())
    }

    /// At one moment, as jobs go from list to list.
    async fn unfinished_jobs(&self) -> Fallible<Vec<String>> {
        let mut pipeline = redis::pipe();
        pipeline.atomic();
        for state in [State::Scheduled, State::Queued, State::Running] {
            pipeline.cmd("ZRANGE").arg(self.keys.jobs_in(state)).arg(0).arg(-1);
        }
        let found: Vec<Vec<String>> = self.connection.pipe(&pipeline).await?;
        Ok(found.into_iter().flatten().collect())
    }

    /// In the order of submission, as an answer that goes over to another job goes to a later one.
    async fn add_results(&self, objects: &mut HashSet<String>) -> Fallible<()> {
        let mut after = 0;
        loop {
            let mut command = redis::cmd("ZRANGE");
            command.arg(self.keys.results()).arg(format!("({after}")).arg("+inf");
            command
                .arg("BYSCORE")
                .arg("LIMIT")
                .arg(0)
                .arg(AT_ONCE)
                .arg("WITHSCORES");
            let found: Vec<(String, u64)> = self.connection.query(&command).await?;
            let Some((_, last)) = found.last() else { return Ok(()) };
            after = *last;
            let mut pipeline = redis::pipe();
            for (id, _) in &found {
                let key = self.keys.job(&parsed::<JobId>(id)?);
                pipeline.cmd("HGET").arg(key).arg("result_path");
            }
            let paths: Vec<Option<String>> = self.connection.pipe(&pipeline).await?;
            objects.extend(paths.into_iter().flatten());
        }
    }
}

/// What of the stored request names uploads.
#[derive(Deserialize)]
struct Asked {
    params: Value,
    upload: Option<String>,
}

fn uploads_of(analysis: &str, spec: &str) -> Fallible<Vec<String>> {
    let Asked { params, upload } = serde_json::from_str(spec)?;
    let mut uploads = Vec::from_iter(upload);
    if analysis == IMPORT
        && let Ok(import) = ImportParams::deserialize(&params)
    {
        uploads.extend(import.files.iter().map(|file| file.upload.folder()));
    }
    Ok(uploads)
}
