//! How much room the disks have on which a store lies.

use std::collections::BTreeSet;
use std::path::PathBuf;

use super::Examined;

const GIB: u64 = 1 << 30;
/// A disk is full with less than this free, and with less than this share in percent.
const FULL: (u64, u64) = (GIB, 5);
/// A disk is nearly full, likewise.
const NEARLY_FULL: (u64, u64) = (10 * GIB, 10);

/// Looks at the disks of those of the folders that are there, at each disk once.
#[must_use]
pub fn examine_disks(folders: &[PathBuf]) -> Vec<Examined> {
    let mut seen = BTreeSet::new();
    let mut examined = Vec::new();
    for folder in folders.iter().filter(|folder| folder.is_dir()) {
        let shown = folder.display().to_string();
        examined.push(match Room::of(folder) {
            Ok(Some(room)) if seen.insert(room.disk) => room.judge(&shown),
            Ok(_) => continue,
            Err(cause) => Examined::problem(
                "disk",
                format!("the disk of `{shown}` does not tell how full it is: {cause}"),
                "look whether it is mounted, and whether this user may read the folder",
            ),
        });
    }
    examined
}

/// What a disk has for this user, in bytes.
#[derive(Debug, Clone, Copy)]
struct Room {
    disk: u64,
    free: u64,
    whole: u64,
}

impl Room {
    /// `None` where the system has no way to tell.
    #[cfg(unix)]
    fn of(folder: &std::path::Path) -> std::io::Result<Option<Self>> {
        use std::os::unix::fs::MetadataExt as _;

        let told = rustix::fs::statvfs(folder)?;
        Ok(Some(Self {
            disk: folder.metadata()?.dev(),
            free: told.f_bavail.saturating_mul(told.f_frsize),
            whole: told.f_blocks.saturating_mul(told.f_frsize),
        }))
    }

    #[cfg(not(unix))]
    fn of(_: &std::path::Path) -> std::io::Result<Option<Self>> {
        Ok(None)
    }

    fn judge(self, folder: &str) -> Examined {
        let gibibytes = |bytes: u64| bytes as f64 / GIB as f64;
        let found = format!(
            "the disk of `{folder}` has {:.1} of {:.1} GiB free",
            gibibytes(self.free),
            gibibytes(self.whole)
        );
        let remedy = "give it room: a larger disk, another place for objects by `--objects`, or less that is kept";
        let is_below = |(bytes, percent): (u64, u64)| {
            self.free < bytes && u128::from(self.free) * 100 < u128::from(self.whole) * u128::from(percent)
        };
        match (is_below(FULL), is_below(NEARLY_FULL)) {
            (true, _) => Examined::problem("disk", found, remedy),
            (_, true) => Examined::warning("disk", found, remedy),
            _ => Examined::ok("disk", found),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::doctor::Verdict;

    #[test]
    fn a_disk_is_judged_by_what_is_free_and_by_its_share() {
        let verdict = |free: u64, whole: u64| Room { disk: 1, free, whole }.judge("a").verdict;
        assert_eq!(verdict(GIB - 1, 1_000 * GIB), Verdict::Problem);
        assert_eq!(verdict(GIB, 1_000 * GIB), Verdict::Warning);
        assert_eq!(verdict(10 * GIB, 1_000 * GIB), Verdict::Ok);
        // A small disk that is not full.
        assert_eq!(verdict(GIB / 2, GIB), Verdict::Ok);
        assert_eq!(verdict(GIB / 12, GIB), Verdict::Warning);
        assert_eq!(verdict(0, GIB), Verdict::Problem);
    }

    #[test]
    fn a_disk_is_looked_at_once_and_a_folder_that_is_not_there_not_at_all() {
        let folder = tempfile::tempdir().unwrap();
        let inside = folder.path().join("objects");
        std::fs::create_dir(&inside).unwrap();
        let all = [folder.path().to_owned(), inside, folder.path().join("none")];
        let examined = examine_disks(&all);
        assert_eq!(examined.len(), usize::from(cfg!(unix)), "{examined:?}");
    }
}
