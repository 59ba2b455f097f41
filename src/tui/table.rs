//! The state and behaviour that all tables share: cursor, marks, sort, filter, wide.
//!
//! The cursor and the marks belong to objects, by their uid, never to row numbers: rows re-sort
//! under them. If the object under the cursor vanishes, the row that takes its place is selected;
//! panels that are open keep their own target. Marks that a filter hides are dropped, and the
//! number of dropped ones is handed out once.

use std::borrow::Cow;
use std::cmp::Ordering;
use std::collections::BTreeSet;
use std::fmt;

use crate::k8s::object::Labels;
use crate::k8s::quantity::Quantity;
use crate::k8s::{Name, Uid};

use super::command::Motion;
use super::filter::{Filter, Filterable};
use super::page::Context;
use super::screen::{Align, Cell, ColumnHead, Empty, Sorted, Table, TableLine, TableRow};

/// A row's source: an object, a workload, a domain.
pub trait Record {
    fn id(&self) -> Uid;
    /// All that a filter's text is searched in, separated by spaces.
    fn search_text(&self) -> String;
    fn labels(&self) -> Option<&Labels> {
        None
    }
}

/// One column over records of type `T`.
pub struct Column<T> {
    pub title: Cow<'static, str>,
    pub align: Align,
    pub min: u16,
    pub max: u16,
    /// Where room is short, the highest go first; 0 stays always.
    pub priority: u8,
    /// Only in the wide form of the table.
    pub wide: bool,
    pub fills: bool,
    pub unit: Unit,
    pub cell: fn(&T, &Context) -> Cell,
    pub key: fn(&T, &Context) -> SortKey,
}

impl<T> fmt::Debug for Column<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.title)
    }
}

/// What rows are ordered and compared by.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug, Default)]
pub enum SortKey {
    /// After everything else, in both directions.
    #[default]
    Nothing,
    /// In the column's base unit: thousandths, bytes, seconds.
    Number(i64),
    Text(Name),
}

/// How numbers of a column are written in a filter.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Unit {
    #[default]
    None,
    /// `500m`, `0.5`: quantities kept in thousandths.
    Milli,
    /// `64Mi`.
    Bytes,
    /// `90s`, `1h30m`, `2d`.
    Seconds,
}

impl Unit {
    pub fn parse(self, text: &str) -> Option<i64> {
        match self {
            Self::None => text.trim_end_matches('%').parse().ok(),
            Self::Milli => Quantity::parse(text).ok().map(Quantity::milli),
            Self::Bytes => Quantity::parse(text).ok().map(Quantity::value),
            Self::Seconds => seconds(text),
        }
    }
}

fn seconds(text: &str) -> Option<i64> {
    let mut total = 0_i64;
    let mut number = String::new();
    for letter in text.chars() {
        let size = match letter {
            's' => 1,
            'm' => 60,
            'h' => 3600,
            'd' => 86_400,
            'w' => 604_800,
            'y' => 31_536_000,
            digit if digit.is_ascii_digit() => {
                number.push(digit);
                continue;
            }
            _ => return None,
        };
        total = total.checked_add(number.parse::<i64>().ok()?.checked_mul(size)?)?;
        number.clear();
    }
    if !number.is_empty() {
        total = total.checked_add(number.parse().ok()?)?;
    }
    Some(total)
}

impl<T> Column<T> {
    pub const fn new(
        title: &'static str,
        cell: fn(&T, &Context) -> Cell,
        key: fn(&T, &Context) -> SortKey,
    ) -> Self {
        Self {
            title: Cow::Borrowed(title),
            align: Align::Left,
            min: 4,
            max: 40,
            priority: 1,
            wide: false,
            fills: false,
            unit: Unit::None,
            cell,
            key,
        }
    }

    /// A column that stays and is cut in the middle.
    #[must_use]
    pub const fn name(mut self) -> Self {
        self.align = Align::Name;
        self.priority = 0;
        self.min = 12;
        self.max = 60;
        self
    }

    #[must_use]
    pub const fn number(mut self, unit: Unit) -> Self {
        self.align = Align::Right;
        self.unit = unit;
        self
    }

    #[must_use]
    pub const fn width(mut self, min: u16, max: u16) -> Self {
        self.min = min;
        self.max = max;
        self
    }

    #[must_use]
    pub const fn priority(mut self, priority: u8) -> Self {
        self.priority = priority;
        self
    }

