//! The log view's state: streams, kept lines, what is shown of them and where the reader stands.

use std::collections::{BTreeMap, VecDeque};
use std::fmt::Write as _;

use jiff::Timestamp;

use super::buffer::{BYTES_MAX, Buffer, Numbered, Placed};
use super::filter::{Filter, Pattern};
use super::line::{Level, Line};
use super::merge::Merge;
use super::source::{Sources, StreamState};
use crate::k8s::dropped;

#[derive(Clone, Debug, Default)]
pub struct LogModel {
    pub sources: Sources,
    merge: Merge,
    buffer: Buffer,
    filter: Filter,
    /// Ever-growing positions (index in the buffer plus what was evicted) of the shown lines.
    shown: VecDeque<u64>,
    /// The line the reader stands on, as a position; at the end while following.
    cursor: u64,
    pub follow: bool,
    pub display: Display,
    search: Option<Pattern>,
}

/// How lines are drawn.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "independent switches of the reader"
)]
pub struct Display {
    pub wrap: bool,
    pub timestamps: bool,
    /// JSON lines take a row a field.
    pub unfold: bool,
    /// The instance before the last restart.
    pub previous: bool,
}

impl Default for Display {
    fn default() -> Self {
        Self {
            wrap: false,
            timestamps: true,
            unfold: false,
            previous: false,
        }
    }
}

impl LogModel {
    /// Keeps so many lines.
    pub fn bounded(lines_max: usize) -> Self {
        Self {
            follow: true,
            buffer: Buffer::bounded(lines_max, BYTES_MAX),
            ..Self::default()
        }
    }

