//! Bar charts and meters of block characters.

use super::text;

const EIGHTHS: [char; 8] = [' ', '▏', '▎', '▍', '▌', '▋', '▊', '▉'];

/// A bar of a chart.
#[derive(Debug, Clone, PartialEq)]
pub struct Bar {
    pub label: String,
    pub value: u64,
}

/// One line to a bar: label, bar, value. The longest bar is `width` characters long.
pub fn bars(bars: &[Bar], width: usize) -> String {
    let most = bars.iter().map(|bar| bar.value).max().unwrap_or(0).max(1);
    let labels = bars.iter().map(|bar| bar.label.chars().count()).max().unwrap_or(0);
    let mut chart = String::new();
    for bar in bars {
        let drawn = block(bar.value, most, width);
        let line = format!(" {:>labels$} {drawn} {}", bar.label, text::count(bar.value));
        chart.push_str(line.trim_end());
        chart.push('\n');
    }
    chart
}

/// How much of something is done, between two edges.
pub fn meter(fraction: f64, width: usize) -> String {
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "between 0 and 1,000"
    )]
    let done = (fraction.clamp(0.0, 1.0) * 1000.0).round() as u64;
    let drawn = block(done, 1000, width);
    let blank = width - drawn.chars().count().min(width);
    format!("▕{drawn}{}▏", " ".repeat(blank))
}

/// What is more than nothing is seen, be it an eighth of a character.
fn block(value: u64, most: u64, width: usize) -> String {
    let room = (width * 8) as u128;
    let exact = u128::from(value) * room / u128::from(most);
    let eighths = usize::try_from(exact).unwrap_or(width * 8).max(usize::from(value > 0));
    let mut drawn = "█".repeat(eighths / 8);
    if !eighths.is_multiple_of(8) {
        drawn.push(EIGHTHS[eighths % 8]);
    }
    drawn
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bars_are_to_scale_and_small_ones_are_seen() {
        let bar = |label: &str, value| Bar {
            label: label.into(),
            value,
        };
        let chart = bars(&[bar("-0.5", 1), bar("0", 500), bar("10", 1000), bar("x", 0)], 8);
        assert_eq!(chart, " -0.5 ▏ 1\n    0 ████ 500\n   10 ████████ 1,000\n    x  0\n");
    }

    #[test]
    fn meters_keep_their_width() {
        assert_eq!(meter(0.0, 4), "▕    ▏");
        assert_eq!(meter(0.5, 4), "▕██  ▏");
        assert_eq!(meter(0.51, 4), "▕██  ▏");
        assert_eq!(meter(2.0, 4), "▕████▏");
    }
}
