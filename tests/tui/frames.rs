//! Golden frames of the views, and what a frame costs on the wire.

use std::path::PathBuf;

use bayplan::k8s::ChangeKind;
use bayplan::tui::runtime::paint::paint;
use bayplan::tui::theme::{Characters, Depth};
use bayplan::tui::view::View;

use crate::console::Console;
use crate::objects::{pod, shop};

const SIZES: [(u16, u16); 3] = [(80, 24), (120, 40), (200, 60)];

fn golden(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
        .join("tests/tui/frames")
        .join(format!("{name}.txt"))
}

#[expect(
    clippy::disallowed_methods,
    reason = "a switch for whoever runs the tests, nothing of the product's"
)]
#[track_caller]
pub fn check(name: &str, shown: &str) {
    let path = golden(name);
    if std::env::var_os("UPDATE").is_some() {
        return std::fs::write(path, shown).unwrap();
    }
    let expected = std::fs::read_to_string(&path).unwrap_or_default();
    if expected != shown {
        let first = expected
            .lines()
            .zip(shown.lines())
            .position(|(old, new)| old != new)
            .map_or(0, |line| line + 1);
        panic!(
            "{name} differs first in line {first}; UPDATE=1 writes it anew\n--- expected\n{expected}\n--- shown\n{shown}"
        );
    }
}

fn loaded(view: View, size: (u16, u16)) -> Console {
    let mut console = Console::new(view, size);
    console.load(&shop());
    console
}

#[test]
fn help_and_panels_look_as_reviewed() {
    for size in SIZES {
        let mut console = loaded(View::Workloads, size);
        console.press("?");
        check(&format!("help-{}x{}", size.0, size.1), &console.text());
        console.press("esc :");
        console.press("\"po\"");
        check(&format!("command-{}x{}", size.0, size.1), &console.text());
        console.press("esc ctrl-k \"cart\"");
        check(&format!("palette-{}x{}", size.0, size.1), &console.text());
        console.press("esc !!");
        check(&format!("act-{}x{}", size.0, size.1), &console.text());
        console.press("esc !d");
        check(&format!("delete-{}x{}", size.0, size.1), &console.text());
    }
}

#[test]
fn views_look_as_reviewed() {
    for view in [View::Pods, View::Workloads] {
        for size in SIZES {
            let console = loaded(view, size);
            check(
                &format!("{}-{}x{}", view.name(), size.0, size.1),
                &console.text(),
            );
        }
    }
}

#[test]
fn an_unchanged_frame_costs_nothing_and_a_cursor_move_little() {
    let mut console = loaded(View::Pods, (200, 50));
    let before = console.drawn(Depth::True, Characters::Unicode);
    let again = console.drawn(Depth::True, Characters::Unicode);
    assert_eq!(paint(Some(&before), &again), "");
    console.press("j");
    let after = console.drawn(Depth::True, Characters::Unicode);
    let moved = paint(Some(&before), &after);
    assert!(
        (1..=100).contains(&moved.len()),
        "a cursor move costs {} bytes: {moved:?}",
        moved.len()
    );
    console.change(ChangeKind::Added, &pod("zzz-last", "a01-h01"));
    let added = console.drawn(Depth::True, Characters::Unicode);
    let bytes = paint(Some(&after), &added).len();
    assert!(bytes < 4096, "one more row costs {bytes} bytes");
    let first = paint(None, &added).len();
    assert!(first < 20_000, "a whole frame costs {first} bytes");
}
