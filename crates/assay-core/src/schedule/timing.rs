//! When a schedule comes: a cron in a time zone.
//!
//! A zone is a row of stretches with one offset each. Within a stretch the clock on the wall runs as time does; what is
//! special lies at its beginning, where the clock is set forward (a gap) or back (an hour that comes twice).

use jiff::tz::{Offset, TimeZone};
use jiff::{SignedDuration, civil::DateTime};

use super::cron::Cron;
use crate::{Code, Error, Misfire, Result, Timestamp, names};

/// How far ahead is looked. Within 50 years every date that exists comes, with every weekday.
const HORIZON: SignedDuration = SignedDuration::from_hours(50 * 366 * 24);
/// How late a time may be taken for on time, in milliseconds.
const ON_TIME_MS: u64 = 60_000;
/// Most times that one turn makes up for.
const MAX_MISSED: usize = 100;

/// A cron in a time zone.
///
/// When clocks are set forward, a time that is left out that day comes right after the gap, once. When they are set
/// back, a time that occurs twice comes at its first occurrence only. A cron whose hours begin with `*` follows the hours
/// that pass instead: it has nothing in the gap, and comes in both of the hours with one name.
#[derive(Debug, Clone)]
pub struct Timing {
    cron: Cron,
    zone: TimeZone,
}

/// What to do at a time when a schedule is due.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Plan {
    /// The times that have a job, oldest first.
    pub fire: Vec<Timestamp>,
    /// The newest time that has come, whether it has a job or not.
    pub newest: Timestamp,
    /// The first time that has not come; absent when there is none any more.
    pub next_at: Option<Timestamp>,
}

impl Timing {
    /// A cron and a name of the IANA time zone database.
    ///
    /// # Errors
    /// `InvalidParameter` at `/cron` or `/time_zone`, with the nearest names.
    pub fn parse(cron: &str, time_zone: &str) -> Result<Self> {
        Ok(Self {
            cron: Cron::parse(cron)?,
            zone: zone(time_zone)?,
        })
    }

    /// Refuses what never comes, e.g. 30 February.
    ///
    /// # Errors
    /// `InvalidParameter` at `/cron`.
    pub fn check_comes(&self, now: Timestamp) -> Result<()> {
        if self.next_after(now).is_some() {
            return Ok(());
        }
        Err(
            Error::new(Code::InvalidParameter, "the cron never comes: no date is like that")
                .hint("check the day of month against the month")
                .pointing("/cron"),
        )
    }

    /// The name of the zone as the database spells it.
    #[must_use]
    pub fn zone_name(&self) -> &str {
        self.zone.iana_name().unwrap_or("UTC")
    }

    /// A point in time as the clocks of the zone show it, with their offset; RFC 3339.
    #[must_use]
    pub fn local(&self, at: Timestamp) -> String {
        match jiff::Timestamp::from_millisecond(at.0) {
            Ok(at) => at.display_with_offset(self.zone.to_offset(at)).to_string(),
            Err(_) => at.to_string(),
        }
    }

    /// The first time after `now`, absent when there is none within 50 years.
    #[must_use]
    pub fn next_after(&self, now: Timestamp) -> Option<Timestamp> {
        let base = jiff::Timestamp::from_second(now.0.div_euclid(1_000)).ok()?;
        let found = self.first_from(base)?;
        Some(Timestamp(found.as_millisecond()))
    }

    /// The next `count` times.
    #[must_use]
    pub fn next_runs(&self, now: Timestamp, count: usize) -> Vec<Timestamp> {
        std::iter::successors(self.next_after(now), |at| self.next_after(*at))
            .take(count)
            .collect()
    }

