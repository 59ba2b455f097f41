//! The words and keys of the pictures of packing and of failure domains.

use crate::tui::command::{Command, Entry, PageCommand};
use crate::tui::forecast::moves::{MovesGoal, MovesQuestion};
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
    Entry::new(
        "compact",
        &["m"],
        "how few machines this workload needs, and the moves that free some",
        || Command::Moves(MovesQuestion::of(MovesGoal::Machines)),
    )
    .argument(
        |text| MovesQuestion::parse(text, MovesGoal::Machines).map(Command::Moves),
        "[emptydir]",
    )
    .views(&[View::Bays, View::Domains])
    .hint("machines"),
    Entry::new(
        "rebalance",
        &[],
        "the moves that even out replicas over zones, or another level",
        || Command::Moves(MovesQuestion::of(MovesGoal::Spread("zone".to_owned()))),
    )
    .argument(
        |text| {
            let zone = MovesGoal::Spread("zone".to_owned());
            MovesQuestion::parse(text, zone).map(Command::Moves)
        },
        "[machines|LEVEL] [emptydir]",
    )
    .views(&[View::Bays, View::Domains]),
];
