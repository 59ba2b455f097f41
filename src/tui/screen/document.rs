//! Text to read: documents that scroll, and streams of log lines.

use crate::tui::text::{Line, Role};

/// Lines to scroll in. Long documents hold only the lines around the window: `first` says which
/// line of the whole `lines` begins with.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct Document {
    pub title: Line,
    pub lines: Vec<Line>,
    /// Number of the first of `lines` in the whole text.
    pub first: usize,
    pub total: usize,
    /// Columns scrolled to the right.
    pub shift: usize,
    pub wrap: bool,
    /// The line with the cursor, counted in the whole text.
    pub cursor: Option<usize>,
}

/// Log lines, the newest at the bottom.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct LogStream {
    /// Lines over the stream: sources, rate, lost lines.
    pub heading: Vec<Line>,
    /// The lines to show; where they do not fill the area, they begin at the top.
    pub lines: Vec<LogLine>,
    pub wrap: bool,
    pub shift: usize,
}

#[derive(Clone, PartialEq, Debug, Default)]
pub struct LogLine {
    /// Time and source: never scrolled sideways.
    pub prefix: Line,
    pub text: Line,
    pub behind: Option<Role>,
}

impl Document {
    /// A document that is short enough to be held whole.
    pub fn whole(lines: Vec<Line>) -> Self {
        Self {
            total: lines.len(),
            lines,
            ..Self::default()
        }
    }
}
