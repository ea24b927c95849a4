//! Names in texts of users: the nearest ones for "did you mean", and those of the history.

use crate::HistoryTable;

/// At most three of `known` that resemble `wanted`, the nearest first.
#[must_use]
pub fn nearest<'a>(wanted: &str, known: impl IntoIterator<Item = &'a str>) -> Vec<&'a str> {
    let folded = wanted.to_lowercase();
    let mut scored: Vec<(f64, &str)> = known
        .into_iter()
        .map(|name| (strsim::jaro_winkler(&folded, &name.to_lowercase()), name))
        .filter(|(score, _)| *score >= 0.75)
        .collect();
    scored.sort_by(|a, b| b.0.total_cmp(&a.0).then_with(|| a.1.cmp(b.1)));
    scored.into_iter().take(3).map(|(_, name)| name).collect()
}

/// A hint that names what resembles `wanted`, or lists what there is when nothing does.
#[must_use]
pub fn suggest<'a>(wanted: &str, known: impl IntoIterator<Item = &'a str>) -> String {
    let known: Vec<&str> = known.into_iter().collect();
    if known.is_empty() {
        return "there is none yet".to_owned();
    }
    let near = nearest(wanted, known.iter().copied());
    if near.is_empty() {
        let mut shown = quoted(known.iter().take(20).copied());
        if known.len() > 20 {
            shown.push_str(", …");
        }
        return format!("there are {shown}");
    }
    format!("did you mean {}?", quoted(near))
}

/// Whether `sql` may read a table of the history, whose rows are other ones at every run. Says yes too often rather than
/// once too seldom.
#[must_use]
pub fn mentions_history(sql: &str) -> bool {
    !HistoryTable::mentioned(sql).is_empty()
}

fn quoted<'a>(names: impl IntoIterator<Item = &'a str>) -> String {
    names
        .into_iter()
        .map(|name| format!("`{name}`"))
        .collect::<Vec<_>>()
        .join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slip_of_the_finger_finds_the_name() {
        assert_eq!(suggest("pengiuns", ["flights", "penguins"]), "did you mean `penguins`?");
        assert_eq!(
            suggest("xyz", ["flights", "penguins"]),
            "there are `flights`, `penguins`"
        );
        assert_eq!(suggest("xyz", []), "there is none yet");
    }
}
