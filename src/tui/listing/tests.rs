//! A page derives what changed, all of it in the end, and nothing else.

use serde_json::json;

use super::*;
use crate::k8s::build::pod;
use crate::k8s::{ChangeKind, resources};
use crate::tui::cache::FeedEvent;
use crate::tui::columns::{ObjectRow, age, name};
use crate::tui::page::Surroundings;

const HEIGHT: usize = 10;
const COLUMNS: &[Column<ObjectRow>] = &[name(), age()];

/// All pods, and how many rows of them were derived so far.
#[derive(Default, Debug)]
struct Pods {
    derived: usize,
}

impl Source for Pods {
    type Row = ObjectRow;

    fn columns(&self) -> &[Column<ObjectRow>] {
        COLUMNS
    }

    fn all(&self, context: &Context) -> Vec<Arc<Object>> {
        context.cluster.pods().cloned().collect()
    }

    fn row(&mut self, object: &Arc<Object>, _context: &Context) -> Option<ObjectRow> {
        self.derived += 1;
        Some(ObjectRow {
            object: Arc::clone(object),
            cells: None,
        })
    }

    fn concerned(&self, change: &Logged, _context: &Context, rows: &mut Concerned) {
        if change.key.resource == resources::PODS {
            rows.insert(change.uid.clone(), change.key.clone());
        }
    }

    /// Two of them fill a portion.
    fn cost(_row: &ObjectRow) -> usize {
        PORTION / 2
    }
}

/// A day after the pods were created.
fn start() -> Timestamp {
    "2026-01-02T00:00:00Z".parse().unwrap()
}

fn pods(names: &[&str]) -> Vec<Arc<Object>> {
    names.iter().map(|name| pod(name).build()).collect()
}

/// A console with these pods, and a listing that has read them.
fn settled(names: &[&str]) -> (Surroundings, Listing<Pods>) {
    let mut around = Surroundings::default();
    let event = FeedEvent::Listed {
        objects: pods(names),
        total: None,
    };
    around.cache.take(&resources::PODS, event, start());
    let mut list = Listing::<Pods>::default();
    let asks = list.settle(HEIGHT, &around.context(start()));
    assert!(asks.is_empty(), "{asks:?}");
    (around, list)
}

fn change(around: &mut Surroundings, kind: ChangeKind, objects: Vec<Arc<Object>>) {
    let changes = objects.into_iter().map(|object| (kind, object)).collect();
    let event = FeedEvent::Changed(changes);
    around.cache.take(&resources::PODS, event, start());
}

#[track_caller]
fn check(list: &Listing<Pods>, names: &[&str], derived: usize) {
    let rows = list.table.rows().map(|row| row.object.name());
    assert_eq!(rows.collect::<Vec<_>>(), names);
    assert_eq!(list.source.derived, derived);
}

#[test]
fn only_what_changed_is_derived_anew() {
    let (mut around, mut list) = settled(&["c", "a", "b"]);
    check(&list, &["a", "b", "c"], 3);
    list.settle(HEIGHT, &around.context(start()));
    check(&list, &["a", "b", "c"], 3);
    change(&mut around, ChangeKind::Deleted, pods(&["a"]));
    change(&mut around, ChangeKind::Modified, pods(&["b"]));
    change(&mut around, ChangeKind::Added, pods(&["d"]));
    list.settle(HEIGHT, &around.context(start()));
    check(&list, &["b", "c", "d"], 5);
}

#[test]
fn a_storm_is_taken_in_portions() {
    let names = ["a", "b", "c", "d", "e"];
    let (mut around, mut list) = settled(&names);
    change(&mut around, ChangeKind::Modified, pods(&names));
    for derived in [7, 9] {
        list.settle(HEIGHT, &around.context(start()));
        check(&list, &names, derived);
        let wake = list.next_wake(&around.context(start()));
        assert_eq!(wake, Some(start()), "the rest waits for the next frame");
    }
    list.settle(HEIGHT, &around.context(start()));
    check(&list, &names, 10);
    let wake = list.next_wake(&around.context(start()));
    assert!(wake.is_some_and(|wake| wake > start()), "{wake:?}");
}

#[test]
fn what_changes_while_it_waits_is_derived_once_as_it_is_in_the_end() {
    let names = ["a", "b", "c"];
    let (mut around, mut list) = settled(&names);
    change(&mut around, ChangeKind::Modified, pods(&names));
    list.settle(HEIGHT, &around.context(start()));
    change(&mut around, ChangeKind::Deleted, pods(&["c"]));
    list.settle(HEIGHT, &around.context(start()));
    check(&list, &["a", "b"], 5);
}

#[test]
fn another_scope_reads_everything_anew() {
    let (mut around, mut list) = settled(&["shop/a", "shop/b", "play/c"]);
    around.scope = Scope::of(&["shop"]);
    list.settle(HEIGHT, &around.context(start()));
    check(&list, &["a", "b"], 5);
    change(&mut around, ChangeKind::Added, pods(&["play/d", "shop/e"]));
    list.settle(HEIGHT, &around.context(start()));
    check(&list, &["a", "b", "e"], 6);
}

#[test]
fn changes_that_are_forgotten_cost_a_look_at_everything() {
    let (mut around, mut list) = settled(&["a", "b"]);
    let seen = around.cache.logged();
    change(&mut around, ChangeKind::Deleted, pods(&["a"]));
    let again = pod("b").build();
    while around.cache.logged_after(seen).is_some() {
        change(
            &mut around,
            ChangeKind::Modified,
            vec![Arc::clone(&again); 1_000],
        );
    }
    list.settle(HEIGHT, &around.context(start()));
    check(&list, &["b"], 3);
}

#[test]
fn an_object_of_the_same_name_is_another_row() {
    let (mut around, mut list) = settled(&["a"]);
    let successor = pod("a").with(&json!({"metadata": {"uid": "successor"}}));
    change(&mut around, ChangeKind::Modified, vec![successor.build()]);
    list.settle(HEIGHT, &around.context(start()));
    check(&list, &["a"], 2);
    assert_eq!(list.selection()[0].uid, Uid("successor".into()));
}

#[test]
fn marks_of_rows_that_went_are_told_once() {
    let (mut around, mut list) = settled(&["a", "b"]);
    list.command(&Command::Mark, &around.context(start()));
    change(&mut around, ChangeKind::Deleted, pods(&["a"]));
    let asks = list.settle(HEIGHT, &around.context(start()));
    let [Ask::Notice(notice)] = &asks[..] else {
        panic!("{asks:?}");
    };
    assert_eq!(notice.text, "1 mark dropped: no longer in the table");
    let again = list.settle(HEIGHT, &around.context(start()));
    assert!(again.is_empty(), "{again:?}");
}
