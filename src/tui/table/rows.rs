//! All rows of a table, kept in order and filtered while single ones change.
//!
//! Each row has a slot. Two sequences of slots say in which order rows stand: as they come by
//! nature, and as the reader sorts them; a third one holds those that the filter lets through. A
//! changed row is judged anew and moved, the others are not looked at. Sort keys are made once a
//! row; time must not change their order, see [`SortKey::Age`].

use std::cmp::Ordering;

use rustc_hash::FxHashMap;

use super::Record;
use super::column::{Column, SortKey, order};
use super::sequence::Sequence;
use crate::k8s::Uid;
use crate::k8s::object::Labels;
use crate::k8s::status::Health;
use crate::tui::filter::{Filter, Filterable};
use crate::tui::page::Context;
use crate::tui::screen::Sorted;

/// One place for each [`Health`].
const STATES: usize = Health::Bad as usize + 1;

/// How rows are judged: in what order, which of them are shown.
pub struct Rules<'a, T> {
    pub columns: &'a [Column<T>],
    pub sort: Option<(usize, Sorted)>,
    pub filter: &'a Filter,
    pub context: &'a Context<'a>,
}

#[derive(Clone, Debug)]
struct Entry<T> {
    record: T,
    key: SortKey,
    /// Breaks ties between rows that know no order of their own: as they came.
    came: u32,
    shown: bool,
}

#[derive(Clone, Debug)]
pub struct Rows<T> {
    entries: Vec<Option<Entry<T>>>,
    free: Vec<u32>,
    slots: FxHashMap<Uid, u32>,
    natural: Sequence,
    sorted: Sequence,
    /// In force while there is a filter.
    filtered: Option<Sequence>,
    /// How many rows that are shown are in which state.
    tallies: [usize; STATES],
    direction: Sorted,
    came: u32,
}

impl<T> Default for Rows<T> {
    fn default() -> Self {
        Self {
            entries: Vec::new(),
            free: Vec::new(),
            slots: FxHashMap::default(),
            natural: Sequence::default(),
            sorted: Sequence::default(),
            filtered: None,
            tallies: [0; STATES],
            direction: Sorted::Ascending,
            came: 0,
        }
    }
}

/// A row as a filter reads it.
struct Judged<'a, T> {
    record: &'a T,
    rules: &'a Rules<'a, T>,
}

impl<T: Record> Filterable for Judged<'_, T> {
    fn texts(&self, each: &mut dyn FnMut(&str)) {
        self.record.texts(each);
    }

    fn labels(&self) -> Option<&Labels> {
        self.record.labels()
    }

    fn column(&self, name: &str) -> Option<(SortKey, super::Unit)> {
        let column = self
            .rules
            .columns
            .iter()
            .find(|column| column.title.eq_ignore_ascii_case(name))?;
        let key = (column.key)(self.record, self.rules.context);
        Some((key.at(self.rules.context.now), column.unit))
    }
}

impl<T: Record> Rules<'_, T> {
    fn lets_through(&self, record: &T) -> bool {
        self.filter.is_empty()
            || self.filter.matches(&Judged {
                record,
                rules: self,
            })
    }

    fn key(&self, record: &T) -> SortKey {
        self.sort
            .and_then(|(index, _)| self.columns.get(index))
            .map_or(SortKey::Nothing, |column| {
                (column.key)(record, self.context)
            })
    }

    fn direction(&self) -> Sorted {
        self.sort.map_or(Sorted::Ascending, |(_, sorted)| sorted)
    }
}

type Entries<T> = Vec<Option<Entry<T>>>;

fn at<T>(entries: &Entries<T>, slot: u32) -> Option<&Entry<T>> {
    entries.get(slot as usize)?.as_ref()
}

fn by_nature<T: Record>(one: &Entry<T>, other: &Entry<T>) -> Ordering {
    one.record
        .compare(&other.record)
        .then(one.came.cmp(&other.came))
}

