//! `assay work`: a further worker process. The embedded store belongs to one process, so it is told so.

use std::path::PathBuf;

use assay_core::{Code, Error};
use clap::Args;

use super::Failure;

#[derive(Debug, Clone, Args)]
pub struct WorkArgs {
    /// Folder of the store
    #[arg(long, env = "ASSAY_STORE", default_value = "./assay-data", value_name = "PATH")]
    pub store: PathBuf,
}

pub fn run(args: &WorkArgs) -> Result<(), Failure> {
    let store = args.store.display();
    let error = Error::new(
        Code::StoreLocked,
        format!("the embedded store at `{store}` belongs to one process and cannot take a second worker process"),
    );
    Err(anyhow::Error::from(error.hint("`assay serve --workers N` runs N jobs at the same time")).into())
}
