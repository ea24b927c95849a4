//! Files that nobody refers to are removed while the store is in use, and no others.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use assay_core::{Jobs as _, Outcome, ResultData, StoredResult, SystemClock, Upkeep as _, UploadId};
use assay_store::{EmbeddedStore, StoreSettings};
use serde_json::json;

use crate::support::{new_job, result, usage, worker};

const DAY: Duration = Duration::from_secs(24 * 3_600);

struct Scene {
    folder: tempfile::TempDir,
    store: EmbeddedStore,
}

impl Scene {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let store = EmbeddedStore::open(folder.path(), Arc::new(SystemClock), StoreSettings::default()).unwrap();
        Self { folder, store }
    }

    fn file(&self, path: &str) -> PathBuf {
        self.folder.path().join("objects").join(path)
    }

    /// A file that was written so long ago.
    #[expect(clippy::disallowed_methods, reason = "files are as old as the system says")]
    fn written(&self, path: &str, ago: Duration) -> PathBuf {
        let file = self.file(path);
        fs::create_dir_all(file.parent().unwrap_or(Path::new("/"))).unwrap();
        fs::write(&file, "x").unwrap();
        let handle = File::options().append(true).open(&file).unwrap();
        handle.set_modified(SystemTime::now() - ago).unwrap();
        file
    }

    async fn sweep(&self) -> u64 {
        self.store.sweep().await.unwrap().leftovers
    }
}

#[tokio::test]
async fn what_nobody_refers_to_goes_when_it_is_too_old_to_be_under_way() {
    let scene = Scene::new();
    let mut loading = new_job(assay_core::Timestamp(1));
    loading.spec.upload = Some("uploads/waits".to_owned());
    scene.store.submit(loading, None).await.unwrap();
    scene.store.claim(&worker(), 1, None).await.unwrap();
    scene
        .store
        .submit(new_job(assay_core::Timestamp(2)), None)
        .await
        .unwrap();
    let (lease, _) = scene.store.claim(&worker(), 1, None).await.unwrap().remove(0);
    let result = StoredResult {
        data: ResultData::Object {
            path: "results/a/1/result.arrow".to_owned(),
            checksum: "ab".to_owned(),
        },
        rows_json: None,
        ..result()
    };
    let outcome = Outcome::Succeeded {
        result,
        commit: None,
        usage: usage(),
    };
    scene.store.finish(&lease, outcome).await.unwrap();

    let kept = [
        scene.written("results/a/1/result.arrow", 3 * DAY),
        scene.written("uploads/waits", 3 * DAY),
        scene.written("results/b/2/result.arrow", DAY),
        scene.written("uploads/new.partial-1-1#1", Duration::ZERO),
    ];
    let gone = [
        scene.written("results/a/1/part.arrow", 2 * DAY),
        scene.written("uploads/old.partial-1-1#1", 2 * DAY),
        scene.written("datasets/genes/old.parquet.partial-1-2", 2 * DAY),
    ];
    assert_eq!(scene.sweep().await, 3);
    assert!(kept.iter().all(|file| file.exists()), "{kept:?}");
    assert!(!gone.iter().any(|file| file.exists()), "{gone:?}");
    // The walk is over, and rests.
    scene.written("uploads/late", 2 * DAY);
    assert_eq!(scene.sweep().await, 0);
}

#[tokio::test]
async fn a_sweep_looks_at_so_many_files_and_the_next_one_goes_on() {
    let scene = Scene::new();
    for number in 0..2_500 {
        scene.written(&format!("results/{}/{number}", number % 7), 2 * DAY);
    }
    let mut removed = Vec::new();
    for _ in 0..4 {
        removed.push(scene.sweep().await);
    }
    assert!(removed.iter().all(|removed| *removed <= 1_000), "{removed:?}");
    assert_eq!(removed.iter().sum::<u64>(), 2_500);
}

/// An upload that was begun so long ago.
#[expect(clippy::disallowed_methods, reason = "files are as old as the system says")]
fn begun(ago: Duration) -> UploadId {
    let since = (SystemTime::now() - ago)
        .duration_since(SystemTime::UNIX_EPOCH)
        .unwrap();
    UploadId::generate(assay_core::Timestamp(i64::try_from(since.as_millis()).unwrap()))
}

#[tokio::test]
async fn uploads_outlive_a_restart_until_they_expire_and_as_long_as_a_job_waits_for_them() {
    let scene = Scene::new();
    let [fresh, expired, wanted] = [DAY / 2, 2 * DAY, 2 * DAY].map(begun);
    let mut loading = new_job(assay_core::Timestamp(1));
    loading.spec.analysis = "import".to_owned();
    loading.spec.params = json!({
        "dataset": "genes", "upload_bytes": 1, "files": [{"upload": wanted, "name": "a", "bytes": 1}],
    });
    scene.store.submit(loading, None).await.unwrap();
    let objects = |id: &UploadId, ago: Duration| [id.about(), id.piece(0)].map(|path| scene.written(&path, ago));
    let of_fresh = objects(&fresh, DAY / 2);
    let of_wanted = objects(&wanted, 2 * DAY);
    let of_expired = objects(&expired, 2 * DAY);
    let are_there = |files: &[PathBuf]| files.iter().all(|file| file.exists());
    assert_eq!(scene.sweep().await, 2, "while the store is in use");
    assert!(are_there(&of_fresh) && are_there(&of_wanted));
    assert!(!of_expired[0].parent().unwrap().exists(), "an empty folder is left");

    let of_expired = objects(&expired, DAY);
    assert_eq!(scene.store.clear_leftovers().await.unwrap(), 2, "at the start");
    assert!(are_there(&of_fresh) && are_there(&of_wanted));
    assert!(!of_expired[0].parent().unwrap().exists(), "an empty folder is left");
}