    /// What to do at `now` about a schedule whose next time was `next_at`.
    ///
    /// Of times that are all at most a minute late, and of those that were missed for longer, the policy makes: nothing
    /// (`Skip`, unless the newest is on time), one job (`Once`), or a job each, for the newest 100 (`All`).
    #[must_use]
    pub fn plan(&self, next_at: Timestamp, now: Timestamp, misfire: Misfire) -> Plan {
        if next_at > now {
            return Plan {
                fire: Vec::new(),
                newest: next_at,
                next_at: Some(next_at),
            };
        }
        let newest = self.newest(next_at, now);
        let fire = match misfire {
            Misfire::Skip if now.millis_since(newest) > ON_TIME_MS => Vec::new(),
            Misfire::Skip | Misfire::Once => vec![newest],
            Misfire::All => self.each(next_at, newest),
        };
        Plan {
            fire,
            newest,
            next_at: self.next_after(now),
        }
    }

    /// The newest time from `first`, which is one, to `now`. Halves the span, for there may be millions in between.
    fn newest(&self, first: Timestamp, now: Timestamp) -> Timestamp {
        let comes_after = |at: i64| self.next_after(Timestamp(at)).filter(|next| *next <= now);
        let Some(mut newest) = comes_after(first.0) else {
            return first;
        };
        let (mut some, mut none) = (first.0, now.0);
        while none - some > 1 {
            let middle = some + (none - some) / 2;
            match comes_after(middle) {
                Some(next) => (some, newest) = (middle, next),
                None => none = middle,
            }
        }
        newest
    }

    /// The times from `first` to `newest`, or the last 100 of them.
    fn each(&self, first: Timestamp, newest: Timestamp) -> Vec<Timestamp> {
        let following = std::iter::successors(Some(first), |at| self.next_after(*at));
        let mut times: Vec<Timestamp> = following.take_while(|at| *at <= newest).take(MAX_MISSED + 1).collect();
        if times.len() > MAX_MISSED {
            times = std::iter::successors(Some(newest), |at| Some(self.newest(first, Timestamp(at.0 - 1))))
                .take(MAX_MISSED)
                .collect();
            times.reverse();
        }
        times
    }

    /// The first time after the second `base`.
    fn first_from(&self, base: jiff::Timestamp) -> Option<jiff::Timestamp> {
        let second = SignedDuration::from_secs(1);
        let start = base.checked_add(second).ok()?;
        let horizon = start.checked_add(HORIZON).ok()?;
        let mut offset = self.zone.to_offset(base);
        let mut from = offset.to_datetime(start);
        if let Some(change) = self.zone.preceding(start).next() {
            let before = self.zone.to_offset(change.timestamp().checked_sub(second).ok()?);
            from = from.max(self.beginning(change.timestamp(), before, offset));
        }
        let mut changes = self.zone.following(base);
        loop {
            let change = changes.next().filter(|change| change.timestamp() < horizon);
            let end = change.as_ref().map_or(horizon, jiff::tz::TimeZoneTransition::timestamp);
            if let Some(found) = self.cron.first_within(from, offset.to_datetime(end)) {
                return offset.to_timestamp(found).ok();
            }
            let after = change?.offset();
            if self.lies_in_gap(end, offset, after) {
                return Some(end);
            }
            from = self.beginning(end, offset, after);
            offset = after;
        }
    }

    /// Where on the clock a stretch begins: after what the stretch before has shown already, unless that counts again.
    fn beginning(&self, change: jiff::Timestamp, before: Offset, after: Offset) -> DateTime {
        if self.cron.follows_hours() || before < after {
            return after.to_datetime(change);
        }
        before.to_datetime(change)
    }

    fn lies_in_gap(&self, change: jiff::Timestamp, before: Offset, after: Offset) -> bool {
        let (first, end) = (before.to_datetime(change), after.to_datetime(change));
        !self.cron.follows_hours() && self.cron.first_within(first, end).is_some()
    }
}

fn zone(name: &str) -> Result<TimeZone> {
    let found = TimeZone::get(name).ok().filter(|zone| !zone.is_unknown());
    found.ok_or_else(|| {
        let shown: String = name.chars().take(80).collect();
        let hint = match like(&shown) {
            near if near.is_empty() => {
                "names are those of the IANA time zone database, e.g. `UTC` or `Europe/Zurich`".to_owned()
            }
            near => format!("did you mean `{}`?", near.join("`, `")),
        };
        Error::new(Code::InvalidParameter, format!("there is no time zone `{shown}`"))
            .hint(hint)
            .pointing("/time_zone")
    })
}

