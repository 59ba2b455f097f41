//! The words and keys of the pictures of packing and of failure domains.

use crate::tui::command::{Command, Entry, PageCommand};
use crate::tui::view::View;

pub const COMMANDS: &[Entry] = &[
    Entry::new(
        "group",
        &["b"],
        "group by the next failure-domain level",
        || Command::Page(PageCommand::Group),
    )
    .views(&[View::Bays, View::Domains])
    .hint("by"),
    Entry::new(
        "colour",
        &["v"],
        "another meaning of the colours: utilisation, workload, namespace, …",
        || Command::Page(PageCommand::Colour),
    )
    .aliases(&["color"])
    .views(&[View::Bays])
    .hint("colour"),
    Entry::new(
        "order",
        &["S"],
        "another order of the nodes: fullest, emptiest, most stranded, …",
        || Command::Page(PageCommand::Order),
    )
    .views(&[View::Bays])
    .hint("order"),
];