    /// Takes in raw lines of a stream.
    pub fn receive<'a>(
        &mut self,
        source: u16,
        lines: impl IntoIterator<Item = &'a str>,
        now: Timestamp,
    ) {
        let (mut count, mut missed) = (0, 0);
        for raw in lines {
            let line = Line::parse(raw, source, now);
            match dropped::count(&line.text) {
                Some(lines) => missed += lines,
                None => count += 1,
            }
            self.merge.push(line, now);
        }
        if let Some(source) = self.sources.get_mut(source) {
            source.lines += count;
            source.dropped += missed;
            source.state = StreamState::Open;
        }
    }

    /// Takes in lines that were kept elsewhere; what is known of their stream stays as it is.
    pub fn receive_past<'a>(
        &mut self,
        source: u16,
        lines: impl IntoIterator<Item = &'a str>,
        now: Timestamp,
    ) {
        for raw in lines {
            self.merge.push(Line::parse(raw, source, now), now);
        }
    }

    /// When the oldest line of each stream was written, of those that are kept.
    pub fn oldest_by_source(&self) -> BTreeMap<u16, Timestamp> {
        let mut oldest = BTreeMap::new();
        for kept in self.buffer.iter() {
            oldest.entry(kept.line.source).or_insert(kept.line.at);
        }
        oldest
    }

    /// A stream has ended, with or without an error. When none is left, nothing is held back.
    pub fn end_stream(&mut self, source: u16, failure: Option<String>, now: Timestamp) {
        if let Some(source) = self.sources.get_mut(source) {
            source.state = failure.map_or(StreamState::Ended, StreamState::Failed);
        }
        let live = self
            .sources
            .iter()
            .any(|source| matches!(source.state, StreamState::Opening | StreamState::Open));
        if !live {
            for line in self.merge.take_all() {
                self.keep(line, now);
            }
        }
    }

    /// Moves lines that have waited long enough into the view. Says whether there were any.
    pub fn settle(&mut self, now: Timestamp) -> bool {
        let due = self.merge.take_due(now);
        let any = !due.is_empty();
        for line in due {
            self.keep(line, now);
        }
        any
    }

    /// When [`Self::settle`] is to be called next.
    pub fn next_due(&self) -> Option<Timestamp> {
        self.merge.next_due()
    }

    fn keep(&mut self, line: Line, now: Timestamp) {
        let shown = self.filter.shows(&line, &self.sources);
        let at = line.at;
        let placed = self.buffer.push(line, now);
        let evicted = self.buffer.evicted;
        if placed == Placed::Before {
            self.make_room_for_late(at);
        }
        while self.shown.front().is_some_and(|first| *first < evicted) {
            self.shown.pop_front();
        }
        if shown {
            let position = match placed {
                Placed::Last => evicted + self.buffer.len() as u64 - 1,
                Placed::Before => self.position_after(at),
            };
            let index = self.shown.partition_point(|other| *other < position);
            self.shown.insert(index, position);
        }
        if self.follow || self.cursor < evicted {
            self.stand_at(if self.follow { usize::MAX } else { 0 });
        }
    }

    /// The position of a line that was just inserted late: the last with that stamp or older.
    fn position_after(&self, at: Timestamp) -> u64 {
        let after = self
            .buffer
            .iter()
            .rev()
            .take_while(|other| other.line.at > at)
            .count() as u64;
        self.buffer.evicted + self.buffer.len() as u64 - after - 1
    }

    /// Positions at and after a late line move by one.
    fn make_room_for_late(&mut self, at: Timestamp) {
        let position = self.position_after(at);
        for other in self.shown.iter_mut().rev() {
            if *other < position {
                break;
            }
            *other += 1;
        }
        if self.cursor >= position {
            self.cursor += 1;
        }
    }

    /// The lines that are shown, in order.
    pub fn lines(&self) -> impl DoubleEndedIterator<Item = &Numbered> {
        self.shown
            .iter()
            .filter_map(|position| self.at_position(*position))
    }

    pub fn line(&self, index: usize) -> Option<&Numbered> {
        self.at_position(*self.shown.get(index)?)
    }

    pub fn shown_count(&self) -> usize {
        self.shown.len()
    }

    pub fn buffer(&self) -> &Buffer {
        &self.buffer
    }

    pub fn filter(&self) -> &Filter {
        &self.filter
    }

    /// Index of the cursor's line among the shown ones.
    pub fn cursor(&self) -> usize {
        self.shown
            .partition_point(|position| *position < self.cursor)
            .min(self.shown.len().saturating_sub(1))
    }

    /// Moves by lines. Moving up stops following; reaching the end does not start it again, so
    /// that a reader at the end is not pulled along.
    pub fn move_by(&mut self, lines: isize) {
        if lines < 0 {
            self.follow = false;
        }
        self.stand_at(self.cursor().saturating_add_signed(lines));
    }

    /// To the next or previous line that is a warning or worse.
    pub fn go_to_serious(&mut self, step: isize) {
        let mut index = self.cursor();
        while let Some(next) = index.checked_add_signed(step) {
            index = next;
            match self.line(index) {
                Some(kept) if kept.line.level >= Level::Warn => {
                    self.follow = false;
                    return self.stand_at(index);
                }
                Some(_) => {}
                None => return,
            }
        }
    }

    pub fn go_top(&mut self) {
        self.follow = false;
        self.stand_at(0);
    }

    /// The end, and on with what comes.
    pub fn go_end(&mut self) {
        self.follow = true;
        self.stand_at(usize::MAX);
    }

    pub fn toggle_follow(&mut self) {
        if self.follow {
            self.follow = false;
        } else {
            self.go_end();
        }
    }

    fn stand_at(&mut self, index: usize) {
        let index = index.min(self.shown.len().saturating_sub(1));
        self.cursor = self.shown.get(index).copied().unwrap_or(0);
    }

    fn at_position(&self, position: u64) -> Option<&Numbered> {
        let index = position.checked_sub(self.buffer.evicted)?;
        self.buffer.get(usize::try_from(index).ok()?)
    }

    pub fn set_pattern(&mut self, typed: &str) {
        self.filter.pattern = Pattern::parse(typed);
        self.refilter();
    }

    pub fn cycle_level(&mut self) {
        self.filter.level = Level::next_bound(self.filter.level);
        self.refilter();
    }

    /// Shows or hides a container in every pod.
    pub fn toggle_container(&mut self, letter: char) -> bool {
        let found = self.sources.toggle(letter);
        if found {
            self.refilter();
        }
        found
    }

    fn refilter(&mut self) {
        let evicted = self.buffer.evicted;
        self.shown = self
            .buffer
            .iter()
            .enumerate()
            .filter(|(_, kept)| self.filter.shows(&kept.line, &self.sources))
            .map(|(index, _)| evicted + index as u64)
            .collect();
        let index = if self.follow {
            usize::MAX
        } else {
            self.cursor()
        };
        self.stand_at(index);
    }

    /// Looks for a text from the cursor on; the filter stays as it is.
    pub fn search(&mut self, typed: &str) -> bool {
        self.search = Pattern::parse(typed);
        self.search_next(Direction::Down)
    }

    /// The next match, round the end.
    pub fn search_next(&mut self, direction: Direction) -> bool {
        let Some(pattern) = &self.search else {
            return false;
        };
        let (count, start) = (self.shown.len(), self.cursor());
        let found = (1..=count)
            .map(|step| match direction {
                Direction::Down => (start + step) % count,
                Direction::Up => (start + count - step) % count,
            })
            .find(|index| {
                self.line(*index)
                    .is_some_and(|kept| pattern.is_match(&kept.line.text))
            });
        if let Some(index) = found {
            self.follow = false;
            self.stand_at(index);
        }
        found.is_some()
    }

    /// What is shown, as a text file: stamp, pod, container, text.
    pub fn export(&self) -> String {
        let mut out = String::new();
        for kept in self.lines() {
            let line = &kept.line;
            let (pod, container) = self.sources.get(line.source).map_or(("", ""), |source| {
                (source.pod.name.as_str(), source.container.as_str())
            });
            // Writing into a string cannot fail.
            let _ = writeln!(out, "{} {pod} {container} {}", line.at, line.text);
        }
        out
    }
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Direction {
    Up,
    Down,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::k8s::columns::ContainerRole;
    use crate::k8s::{ObjectKey, Uid, resources};

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    /// Two pods with an app and a sidecar each; lines of the first second.
    fn model() -> LogModel {
        let mut model = LogModel::bounded(1_000);
        for pod in ["cart-1", "cart-2"] {
            let key = ObjectKey::new(resources::PODS, "shop", pod);
            for (name, role) in [
                ("app", ContainerRole::App),
                ("proxy", ContainerRole::Sidecar),
            ] {
                model
                    .sources
                    .add(&key, &Uid(pod.into()), &name.into(), role);
            }
        }
        model.receive(
            0,
            [
                "1970-01-01T00:00:01Z ERROR first",
                "1970-01-01T00:00:03Z third",
            ],
            at(9),
        );
        model.receive(3, ["1970-01-01T00:00:02Z WARN second"], at(9));
        assert!(model.settle(at(10)));
        model
    }

    fn texts(model: &LogModel) -> Vec<&str> {
        model.lines().map(|kept| &*kept.line.text).collect()
    }

    #[test]
    fn streams_are_read_as_one() {
        let model = model();
        assert_eq!(texts(&model), ["ERROR first", "WARN second", "third"]);
        assert_eq!(model.cursor(), 2);
        assert_eq!(
            model.export().lines().nth(1),
            Some("1970-01-01T00:00:02Z cart-2 proxy WARN second")
        );
    }

    #[test]
    fn filters_combine_and_the_cursor_keeps_its_line() {
        let mut model = model();
        model.go_top();
        model.move_by(1);
        model.set_pattern("second|third");
        assert_eq!(texts(&model), ["WARN second", "third"]);
        assert_eq!(
            model.line(model.cursor()).unwrap().line.text,
            "WARN second".into()
        );
        model.cycle_level();
        model.cycle_level();
        assert_eq!(model.filter().level, Some(Level::Warn));
        assert_eq!(texts(&model), ["WARN second"]);
        assert!(model.toggle_container('b'));
        assert!(texts(&model).is_empty());
        model.set_pattern("");
        assert_eq!(texts(&model), ["ERROR first"]);
    }

    #[test]
    fn reader_is_not_pulled_along_after_scrolling_up() {
        let mut model = model();
        model.move_by(-1);
        model.receive(0, ["1970-01-01T00:00:04Z fourth"], at(11));
        model.settle(at(12));
        assert_eq!((model.cursor(), model.shown_count()), (1, 4));
        // A late line before the cursor moves its index, not its line.
        model.receive(0, ["1970-01-01T00:00:01.5Z late"], at(13));
        model.settle(at(14));
        assert_eq!(texts(&model)[1], "late");
        assert_eq!(
            model.line(model.cursor()).unwrap().line.text,
            "WARN second".into()
        );
        model.toggle_follow();
        assert_eq!(model.cursor(), 4);
    }

    #[test]
    fn lines_that_nobody_read_in_time_are_counted_apart() {
        let mut model = model();
        let before = model.sources.get(0).map(|it| it.lines);
        let said = format!("1970-01-01T00:00:04Z {}", dropped::line(1_600_000));
        model.receive(0, [said.as_str()], at(11));
        model.settle(at(12));
        let source = model.sources.get(0).unwrap();
        assert_eq!((Some(source.lines), source.dropped), (before, 1_600_000));
        let last = model.line(model.shown_count() - 1).unwrap();
        assert_eq!(
            (&*last.line.text, last.line.level),
            (&*dropped::line(1_600_000), Level::Warn)
        );
    }

    #[test]
    fn search_goes_round() {
        let mut model = model();
        model.go_top();
        assert!(model.search("ir"));
        assert_eq!(model.cursor(), 2);
        assert!(model.search_next(Direction::Down));
        assert_eq!(model.cursor(), 0);
        assert!(model.search_next(Direction::Up));
        assert_eq!(model.cursor(), 2);
        assert!(!model.search("nowhere"));
    }

    #[test]
    fn last_stream_to_end_lets_everything_out() {
        let mut model = model();
        model.receive(0, ["1970-01-01T00:00:05Z last"], at(20));
        for source in 0..4 {
            model.end_stream(source, None, at(20));
        }
        assert_eq!(texts(&model).last(), Some(&"last"));
        assert!(model.next_due().is_none());
    }
}
