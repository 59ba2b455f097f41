//! What lies over the page: one thing at a time, closed by one step back.

use crate::tui::text::Line;

use super::Hint;

#[derive(Clone, PartialEq, Debug)]
pub enum Overlay {
    Help(HelpPanel),
    /// Sentences to read.
    Text(TextPanel),
    /// `:` with completions above the message row.
    Command(CommandLine),
    /// Everything by name.
    Palette(CommandLine),
    Confirm(ConfirmPanel),
    Menu(Menu),
}

#[derive(Clone, PartialEq, Debug, Default)]
pub struct HelpPanel {
    pub title: Line,
    /// Sections of keys and what they do.
    pub sections: Vec<(String, Vec<Hint>)>,
    pub scroll: usize,
}

#[derive(Clone, PartialEq, Debug, Default)]
pub struct TextPanel {
    pub title: Line,
    pub lines: Vec<Line>,
    pub scroll: usize,
}

#[derive(Clone, PartialEq, Debug, Default)]
pub struct CommandLine {
    pub prompt: String,
    pub input: String,
    /// Columns before the caret.
    pub caret: u16,
    /// What the input would complete to, dimmed behind it.
    pub ghost: String,
    pub choices: Vec<Choice>,
    pub chosen: Option<usize>,
    pub problem: Option<String>,
}

#[derive(Clone, PartialEq, Debug, Default)]
pub struct Choice {
    pub name: Line,
    pub about: String,
    pub keys: String,
}

/// A change before it is sent: what, from → to, what it will do, and on what name to confirm it.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct ConfirmPanel {
    pub title: Line,
    pub lines: Vec<Line>,
    /// The name that must be typed, and what was typed so far.
    pub typed: Option<(String, String)>,
    pub hints: Vec<Hint>,
    pub dangerous: bool,
}

#[derive(Clone, PartialEq, Debug, Default)]
pub struct Menu {
    pub title: Line,
    pub choices: Vec<Choice>,
    pub chosen: usize,
}

/// A text editor: lines around the window, the caret, and what was changed.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct EditorPanel {
    pub title: Line,
    pub lines: Vec<Line>,
    /// Number of the first of `lines` in the whole text.
    pub first: usize,
    /// Column and line within `lines`.
    pub caret: (u16, u16),
}