    #[must_use]
    pub const fn wide(mut self) -> Self {
        self.wide = true;
        self
    }

    #[must_use]
    pub const fn fills(mut self) -> Self {
        self.fills = true;
        self.max = u16::MAX;
        self
    }
}

/// A page's table: the records that the filter lets through, in order, and what is selected.
#[derive(Clone, Debug)]
pub struct TableState<T> {
    records: Vec<T>,
    /// Records before the filter.
    unfiltered: usize,
    cursor: Option<Uid>,
    cursor_index: usize,
    first: usize,
    marks: BTreeSet<Uid>,
    last_mark: Option<Uid>,
    sort: Option<(usize, Sorted)>,
    filter: Filter,
    wide: bool,
    height: usize,
    dropped_marks: usize,
    /// Widest cell seen in each column, so that columns keep their width while one scrolls.
    widths: Vec<u16>,
}

impl<T> Default for TableState<T> {
    fn default() -> Self {
        Self {
            records: Vec::new(),
            unfiltered: 0,
            cursor: None,
            cursor_index: 0,
            first: 0,
            marks: BTreeSet::new(),
            last_mark: None,
            sort: None,
            filter: Filter::default(),
            wide: false,
            height: 1,
            dropped_marks: 0,
            widths: Vec::new(),
        }
    }
}

struct Row<'a, T> {
    record: &'a T,
    columns: &'a [Column<T>],
    context: &'a Context<'a>,
}

impl<T: Record> Filterable for Row<'_, T> {
    fn text(&self) -> String {
        self.record.search_text()
    }

    fn labels(&self) -> Option<&Labels> {
        self.record.labels()
    }

    fn column(&self, name: &str) -> Option<(SortKey, Unit)> {
        self.columns
            .iter()
            .find(|column| column.title.eq_ignore_ascii_case(name))
            .map(|column| ((column.key)(self.record, self.context), column.unit))
    }
}

impl<T: Record> TableState<T> {
    /// A table that begins sorted by a column; equal rows keep the order they come in.
    pub fn sorted_by(column: usize, sorted: Sorted) -> Self {
        Self {
            sort: Some((column, sorted)),
            ..Self::default()
        }
    }

    /// Takes the records in: filters, sorts, and keeps cursor and marks on their objects. `height`
    /// is the number of rows in view, the head not counted.
    pub fn settle(
        &mut self,
        records: impl IntoIterator<Item = T>,
        columns: &[Column<T>],
        height: usize,
        context: &Context,
    ) {
        self.height = height.max(1);
        let mut total = 0;
        let mut kept: Vec<T> = records
            .into_iter()
            .inspect(|_| total += 1)
            .filter(|record| {
                self.filter.is_empty()
                    || self.filter.matches(&Row {
                        record,
                        columns,
                        context,
                    })
            })
            .collect();
        self.unfiltered = total;
        if let Some((index, sorted)) = self.sort
            && let Some(column) = columns.get(index)
        {
            let mut keyed: Vec<(SortKey, T)> = kept
                .into_iter()
                .map(|record| ((column.key)(&record, context), record))
                .collect();
            keyed.sort_by(|(one, _), (other, _)| order(one, other, sorted));
            kept = keyed.into_iter().map(|(_, record)| record).collect();
        }
        self.records = kept;
        self.follow_cursor();
        self.drop_hidden_marks();
    }

    fn follow_cursor(&mut self) {
        let last = self.records.len().saturating_sub(1);
        let at = self
            .records
            .get(self.cursor_index)
            .filter(|record| Some(record.id()) == self.cursor)
            .map(|_| self.cursor_index)
            .or_else(|| {
                let cursor = self.cursor.as_ref()?;
                self.records
                    .iter()
                    .position(|record| record.id() == *cursor)
            });
        self.set_index(at.unwrap_or(self.cursor_index).min(last));
    }

    fn drop_hidden_marks(&mut self) {
        if self.marks.is_empty() {
            return;
        }
        let shown: BTreeSet<Uid> = self.records.iter().map(Record::id).collect();
        let before = self.marks.len();
        self.marks.retain(|mark| shown.contains(mark));
        self.dropped_marks += before - self.marks.len();
    }

    /// How many marks were dropped because their rows are no longer shown, told once.
    pub fn take_dropped_marks(&mut self) -> usize {
        std::mem::take(&mut self.dropped_marks)
    }

