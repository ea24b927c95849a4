//! Dates and points in time as text: RFC 3339 in UTC with as many digits of a second as there are.
//!
//! It only writes; reading them is for its neighbor.

const DAY_MICROS: i64 = 86_400_000_000;

/// `YYYY-MM-DD` of a number of days since 1970-01-01.
#[must_use]
pub fn date(days: i32) -> String {
    let (year, month, day) = civil(i64::from(days));
    format!("{}-{month:02}-{day:02}", year_text(year))
}

/// RFC 3339 with `Z` of a number of microseconds since 1970-01-01T00:00:00Z.
#[must_use]
pub fn timestamp(micros: i64) -> String {
    let (days, rest) = (micros.div_euclid(DAY_MICROS), micros.rem_euclid(DAY_MICROS));
    let (year, month, day) = civil(days);
    let (seconds, fraction) = (rest / 1_000_000, rest % 1_000_000);
    let (hour, minute, second) = (seconds / 3_600, seconds / 60 % 60, seconds % 60);
    let year = year_text(year);
    let start = format!("{year}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}");
    match fraction {
        0 => format!("{start}Z"),
        _ if fraction % 1_000 == 0 => format!("{start}.{:03}Z", fraction / 1_000),
        _ => format!("{start}.{fraction:06}Z"),
    }
}

fn year_text(year: i64) -> String {
    match year {
        0..=9999 => format!("{year:04}"),
        _ => format!("{}{:06}", if year < 0 { '-' } else { '+' }, year.abs()),
    }
}

/// Year, month and day in the proleptic Gregorian calendar. The year is thought to begin in March, so that the day
/// that is sometimes missing is its last one.
fn civil(days: i64) -> (i64, i64, i64) {
    // Days from 0000-03-01 to 1970-01-01, and in 400 years.
    const TO_EPOCH: i64 = 719_468;
    const ERA: i64 = 146_097;
    let shifted = days + TO_EPOCH;
    let (era, day_of_era) = (shifted.div_euclid(ERA), shifted.rem_euclid(ERA));
    let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / (ERA - 1)) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * from_march + 2) / 5 + 1;
    let month = if from_march < 10 {
        from_march + 3
    } else {
        from_march - 9
    };
    let year = era * 400 + year_of_era + i64::from(month <= 2);
    (year, month, day)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_and_moments_read_as_rfc_3339() {
        assert_eq!(date(0), "1970-01-01");
        assert_eq!(date(-1), "1969-12-31");
        assert_eq!(date(11_016), "2000-02-29");
        assert_eq!(timestamp(1_740_571_200_000_000), "2025-02-26T12:00:00Z");
        assert_eq!(timestamp(1_740_571_200_250_000), "2025-02-26T12:00:00.250Z");
        assert_eq!(timestamp(1_740_571_200_000_001), "2025-02-26T12:00:00.000001Z");
        assert_eq!(timestamp(-1), "1969-12-31T23:59:59.999999Z");
    }
}
