//! The words and keys of logs; the timeline shares the one for weight.

use crate::tui::command::{Command, Entry, PageCommand};
use crate::tui::view::View;

const LOGS: &[View] = &[View::Logs];

const fn row(
    word: &'static str,
    keys: &'static [&'static str],
    help: &'static str,
    make: fn() -> Command,
) -> Entry {
    Entry::new(word, keys, help, make).views(LOGS)
}

pub const COMMANDS: &[Entry] = &[
    row("follow", &["F"], "follow the newest line, or stay", || {
        Command::Page(PageCommand::Follow)
    })
    .hint("follow"),
    Entry::new(
        "level",
        &["i"],
        "at least information, warnings, errors, or everything",
        || Command::Page(PageCommand::Level),
    )
    .views(&[View::Logs, View::Timeline])
    .hint("level"),
    row("wrap", &["B"], "break long lines, or cut them", || {
        Command::Page(PageCommand::Wrap)
    }),
    row("timestamps", &["I"], "show when a line was written", || {
        Command::Page(PageCommand::Timestamps)
    }),
    row(
        "previous-instance",
        &["P"],
        "the instance before the last restart",
        || Command::Page(PageCommand::Previous),
    )
    .hint("previous"),
    row("json", &["J"], "unfold JSON lines, a row a field", || {
        Command::Page(PageCommand::Unfold)
    }),
    row(
        "since",
        &["r"],
        "how far back: the last lines, 10m, 1h, all",
        || Command::Page(PageCommand::Since(None)),
    )
    .argument(
        |text| Ok(Command::Page(PageCommand::Since(Some(text.to_owned())))),
        "10m",
    ),
    row(
        "further-back",
        &["H"],
        "older lines from the cluster's log store, also of pods that are gone",
        || Command::Page(PageCommand::Past),
    )
    .hint("back"),
    row("save", &["D"], "save what is shown to a file", || {
        Command::Page(PageCommand::Save)
    }),
    row(
        "source-a",
        &["ta"],
        "show or hide container [a] in every pod",
        || Command::Page(PageCommand::ToggleSource('a')),
    )
    .hint("container"),
    row("source-b", &["tb"], "the same for [b]", || {
        Command::Page(PageCommand::ToggleSource('b'))
    }),
    row("source-c", &["tc"], "[c]", || {
        Command::Page(PageCommand::ToggleSource('c'))
    }),
    row("source-d", &["td"], "[d]", || {
        Command::Page(PageCommand::ToggleSource('d'))
    }),
    row("source-e", &["te"], "[e]", || {
        Command::Page(PageCommand::ToggleSource('e'))
    }),
    row("source-f", &["tf"], "[f]", || {
        Command::Page(PageCommand::ToggleSource('f'))
    }),
    row("source-i", &["ti"], "[i], mostly an init container", || {
        Command::Page(PageCommand::ToggleSource('i'))
    }),
    row("source-j", &["tj"], "[j]", || {
        Command::Page(PageCommand::ToggleSource('j'))
    }),
];