fn by_key<T: Record>(sorted: Sorted) -> impl Fn(&Entry<T>, &Entry<T>) -> Ordering + Copy {
    move |one, other| order(&one.key, &other.key, sorted).then_with(|| by_nature(one, other))
}

/// How the row of `slot` stands to a given one; a slot without a row stands before all.
fn stands<'a, T>(
    entries: &'a Entries<T>,
    row: &'a Entry<T>,
    compare: impl Fn(&Entry<T>, &Entry<T>) -> Ordering + 'a,
) -> impl Fn(u32) -> Ordering + 'a {
    move |slot| at(entries, slot).map_or(Ordering::Less, |other| compare(other, row))
}

impl<T: Record> Rows<T> {
    /// Everything anew. Rows that know no order of their own keep the one they come in.
    pub fn replace(&mut self, records: impl IntoIterator<Item = T>, rules: &Rules<T>) {
        *self = Self::default();
        for record in records {
            let slot = u32::try_from(self.entries.len()).unwrap_or(u32::MAX);
            self.slots.insert(record.id(), slot);
            let entry = Entry {
                key: SortKey::Nothing,
                came: slot,
                shown: false,
                record,
            };
            self.entries.push(Some(entry));
        }
        self.came = u32::try_from(self.entries.len()).unwrap_or(u32::MAX);
        let mut slots: Vec<u32> = (0..self.came).collect();
        // Lists come in order, so this mostly confirms it.
        slots.sort_by(
            |one, other| match (at(&self.entries, *one), at(&self.entries, *other)) {
                (Some(one), Some(other)) => by_nature(one, other),
                _ => Ordering::Equal,
            },
        );
        self.natural = slots.into_iter().collect();
        self.sort(rules);
    }

    /// The order or what it is made of has changed.
    pub fn sort(&mut self, rules: &Rules<T>) {
        let slots: Vec<u32> = self.natural.iter().collect();
        let mut keyed: Vec<(SortKey, u32)> = Vec::with_capacity(slots.len());
        for slot in slots {
            if let Some(entry) = self.entries.get(slot as usize).and_then(Option::as_ref) {
                keyed.push((rules.key(&entry.record), slot));
            }
        }
        self.direction = rules.direction();
        if rules.sort.is_some() {
            let sorted = self.direction;
            // Equal ones stay in their natural order.
            keyed.sort_by(|(one, _), (other, _)| order(one, other, sorted));
        }
        self.sorted = keyed.iter().map(|(_, slot)| *slot).collect();
        for (key, slot) in keyed {
            if let Some(entry) = self.entries.get_mut(slot as usize).and_then(Option::as_mut) {
                entry.key = key;
            }
        }
        self.filter(rules, false);
    }

    /// The filter has changed; `narrower`: what was hidden stays hidden.
    pub fn filter(&mut self, rules: &Rules<T>, narrower: bool) {
        self.tallies = [0; STATES];
        let narrower = narrower && self.filtered.is_some();
        let slots = match (&self.filtered, narrower) {
            (Some(shown), true) => shown.iter().collect::<Vec<u32>>(),
            _ => self.sorted.iter().collect(),
        };
        let mut shown = Vec::new();
        for slot in slots {
            let Some(entry) = self.entries.get_mut(slot as usize).and_then(Option::as_mut) else {
                continue;
            };
            entry.shown = rules.lets_through(&entry.record);
            if entry.shown {
                shown.push(slot);
                let health = entry.record.health();
                tally(&mut self.tallies, health, 1);
            }
        }
        self.filtered = (!rules.filter.is_empty()).then(|| shown.into_iter().collect());
    }

