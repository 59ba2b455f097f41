//! What lies over the page: one thing at a time, closed by one step back.

use crate::tui::text::{Line, Role, width, wrap};

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

impl HelpPanel {
    /// Two columns of hints where there is room for two; what is longer than its column is wrapped.
    pub fn lines(&self, columns: u16) -> Vec<Line> {
        let per_row = if columns >= 110 { 2 } else { 1 };
        let each = usize::from(columns) / per_row;
        let keys = self
            .sections
            .iter()
            .flat_map(|(_, hints)| hints)
            .map(|hint| width(&hint.keys))
            .max()
            .unwrap_or(0);
        let room = each.saturating_sub(keys + 4).max(1);
        let mut out = Vec::new();
        for (title, hints) in &self.sections {
            if hints.is_empty() {
                continue;
            }
            out.push(Line::of(title.clone(), Role::Title));
            let rows = hints.len().div_ceil(per_row);
            for row in 0..rows {
                let cells: Vec<(&str, Vec<String>)> = (0..per_row)
                    .filter_map(|column| hints.get(row + column * rows))
                    .map(|hint| (hint.keys.as_str(), wrap(&hint.does, room)))
                    .collect();
                let height = cells.iter().map(|(_, texts)| texts.len()).max();
                for at in 0..height.unwrap_or(0) {
                    let mut line = Line::default();
                    for (shown, texts) in &cells {
                        let text = texts.get(at).map_or("", String::as_str);
                        let shown = if at == 0 { *shown } else { "" };
                        let pad = room.saturating_sub(width(text));
                        line.push(format!("  {shown:>keys$}"), Role::Key);
                        line.push(format!("  {text}{}", " ".repeat(pad)), Role::Text);
                    }
                    out.push(line);
                }
            }
            out.push(Line::default());
        }
        out
    }
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