    fn set_index(&mut self, index: usize) {
        self.cursor_index = index.min(self.records.len().saturating_sub(1));
        if let Some(record) = self.records.get(self.cursor_index) {
            self.cursor = Some(record.id());
        }
        let bottom = self.first + self.height;
        if self.cursor_index < self.first {
            self.first = self.cursor_index;
        } else if self.cursor_index >= bottom {
            self.first = self.cursor_index + 1 - self.height;
        }
        let deepest = self.records.len().saturating_sub(self.height);
        self.first = self.first.min(deepest);
    }

    pub fn move_by(&mut self, motion: Motion) {
        let half = (self.height / 2).max(1);
        let page = self.height.saturating_sub(1).max(1);
        let index = self.cursor_index;
        self.set_index(match motion {
            Motion::Up | Motion::PreviousMatch => index.saturating_sub(1),
            Motion::Down | Motion::NextMatch => index + 1,
            Motion::Top => 0,
            Motion::Bottom => usize::MAX,
            Motion::HalfUp => index.saturating_sub(half),
            Motion::HalfDown => index + half,
            Motion::PageUp => index.saturating_sub(page),
            Motion::PageDown => index + page,
            Motion::Left | Motion::Right => index,
        });
    }

    /// Puts the cursor on an object, now or when it arrives.
    pub fn select(&mut self, id: Uid) {
        self.cursor = Some(id);
        self.cursor_index = self
            .records
            .iter()
            .position(|record| Some(record.id()) == self.cursor)
            .unwrap_or(usize::MAX - 1);
        if self.cursor_index < self.records.len() {
            self.set_index(self.cursor_index);
        } else {
            self.cursor_index = 0;
        }
    }

    pub fn selected(&self) -> Option<&T> {
        self.records.get(self.cursor_index)
    }

    /// The marked records, else the one under the cursor.
    pub fn meant(&self) -> Vec<&T> {
        if self.marks.is_empty() {
            return self.selected().into_iter().collect();
        }
        self.records
            .iter()
            .filter(|record| self.marks.contains(&record.id()))
            .collect()
    }

    pub fn records(&self) -> &[T] {
        &self.records
    }

    /// How many records there are without the filter.
    pub fn unfiltered(&self) -> usize {
        self.unfiltered
    }

    pub fn marks(&self) -> &BTreeSet<Uid> {
        &self.marks
    }

    pub fn is_wide(&self) -> bool {
        self.wide
    }

    pub fn toggle_wide(&mut self) {
        self.wide = !self.wide;
        self.widths.clear();
    }

    /// Marks or unmarks the row under the cursor and goes on to the next.
    pub fn toggle_mark(&mut self) {
        let Some(id) = self.selected().map(Record::id) else {
            return;
        };
        if !self.marks.remove(&id) {
            self.marks.insert(id.clone());
        }
        self.last_mark = Some(id);
        self.move_by(Motion::Down);
    }

    /// Marks everything between the last mark and the cursor.
    pub fn mark_range(&mut self) {
        let from = self
            .last_mark
            .as_ref()
            .and_then(|mark| self.records.iter().position(|record| record.id() == *mark))
            .unwrap_or(self.cursor_index);
        let (low, high) = (from.min(self.cursor_index), from.max(self.cursor_index));
        let ids: Vec<Uid> = self
            .records
            .iter()
            .skip(low)
            .take(high + 1 - low)
            .map(Record::id)
            .collect();
        self.marks.extend(ids);
    }

    pub fn mark_all(&mut self) {
        self.marks = self.records.iter().map(Record::id).collect();
    }

    pub fn unmark(&mut self) {
        self.marks.clear();
        self.last_mark = None;
    }

    pub fn filter(&self) -> &str {
        &self.filter.text
    }

    /// Sets the filter; settle again afterwards.
    pub fn set_filter(&mut self, text: &str, columns: &[Column<T>]) -> Result<(), String> {
        let names: Vec<&str> = columns.iter().map(|column| &*column.title).collect();
        self.filter = Filter::parse(text, &names)?;
        Ok(())
    }

    pub fn sort(&self) -> Option<(usize, Sorted)> {
        self.sort
    }

