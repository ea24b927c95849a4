//! The analyses: what each one computes, the list of them all, and the runner that carries out orders in this process.
//!
//! An analysis writes SQL and reads rows; it names no Arrow type, touches no job state and knows neither queue nor
//! catalog. Adding one is a file in `builtin/` and a line in [`all`].

mod analysis;
mod bins;
mod builtin;
mod columns;
mod expression;
mod params;
mod reference;
mod rows;
mod runner;

pub use analysis::{Analysis, Scope};
pub use builtin::{all, specs};
pub use reference::reference_page;
pub use runner::LocalRunner;
