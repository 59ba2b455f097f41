//! The screen as a value: what is shown, in words and roles, before anybody draws it.
//!
//! Tests assert on it, the runtime compares it with the last one and draws nothing when they are
//! equal. It knows no colours, no terminal and no cluster. Start with [`Screen`], then [`Widget`].

mod canvas;
mod document;
mod overlay;
mod table;

pub use canvas::{Canvas, CanvasCell};
pub use document::{Document, LogLine, LogStream};
pub use overlay::{
    Choice, CommandLine, ConfirmPanel, EditorPanel, HelpPanel, Menu, Overlay, TextPanel,
};
pub use table::{Align, Bar, Cell, ColumnHead, Sorted, Table, TableLine, TableRow};

use super::text::{Line, Role};

/// One whole frame.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct Screen {
    pub header: Header,
    /// A banner over the full width: a rehearsal, a lost connection.
    pub band: Option<Band>,
    /// The ten views; `None` where there is no row for them.
    pub tabs: Vec<Tab>,
    pub body: Widget,
    /// The row for messages; the command line and filter are typed here too.
    pub message: Line,
    pub hints: Vec<Hint>,
    pub overlay: Option<Overlay>,
    /// Where the terminal's own cursor stands while text is typed on the message row.
    pub caret: Option<u16>,
}

/// Left part and right part of the first row; the right part wins where room is short.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct Header {
    /// In the order of their places.
    pub left: Vec<HeaderGroup>,
    pub right: Line,
}

#[derive(Clone, PartialEq, Debug, Default)]
pub struct HeaderGroup {
    /// Where room is short, the highest go first; 0 stays always and is cut.
    pub rank: u8,
    pub line: Line,
}

#[derive(Clone, PartialEq, Debug)]
pub struct Band {
    pub text: Line,
    pub role: Role,
}

#[derive(Clone, PartialEq, Debug)]
pub struct Tab {
    pub key: String,
    pub name: String,
    pub active: bool,
}

#[derive(Clone, PartialEq, Debug)]
pub struct Hint {
    pub keys: String,
    pub does: String,
}

impl Hint {
    pub fn new(keys: impl Into<String>, does: impl Into<String>) -> Self {
        Self {
            keys: keys.into(),
            does: does.into(),
        }
    }
}

/// What a page shows. Semantic where many pages share it; [`Canvas`] is the way to draw anything
/// else: a page knows the size of its body from its context and fills cells with glyphs and roles.
#[derive(Clone, PartialEq, Debug)]
pub enum Widget {
    Empty(Empty),
    /// Lines that are simply there, cut at the right edge.
    Lines(Vec<Line>),
    Table(Table),
    /// Text to scroll in.
    Document(Document),
    Log(LogStream),
    /// Names and values, the names in one column.
    KeyValue(Vec<(String, Line)>),
    Canvas(Canvas),
    /// A thin line, with a caption in it.
    Rule(Line),
    Split(Split),
    /// A text editor over the whole area.
    Editor(EditorPanel),
}

/// Why nothing is shown, and what to press.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct Empty {
    pub why: Line,
    pub press: Line,
}

#[derive(Clone, PartialEq, Debug)]
pub struct Split {
    pub direction: Direction,
    pub parts: Vec<(Extent, Widget)>,
    /// A thin line between side-by-side parts, or one blank column.
    pub ruled: bool,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Direction {
    /// Parts side by side.
    Across,
    /// Parts one below the other.
    Down,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Extent {
    Cells(u16),
    Percent(u16),
    /// An equal share of what is left.
    Rest,
}

impl Default for Widget {
    fn default() -> Self {
        Self::Lines(Vec::new())
    }
}

impl Widget {
    /// Parts one below the other.
    pub fn down(parts: impl IntoIterator<Item = (Extent, Widget)>) -> Self {
        Self::Split(Split {
            direction: Direction::Down,
            parts: parts.into_iter().collect(),
            ruled: false,
        })
    }

    /// Parts side by side with a thin line between them.
    pub fn across(parts: impl IntoIterator<Item = (Extent, Widget)>) -> Self {
        Self::Split(Split {
            direction: Direction::Across,
            parts: parts.into_iter().collect(),
            ruled: true,
        })
    }

    pub fn empty(why: impl Into<Line>, press: impl Into<Line>) -> Self {
        Self::Empty(Empty {
            why: why.into(),
            press: press.into(),
        })
    }

    /// One line, cut at the right edge.
    pub fn line(line: impl Into<Line>) -> Self {
        Self::Lines(vec![line.into()])
    }
}
