//! Reading dates and points in time.

use jiff::civil::Date;

use super::write as written;

const MICROS_PER_SECOND: i64 = 1_000_000;

/// Days since 1970-01-01 of a text that is exactly `YYYY-MM-DD`.
#[must_use]
pub fn date(text: &str) -> Option<i32> {
    let bytes = text.as_bytes();
    if bytes.len() != 10 || bytes[4] != b'-' || bytes[7] != b'-' {
        return None;
    }
    let year = i16::try_from(number(&bytes[..4])?).ok()?;
    let month = i8::try_from(number(&bytes[5..7])?).ok()?;
    let day = i8::try_from(number(&bytes[8..])?).ok()?;
    days(Date::new(year, month, day).ok()?)
}

#[must_use]
pub fn days(date: Date) -> Option<i32> {
    let epoch = Date::constant(1970, 1, 1);
    date.since((jiff::Unit::Day, epoch)).ok().map(|span| span.get_days())
}

fn number(digits: &[u8]) -> Option<i64> {
    let all_digits = !digits.is_empty() && digits.len() <= 9 && digits.iter().all(u8::is_ascii_digit);
    all_digits.then(|| digits.iter().fold(0, |sum, digit| sum * 10 + i64::from(digit - b'0')))
}

/// Microseconds since 1970 of a time in RFC 3339 that is written as it would be given back.
#[must_use]
pub fn canonical_timestamp(text: &str) -> Option<i64> {
    if !text.ends_with('Z') {
        return None;
    }
    timestamp(text).filter(|micros| written::timestamp(*micros) == text)
}

/// Microseconds since 1970 of `YYYY-MM-DD` or the ordinal `YYYY-DDD`, then `T` or a blank, a time of day, and `Z`, an
/// offset or nothing, which is UTC. More than six digits of a second are refused unless they are zeros.
#[must_use]
pub fn timestamp(text: &str) -> Option<i64> {
    if !text.is_ascii() {
        return None;
    }
    let split = text.find(['T', ' '])?;
    let (day, rest) = (&text[..split], &text[split + 1..]);
    let day = date(day).or_else(|| ordinal(day))?;
    let zone = rest.find(['Z', '+', '-']).unwrap_or(rest.len());
    let micros = time_of_day(&rest[..zone])?;
    let offset = offset_seconds(&rest[zone..])?;
    i64::from(day)
        .checked_mul(86_400)?
        .checked_sub(offset)?
        .checked_mul(MICROS_PER_SECOND)?
        .checked_add(micros)
}

fn ordinal(text: &str) -> Option<i32> {
    let bytes = text.as_bytes();
    if bytes.len() != 8 || bytes[4] != b'-' {
        return None;
    }
    let year = i16::try_from(number(&bytes[..4])?).ok()?;
    let day = i32::try_from(number(&bytes[5..])?).ok()?;
    let first = Date::new(year, 1, 1).ok()?;
    let in_year = (1..=i32::from(first.days_in_year())).contains(&day);
    in_year.then(|| days(first)).flatten().map(|first| first + day - 1)
}

fn time_of_day(text: &str) -> Option<i64> {
    let (clock, fraction) = text
        .split_once('.')
        .map_or((text, None), |(clock, fraction)| (clock, Some(fraction)));
    let bytes = clock.as_bytes();
    let has_seconds = bytes.len() == 8 && bytes[5] == b':';
    if !(has_seconds || bytes.len() == 5 && fraction.is_none()) || bytes[2] != b':' {
        return None;
    }
    let (hour, minute) = (number(&bytes[..2])?, number(&bytes[3..5])?);
    let second = if has_seconds { number(&bytes[6..])? } else { 0 };
    if hour > 23 || minute > 59 || second > 59 {
        return None;
    }
    let micros = match fraction {
        None => 0,
        Some(digits) => {
            let (kept, beyond) = digits.split_at(digits.len().min(6));
            if beyond.bytes().any(|digit| digit != b'0') {
                return None;
            }
            number(format!("{kept:0<6}").as_bytes()).filter(|_| !kept.is_empty())?
        }
    };
    Some((hour * 3_600 + minute * 60 + second) * MICROS_PER_SECOND + micros)
}

fn offset_seconds(text: &str) -> Option<i64> {
    let bytes = text.as_bytes();
    match bytes {
        [] | [b'Z'] => Some(0),
        [sign @ (b'+' | b'-'), h1, h2, b':', m1, m2] => {
            let (hours, minutes) = (number(&[*h1, *h2])?, number(&[*m1, *m2])?);
            let seconds = hours * 3_600 + minutes * 60;
            (hours <= 23 && minutes <= 59).then_some(if *sign == b'+' { seconds } else { -seconds })
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_are_only_those_of_the_calendar() {
        assert_eq!(date("1970-01-02"), Some(1));
        assert_eq!(date("2024-02-29"), Some(19_782));
        for text in [
            "2023-02-29",
            "2024-2-29",
            "2024-02-29 ",
            "24-02-29",
            "2024/02/29",
            "２024-02-29",
        ] {
            assert_eq!(date(text), None, "{text}");
        }
    }

    #[test]
    fn times_are_read_in_the_forms_that_files_use() {
        let noon = 1_740_571_200_000_000;
        for text in [
            "2025-02-26T12:00:00Z",
            "2025-02-26 12:00:00",
            "2025-02-26T12:00",
            "2025-02-26T13:30:00+01:30",
            "2025-057T12:00:00.000Z",
        ] {
            assert_eq!(timestamp(text), Some(noon), "{text}");
        }
        for text in [
            "2025-02-26",
            "2025-02-26T24:00:00Z",
            "2025-366T12:00:00Z",
            "2025-02-26T12:00:00.0000001Z",
            "noon",
        ] {
            assert_eq!(timestamp(text), None, "{text}");
        }
    }

    #[test]
    fn only_times_in_the_written_form_are_canonical() {
        assert!(canonical_timestamp("2025-02-26T12:00:00.250Z").is_some());
        for text in [
            "2025-02-26T12:00:00.25Z",
            "2025-02-26T12:00:00+00:00",
            "2025-02-26 12:00:00Z",
        ] {
            assert_eq!(canonical_timestamp(text), None, "{text}");
        }
    }
}
