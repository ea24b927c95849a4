//! The analyses that come with Assay, one file each.

use assay_core::AnalysisSpec;

use crate::Analysis;

mod aggregate;
mod correlation;
mod describe;
mod histogram;
mod ping;
mod sql;

/// Every analysis there is, in the order in which they are listed.
#[must_use]
pub fn all() -> Vec<Box<dyn Analysis>> {
    vec![
        Box::new(sql::Sql),
        Box::new(describe::Describe),
        Box::new(aggregate::Aggregate),
        Box::new(histogram::Histogram),
        Box::new(correlation::Correlation),
        Box::new(ping::Ping),
    ]
}

/// What is known of every analysis without running it.
#[must_use]
pub fn specs() -> Vec<AnalysisSpec> {
    all().iter().map(|analysis| analysis.spec()).collect()
}
