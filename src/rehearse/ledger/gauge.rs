//! Counts against what is needed, over virtual time.
//!
//! What several writes of one instant pass through is not seen: only a state that lasted counts.

use jiff::Timestamp;

/// Healthy pods of a budget or a quorum, and whether they were enough.
#[derive(Clone, Debug)]
pub struct Gauge {
    value: u32,
    needs: u32,
    at: Timestamp,
    /// It held once: what was broken from the beginning is not the rehearsal's doing.
    armed: bool,
    /// Since when it has not held, and how low it went.
    broken: Option<(Timestamp, u32)>,
}

/// A time during which it did not hold.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Broken {
    pub from: Timestamp,
    /// `None`: it has not ended.
    pub until: Option<Timestamp>,
    pub lowest: u32,
    pub needs: u32,
}

impl Gauge {
    pub fn new(value: u32, needs: u32, now: Timestamp) -> Self {
        Self {
            value,
            needs,
            at: now,
            armed: value >= needs,
            broken: None,
        }
    }

    /// New counts from `now` on; what ended with the old ones.
    pub fn set(&mut self, value: u32, needs: u32, now: Timestamp) -> Option<Broken> {
        let ended = self.pass(now);
        self.value = value;
        self.needs = needs;
        ended
    }

    /// Time has passed with the counts as they are.
    fn pass(&mut self, now: Timestamp) -> Option<Broken> {
        if now <= self.at {
            return None;
        }
        let from = std::mem::replace(&mut self.at, now);
        if self.value >= self.needs {
            self.armed = true;
            return self.broken.take().map(|(since, lowest)| Broken {
                from: since,
                until: Some(from),
                lowest,
                needs: self.needs,
            });
        }
        if self.armed {
            let (_, lowest) = self.broken.get_or_insert((from, self.value));
            *lowest = self.value.min(*lowest);
        }
        None
    }

    /// What has ended by now, or has not: an open one goes on.
    pub fn read(&mut self, now: Timestamp) -> Option<Broken> {
        let ended = self.pass(now);
        let open = self.broken.map(|(from, lowest)| Broken {
            from,
            until: None,
            lowest,
            needs: self.needs,
        });
        open.or(ended)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    #[test]
    fn only_a_state_that_lasts_counts() {
        let mut gauge = Gauge::new(3, 2, at(0));
        assert_eq!(gauge.set(1, 2, at(10)), None);
        assert_eq!(gauge.set(3, 2, at(10)), None);
        assert_eq!(gauge.read(at(20)), None);
        gauge.set(1, 2, at(20));
        gauge.set(0, 2, at(25));
        gauge.set(2, 2, at(30));
        let broken = gauge.read(at(40)).unwrap();
        assert_eq!(
            (broken.from, broken.until, broken.lowest),
            (at(20), Some(at(30)), 0)
        );
        gauge.set(1, 2, at(40));
        assert_eq!(gauge.read(at(50)).unwrap().until, None);
    }

    #[test]
    fn what_was_broken_before_is_nobodys_doing() {
        let mut gauge = Gauge::new(1, 2, at(0));
        gauge.set(0, 2, at(5));
        assert_eq!(gauge.read(at(9)), None);
    }
}
