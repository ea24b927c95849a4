//! The SQL that counts values in bins.

use assay_engine::Bins;

use crate::rows::{Row, count, double};

/// SQL of two columns, `bin` (from 0) and `n`, over `source`, a query with one column of doubles `x`.
/// Values outside of the bounds, NaN among them, are left out; empty bins have no row.
///
/// The operations are those of [`Bins::find`].
pub(crate) fn count_sql(bins: &Bins, source: &str) -> String {
    let (low, high, width) = (double(bins.low()), double(bins.high()), double(bins.width()));
    let last = bins.number() - 1;
    format!(
        "SELECT bin, count(*) AS n FROM (\
           SELECT CASE WHEN x < {low} + CAST(i AS DOUBLE) * {width} THEN i - 1 \
                       WHEN i < {last} AND x >= {low} + CAST(i + 1 AS DOUBLE) * {width} THEN i + 1 \
                       ELSE i END AS bin \
           FROM (SELECT x, least(CAST(floor((x - {low}) / {width}) AS BIGINT), CAST({last} AS BIGINT)) AS i \
                 FROM ({source}) AS doubles WHERE x >= {low} AND x <= {high}) AS placed\
         ) AS binned GROUP BY bin"
    )
}

/// The counts of all bins from the rows of [`count_sql`].
pub(crate) fn counts(bins: &Bins, rows: &[Row]) -> Vec<u64> {
    let mut counts = vec![0; bins.number() as usize];
    for row in rows {
        let bin = usize::try_from(count(row, "bin")).unwrap_or(usize::MAX);
        if let Some(slot) = counts.get_mut(bin) {
            *slot += count(row, "n");
        }
    }
    counts
}
