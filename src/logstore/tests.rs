//! The store as its users see it: what goes in comes out, in order, whatever happens to the files.

use std::fs;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

use jiff::SignedDuration;
use proptest::prelude::*;

use super::*;
use crate::k8s::selector_text::parse_labels;

const SECOND: i64 = 1_000_000_000;

fn labels(pod: &str, container: &str) -> Labels {
    Labels {
        namespace: "shop".to_owned(),
        pod: pod.to_owned(),
        uid: format!("uid-of-{pod}"),
        container: container.to_owned(),
        node: "here".to_owned(),
        labels: [("app".to_owned(), pod.trim_end_matches("-1").to_owned())].into(),
    }
}

fn open(folder: &Path) -> Store {
    let (store, problems) = Store::open(folder, Bounds::default()).unwrap();
    assert_eq!(problems, Vec::<String>::new());
    store
}

fn write(store: &mut Store, pod: &str, at: i64, text: &str) {
    let stream = store.stream(&labels(pod, "app"));
    store.append(stream, at * SECOND, false, text.as_bytes());
}

fn found(reader: &Reader, query: &Query) -> Vec<String> {
    let mut lines = Vec::new();
    let answer = reader.search(query, &mut |line| {
        lines.push(String::from_utf8_lossy(&line.text).into_owned());
        ControlFlow::Continue(())
    });
    assert_eq!(answer.problems, Vec::<String>::new());
    lines
}

fn all(store: &Store) -> Vec<String> {
    found(&store.reader(), &Query::default())
}

fn files(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).unwrap();
    let mut paths: Vec<PathBuf> = entries.map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    paths
}

#[test]
fn lines_are_found_at_once_and_after_a_restart() {
    let folder = tempfile::tempdir().unwrap();
    let mut store = open(folder.path());
    write(&mut store, "cart-1", 1, "one");
    assert_eq!(all(&store), ["one"]);
    store.flush().unwrap();
    write(&mut store, "cart-1", 2, "two");
    assert_eq!(all(&store), ["one", "two"]);
    store.flush().unwrap();
    drop(store);
    let mut store = open(folder.path());
    assert_eq!(all(&store), ["one", "two"]);
    write(&mut store, "cart-1", 3, "three");
    store.flush().unwrap();
    assert_eq!(all(&open(folder.path())), ["one", "two", "three"]);
}

#[test]
fn labels_times_and_texts_select() {
    let folder = tempfile::tempdir().unwrap();
    let mut store = open(folder.path());
    for (at, pod, text) in [
        (1, "cart-1", "GET / 200"),
        (2, "desk-1", "GET / 503"),
        (3, "cart-1", "upstream refused"),
    ] {
        write(&mut store, pod, at, text);
        store.flush().unwrap();
    }
    let proxy = store.stream(&labels("cart-1", "proxy"));
    store.append(proxy, 4 * SECOND, true, b"GET / 200");
    let reader = store.reader();
    let check = |query: Query, expected: &[&str]| {
        assert_eq!(found(&reader, &query), expected, "{query:?}");
        let (last, _) = reader.last(&query, 100);
        let last: Vec<_> = last.iter().map(|line| line.text.as_slice()).collect();
        let expected: Vec<_> = expected.iter().map(|text| text.as_bytes()).collect();
        assert_eq!(last, expected);
    };
    let some = |text: &str| Some(text.to_owned());
    let none = Query::default;
    let grep = |text: &str| Query {
        grep: Some(Grep::parse(text).unwrap()),
        ..none()
    };
    check(
        Query {
            container: some("proxy"),
            ..none()
        },
        &["GET / 200"],
    );
    check(
        Query {
            namespace: some("other"),
            ..none()
        },
        &[],
    );
    check(
        Query {
            pods: vec!["desk-1".to_owned()],
            ..none()
        },
        &["GET / 503"],
    );
    let selector = Some(parse_labels("app in (desk)").unwrap());
    check(Query { selector, ..none() }, &["GET / 503"]);
    check(
        Query {
            since: Some(2 * SECOND),
            until: Some(4 * SECOND),
            ..none()
        },
        &["GET / 503", "upstream refused"],
    );
    check(grep("refused"), &["upstream refused"]);
    check(grep("/5\\d\\d$/"), &["GET / 503"]);
    check(grep("5\\d"), &[]);
    check(
        Query {
            from_number: 3,
            ..none()
        },
        &["GET / 200"],
    );
    let (last, _) = reader.last(&none(), 2);
    assert_eq!(
        last.iter().map(|line| line.number).collect::<Vec<_>>(),
        [2, 3]
    );
    assert!(last[1].is_error && !last[0].is_error);
    assert!(Grep::parse("/(/").is_err());
}

