//! The state and behaviour that all tables share: cursor, marks, sort, filter, wide.
//!
//! The cursor and the marks belong to objects, by their uid, never to row numbers: rows re-sort
//! under them. If the object under the cursor vanishes, the row that takes its place is selected;
//! panels that are open keep their own target. Marks that a filter hides are dropped, and the
//! number of dropped ones is handed out once.
//!
//! In reading order: [`mod@column`] (what is shown and compared), [`sequence`] (an order that is
//! repaired), [`rows`] (all rows, sorted and filtered). A key that moves the cursor touches neither
//! rows nor order; what a frame costs depends on what is in view.

pub mod column;
mod rows;
mod sequence;

use std::cmp::Ordering;
use std::collections::BTreeSet;

use crate::k8s::Uid;
use crate::k8s::object::Labels;
use crate::k8s::status::Health;

use super::command::Motion;
use super::filter::Filter;
use super::page::Context;
use super::screen::{Align, ColumnHead, Empty, Sorted, Table, TableLine, TableRow};

pub use column::{Column, SortKey, Unit};
use rows::{Rows, Rules};

/// A row's source: an object, a workload, a domain.
pub trait Record {
    fn id(&self) -> Uid;
    /// All that a filter's text is searched in.
    fn texts(&self, each: &mut dyn FnMut(&str));
    fn labels(&self) -> Option<&Labels> {
        None
    }
    /// The state that rows are counted by.
    fn health(&self) -> Option<Health> {
        None
    }
    /// Their order before the reader sorts; equal ones stand as they came.
    fn compare(&self, _other: &Self) -> Ordering {
        Ordering::Equal
    }
}

/// Marks up to this number are looked up one by one.
const MARKS_FEW: usize = 1_000;

/// A page's table: the rows that the filter lets through, in order, and what is selected.
#[derive(Clone, Debug)]
pub struct TableState<T> {
    rows: Rows<T>,
    cursor: Option<Uid>,
    /// An object to put the cursor on as soon as it is here.
    expected: Option<Uid>,
    cursor_index: usize,
    first: usize,
    marks: BTreeSet<Uid>,
    last_mark: Option<Uid>,
    sort: Option<(usize, Sorted)>,
    filter: Filter,
    /// What must be judged anew before the rows are looked at.
    stale: Stale,
    wide: bool,
    height: usize,
    dropped_marks: usize,
}

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
enum Stale {
    Nothing,
    /// The filter lets less through than before.
    Narrower,
    Filter,
    Order,
}

