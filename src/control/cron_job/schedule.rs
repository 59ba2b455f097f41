//! Schedules as Kubernetes accepts them: five fields or a macro, in a time zone.
//!
//! Source: "Schedule syntax" of the `CronJob` documentation and `robfig/cron`, which Kubernetes reads
//! schedules with. The library behind this takes more (seconds, years) and less (`@every`), so what
//! it may see is checked first.

use croner::parser::{CronParser, Seconds, Year};
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};

pub(super) enum Schedule {
    Cron(Box<croner::Cron>, TimeZone),
    /// `@every 90s`: from the last start on.
    Every(SignedDuration),
}

#[derive(Debug, thiserror::Error)]
pub(super) enum ScheduleError {
    #[error("expected exactly 5 fields, found {0}")]
    Fields(usize),
    #[error("unrecognized descriptor: {0}")]
    Descriptor(String),
    #[error("unknown time zone {0}")]
    Zone(String),
    #[error("unparseable schedule")]
    Pattern(#[source] croner::errors::CronError),
}

impl Schedule {
    pub(super) fn parse(text: &str, zone: Option<&str>) -> Result<Self, ScheduleError> {
        let zone = match zone {
            Some(name) if !name.is_empty() => {
                TimeZone::get(name).map_err(|_error| ScheduleError::Zone(name.to_owned()))?
            }
            // Upstream takes the controller manager's own zone; ours is the same everywhere.
            _ => TimeZone::UTC,
        };
        let text = text.trim();
        if let Some(interval) = text.strip_prefix("@every ") {
            let interval: SignedDuration = interval
                .trim()
                .parse()
                .map_err(|_error| ScheduleError::Descriptor(text.to_owned()))?;
            // Rounded to whole seconds, at least one, as `cron.Every`.
            let seconds = interval.as_secs().max(1);
            return Ok(Self::Every(SignedDuration::from_secs(seconds)));
        }
        let pattern = if text.starts_with('@') {
            fields_of(text).ok_or_else(|| ScheduleError::Descriptor(text.to_owned()))?
        } else {
            text
        };
        let fields = pattern.split_whitespace().count();
        if fields != 5 {
            return Err(ScheduleError::Fields(fields));
        }
        let parser = CronParser::builder()
            .seconds(Seconds::Disallowed)
            .year(Year::Disallowed)
            .build();
        // `?` means `*` to robfig.
        let pattern = pattern.replace('?', "*");
        let cron = parser.parse(&pattern).map_err(ScheduleError::Pattern)?;
        Ok(Self::Cron(Box::new(cron), zone))
    }

    /// The first time after this one.
    pub(super) fn next_after(&self, time: Timestamp) -> Option<Timestamp> {
        match self {
            Self::Cron(cron, zone) => {
                let time = time.to_zoned(zone.clone());
                let next = cron.find_next_occurrence(&time, false).ok()?;
                Some(next.timestamp())
            }
            Self::Every(interval) => {
                let whole = Timestamp::from_second(time.as_second()).ok()?;
                whole.checked_add(*interval).ok()
            }
        }
    }

    /// The latest time after `from` up to `until`, and how many there are. Beyond `most` the count
    /// stops and the search goes on from the end.
    pub(super) fn latest_between(
        &self,
        from: Timestamp,
        until: Timestamp,
        most: usize,
    ) -> (Option<Timestamp>, usize) {
        let mut latest = None;
        let mut time = from;
        for count in 0..=most {
            match self.next_after(time).filter(|next| *next <= until) {
                None => return (latest, count),
                Some(next) => {
                    latest = Some(next);
                    time = next;
                }
            }
        }
        (self.latest_up_to(until).or(latest), most + 1)
    }

    fn latest_up_to(&self, until: Timestamp) -> Option<Timestamp> {
        match self {
            Self::Cron(cron, zone) => {
                let time = until.to_zoned(zone.clone());
                let found = cron.find_previous_occurrence(&time, true).ok()?;
                Some(found.timestamp())
            }
            Self::Every(_) => Some(until),
        }
    }
}

fn fields_of(descriptor: &str) -> Option<&'static str> {
    Some(match descriptor {
        "@yearly" | "@annually" => "0 0 1 1 *",
        "@monthly" => "0 0 1 * *",
        "@weekly" => "0 0 * * 0",
        "@daily" | "@midnight" => "0 0 * * *",
        "@hourly" => "0 * * * *",
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The first time after the first of January 2026, a Thursday.
    #[track_caller]
    fn check(text: &str, zone: Option<&str>, expected: &str) {
        let from: Timestamp = "2026-01-01T00:00:00Z".parse().unwrap();
        let schedule = Schedule::parse(text, zone).unwrap();
        assert_eq!(
            schedule.next_after(from).unwrap().to_string(),
            expected,
            "{text}"
        );
    }

    #[test]
    fn times_are_found() {
        check("*/15 * * * *", None, "2026-01-01T00:15:00Z");
        check("30 6 * * 1-5", None, "2026-01-01T06:30:00Z");
        check("0 12 * * MON", None, "2026-01-05T12:00:00Z");
        check("0 0 13 * 5", None, "2026-01-02T00:00:00Z");
        check("@hourly", None, "2026-01-01T01:00:00Z");
        check("@weekly", None, "2026-01-04T00:00:00Z");
        check("@every 90s", None, "2026-01-01T00:01:30Z");
        check("0 9 * * *", Some("Asia/Tokyo"), "2026-01-02T00:00:00Z");
    }

    #[test]
    fn what_kubernetes_refuses_is_refused() {
        for text in [
            "* * * *",
            "0 * * * * *",
            "@reboot",
            "61 * * * *",
            "TZ=UTC * * * * *",
            "@every never",
        ] {
            assert!(Schedule::parse(text, None).is_err(), "{text}");
        }
        assert!(Schedule::parse("* * * * *", Some("Mars/Olympus")).is_err());
    }

    #[test]
    fn missed_times_are_counted_up_to_a_bound() {
        let schedule = Schedule::parse("* * * * *", None).unwrap();
        let from: Timestamp = "2026-01-01T00:00:00Z".parse().unwrap();
        let at = |minutes: i64| from + SignedDuration::from_mins(minutes);
        assert_eq!(schedule.latest_between(from, at(0), 100), (None, 0));
        assert_eq!(schedule.latest_between(from, at(3), 100), (Some(at(3)), 3));
        assert_eq!(
            schedule.latest_between(from, at(100_000), 100),
            (Some(at(100_000)), 101)
        );
    }
}
