//! `compose.yaml`: whatever it starts takes the options that it gives.

use std::path::Path;
use std::process::Command;

use crate::support::ASSAY;

#[test]
fn the_image_has_the_authorities_that_vouch_for_buckets() {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../Dockerfile");
    let file = std::fs::read_to_string(file).unwrap();
    let (_, last) = file.rsplit_once("FROM ").unwrap();
    assert!(last.contains("ca-certificates"), "{last}");
}

#[test]
fn the_processes_of_the_compose_file_take_their_options() {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../compose.yaml");
    let file = std::fs::read_to_string(file).unwrap();
    let commands = file.lines().filter_map(|line| line.trim().strip_prefix("command: "));
    let lines: Vec<Vec<String>> = commands.map(|list| serde_json::from_str(list).unwrap()).collect();
    let own: Vec<_> = lines
        .iter()
        .filter(|line| ["serve", "work"].contains(&line[0].as_str()))
        .collect();
    assert_eq!(own.len(), 2, "{lines:?}");
    for line in own {
        // Options are read from the first to the last.
        let asked = Command::new(ASSAY).args(line).arg("--help").output().unwrap();
        assert!(
            asked.status.success(),
            "{line:?}: {}",
            String::from_utf8_lossy(&asked.stderr)
        );
    }
    let store = "redis://:some-letters-and-digits@127.0.0.1:7374/0";
    assert!(file.contains(&store.replace("some-letters-and-digits", "${ASSAY_PASSWORD:?choose one}")));
    assert!(matches!(store.parse(), Ok(assay_store::ObjectsUrl::Redis(_))));
}
