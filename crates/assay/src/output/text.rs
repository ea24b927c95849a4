//! Numbers, sizes, times and cells as people read them.

use std::time::Duration;

/// `336776` as `336,776`.
pub fn count(number: u64) -> String {
    let digits = number.to_string();
    let mut shown = String::with_capacity(digits.len() + digits.len() / 3);
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            shown.push(',');
        }
        shown.push(digit);
    }
    shown
}

/// `1 record`, `2 records`.
pub fn counted(number: u64, one: &str) -> String {
    let plural = if number == 1 { "" } else { "s" };
    format!("{} {one}{plural}", count(number))
}

/// A size with three significant digits, in units of 1,024.
pub fn bytes(size: u64) -> String {
    #[expect(clippy::cast_precision_loss, reason = "three digits are shown")]
    let mut shown = size as f64;
    let mut units = ["B", "KiB", "MiB", "GiB", "TiB"].into_iter();
    let mut unit = units.next().unwrap_or("B");
    for larger in units {
        if shown < 1024.0 {
            break;
        }
        shown /= 1024.0;
        unit = larger;
    }
    match unit {
        "B" => format!("{size} B"),
        _ if shown < 10.0 => format!("{shown:.2} {unit}"),
        _ if shown < 100.0 => format!("{shown:.1} {unit}"),
        _ => format!("{shown:.0} {unit}"),
    }
}

/// `12 ms`, `3.4 s`, `2 min 5 s`.
pub fn duration(time: Duration) -> String {
    let (millis, seconds) = (time.as_millis(), time.as_secs());
    match seconds {
        0 => format!("{millis} ms"),
        1..=59 => format!("{:.1} s", time.as_secs_f64()),
        _ => format!("{} min {} s", seconds / 60, seconds % 60),
    }
}

/// The text of a JSON value as a cell shows it; `None` for null.
pub fn cell(json: &str) -> Option<String> {
    match json {
        "null" => None,
        _ if json.starts_with('"') => {
            Some(serde_json::from_str::<String>(json).map_or_else(|_| json.to_owned(), |text| printable(&text)))
        }
        _ => Some(printable(json)),
    }
}

/// Control characters are spelled out: data must not steer the terminal.
pub fn printable(text: &str) -> String {
    if !text.chars().any(char::is_control) {
        return text.to_owned();
    }
    text.chars()
        .fold(String::with_capacity(text.len()), |mut shown, letter| {
            if letter.is_control() {
                shown.extend(letter.escape_default());
            } else {
                shown.push(letter);
            }
            shown
        })
}

/// A double with six significant digits; digits before the point are never cut.
pub fn rounded(number: &str) -> String {
    let Ok(value) = number.parse::<f64>() else {
        return number.to_owned();
    };
    let magnitude = value.abs();
    if number.len() <= 7 || !value.is_finite() || !(1e-4..1e15).contains(&magnitude) {
        return number.to_owned();
    }
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "between 0 and 9")]
    let decimals = (5.0 - magnitude.log10().floor()).clamp(0.0, 9.0) as usize;
    let shown = format!("{value:.decimals$}");
    if shown.contains('.') {
        shown.trim_end_matches('0').trim_end_matches('.').to_owned()
    } else {
        shown
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_sizes_and_times_read_well() {
        assert_eq!(
            [0, 999, 1000, 336_776, 1_234_567].map(count),
            ["0", "999", "1,000", "336,776", "1,234,567"]
        );
        assert_eq!(
            (counted(1, "record"), counted(2, "record")),
            ("1 record".into(), "2 records".into())
        );
        assert_eq!(
            [12, 1024, 5_123_054, 1 << 40].map(bytes),
            ["12 B", "1.00 KiB", "4.89 MiB", "1.00 TiB"]
        );
        let times = [12, 3_400, 125_000].map(|millis| duration(Duration::from_millis(millis)));
        assert_eq!(times, ["12 ms", "3.4 s", "2 min 5 s"]);
    }

    #[test]
    fn doubles_keep_six_digits_and_every_digit_before_the_point() {
        let cases = [
            ("4201.754385964912", "4201.75"),
            ("0.8712017673060113", "0.871202"),
            ("350217607.25", "350217607"),
            ("0.00123456789", "0.00123457"),
            ("1.2345678e-9", "1.2345678e-9"),
            ("3.5", "3.5"),
            ("-17.200000001", "-17.2"),
            ("1e300", "1e300"),
        ];
        for (exact, shown) in cases {
            assert_eq!(rounded(exact), shown, "{exact}");
        }
    }

    #[test]
    fn cells_cannot_steer_the_terminal() {
        assert_eq!(cell(r#""a\u001b[31mb\nc""#).as_deref(), Some("a\\u{1b}[31mb\\nc"));
        assert_eq!((cell("null"), cell("\"null\"").as_deref()), (None, Some("null")));
        assert_eq!(cell("[1,2]").as_deref(), Some("[1,2]"));
    }
}