    /// Adds or replaces a row. `true`: the object is shown.
    pub fn put(&mut self, record: T, rules: &Rules<T>) -> bool {
        let id = record.id();
        let key = rules.key(&record);
        let shown = rules.lets_through(&record);
        if let Some(slot) = self.slots.get(&id).copied()
            && let Some(Some(entry)) = self.entries.get_mut(slot as usize)
        {
            let stays = entry.key == key
                && entry.shown == shown
                && entry.record.compare(&record) == Ordering::Equal;
            if stays {
                if shown {
                    tally(&mut self.tallies, entry.record.health(), -1);
                    tally(&mut self.tallies, record.health(), 1);
                }
                entry.record = record;
                return shown;
            }
        }
        let came = if let Some(entry) = self.take(&id) {
            entry.came
        } else {
            self.came += 1;
            self.came
        };
        let entry = Entry {
            record,
            key,
            came,
            shown,
        };
        self.set(id, entry);
        shown
    }

    fn set(&mut self, id: Uid, entry: Entry<T>) {
        let slot = self
            .free
            .pop()
            .unwrap_or_else(|| u32::try_from(self.entries.len()).unwrap_or(u32::MAX));
        let compare = by_key(self.direction);
        self.natural
            .insert(slot, stands(&self.entries, &entry, by_nature));
        self.sorted
            .insert(slot, stands(&self.entries, &entry, compare));
        if entry.shown {
            if let Some(filtered) = &mut self.filtered {
                filtered.insert(slot, stands(&self.entries, &entry, compare));
            }
            tally(&mut self.tallies, entry.record.health(), 1);
        }
        self.slots.insert(id, slot);
        match self.entries.get_mut(slot as usize) {
            Some(place) => *place = Some(entry),
            None => self.entries.push(Some(entry)),
        }
    }

    /// Takes a row out; `true` where it was there.
    pub fn remove(&mut self, id: &Uid) -> bool {
        self.take(id).is_some()
    }

    fn take(&mut self, id: &Uid) -> Option<Entry<T>> {
        let slot = self.slots.remove(id)?;
        let compare = by_key(self.direction);
        let entry = at(&self.entries, slot)?;
        self.natural
            .remove(slot, stands(&self.entries, entry, by_nature));
        self.sorted
            .remove(slot, stands(&self.entries, entry, compare));
        if entry.shown {
            if let Some(filtered) = &mut self.filtered {
                filtered.remove(slot, stands(&self.entries, entry, compare));
            }
            tally(&mut self.tallies, entry.record.health(), -1);
        }
        self.free.push(slot);
        self.entries.get_mut(slot as usize)?.take()
    }

    /// Changes what rows say without changing which there are; sort again afterwards.
    pub fn amend(&mut self, change: impl Fn(&mut T)) {
        for entry in self.entries.iter_mut().flatten() {
            change(&mut entry.record);
        }
    }

    fn shown(&self) -> &Sequence {
        self.filtered.as_ref().unwrap_or(&self.sorted)
    }

    /// How many are shown.
    pub fn len(&self) -> usize {
        self.shown().len()
    }

    /// How many there are without the filter.
    pub fn all(&self) -> usize {
        self.slots.len()
    }

    /// Those that are shown, from a place on.
    pub fn from(&self, index: usize) -> impl Iterator<Item = &T> {
        self.shown()
            .from(index)
            .filter_map(|slot| Some(&at(&self.entries, slot)?.record))
    }

    /// The row of an object, where it is shown.
    pub fn get(&self, id: &Uid) -> Option<&T> {
        let entry = at(&self.entries, *self.slots.get(id)?)?;
        entry.shown.then_some(&entry.record)
    }

    pub fn position(&self, id: &Uid) -> Option<usize> {
        let entry = at(&self.entries, *self.slots.get(id)?).filter(|entry| entry.shown)?;
        let compare = by_key(self.direction);
        Some(self.shown().position(stands(&self.entries, entry, compare)))
    }

    /// How many of those that are shown are in a state.
    pub fn count(&self, health: Health) -> usize {
        self.tallies.get(health as usize).copied().unwrap_or(0)
    }
}

fn tally(tallies: &mut [usize; STATES], health: Option<Health>, by: isize) {
    if let Some(count) = health.and_then(|health| tallies.get_mut(health as usize)) {
        *count = count.saturating_add_signed(by);
    }
}

#[cfg(test)]
mod tests;