#[test]
fn blocks_that_overlap_in_time_come_out_in_order() {
    let folder = tempfile::tempdir().unwrap();
    let mut store = open(folder.path());
    for (at, text) in [(1, "a"), (5, "e"), (9, "i")] {
        write(&mut store, "cart-1", at, text);
    }
    store.flush().unwrap();
    for (at, text) in [(2, "b"), (6, "f"), (8, "h")] {
        write(&mut store, "desk-1", at, text);
    }
    store.flush().unwrap();
    write(&mut store, "desk-1", 7, "g");
    assert_eq!(all(&store).concat(), "abefghi");
}

#[test]
fn notes_become_durable_with_their_lines_and_survive_dropped_segments() {
    let folder = tempfile::tempdir().unwrap();
    let bounds = Bounds {
        bytes: 16 << 10,
        ..Bounds::default()
    };
    let (mut store, _) = Store::open(folder.path(), bounds).unwrap();
    store.mark("old", Some("7"));
    write(&mut store, "cart-1", 1, "first");
    store.flush().unwrap();
    store.mark("lost", Some("1"));
    drop(store);
    let (mut store, _) = Store::open(folder.path(), bounds).unwrap();
    assert_eq!(store.marks().keys().collect::<Vec<_>>(), ["old"]);
    for round in 0..200 {
        // Texts that do not compress away.
        let numbers = (0..40).map(|n| (round * 7919 + n * 104_729).to_string());
        let text = numbers.collect::<Vec<String>>().concat();
        write(&mut store, "cart-1", round, &text);
        store.flush().unwrap();
        store.trim(round * SECOND).unwrap();
    }
    assert!(store.bytes() <= bounds.bytes + 2048, "{}", store.bytes());
    assert!(store.reader().first_number() > 0);
    drop(store);
    let (store, problems) = Store::open(folder.path(), bounds).unwrap();
    assert_eq!(problems, Vec::<String>::new());
    assert_eq!(store.marks().get("old").map(String::as_str), Some("7"));
    assert_eq!(store.reader().next_number(), 201);
}

#[test]
fn what_is_too_old_goes_and_numbers_go_on() {
    let folder = tempfile::tempdir().unwrap();
    let bounds = Bounds {
        age: SignedDuration::from_secs(80),
        ..Bounds::default()
    };
    let (mut store, _) = Store::open(folder.path(), bounds).unwrap();
    write(&mut store, "cart-1", 1, "old");
    store.flush().unwrap();
    assert_eq!(store.trim(20 * SECOND).unwrap(), 0);
    write(&mut store, "cart-1", 70, "young");
    store.flush().unwrap();
    assert_eq!(store.trim(82 * SECOND).unwrap(), 1);
    assert_eq!(all(&store), ["young"]);
    assert_eq!(store.trim(500 * SECOND).unwrap(), 1);
    assert_eq!(all(&store), Vec::<String>::new());
    drop(store);
    assert_eq!(open(folder.path()).reader().next_number(), 2);
}

#[test]
fn a_reader_of_a_dropped_segment_finds_nothing_and_complains_of_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let mut store = open(folder.path());
    write(&mut store, "cart-1", 1, "one");
    store.flush().unwrap();
    let reader = store.reader();
    fs::remove_file(&files(folder.path())[0]).unwrap();
    assert_eq!(found(&reader, &Query::default()), Vec::<String>::new());
}

/// Three blocks of one line each; where they end in the file.
fn three(folder: &Path) -> (PathBuf, Vec<u64>) {
    let mut store = open(folder);
    let mut ends = Vec::new();
    for (at, text) in [(1, "one"), (2, "two"), (3, "three")] {
        write(&mut store, "cart-1", at, text);
        store.mark("at", Some(text));
        store.flush().unwrap();
        ends.push(store.bytes());
    }
    (files(folder)[0].clone(), ends)
}

