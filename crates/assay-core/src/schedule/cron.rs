//! The cron expression: which days it names, and which times of a day. It knows no zones and no clock.

use jiff::civil::{Date, DateTime, Time};

use crate::{Code, Error, Result, names};

const NICKNAMES: [(&str, &str); 7] = [
    ("@hourly", "0 * * * *"),
    ("@daily", "0 0 * * *"),
    ("@midnight", "0 0 * * *"),
    ("@weekly", "0 0 * * 0"),
    ("@monthly", "0 0 1 * *"),
    ("@yearly", "0 0 1 1 *"),
    ("@annually", "0 0 1 1 *"),
];
const MONTHS: [&str; 12] = [
    "jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec",
];
const WEEKDAYS: [&str; 7] = ["sun", "mon", "tue", "wed", "thu", "fri", "sat"];
const MAX_CHARS: usize = 200;

/// Five fields (minute, hour, day of month, month, day of week), or six with seconds first.
///
/// A field is a list of `*`, numbers, ranges and steps (`*/5`, `10-30/5`); months and weekdays have their English names
/// too. Sunday is 0 or 7. `L` is the last day of the month, `fri#2` the second Friday, `friL` the last. When both fields
/// of days name some, one of them suffices, as in every cron; when one begins with `*`, both must hold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Cron {
    seconds: u64,
    minutes: u64,
    hours: u64,
    months: u64,
    days: Days,
    weekdays: Weekdays,
    /// The hours begin with `*`: the schedule follows the hours that pass, not the names they have.
    follows_hours: bool,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Days {
    numbers: u64,
    last: bool,
    is_star: bool,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Weekdays {
    numbers: u64,
    /// Bits of weekdays, for the first to the fifth of a month.
    nth: [u64; 5],
    last: u64,
    is_star: bool,
}

impl Cron {
    /// # Errors
    /// `InvalidParameter` that names the field and what is wrong with it.
    pub(super) fn parse(text: &str) -> Result<Self> {
        let text = text.trim();
        if text.chars().count() > MAX_CHARS {
            return Err(refused(
                format!("the cron has more than {MAX_CHARS} characters"),
                example(),
            ));
        }
        let fields: Vec<&str> = expand(text)?.split_whitespace().collect();
        let (second, rest) = match fields.len() {
            5 => ("0", &fields[..]),
            6 => (fields[0], &fields[1..]),
            count => {
                let message = format!("the cron `{text}` has {count} fields, but must have 5, or 6 with seconds first");
                return Err(refused(message, example()));
            }
        };
        Ok(Self {
            seconds: SECOND.numbers(second)?,
            minutes: MINUTE.numbers(rest[0])?,
            hours: HOUR.numbers(rest[1])?,
            days: Days::parse(rest[2])?,
            months: MONTH.numbers(rest[3])?,
            weekdays: Weekdays::parse(rest[4])?,
            follows_hours: rest[1].starts_with('*'),
        })
    }

    pub(super) fn follows_hours(&self) -> bool {
        self.follows_hours
    }

    /// The first time on the clock of a wall from `from` on and before `until`.
    pub(super) fn first_within(&self, from: DateTime, until: DateTime) -> Option<DateTime> {
        let mut date = from.date();
        let mut earliest = from.time();
        while date <= until.date() {
            if self.names_day(date)
                && let Some(time) = self.first_time(earliest)
            {
                let found = date.to_datetime(time);
                return (found < until).then_some(found);
            }
            earliest = Time::midnight();
            date = if has(self.months, date.month()) {
                date.tomorrow().ok()?
            } else {
                date.last_of_month().tomorrow().ok()?
            };
        }
        None
    }

    fn names_day(&self, date: Date) -> bool {
        let (day, weekday) = (self.days.names(date), self.weekdays.names(date));
        let suits = if self.days.is_star || self.weekdays.is_star {
            day && weekday
        } else {
            day || weekday
        };
        suits && has(self.months, date.month())
    }

    /// The first time of day that is not before `earliest`.
    fn first_time(&self, earliest: Time) -> Option<Time> {
        let (hour, minute) = (earliest.hour(), earliest.minute());
        let (first_minute, first_second) = (next(self.minutes, 0)?, next(self.seconds, 0)?);
        if has(self.hours, hour) {
            if has(self.minutes, minute)
                && let Some(second) = next(self.seconds, earliest.second())
            {
                return Time::new(hour, minute, second, 0).ok();
            }
            if let Some(minute) = next(self.minutes, minute + 1) {
                return Time::new(hour, minute, first_second, 0).ok();
            }
        }
        let hour = next(self.hours, hour + 1)?;
        Time::new(hour, first_minute, first_second, 0).ok()
    }
}

impl Days {
    fn parse(text: &str) -> Result<Self> {
        let mut days = Self {
            numbers: 0,
            last: false,
            is_star: text.starts_with('*'),
        };
        for item in text.split(',') {
            if item.eq_ignore_ascii_case("l") {
                days.last = true;
            } else {
                days.numbers |= DAY.item(item)?;
            }
        }
        Ok(days)
    }

    fn names(&self, date: Date) -> bool {
        has(self.numbers, date.day()) || (self.last && date.day() == date.days_in_month())
    }
}

impl Weekdays {
    fn parse(text: &str) -> Result<Self> {
        let mut weekdays = Self {
            numbers: 0,
            nth: [0; 5],
            last: 0,
            is_star: text.starts_with('*'),
        };
        for item in text.split(',') {
            if let Some((day, nth)) = item.split_once('#') {
                let nth: Option<usize> = nth.parse().ok().filter(|nth| (1..=5).contains(nth));
                let nth = nth.ok_or_else(|| {
                    let message = format!("day of week `{item}` of the cron asks for what is not from `#1` to `#5`");
                    refused(message, "`fri#2` is the second Friday of the month")
                })?;
                weekdays.nth[nth - 1] |= WEEKDAY.one(day)?;
            } else if let Some(day) = item.strip_suffix(['L', 'l']).filter(|day| !day.is_empty()) {
                weekdays.last |= WEEKDAY.one(day)?;
            } else {
                weekdays.numbers |= WEEKDAY.item(item)?;
            }
        }
        // Sunday is 0 and 7.
        for bits in [&mut weekdays.numbers, &mut weekdays.last]
            .into_iter()
            .chain(&mut weekdays.nth)
        {
            *bits |= *bits >> 7 & 1;
        }
        Ok(weekdays)
    }

    fn names(&self, date: Date) -> bool {
        let weekday = date.weekday().to_sunday_zero_offset();
        let nth = usize::try_from((date.day() - 1) / 7).unwrap_or(0);
        has(self.numbers, weekday)
            || has(self.nth[nth], weekday)
            || (has(self.last, weekday) && date.day() + 7 > date.days_in_month())
    }
}

/// What may stand in one place of the expression.
struct Field {
    name: &'static str,
    least: u8,
    most: u8,
    words: &'static [&'static str],
}

