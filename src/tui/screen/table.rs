//! A table's visible part.

use crate::k8s::Uid;
use crate::tui::text::{Line, Role};

#[derive(Clone, PartialEq, Debug, Default)]
pub struct Table {
    pub columns: Vec<ColumnHead>,
    /// Only the rows that are in view.
    pub rows: Vec<TableRow>,
    /// The first visible row's place among all, and how many there are.
    pub first: usize,
    pub total: usize,
    /// Shown instead of rows.
    pub empty: Option<super::Empty>,
}

#[derive(Clone, PartialEq, Debug, Default)]
pub struct ColumnHead {
    pub title: String,
    pub align: Align,
    /// Never narrower than this, never wider than `max`.
    pub min: u16,
    pub max: u16,
    /// Where room is short, columns with the highest number go first; 0 stays always.
    pub priority: u8,
    pub sorted: Option<Sorted>,
    /// Takes the room that is left over.
    pub fills: bool,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Sorted {
    Ascending,
    Descending,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Align {
    #[default]
    Left,
    Right,
    /// Cut in the middle where room is short; names.
    Name,
}

#[derive(Clone, PartialEq, Debug, Default)]
pub struct TableRow {
    pub id: Uid,
    pub cells: Vec<Cell>,
    pub cursor: bool,
    pub marked: bool,
    /// Lines under the row: an editor in place, a rollout's progress.
    pub below: Vec<TableLine>,
}

pub type TableLine = Line;

#[derive(Clone, PartialEq, Debug, Default)]
pub struct Cell {
    pub line: Line,
    pub bar: Option<Bar>,
    /// Changed within the last two seconds.
    pub changed: bool,
}

/// A small horizontal bar before the text.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Bar {
    /// 0 to 1.
    pub share: f64,
    pub cells: u16,
    pub role: Role,
}

impl Cell {
    pub fn new(text: impl Into<String>, role: Role) -> Self {
        Self::from(Line::of(text, role))
    }

    #[must_use]
    pub fn with_bar(mut self, share: f64, cells: u16, role: Role) -> Self {
        self.bar = Some(Bar { share, cells, role });
        self
    }
}

impl From<Line> for Cell {
    fn from(line: Line) -> Self {
        Self {
            line,
            bar: None,
            changed: false,
        }
    }
}

impl From<&str> for Cell {
    fn from(text: &str) -> Self {
        Self::new(text, Role::Text)
    }
}

impl From<String> for Cell {
    fn from(text: String) -> Self {
        Self::new(text, Role::Text)
    }
}
