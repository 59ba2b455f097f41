//! The words and keys of the objects view.

use crate::tui::command::{Command, Entry, PageCommand};

pub const COMMANDS: &[Entry] = &[Entry::new(
    "tree",
    &["X"],
    "who owns the selected object, and what it owns",
    || Command::Page(PageCommand::Tree),
)
.on_selection()];