const SECOND: Field = Field::of("second", 0, 59, &[]);
const MINUTE: Field = Field::of("minute", 0, 59, &[]);
const HOUR: Field = Field::of("hour", 0, 23, &[]);
const DAY: Field = Field::of("day of month", 1, 31, &[]);
const MONTH: Field = Field::of("month", 1, 12, &MONTHS);
const WEEKDAY: Field = Field::of("day of week", 0, 7, &WEEKDAYS);

impl Field {
    const fn of(name: &'static str, least: u8, most: u8, words: &'static [&'static str]) -> Self {
        Self {
            name,
            least,
            most,
            words,
        }
    }

    fn numbers(&self, text: &str) -> Result<u64> {
        text.split(',').try_fold(0, |bits, item| Ok(bits | self.item(item)?))
    }

    /// One of `*`, `a`, `a-b`, `*/n`, `a-b/n`.
    fn item(&self, item: &str) -> Result<u64> {
        let (range, step) = match item.split_once('/') {
            Some((range, step)) => (range, Some(step)),
            None => (item, None),
        };
        let (first, last) = match range.split_once('-') {
            _ if range == "*" => (self.least, self.most),
            Some((first, last)) => self.range(item, first, last)?,
            None if step.is_some() => {
                let hint = format!("write `{range}-{}/{}`", self.most, step.unwrap_or_default());
                return Err(self.refused(item, "has a step without a range", hint));
            }
            None => return self.one(range),
        };
        let step = step.map_or(Ok(1), |step| self.step(item, step))?;
        Ok((first..=last).step_by(step).fold(0, |bits, number| bits | 1 << number))
    }

    fn range(&self, item: &str, first: &str, last: &str) -> Result<(u8, u8)> {
        let (first, mut last) = (self.number(first)?, self.number(last)?);
        // A week may end with its Sunday.
        if self.most == 7 && last == 0 && first > 0 {
            last = 7;
        }
        if first > last {
            let hint = format!("write `{first}-{},{}-{last}`", self.most, self.least);
            return Err(self.refused(item, "goes backwards", hint));
        }
        Ok((first, last))
    }

    fn step(&self, item: &str, step: &str) -> Result<usize> {
        let most = usize::from(self.most);
        let number = step.parse().ok().filter(|number| (1..=most).contains(number));
        number.ok_or_else(|| {
            let hint = format!("a step is a whole number from 1 to {most}");
            self.refused(item, "has a step that is none", hint)
        })
    }

    fn one(&self, text: &str) -> Result<u64> {
        Ok(1 << self.number(text)?)
    }

    fn number(&self, text: &str) -> Result<u8> {
        let word = self.words.iter().position(|word| word.eq_ignore_ascii_case(text));
        let word = word.and_then(|place| u8::try_from(place).ok());
        // Months count from 1, weekdays from 0: each from the least number of the field.
        if let Some(place) = word {
            return Ok(self.least + place);
        }
        let is_number = !text.is_empty() && text.bytes().all(|letter| letter.is_ascii_digit());
        let number = text.parse().ok().filter(|_| is_number);
        number
            .filter(|number| (self.least..=self.most).contains(number))
            .ok_or_else(|| {
                let wrong = format!("is not from {} to {}", self.least, self.most);
                let hint = match self.words {
                    [] => "a field is a list of numbers, ranges as `1-5`, and steps as `*/10`; `*` is all".to_owned(),
                    words => format!("numbers or `{}`", words.join("`, `")),
                };
                self.refused(text, &wrong, hint)
            })
    }

    fn refused(&self, item: &str, wrong: &str, hint: String) -> Error {
        refused(format!("{} `{item}` of the cron {wrong}", self.name), hint)
    }
}

fn expand(text: &str) -> Result<&str> {
    if !text.starts_with('@') {
        return Ok(text);
    }
    let known = NICKNAMES.iter().find(|(name, _)| name.eq_ignore_ascii_case(text));
    known.map(|(_, cron)| *cron).ok_or_else(|| {
        let names = NICKNAMES.iter().map(|(name, _)| *name);
        refused(format!("the cron `{text}` is not known"), names::suggest(text, names))
    })
}

fn refused(message: impl Into<String>, hint: impl Into<String>) -> Error {
    Error::new(Code::InvalidParameter, message).hint(hint).pointing("/cron")
}

fn example() -> &'static str {
    "minute, hour, day of month, month, day of week: `0 6 * * 1-5` is at 6 on workdays"
}

