//! Columns: what a cell shows, what rows are ordered and compared by.

use std::borrow::Cow;
use std::cmp::{Ordering, Reverse};
use std::fmt;

use jiff::Timestamp;

use crate::k8s::Name;
use crate::k8s::quantity::Quantity;
use crate::tui::page::Context;
use crate::tui::screen::{Align, Cell, Sorted};

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
    /// Since when. Older is more, as with the age that is shown; the order does not change while
    /// time passes.
    Age(Reverse<Timestamp>),
}

impl SortKey {
    /// The key as a filter compares it now: an age is a number of seconds.
    pub fn at(self, now: Timestamp) -> Self {
        match self {
            Self::Age(Reverse(since)) => Self::Number(now.duration_since(since).as_secs()),
            other => other,
        }
    }
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

/// The order of two rows by their keys; rows without a key come last in both directions.
pub fn order(one: &SortKey, other: &SortKey, sorted: Sorted) -> Ordering {
    match (one, other) {
        (SortKey::Nothing, SortKey::Nothing) => Ordering::Equal,
        (SortKey::Nothing, _) => Ordering::Greater,
        (_, SortKey::Nothing) => Ordering::Less,
        _ if sorted == Sorted::Descending => other.cmp(one),
        _ => one.cmp(other),
    }
}