/// At most three zones whose last part, mostly a city, resembles that of `name`: people leave the continent out.
fn like(name: &str) -> Vec<String> {
    let known: Vec<String> = jiff::tz::db().available().map(|name| name.to_string()).collect();
    let near = names::nearest(city(name), known.iter().map(|known| city(known)));
    let full = |near: &str| known.iter().find(|known| city(known) == near).cloned();
    let mut found: Vec<String> = near.into_iter().filter_map(full).collect();
    found.dedup();
    found
}

fn city(name: &str) -> &str {
    name.rsplit('/').next().unwrap_or(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> Timestamp {
        Timestamp(text.parse::<jiff::Timestamp>().unwrap().as_millisecond())
    }

    fn timing(cron: &str, zone: &str) -> Timing {
        Timing::parse(cron, zone).unwrap()
    }

    #[track_caller]
    fn check<const N: usize>(cron: &str, zone: &str, after: &str, expected: [&str; N]) {
        let timing = timing(cron, zone);
        let runs: Vec<String> = timing
            .next_runs(at(after), N)
            .into_iter()
            .map(|run| timing.local(run))
            .collect();
        assert_eq!(runs, expected, "{cron} in {zone}");
    }

    // What is expected around changes of the clock was computed by another program: Python's zoneinfo, minute by minute.
    // (The same program agreed on 600 random expressions near changes in 13 zones, and croniter 7 on 400 in UTC.)

    #[test]
    fn a_time_in_the_gap_of_spring_comes_once_right_after_it() {
        check(
            "30 2 * * *",
            "Europe/Zurich",
            "2025-03-29T12:00:00+01:00",
            ["2025-03-30T03:00:00+02:00", "2025-03-31T02:30:00+02:00"],
        );
        check(
            "30 2 * * *",
            "America/New_York",
            "2025-03-08T12:00:00-05:00",
            ["2025-03-09T03:00:00-04:00", "2025-03-10T02:30:00-04:00"],
        );
        check(
            "*/20 2 * * *",
            "Europe/Zurich",
            "2025-03-30T00:00:00+01:00",
            ["2025-03-30T03:00:00+02:00", "2025-03-31T02:00:00+02:00"],
        );
        // A whole day was left out here.
        check(
            "0 9 30 12 *",
            "Pacific/Apia",
            "2011-12-29T12:00:00-10:00",
            ["2011-12-31T00:00:00+14:00", "2012-12-30T09:00:00+14:00"],
        );
    }

    #[test]
    fn a_time_that_occurs_twice_in_autumn_comes_once() {
        check(
            "30 2 * * *",
            "Europe/Zurich",
            "2025-10-25T12:00:00+02:00",
            ["2025-10-26T02:30:00+02:00", "2025-10-27T02:30:00+01:00"],
        );
        check(
            "30 1,3 * * *",
            "America/New_York",
            "2025-11-02T00:00:00-04:00",
            [
                "2025-11-02T01:30:00-04:00",
                "2025-11-02T03:30:00-05:00",
                "2025-11-03T01:30:00-05:00",
            ],
        );
        // Also when asked between the two.
        check(
            "30 2 * * *",
            "Europe/Zurich",
            "2025-10-26T02:10:00+01:00",
            ["2025-10-27T02:30:00+01:00"],
        );
    }

    #[test]
    fn what_comes_every_hour_follows_the_hours_that_pass() {
        check(
            "0 * * * *",
            "Europe/Zurich",
            "2025-03-30T00:30:00+01:00",
            ["2025-03-30T01:00:00+01:00", "2025-03-30T03:00:00+02:00"],
        );
        check(
            "0 * * * *",
            "Europe/Zurich",
            "2025-10-26T00:30:00+02:00",
            [
                "2025-10-26T01:00:00+02:00",
                "2025-10-26T02:00:00+02:00",
                "2025-10-26T02:00:00+01:00",
                "2025-10-26T03:00:00+01:00",
            ],
        );
        check(
            "0 */2 * * *",
            "America/New_York",
            "2025-03-09T00:30:00-05:00",
            ["2025-03-09T04:00:00-04:00"],
        );
        check(
            "30 * * * * *",
            "UTC",
            "2025-01-01T00:00:30.999Z",
            ["2025-01-01T00:01:30+00:00"],
        );
    }

    #[test]
    fn what_never_comes_is_refused() {
        let now = at("2025-01-01T00:00:00Z");
        for cron in ["0 0 30 2 *", "0 0 31 4,6 *", "0 0 * 2 mon#5"] {
            let answer = timing(cron, "Europe/Zurich").check_comes(now);
            match cron {
                // In 2044 February has five Mondays.
                "0 0 * 2 mon#5" => assert_eq!(answer, Ok(())),
                _ => assert_eq!(answer.unwrap_err().errors[0].pointer.as_deref(), Some("/cron")),
            }
        }
    }

    #[test]
    fn zones_are_found_by_their_names() {
        assert_eq!(timing("@daily", "europe/zurich").zone_name(), "Europe/Zurich");
        for wrong in ["Europe/Zuerich", "zurich", "Europe/Zurick"] {
            let error = Timing::parse("@daily", wrong).unwrap_err();
            assert_eq!(error.message, format!("there is no time zone `{wrong}`"));
            let hint = error.hint.unwrap();
            assert!(hint.starts_with("did you mean `Europe/Zurich`"), "{hint}");
        }
        let hint = Timing::parse("@daily", "qqq").unwrap_err().hint.unwrap();
        assert!(hint.contains("IANA"), "{hint}");
        assert!(Timing::parse("@daily", "../etc/passwd").is_err());
    }

    #[track_caller]
    fn planned(cron: &str, next_at: &str, now: &str, misfire: Misfire) -> (Vec<String>, Option<String>) {
        let plan = timing(cron, "UTC").plan(at(next_at), at(now), misfire);
        let show = |at: Timestamp| at.to_string()[11..19].to_owned();
        (plan.fire.into_iter().map(show).collect(), plan.next_at.map(show))
    }

    #[test]
    fn missed_times_are_left_out_joined_or_made_up_for() {
        let missed = |misfire| planned("0 * * * *", "2025-01-01T06:00:00Z", "2025-01-01T09:20:00Z", misfire);
        let next = Some("10:00:00".to_owned());
        assert_eq!(missed(Misfire::Skip), (vec![], next.clone()));
        assert_eq!(missed(Misfire::Once), (vec!["09:00:00".to_owned()], next.clone()));
        let all = ["06:00:00", "07:00:00", "08:00:00", "09:00:00"].map(str::to_owned);
        assert_eq!(missed(Misfire::All), (all.to_vec(), next));
    }

    #[test]
    fn a_minute_late_is_on_time() {
        let on_time = |now| planned("0 * * * *", "2025-01-01T06:00:00Z", now, Misfire::Skip).0.len();
        assert_eq!(on_time("2025-01-01T05:59:59.999Z"), 0);
        assert_eq!(on_time("2025-01-01T06:00:00Z"), 1);
        assert_eq!(on_time("2025-01-01T06:01:00Z"), 1);
        assert_eq!(on_time("2025-01-01T06:01:00.001Z"), 0);
    }

    #[test]
    fn of_very_many_missed_times_the_newest_100_are_made_up_for() {
        let (all, next) = planned(
            "* * * * * *",
            "2020-01-01T00:00:00Z",
            "2025-01-01T00:01:40.500Z",
            Misfire::All,
        );
        assert_eq!(
            (all.len(), all[0].as_str(), all[99].as_str()),
            (100, "00:00:01", "00:01:40")
        );
        assert_eq!(next.as_deref(), Some("00:01:41"));
        let (once, _) = planned(
            "0 0 29 2 *",
            "2020-02-29T00:00:00Z",
            "2025-01-01T00:00:00Z",
            Misfire::Once,
        );
        assert_eq!(once, ["00:00:00"]);
    }
}
