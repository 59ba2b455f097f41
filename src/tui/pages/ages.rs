//! When an age on the screen reads differently, so that a frame is drawn then and not before.

use jiff::{SignedDuration, Timestamp};

/// The next moment at which one of these ages, written as [`crate::stdx::humanize::age`] writes
/// them, changes its text. The youngest turns first.
pub fn next_turn(now: Timestamp, since: impl Iterator<Item = Timestamp>) -> Option<Timestamp> {
    let youngest = since.max()?;
    let age = now.duration_since(youngest).as_secs().max(0);
    let step = match age {
        // Seconds show up to ten minutes, minutes up to eight hours, then hours.
        0..600 => 1,
        600..28_800 => 60,
        _ => 3_600,
    };
    let to_next = step - age % step;
    now.checked_add(SignedDuration::from_secs(to_next)).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_come_as_often_as_the_youngest_age_turns() {
        let at = |second| Timestamp::from_second(second).unwrap();
        let turn = |now, since: &[i64]| {
            next_turn(at(now), since.iter().map(|second| at(*second))).map(Timestamp::as_second)
        };
        assert_eq!(turn(100, &[0, 90]), Some(101));
        assert_eq!(turn(1_000, &[0]), Some(1_020));
        assert_eq!(turn(100_000, &[0]), Some(100_800));
        assert_eq!(turn(1, &[]), None);
    }
}