fn has(bits: u64, number: i8) -> bool {
    next(bits, number) == Some(number)
}

/// The first number in the set that is not below `from`.
fn next(bits: u64, from: i8) -> Option<i8> {
    let above = u64::MAX.checked_shl(u32::try_from(from).ok()?)?;
    let found = (bits & above).trailing_zeros();
    i8::try_from(found).ok().filter(|found| *found < 64)
}

#[cfg(test)]
mod tests {
    use jiff::civil::date;

    use super::*;

    /// The first three times after noon of Wednesday, 15 January 2025.
    #[track_caller]
    fn check(cron: &str, expected: [&str; 3]) {
        let cron = Cron::parse(cron).unwrap();
        let until = date(2075, 1, 1).at(0, 0, 0, 0);
        let mut from = date(2025, 1, 15).at(12, 0, 1, 0);
        for expected in expected {
            let found = cron.first_within(from, until).unwrap();
            assert_eq!(found.to_string(), expected);
            from = found.checked_add(jiff::Span::new().seconds(1)).unwrap();
        }
    }

    // Expected values are those of Python's croniter 7, days of month and week combined in the way of Vixie's cron.
    #[test]
    fn expressions_name_times() {
        check(
            "0 6 * * 1-5",
            ["2025-01-16T06:00:00", "2025-01-17T06:00:00", "2025-01-20T06:00:00"],
        );
        check(
            "*/15 9-10,14 1 jan,JUL *",
            ["2025-07-01T09:00:00", "2025-07-01T09:15:00", "2025-07-01T09:30:00"],
        );
        check(
            "30 59 23 * * *",
            ["2025-01-15T23:59:30", "2025-01-16T23:59:30", "2025-01-17T23:59:30"],
        );
        check(
            "*/20 * * * * *",
            ["2025-01-15T12:00:20", "2025-01-15T12:00:40", "2025-01-15T12:01:00"],
        );
        check(
            "0 0 13 * fri",
            ["2025-01-17T00:00:00", "2025-01-24T00:00:00", "2025-01-31T00:00:00"],
        );
        check(
            "0 0 */2 * fri",
            ["2025-01-17T00:00:00", "2025-01-31T00:00:00", "2025-02-07T00:00:00"],
        );
        check(
            "0 0 29 2 *",
            ["2028-02-29T00:00:00", "2032-02-29T00:00:00", "2036-02-29T00:00:00"],
        );
        check(
            "0 12 * * sat-sun",
            ["2025-01-18T12:00:00", "2025-01-19T12:00:00", "2025-01-25T12:00:00"],
        );
        check(
            "0 12 * * 7",
            ["2025-01-19T12:00:00", "2025-01-26T12:00:00", "2025-02-02T12:00:00"],
        );
        check(
            "0 0 L * *",
            ["2025-01-31T00:00:00", "2025-02-28T00:00:00", "2025-03-31T00:00:00"],
        );
        check(
            "0 0 * * fri#2",
            ["2025-02-14T00:00:00", "2025-03-14T00:00:00", "2025-04-11T00:00:00"],
        );
        check(
            "0 0 * * 5L",
            ["2025-01-31T00:00:00", "2025-02-28T00:00:00", "2025-03-28T00:00:00"],
        );
        check(
            "@monthly",
            ["2025-02-01T00:00:00", "2025-03-01T00:00:00", "2025-04-01T00:00:00"],
        );
        check(
            "@weekly",
            ["2025-01-19T00:00:00", "2025-01-26T00:00:00", "2025-02-02T00:00:00"],
        );
    }

