//! Several streams in the order of time.
//!
//! Streams arrive with different delays, so a line is held back for a short while before it is
//! shown: long enough for what was written before it elsewhere to come in, short enough not to be
//! noticed. A line that comes even later is not dropped; the buffer puts it where it belongs.

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};

use super::line::Line;

/// How long a line waits for older ones. Log API streams of one cluster differ by well under this;
/// people notice a delay above half a second.
pub const HOLD_BACK: SignedDuration = SignedDuration::from_millis(300);

/// Lines that wait at most; above it the oldest go out early.
const WAITING_MAX: usize = 20_000;

#[derive(Clone, Debug, Default)]
pub struct Merge {
    /// By time, then by arrival, so that equal stamps keep the order of their stream.
    waiting: BTreeMap<(Timestamp, u64), (Line, Timestamp)>,
    arrivals: u64,
}

impl Merge {
    pub fn push(&mut self, line: Line, now: Timestamp) {
        self.arrivals += 1;
        self.waiting.insert((line.at, self.arrivals), (line, now));
    }

    /// The lines whose time to wait is over, and everything older than they are.
    pub fn take_due(&mut self, now: Timestamp) -> Vec<Line> {
        let excess = self.waiting.len().saturating_sub(WAITING_MAX);
        let is_due = |arrived: &Timestamp| now.duration_since(*arrived) >= HOLD_BACK;
        let by_age = self
            .waiting
            .values()
            .rev()
            .position(|(_, arrived)| is_due(arrived))
            .map_or(0, |younger| self.waiting.len() - younger);
        (0..excess.max(by_age))
            .filter_map(|_| self.waiting.pop_first())
            .map(|(_, (line, _))| line)
            .collect()
    }

    /// Everything, at once: the streams have ended.
    pub fn take_all(&mut self) -> Vec<Line> {
        std::mem::take(&mut self.waiting)
            .into_values()
            .map(|(line, _)| line)
            .collect()
    }

    /// When [`Self::take_due`] has something next.
    pub fn next_due(&self) -> Option<Timestamp> {
        let first = self.waiting.values().map(|(_, arrived)| *arrived).min()?;
        first.checked_add(HOLD_BACK).ok()
    }

    pub fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tui::pages::logs::line::Level;

    fn line(at_ms: i64, source: u16) -> Line {
        Line {
            at: Timestamp::from_millisecond(at_ms).unwrap(),
            source,
            level: Level::Unknown,
            text: format!("{source}:{at_ms}").into(),
        }
    }

    fn at(ms: i64) -> Timestamp {
        Timestamp::from_millisecond(ms).unwrap()
    }

    #[test]
    fn streams_come_out_in_time_order() {
        let mut merge = Merge::default();
        for line in [line(10, 0), line(30, 0), line(20, 1), line(5, 1)] {
            merge.push(line, at(1_000));
        }
        assert!(merge.take_due(at(1_299)).is_empty());
        assert_eq!(merge.next_due(), Some(at(1_300)));
        let stamps: Vec<i64> = merge
            .take_due(at(1_300))
            .iter()
            .map(|line| line.at.as_millisecond())
            .collect();
        assert_eq!(stamps, [5, 10, 20, 30]);
        assert!(merge.is_empty());
    }

    #[test]
    fn young_line_goes_with_an_older_stamp_but_not_before_it() {
        let mut merge = Merge::default();
        merge.push(line(20, 0), at(0));
        merge.push(line(10, 1), at(250));
        merge.push(line(30, 1), at(250));
        // Line 20 is due; 10 is older and must precede it although it has just come; 30 waits.
        assert_eq!(merge.take_due(at(300)).len(), 2);
        assert_eq!(merge.take_due(at(300)).len(), 0);
        assert_eq!(merge.take_all().len(), 1);
    }

    #[test]
    fn equal_stamps_keep_their_order() {
        let mut merge = Merge::default();
        for text in ["first", "second"] {
            merge.push(
                Line {
                    text: text.into(),
                    ..line(1, 0)
                },
                at(0),
            );
        }
        let texts: Vec<Box<str>> = merge.take_all().into_iter().map(|line| line.text).collect();
        assert_eq!(texts, ["first".into(), "second".into()]);
    }
}