impl<T> Default for TableState<T> {
    fn default() -> Self {
        Self {
            rows: Rows::default(),
            cursor: None,
            expected: None,
            cursor_index: 0,
            first: 0,
            marks: BTreeSet::new(),
            last_mark: None,
            sort: None,
            filter: Filter::default(),
            stale: Stale::Nothing,
            wide: false,
            height: 1,
            dropped_marks: 0,
        }
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

    /// Takes all rows anew and keeps cursor and marks on their objects. `height` is the number of
    /// rows in view, the head not counted.
    pub fn settle(
        &mut self,
        records: impl IntoIterator<Item = T>,
        columns: &[Column<T>],
        height: usize,
        context: &Context,
    ) {
        self.height = height.max(1);
        self.replace(records, columns, context);
        self.follow_cursor();
    }

    /// The same before the height is known; settle the view afterwards.
    pub fn replace(
        &mut self,
        records: impl IntoIterator<Item = T>,
        columns: &[Column<T>],
        context: &Context,
    ) {
        self.stale = Stale::Nothing;
        self.rows.replace(
            records,
            &Rules {
                columns,
                sort: self.sort,
                filter: &self.filter,
                context,
            },
        );
        self.drop_hidden_marks();
    }

    /// Single rows that came or changed, and those that are gone; settle the view afterwards.
    pub fn take(
        &mut self,
        changed: impl IntoIterator<Item = Result<T, Uid>>,
        columns: &[Column<T>],
        context: &Context,
    ) {
        self.refresh(columns, context);
        let rules = Rules {
            columns,
            sort: self.sort,
            filter: &self.filter,
            context,
        };
        for change in changed {
            let hidden = match change {
                Ok(record) => {
                    let id = record.id();
                    (!self.rows.put(record, &rules)).then_some(id)
                }
                Err(id) => {
                    self.rows.remove(&id);
                    Some(id)
                }
            };
            if let Some(id) = hidden.filter(|_| !self.marks.is_empty())
                && self.marks.remove(&id)
            {
                self.dropped_marks += 1;
            }
        }
    }

    /// Judges anew what a new order or filter concerns, and brings the view to the cursor.
    pub fn settle_view(&mut self, columns: &[Column<T>], height: usize, context: &Context) {
        self.height = height.max(1);
        self.refresh(columns, context);
        self.follow_cursor();
    }

    /// Judges anew what a new order or filter concerns.
    pub fn refresh(&mut self, columns: &[Column<T>], context: &Context) {
        let rules = Rules {
            columns,
            sort: self.sort,
            filter: &self.filter,
            context,
        };
        match std::mem::replace(&mut self.stale, Stale::Nothing) {
            Stale::Nothing => return,
            Stale::Narrower => self.rows.filter(&rules, true),
            Stale::Filter => self.rows.filter(&rules, false),
            Stale::Order => self.rows.sort(&rules),
        }
        self.drop_hidden_marks();
        self.follow_cursor();
    }

    /// What rows say changes, not which there are.
    pub fn amend(&mut self, change: impl Fn(&mut T)) {
        self.rows.amend(change);
        self.stale = Stale::Order;
    }

    /// Whether time alone changes what the filter lets through.
    pub fn is_timed(&self, columns: &[Column<T>]) -> bool {
        self.filter.columns().any(|name| {
            columns.iter().any(|column| {
                column.unit == Unit::Seconds && column.title.eq_ignore_ascii_case(name)
            })
        })
    }

    /// The filter is to be asked again about every row.
    pub fn judge_again(&mut self) {
        self.stale = self.stale.max(Stale::Filter);
    }

    fn follow_cursor(&mut self) {
        let arrived = self.expected.as_ref().and_then(|id| self.rows.position(id));
        if let Some(index) = arrived {
            self.expected = None;
            return self.set_index(index);
        }
        let last = self.rows.len().saturating_sub(1);
        let at = self
            .cursor
            .as_ref()
            .and_then(|cursor| self.rows.position(cursor));
        self.set_index(at.unwrap_or(self.cursor_index).min(last));
    }

    fn drop_hidden_marks(&mut self) {
        let rows = &self.rows;
        let before = self.marks.len();
        self.marks.retain(|mark| rows.get(mark).is_some());
        self.dropped_marks += before - self.marks.len();
    }

    /// How many marks were dropped because their rows are no longer shown, told once.
    pub fn take_dropped_marks(&mut self) -> usize {
        std::mem::take(&mut self.dropped_marks)
    }

    fn set_index(&mut self, index: usize) {
        self.cursor_index = index.min(self.rows.len().saturating_sub(1));
        if let Some(record) = self.selected() {
            self.cursor = Some(record.id());
        }
        let bottom = self.first + self.height;
        if self.cursor_index < self.first {
            self.first = self.cursor_index;
        } else if self.cursor_index >= bottom {
            self.first = self.cursor_index + 1 - self.height;
        }
        let deepest = self.rows.len().saturating_sub(self.height);
        self.first = self.first.min(deepest);
    }

    pub fn move_by(&mut self, motion: Motion) {
        let half = (self.height / 2).max(1);
        let page = self.height.saturating_sub(1).max(1);
        let index = self.cursor_index;
        self.expected = None;
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
        self.expected = Some(id);
        self.follow_cursor();
    }

    pub fn selected(&self) -> Option<&T> {
        self.rows.from(self.cursor_index).next()
    }

    /// The marked records, else the one under the cursor.
    pub fn meant(&self) -> Vec<&T> {
        if self.marks.is_empty() {
            return self.selected().into_iter().collect();
        }
        if self.marks.len() > MARKS_FEW {
            let marked = |record: &&T| self.marks.contains(&record.id());
            return self.rows.from(0).filter(marked).collect();
        }
        let mut found: Vec<(usize, &T)> = self
            .marks
            .iter()
            .filter_map(|mark| Some((self.rows.position(mark)?, self.rows.get(mark)?)))
            .collect();
        found.sort_by_key(|(index, _)| *index);
        found.into_iter().map(|(_, record)| record).collect()
    }

    /// The rows that the filter lets through, in order.
    pub fn rows(&self) -> impl Iterator<Item = &T> {
        self.rows.from(0)
    }

    /// The rows in view.
    pub fn visible(&self) -> impl Iterator<Item = &T> {
        self.rows.from(self.first).take(self.height)
    }

    /// The row of an object, where the filter lets it through.
    pub fn get(&self, id: &Uid) -> Option<&T> {
        self.rows.get(id)
    }

    pub fn len(&self) -> usize {
        self.rows.len()
    }

    pub fn is_empty(&self) -> bool {
        self.rows.len() == 0
    }

    /// How many rows are in a state.
    pub fn count(&self, health: Health) -> usize {
        self.rows.count(health)
    }

    /// How many records there are without the filter.
    pub fn unfiltered(&self) -> usize {
        self.rows.all()
    }

    pub fn marks(&self) -> &BTreeSet<Uid> {
        &self.marks
    }

    pub fn toggle_wide(&mut self) {
        self.wide = !self.wide;
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
            .and_then(|mark| self.rows.position(mark))
            .unwrap_or(self.cursor_index);
        let (low, high) = (from.min(self.cursor_index), from.max(self.cursor_index));
        let ids: Vec<Uid> = self
            .rows
            .from(low)
            .take(high + 1 - low)
            .map(Record::id)
            .collect();
        self.marks.extend(ids);
    }

    pub fn mark_all(&mut self) {
        self.marks = self.rows().map(Record::id).collect();
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
        let filter = Filter::parse(text, &names)?;
        if filter == self.filter {
            return Ok(());
        }
        let stale = if filter.is_narrower(&self.filter) {
            Stale::Narrower
        } else {
            Stale::Filter
        };
        // Two steps at once are more than one that narrows.
        let stale = match self.stale {
            Stale::Nothing => stale,
            before => before.max(Stale::Filter),
        };
        self.stale = stale;
        self.filter = filter;
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
        self.stale = Stale::Order;
        Ok(())
    }

    pub fn reverse(&mut self) {
        self.stale = Stale::Order;
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
            min: column.min,
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
        for (offset, record) in self.rows.from(first).enumerate() {
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
            total: self.rows.len(),
        }
    }

    /// The commands that all tables understand. `true`: it was one of them; settle the view
    /// afterwards.
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
