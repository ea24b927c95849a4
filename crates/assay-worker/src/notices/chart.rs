//! A small chart of an answer, for mails: bars of what has one label and one number in each row.

use assay_core::{Column, Job, Kind};
use serde_json::{Map, Value};

/// Bars that are shown; of longer answers none are.
const MAX_BARS: usize = 30;
const EIGHTHS: [char; 8] = [' ', '▏', '▎', '▍', '▌', '▋', '▊', '▉'];

#[derive(Debug, Clone, PartialEq)]
pub(super) struct Bar {
    pub label: String,
    /// As it stands in the answer.
    pub shown: String,
    /// From 0 to 1, of the longest.
    pub share: f64,
}

#[derive(Debug, Clone, PartialEq)]
pub(super) struct Chart {
    /// Of what the bars are, e.g. `count`.
    pub title: String,
    pub bars: Vec<Bar>,
}

/// How a row is labeled: by one column, or by the two ends of a bin.
enum Label<'a> {
    Column(&'a str),
    Bin(&'a str, &'a str),
}

/// The chart of a job's answer, when the answer is small and suits one.
pub(super) fn of(job: &Job) -> Option<Chart> {
    let result = job.result.as_ref()?;
    let columns = &result.set.columns;
    let (label, value) = choose(columns)?;
    let rows: Vec<Map<String, Value>> = serde_json::from_str(result.rows_json.as_deref()?).ok()?;
    if !(2..=MAX_BARS).contains(&rows.len()) {
        return None;
    }
    let numbers: Vec<f64> = rows.iter().map(|row| number(row.get(value))).collect::<Option<_>>()?;
    let most = numbers.iter().copied().fold(0.0, f64::max);
    if most <= 0.0 || numbers.iter().any(|number| *number < 0.0) {
        return None;
    }
    let bar = |(row, number): (&Map<String, Value>, &f64)| Bar {
        label: label.of(row),
        shown: shown(row.get(value)),
        share: number / most,
    };
    Some(Chart {
        title: value.to_owned(),
        bars: rows.iter().zip(&numbers).map(bar).collect(),
    })
}

fn choose(columns: &[Column]) -> Option<(Label<'_>, &str)> {
    let place = |name: &str| columns.iter().position(|column| column.name == name);
    let (label, after) = match (place("lower"), place("upper")) {
        (Some(lower), Some(upper)) => (Label::Bin(&columns[lower].name, &columns[upper].name), upper),
        _ => {
            let is_label = |column: &Column| matches!(column.kind, Kind::Text | Kind::Date | Kind::Bool);
            let place = columns.iter().position(is_label)?;
            (Label::Column(&columns[place].name), place)
        }
    };
    let value = columns[after + 1..].iter().find(|column| column.kind.is_numeric())?;
    Some((label, &value.name))
}

impl Label<'_> {
    fn of(&self, row: &Map<String, Value>) -> String {
        match self {
            Label::Column(name) => shown(row.get(*name)),
            Label::Bin(lower, upper) => format!("{} – {}", shown(row.get(*lower)), shown(row.get(*upper))),
        }
    }
}

fn number(value: Option<&Value>) -> Option<f64> {
    match value? {
        Value::Null => Some(0.0),
        Value::String(text) => text.parse().ok(),
        value => value.as_f64(),
    }
}

fn shown(value: Option<&Value>) -> String {
    match value {
        None | Some(Value::Null) => "–".to_owned(),
        Some(Value::String(text)) => text.chars().filter(|c| !c.is_control()).take(60).collect(),
        Some(value) => match value.as_f64() {
            Some(number) if value.is_f64() => rounded(number),
            _ => value.to_string(),
        },
    }
}

/// Six digits are enough for eyes.
fn rounded(number: f64) -> String {
    let magnitude = number.abs().max(1e-300).log10().floor();
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "between 0 and 17"
    )]
    let digits = (5.0 - magnitude).clamp(0.0, 17.0) as usize;
    let text = format!("{number:.digits$}");
    if text.contains('.') {
        return text.trim_end_matches('0').trim_end_matches('.').to_owned();
    }
    text
}

impl Chart {
    /// One line to a bar, the longest `width` characters.
    pub(super) fn as_text(&self, width: usize) -> String {
        let labels = self.bars.iter().map(|bar| bar.label.chars().count()).max().unwrap_or(0);
        let mut text = String::new();
        for bar in &self.bars {
            let line = format!("  {:>labels$} {} {}", bar.label, block(bar.share, width), bar.shown);
            text.push_str(line.trim_end());
            text.push('\n');
        }
        text
    }
}

fn block(share: f64, width: usize) -> String {
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        clippy::cast_precision_loss,
        reason = "a share is from 0 to 1"
    )]
    let eighths = (share.clamp(0.0, 1.0) * (width * 8) as f64).round() as usize;
    let mut drawn = "█".repeat(eighths / 8);
    if !eighths.is_multiple_of(8) {
        drawn.push(EIGHTHS[eighths % 8]);
    }
    drawn
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::notices::samples::{charted_job, succeeded_job};

    #[test]
    fn a_label_and_a_number_make_a_chart() {
        let job = charted_job(
            &[("species", Kind::Text), ("n", Kind::Int64), ("mean", Kind::Float64)],
            r#"[{"species":"Adelie","n":152,"mean":3700.66},{"species":"Gentoo","n":76,"mean":null}]"#,
        );
        let chart = of(&job).unwrap();
        assert_eq!(chart.title, "n");
        assert_eq!(chart.as_text(8), "  Adelie ████████ 152\n  Gentoo ████ 76\n");
    }

    #[test]
    fn bins_are_labeled_by_their_ends() {
        let kinds = [
            ("bin", Kind::Int64),
            ("lower", Kind::Float64),
            ("upper", Kind::Float64),
            ("count", Kind::Int64),
        ];
        let rows =
            r#"[{"bin":1,"lower":2700.0,"upper":3000.5,"count":4},{"bin":2,"lower":3000.5,"upper":3300.25,"count":0}]"#;
        let chart = of(&charted_job(&kinds, rows)).unwrap();
        assert_eq!(chart.bars[0].label, "2700 – 3000.5");
        assert_eq!((chart.bars[1].share, chart.bars[1].shown.as_str()), (0.0, "0"));
    }

    #[test]
    fn what_makes_no_chart_has_none() {
        assert_eq!(of(&succeeded_job()), None);
        let kinds = [("a", Kind::Text), ("n", Kind::Int64)];
        for rows in [
            r#"[{"a":"x","n":1}]"#,
            r#"[{"a":"x","n":-1},{"a":"y","n":2}]"#,
            r#"[{"a":"x","n":0},{"a":"y","n":0}]"#,
        ] {
            assert_eq!(of(&charted_job(&kinds, rows)), None, "{rows}");
        }
        let numbers = [("a", Kind::Int64), ("n", Kind::Int64)];
        assert_eq!(of(&charted_job(&numbers, r#"[{"a":1,"n":1},{"a":2,"n":2}]"#)), None);
    }
}