    /// Sorts by the named column, or by the next one; settle again afterwards.
    pub fn sort_by(&mut self, name: Option<&str>, columns: &[Column<T>]) -> Result<(), String> {
        let shown = |column: &Column<T>| self.wide || !column.wide;
        let index = if let Some(name) = name.filter(|name| !name.is_empty()) {
            let wanted = name.to_lowercase();
            let titled = |test: &dyn Fn(&str) -> bool| {
                columns
                    .iter()
                    .position(|column| test(&column.title.to_lowercase()))
            };
            titled(&|title| title == wanted)
                .or_else(|| titled(&|title| title.starts_with(&wanted)))
                .or_else(|| titled(&|title| title.contains(&wanted)))
                .ok_or_else(|| {
                    let known: Vec<_> = columns.iter().map(|column| &*column.title).collect();
                    format!(
                        "no column `{name}`; there are {}",
                        known.join(", ").to_lowercase()
                    )
                })?
        } else {
            let after = self.sort.map_or(0, |(index, _)| index + 1);
            (after..columns.len())
                .chain(0..after)
                .find(|index| columns.get(*index).is_some_and(shown))
                .unwrap_or(0)
        };
        let numeric = columns
            .get(index)
            .is_some_and(|column| column.align == Align::Right);
        let sorted = if numeric {
            Sorted::Descending
        } else {
            Sorted::Ascending
        };
        self.sort = Some((index, sorted));
        Ok(())
    }

    pub fn reverse(&mut self) {
        if let Some((_, sorted)) = &mut self.sort {
            *sorted = match *sorted {
                Sorted::Ascending => Sorted::Descending,
                Sorted::Descending => Sorted::Ascending,
            };
        }
    }

    /// The visible part. `below` gives the lines under a row: an editor, a rollout.
    pub fn present(
        &self,
        columns: &[Column<T>],
        context: &Context,
        empty: Empty,
        below: impl Fn(&T) -> Vec<TableLine>,
    ) -> Table {
        let shown: Vec<(usize, &Column<T>)> = columns
            .iter()
            .enumerate()
            .filter(|(_, column)| self.wide || !column.wide)
            .collect();
        let heads = shown.iter().map(|(index, column)| ColumnHead {
            title: column.title.clone().into_owned(),
            align: column.align,
            min: column
                .min
                .max(self.widths.get(*index).copied().unwrap_or(0)),
            max: column.max,
            priority: column.priority,
            sorted: self
                .sort
                .filter(|(sorted, _)| sorted == index)
                .map(|(_, sorted)| sorted),
            fills: column.fills,
        });
        let heads: Vec<ColumnHead> = heads.collect();
        let mut lines = 0;
        let mut rows = Vec::new();
        let mut first = self.first;
        // Lines under the cursor's row must not push it out of view.
        if let Some(record) = self.selected() {
            let needed = below(record).len();
            let place = self.cursor_index.saturating_sub(first);
            first += (place + 1 + needed).saturating_sub(self.height).min(place);
        }
        for (offset, record) in self.records.iter().skip(first).enumerate() {
            if lines >= self.height {
                break;
            }
            let id = record.id();
            let below = below(record);
            lines += 1 + below.len();
            rows.push(TableRow {
                cells: shown
                    .iter()
                    .map(|(_, column)| (column.cell)(record, context))
                    .collect(),
                cursor: first + offset == self.cursor_index,
                marked: self.marks.contains(&id),
                below,
                id,
            });
        }
        Table {
            columns: heads,
            empty: rows.is_empty().then_some(empty),
            rows,
            first,
            total: self.records.len(),
        }
    }

    /// The commands that all tables understand. `true`: it was one of them, and the page settles
    /// the table again.
    pub fn command(
        &mut self,
        command: &super::command::Command,
        columns: &[Column<T>],
    ) -> Result<bool, String> {
        use super::command::Command;
        match command {
            Command::Move(motion) => self.move_by(*motion),
            Command::Mark => self.toggle_mark(),
            Command::MarkRange => self.mark_range(),
            Command::MarkAll => self.mark_all(),
            Command::Unmark => self.unmark(),
            Command::Sort(name) => self.sort_by(name.as_deref(), columns)?,
            Command::SortReverse => self.reverse(),
            Command::Wide => self.toggle_wide(),
            Command::Filter(text) => self.set_filter(text, columns)?,
            _ => return Ok(false),
        }
        Ok(true)
    }
}

fn order(one: &SortKey, other: &SortKey, sorted: Sorted) -> Ordering {
    match (one, other) {
        (SortKey::Nothing, SortKey::Nothing) => Ordering::Equal,
        (SortKey::Nothing, _) => Ordering::Greater,
        (_, SortKey::Nothing) => Ordering::Less,
        _ if sorted == Sorted::Descending => other.cmp(one),
        _ => one.cmp(other),
    }
}
