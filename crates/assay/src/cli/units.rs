//! Sizes and times as they are typed: `512MiB`, `10m`.

use std::time::Duration;

/// Bytes: a number with `KiB`, `MiB`, `GiB` (also `K`, `M`, `G`), or without a unit.
pub fn parse_bytes(text: &str) -> Result<u64, String> {
    let (number, unit) = split(text)?;
    let factor: u64 = match unit.to_ascii_lowercase().as_str() {
        "" | "b" => 1,
        "k" | "kib" => 1 << 10,
        "m" | "mib" => 1 << 20,
        "g" | "gib" => 1 << 30,
        "t" | "tib" => 1 << 40,
        "kb" => 1_000,
        "mb" => 1_000_000,
        "gb" => 1_000_000_000,
        _ => return Err(format!("`{unit}` is no unit of size; write e.g. `512MiB` or `2GiB`")),
    };
    let size = number.checked_mul(factor).filter(|size| *size > 0);
    size.ok_or_else(|| "it must be more than nothing and less than 16 EiB".to_owned())
}

/// A size that may be nothing.
pub fn parse_room(text: &str) -> Result<u64, String> {
    match text.trim() {
        "0" => Ok(0),
        text => parse_bytes(text),
    }
}

/// A time: a number with `ms`, `s`, `m`, `h` or `d`.
pub fn parse_duration(text: &str) -> Result<Duration, String> {
    let (number, unit) = split(text)?;
    let factor: u64 = match unit {
        "ms" => 1,
        "s" | "" => 1_000,
        "m" | "min" => 60_000,
        "h" => 3_600_000,
        "d" => 24 * 3_600_000,
        _ => return Err(format!("`{unit}` is no unit of time; write e.g. `90s` or `10m`")),
    };
    let millis = number.checked_mul(factor).filter(|millis| *millis > 0);
    millis
        .map(Duration::from_millis)
        .ok_or_else(|| "it must be more than nothing, and less than forever".to_owned())
}

fn split(text: &str) -> Result<(u64, &str), String> {
    let text = text.trim();
    let end = text.find(|letter: char| !letter.is_ascii_digit()).unwrap_or(text.len());
    let number = text[..end]
        .parse()
        .map_err(|_| "it must begin with a whole number".to_owned())?;
    Ok((number, text[end..].trim()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_and_times_are_read_with_their_units() {
        assert_eq!(parse_bytes("512MiB"), Ok(512 << 20));
        assert_eq!((parse_bytes("2 g"), parse_bytes("1000")), (Ok(2 << 30), Ok(1000)));
        assert_eq!(parse_duration("90s"), Ok(Duration::from_secs(90)));
        assert_eq!(
            (parse_duration("10m"), parse_duration("250ms")),
            (parse_duration("600"), Ok(Duration::from_millis(250)))
        );
        assert_eq!(parse_duration("2d"), parse_duration("48h"));
        for wrong in [
            "",
            "x",
            "10 parsecs",
            "-1s",
            "0s",
            "99999999999999999999s",
            "18446744073709551615h",
        ] {
            assert!(parse_duration(wrong).is_err(), "{wrong}");
        }
        for wrong in ["", "GiB", "1 bit", "0", "99999999999T"] {
            assert!(parse_bytes(wrong).is_err(), "{wrong}");
        }
    }
}