#[test]
fn a_tail_that_was_cut_off_costs_its_block_and_no_more() {
    let whole = tempfile::tempdir().unwrap();
    let (path, ends) = three(whole.path());
    let bytes = fs::read(&path).unwrap();
    for length in 0..=bytes.len() {
        let folder = tempfile::tempdir().unwrap();
        let cut = folder.path().join(path.file_name().unwrap());
        fs::write(&cut, &bytes[..length]).unwrap();
        let (mut store, problems) = Store::open(folder.path(), Bounds::default()).unwrap();
        let left = ends.iter().filter(|end| **end <= length as u64).count();
        let is_clean = length == 0 || ends.contains(&(length as u64));
        assert_eq!(problems.is_empty(), is_clean, "{length}: {problems:?}");
        assert_eq!(all(&store), ["one", "two", "three"][..left]);
        // A note never says more than the lines that are there.
        let expected = left
            .checked_sub(1)
            .map(|last| ["one", "two", "three"][last]);
        assert_eq!(store.marks().get("at").map(String::as_str), expected);
        write(&mut store, "desk-1", 9, "next");
        store.flush().unwrap();
        drop(store);
        let again = open(folder.path());
        assert_eq!(all(&again).last().map(String::as_str), Some("next"));
        assert_eq!(all(&again).len(), left + 1);
    }
}

#[test]
fn a_tail_of_blanks_is_left_out() {
    let folder = tempfile::tempdir().unwrap();
    let (path, ends) = three(folder.path());
    let mut bytes = fs::read(&path).unwrap();
    let last = usize::try_from(ends[2]).unwrap();
    bytes[last - 8..].fill(0);
    fs::write(&path, &bytes).unwrap();
    let (store, problems) = Store::open(folder.path(), Bounds::default()).unwrap();
    assert_eq!(problems.len(), 1);
    assert_eq!(all(&store), ["one", "two"]);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Whatever is written, flushed and opened again: everything is found, by time, then by order.
    #[test]
    fn nothing_is_lost(
        steps in prop::collection::vec(
            (0..4_usize, 0..50_i64, prop::collection::vec(any::<u8>(), 0..40), 0..8_u8), 0..80)
    ) {
        let folder = tempfile::tempdir().unwrap();
        let mut store = open(folder.path());
        let mut expected = Vec::new();
        for (number, (pod, at, text, then)) in steps.iter().enumerate() {
            let stream = store.stream(&labels(&format!("pod-{pod}"), "app"));
            store.append(stream, *at, pod % 2 == 0, text);
            expected.push((*at, number as u64, pod % 2 == 0, format!("pod-{pod}"), text.clone()));
            if *then == 0 {
                store.flush().unwrap();
            }
            if *then == 1 {
                store.flush().unwrap();
                store.sync().unwrap();
                drop(store);
                store = open(folder.path());
            }
        }
        expected.sort();
        let mut lines = Vec::new();
        let reader = store.reader();
        reader.search(&Query::default(), &mut |line| {
            lines.push((line.at, line.number, line.is_error, line.labels.pod.clone(), line.text));
            ControlFlow::Continue(())
        });
        prop_assert_eq!(&lines, &expected);
        // The newest ones, asked for by their number.
        let (last, _) = reader.last(&Query::default(), 7);
        let last: Vec<u64> = last.iter().map(|line| line.number).collect();
        let tail = expected.iter().skip(expected.len().saturating_sub(7));
        prop_assert_eq!(last, tail.map(|line| line.1).collect::<Vec<_>>());
        // Those who pass lines on get each durable one once, in portions of any size.
        store.flush().unwrap();
        store.sync().unwrap();
        let (reader, mut from, mut numbers) = (store.reader(), 0, Vec::new());
        loop {
            let (lines, next) = reader.durable_from(from, 16);
            if next == from {
                break;
            }
            numbers.extend(lines.iter().map(|line| line.number));
            from = next;
        }
        prop_assert_eq!(numbers, (0..expected.len() as u64).collect::<Vec<_>>());
    }

    /// One damaged byte costs at most the block that it is in, and is told.
    #[test]
    fn damage_stays_where_it_is(place in any::<prop::sample::Index>(), flip in 1..=255_u8) {
        let folder = tempfile::tempdir().unwrap();
        let (path, ends) = three(folder.path());
        let mut bytes = fs::read(&path).unwrap();
        let at = place.index(bytes.len());
        bytes[at] ^= flip;
        fs::write(&path, &bytes).unwrap();
        let (store, mut problems) = Store::open(folder.path(), Bounds::default()).unwrap();
        let mut lines = Vec::new();
        let answer = store.reader().search(&Query::default(), &mut |line| {
            lines.push(line.number);
            ControlFlow::Continue(())
        });
        problems.extend(answer.problems);
        prop_assert!(!problems.is_empty());
        let hit = ends.iter().filter(|end| **end <= at as u64).count() as u64;
        // The first block names the stream for all: without its head the others have no labels.
        let intact = (0..3).filter(|number| *number != hit).collect::<Vec<u64>>();
        prop_assert!(lines == intact || (hit == 0 && lines.is_empty()), "{lines:?} {problems:?}");
    }
}
