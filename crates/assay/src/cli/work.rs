//! `assay work`: the options of a process that runs the jobs of a store that several share. Starting it is the wiring's
//! work.

use clap::Args;

use super::place::PlaceArgs;
use super::serve::{JobArgs, NoticeArgs};

#[derive(Debug, Clone, Args)]
pub struct WorkArgs {
    #[command(flatten)]
    pub place: PlaceArgs,
    #[command(flatten)]
    pub work: JobArgs,
    #[command(flatten)]
    pub notices: NoticeArgs,
}
