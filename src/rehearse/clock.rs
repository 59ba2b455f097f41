//! The time of a rehearsal that somebody watches: virtual, and as fast as they like.

use jiff::{SignedDuration, Timestamp};

/// Rates to go through with one key, the first of which is standing still.
pub const RATES: [u32; 5] = [0, 1, 10, 60, 600];

/// Virtual time as a function of the time outside: `at` it was when outside it was `since`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Clock {
    at: Timestamp,
    since: Timestamp,
    rate: u32,
}

impl Clock {
    /// Begins where the outside is, at its rate.
    pub fn new(now: Timestamp) -> Self {
        Self {
            at: now,
            since: now,
            rate: 1,
        }
    }

    /// How many times as fast as outside; 0 stands still.
    pub fn rate(&self) -> u32 {
        self.rate
    }

    pub fn read(&self, outside: Timestamp) -> Timestamp {
        let passed = outside.duration_since(self.since).max(SignedDuration::ZERO);
        let rate = i32::try_from(self.rate).unwrap_or(i32::MAX);
        let virtual_length = passed.checked_mul(rate).unwrap_or(SignedDuration::MAX);
        self.at.saturating_add(virtual_length).unwrap_or(self.at)
    }

    /// When outside it will be `at` in here; `None` while time stands still.
    pub fn outside(&self, at: Timestamp) -> Option<Timestamp> {
        let rate = i32::try_from(self.rate).ok().filter(|rate| *rate > 0)?;
        let left = at.duration_since(self.at).max(SignedDuration::ZERO) / rate;
        self.since.checked_add(left).ok()
    }

    /// From now on at another rate.
    pub fn set_rate(&mut self, rate: u32, outside: Timestamp) {
        *self = Self {
            at: self.read(outside),
            since: outside,
            rate,
        };
    }

    /// It is `at` now, whatever it was.
    pub fn set(&mut self, at: Timestamp, outside: Timestamp) {
        self.at = at;
        self.since = outside;
    }
}

/// The rate after this one, or before it; the last ones stay.
pub fn next_rate(rate: u32, faster: bool) -> u32 {
    if faster {
        let next = RATES.into_iter().find(|one| *one > rate);
        next.unwrap_or(rate)
    } else {
        let next = RATES.into_iter().rfind(|one| *one < rate);
        next.unwrap_or(rate)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn time_runs_at_its_rate_and_stands_still_at_none() {
        let start: Timestamp = "2026-01-01T00:00:00Z".parse().unwrap();
        let after = |seconds: i64| start + SignedDuration::from_secs(seconds);
        let mut clock = Clock::new(start);
        assert_eq!(clock.read(after(5)), after(5));
        clock.set_rate(10, after(5));
        assert_eq!(clock.read(after(6)), after(15));
        assert_eq!(clock.outside(after(25)), Some(after(7)));
        clock.set_rate(0, after(6));
        assert_eq!(clock.read(after(600)), after(15));
        assert_eq!(clock.outside(after(25)), None);
        clock.set(after(1_000), after(6));
        assert_eq!(clock.read(after(7)), after(1_000));
    }

    #[test]
    fn rates_have_ends() {
        assert_eq!(next_rate(1, true), 10);
        assert_eq!(next_rate(600, true), 600);
        assert_eq!(next_rate(1, false), 0);
        assert_eq!(next_rate(0, false), 0);
    }
}
