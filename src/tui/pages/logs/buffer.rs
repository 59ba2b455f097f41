//! The lines that are kept, bounded by number and bytes, with an honest count of what is gone.

use std::collections::VecDeque;

use jiff::{SignedDuration, Timestamp};

use super::line::Line;
use crate::config::settings::Logs;

/// Bytes of text kept.
pub const BYTES_MAX: usize = 64 * 1024 * 1024;

/// A line and its number; numbers only rise and are never reused, so that a cursor on one survives
/// what is added and dropped round it.
#[derive(Clone, PartialEq, Debug)]
pub struct Numbered {
    pub number: u64,
    pub line: Line,
}

#[derive(Clone, Debug)]
pub struct Buffer {
    lines: VecDeque<Numbered>,
    bytes: usize,
    next_number: u64,
    lines_max: usize,
    bytes_max: usize,
    /// Oldest lines that made room for newer ones.
    pub evicted: u64,
    rate: Rate,
}

/// Lines a second over the last minute.
#[derive(Clone, Debug, Default)]
struct Rate {
    /// Seconds since the epoch and lines, the newest last.
    seconds: VecDeque<(i64, u32)>,
}

/// Where a line went.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Placed {
    Last,
    /// It came late and stands before others.
    Before,
}

impl Default for Buffer {
    fn default() -> Self {
        Self::bounded(Logs::default().lines, BYTES_MAX)
    }
}

impl Buffer {
    pub fn bounded(lines_max: usize, bytes_max: usize) -> Self {
        Self {
            lines: VecDeque::new(),
            bytes: 0,
            next_number: 0,
            lines_max,
            bytes_max,
            evicted: 0,
            rate: Rate::default(),
        }
    }

    /// Adds a line in its place in time.
    pub fn push(&mut self, line: Line, now: Timestamp) -> Placed {
        self.rate.count(now);
        self.bytes += line.text.len();
        let numbered = Numbered {
            number: self.next_number,
            line,
        };
        self.next_number += 1;
        let late = self
            .lines
            .back()
            .is_some_and(|last| last.line.at > numbered.line.at);
        let placed = if late {
            let at = numbered.line.at;
            let index = self.lines.partition_point(|other| other.line.at <= at);
            self.lines.insert(index, numbered);
            Placed::Before
        } else {
            self.lines.push_back(numbered);
            Placed::Last
        };
        while self.lines.len() > self.lines_max || self.bytes > self.bytes_max {
            let Some(oldest) = self.lines.pop_front() else {
                break;
            };
            self.bytes -= oldest.line.text.len();
            self.evicted += 1;
        }
        placed
    }

    pub fn get(&self, index: usize) -> Option<&Numbered> {
        self.lines.get(index)
    }

    pub fn iter(&self) -> impl DoubleEndedIterator<Item = &Numbered> {
        self.lines.iter()
    }

    pub fn len(&self) -> usize {
        self.lines.len()
    }

    pub fn is_empty(&self) -> bool {
        self.lines.is_empty()
    }

    pub fn clear(&mut self) {
        self.lines.clear();
        self.bytes = 0;
    }

    /// Lines in the last whole second.
    pub fn rate_now(&self, now: Timestamp) -> u32 {
        self.rate.at(now.as_second() - 1)
    }

    /// Lines of each of the last `seconds`, the newest last.
    pub fn rates(&self, now: Timestamp, seconds: i64) -> Vec<u32> {
        let newest = now.as_second() - 1;
        (0..seconds)
            .rev()
            .map(|back| self.rate.at(newest - back))
            .collect()
    }

    /// When the shown rate changes although no line arrives: once after the last busy second.
    pub fn rate_settles_at(&self, shown_seconds: i64) -> Option<Timestamp> {
        let (second, _) = self.rate.seconds.back()?;
        Timestamp::from_second(*second)
            .ok()?
            .checked_add(SignedDuration::from_secs(shown_seconds + 1))
            .ok()
    }
}

impl Rate {
    const KEPT_S: i64 = 120;

    fn count(&mut self, now: Timestamp) {
        let second = now.as_second();
        match self.seconds.back_mut() {
            Some((last, lines)) if *last == second => *lines = lines.saturating_add(1),
            _ => self.seconds.push_back((second, 1)),
        }
        while self
            .seconds
            .front()
            .is_some_and(|(oldest, _)| second - oldest > Self::KEPT_S)
        {
            self.seconds.pop_front();
        }
    }

    fn at(&self, second: i64) -> u32 {
        self.seconds
            .iter()
            .rev()
            .find(|(other, _)| *other == second)
            .map_or(0, |(_, lines)| *lines)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tui::pages::logs::line::Level;

    fn line(at_ms: i64) -> Line {
        Line {
            at: Timestamp::from_millisecond(at_ms).unwrap(),
            source: 0,
            level: Level::Unknown,
            text: "x".repeat(10).into(),
        }
    }

    #[test]
    fn oldest_lines_go_first_and_are_counted() {
        let now = Timestamp::UNIX_EPOCH;
        let mut buffer = Buffer::bounded(3, 1_000);
        for ms in 0..5 {
            buffer.push(line(ms), now);
        }
        assert_eq!((buffer.len(), buffer.evicted), (3, 2));
        assert_eq!(buffer.get(0).unwrap().number, 2);
        let mut buffer = Buffer::bounded(100, 25);
        for ms in 0..5 {
            buffer.push(line(ms), now);
        }
        assert_eq!((buffer.len(), buffer.evicted), (2, 3));
    }

    #[test]
    fn late_line_stands_where_it_belongs() {
        let now = Timestamp::UNIX_EPOCH;
        let mut buffer = Buffer::default();
        assert_eq!(buffer.push(line(10), now), Placed::Last);
        assert_eq!(buffer.push(line(30), now), Placed::Last);
        assert_eq!(buffer.push(line(20), now), Placed::Before);
        let stamps: Vec<i64> = buffer.iter().map(|n| n.line.at.as_millisecond()).collect();
        assert_eq!(stamps, [10, 20, 30]);
    }

    #[test]
    fn rate_is_counted_a_second() {
        let mut buffer = Buffer::default();
        let at = |second| Timestamp::from_second(second).unwrap();
        for second in [5, 5, 6, 8] {
            buffer.push(line(0), at(second));
        }
        assert_eq!(buffer.rates(at(9), 5), [0, 2, 1, 0, 1]);
        assert_eq!(buffer.rate_now(at(9)), 1);
    }
}
