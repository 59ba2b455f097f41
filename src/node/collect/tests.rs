//! Whatever happens to the files and to this program: every line once, in its order.

use std::fs::{self, File};
use std::io::Write;
use std::ops::ControlFlow;

use proptest::prelude::*;

use super::*;
use crate::logstore::{Bounds, Query};
use crate::node::container::log::{FILES_MAX, numbered};

/// A node's folder with one container that says numbered lines.
struct Node {
    folder: tempfile::TempDir,
    said: u32,
}

impl Node {
    fn new() -> Self {
        let node = Self {
            folder: tempfile::tempdir().unwrap(),
            said: 0,
        };
        fs::create_dir_all(node.log().parent().unwrap()).unwrap();
        node
    }

    fn pod(&self) -> PathBuf {
        self.folder.path().join("pods/uid-1")
    }

    fn log(&self) -> PathBuf {
        logs_folder(&self.pod(), "app").join("0.log")
    }

    fn write(&self, text: &str) {
        let log = File::options().create(true).append(true).open(self.log());
        log.unwrap().write_all(text.as_bytes()).unwrap();
    }

    fn say(&mut self, count: u32) {
        let mut text = String::new();
        for _ in 0..count {
            let line = format!("2026-11-22T20:00:00Z stdout F line {}\n", self.said);
            text.push_str(&line);
            self.said += 1;
        }
        self.write(&text);
    }

    fn rotate(&self) {
        for number in (1..FILES_MAX).rev() {
            let older = numbered(&self.log(), number);
            if older.exists() {
                fs::rename(&older, numbered(&self.log(), number + 1)).unwrap();
            }
        }
        if self.log().exists() {
            fs::rename(self.log(), numbered(&self.log(), 1)).unwrap();
        }
        self.write("");
    }

    fn logs(&self) -> Logs {
        let logs = Logs::default();
        logs.place(self.folder.path().join("lines"), Bounds::default());
        logs
    }

    fn collector(&self, logs: &Logs) -> Collector {
        let labels = Labels {
            namespace: "shop".to_owned(),
            pod: "cart-1".to_owned(),
            uid: "uid-1".to_owned(),
            ..Labels::default()
        };
        Collector {
            logs: logs.clone(),
            run: self.folder.path().to_path_buf(),
            node: "here".to_owned(),
            followers: BTreeMap::new(),
            known: [("uid-1".to_owned(), labels)].into(),
            unknown: BTreeMap::new(),
            flushed_at: Timestamp::MAX,
            trimmed_at: Timestamp::MAX,
        }
    }
}

fn round(collector: &mut Collector) {
    while collector.round(Timestamp::UNIX_EPOCH).unwrap() {}
}

fn texts(logs: &Logs) -> Vec<String> {
    let mut texts = Vec::new();
    let reader = logs.reader().unwrap().unwrap();
    reader.search(&Query::default(), &mut |line| {
        assert_eq!(line.labels.container, "app");
        texts.push(String::from_utf8(line.text).unwrap());
        ControlFlow::Continue(())
    });
    texts
}

fn expected(count: u32) -> Vec<String> {
    (0..count).map(|number| format!("line {number}")).collect()
}

#[test]
fn lines_survive_the_pod() {
    let mut node = Node::new();
    let logs = node.logs();
    let mut collector = node.collector(&logs);
    node.say(3);
    round(&mut collector);
    node.say(2);
    fs::remove_dir_all(node.pod()).unwrap();
    round(&mut collector);
    assert_eq!(texts(&logs), expected(5));
    assert!(collector.followers.is_empty());
    let marks = logs.with(|store| store.marks().len()).unwrap();
    assert_eq!(marks, Some(0));
}

#[test]
fn a_line_in_parts_is_one_and_one_without_end_waits() {
    let node = Node::new();
    let logs = node.logs();
    let mut collector = node.collector(&logs);
    node.write("2026-11-22T20:00:00Z stdout P lin\n2026-11-22T20:00:00Z stderr F x\n");
    node.write("2026-11-22T20:00:00Z stdout F e 0\nno log line\n2026-11-22T20:00:00Z stdo");
    round(&mut collector);
    assert_eq!(texts(&logs), ["x", "line 0"]);
    node.write("ut F late\n");
    round(&mut collector);
    assert_eq!(texts(&logs), ["x", "line 0", "late"]);
}

#[test]
fn parts_that_a_restart_cuts_are_read_again() {
    let node = Node::new();
    let logs = node.logs();
    let mut collector = node.collector(&logs);
    node.write("2026-11-22T20:00:00Z stdout P lin\n");
    round(&mut collector);
    logs.with(|store| store.flush().unwrap()).unwrap();
    drop((collector, logs));
    let logs = node.logs();
    let mut collector = node.collector(&logs);
    node.write("2026-11-22T20:00:00Z stdout F e 0\n");
    round(&mut collector);
    assert_eq!(texts(&logs), ["line 0"]);
}

#[test]
fn an_earlier_run_of_a_container_is_not_held_open() {
    let mut node = Node::new();
    let logs = node.logs();
    let mut collector = node.collector(&logs);
    node.say(1);
    fs::rename(node.log(), node.log().with_file_name("1.log")).unwrap();
    node.said = 0;
    node.say(1);
    round(&mut collector);
    assert_eq!(texts(&logs), ["line 0", "line 0"]);
    let open = || fs::read_dir("/proc/self/fd").unwrap().flatten();
    let held = |name: &str| {
        let path = fs::canonicalize(node.log().with_file_name(name)).unwrap();
        open().any(|entry| fs::read_link(entry.path()).is_ok_and(|to| to == path))
    };
    assert!(!held("0.log"));
    assert!(held("1.log"));
}

#[test]
fn a_pod_that_nobody_knows_is_taken_in_by_what_the_store_knows_of_it() {
    let mut node = Node::new();
    let logs = node.logs();
    let mut collector = node.collector(&logs);
    node.say(1);
    round(&mut collector);
    collector.known.clear();
    collector.unknown.insert("uid-1".to_owned(), Timestamp::MIN);
    node.say(1);
    round(&mut collector);
    let reader = logs.reader().unwrap().unwrap();
    let query = Query {
        pods: vec!["cart-1".to_owned()],
        ..Query::default()
    };
    assert_eq!(reader.last(&query, 9).0.len(), 2);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    /// Saying, rotating, looking, writing down, being killed, in any order.
    #[test]
    fn every_line_is_taken_in_once(steps in prop::collection::vec((0..6_u8, 1..40_u32), 0..40)) {
        let mut node = Node::new();
        let mut logs = node.logs();
        let mut collector = node.collector(&logs);
        let mut rotated = 0;
        for (step, count) in steps {
            match step {
                0 | 1 => node.say(count),
                // More would rotate away what was not read; that is told, not kept.
                2 if rotated + 1 < FILES_MAX => {
                    node.rotate();
                    rotated += 1;
                }
                3 => {
                    round(&mut collector);
                    logs.with(|store| store.flush().unwrap()).unwrap();
                    rotated = 0;
                }
                4 => round(&mut collector),
                5 => {
                    logs = node.logs();
                    collector = node.collector(&logs);
                }
                _ => {}
            }
        }
        round(&mut collector);
        prop_assert_eq!(texts(&logs), expected(node.said));
    }
}