    #[track_caller]
    fn refusal(cron: &str) -> Error {
        let error = Cron::parse(cron).unwrap_err();
        assert_eq!(error.code, Code::InvalidParameter);
        assert_eq!(error.errors[0].pointer.as_deref(), Some("/cron"));
        error
    }

    #[test]
    fn refusals_name_the_field() {
        for (cron, message) in [
            ("61 * * * *", "minute `61` of the cron is not from 0 to 59"),
            ("* 24 * * *", "hour `24` of the cron is not from 0 to 23"),
            ("* * 0 * *", "day of month `0` of the cron is not from 1 to 31"),
            ("* * * foo *", "month `foo` of the cron is not from 1 to 12"),
            ("* * * * 8", "day of week `8` of the cron is not from 0 to 7"),
            ("60 * * * * *", "second `60` of the cron is not from 0 to 59"),
            ("5,,7 * * * *", "minute `` of the cron is not from 0 to 59"),
            ("+5 * * * *", "minute `+5` of the cron is not from 0 to 59"),
            ("? * * * *", "minute `?` of the cron is not from 0 to 59"),
            ("30-10 * * * *", "minute `30-10` of the cron goes backwards"),
            ("5/10 * * * *", "minute `5/10` of the cron has a step without a range"),
            ("*/0 * * * *", "minute `*/0` of the cron has a step that is none"),
            ("* */90 * * *", "hour `*/90` of the cron has a step that is none"),
            (
                "* * * * fri#6",
                "day of week `fri#6` of the cron asks for what is not from `#1` to `#5`",
            ),
            (
                "* * *",
                "the cron `* * *` has 3 fields, but must have 5, or 6 with seconds first",
            ),
            ("", "the cron `` has 0 fields, but must have 5, or 6 with seconds first"),
            ("@dayly", "the cron `@dayly` is not known"),
        ] {
            assert_eq!(refusal(cron).message, message);
        }
        assert!(refusal("@dayly").hint.unwrap().contains("did you mean `@daily`"));
        assert_eq!(refusal("5/10 * * * *").hint.as_deref(), Some("write `5-59/10`"));
        assert_eq!(refusal("30-10 * * * *").hint.as_deref(), Some("write `30-59,0-10`"));
        refusal(&"1,".repeat(200));
    }
}
