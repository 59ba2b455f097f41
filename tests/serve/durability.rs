//! A write that was answered is there after `kill -9`, every time.

use std::collections::BTreeMap;
use std::sync::mpsc;
use std::thread;

use bayplan::stdx::rng::Stream;
use serde_json::{Value, json};

use crate::served::{Local, Served};

const CONFIG_MAPS: &str = "/api/v1/namespaces/default/configmaps";
const WRITERS: usize = 4;

/// A write that the server has answered.
struct Acknowledged {
    name: String,
    value: u64,
    revision: u64,
}

/// `BAYPLAN_KILL_ROUNDS=1000 cargo test --test serve kill`
#[expect(
    clippy::disallowed_methods,
    reason = "how long to try is asked outside the program"
)]
fn rounds() -> usize {
    let asked = std::env::var("BAYPLAN_KILL_ROUNDS").ok();
    asked.and_then(|text| text.parse().ok()).unwrap_or(100)
}

#[test]
fn kill_nine_loses_no_acknowledged_write() {
    let folder = tempfile::tempdir().unwrap();
    let mut known: BTreeMap<String, u64> = BTreeMap::new();
    let mut highest = 0;
    let mut chance = Stream::new(9, "kill");
    for round in 0..rounds() {
        let mut served = Served::start(folder.path(), &[]);
        check(&mut served.local(), &known, round);
        let (sender, acknowledged) = mpsc::channel();
        let writers: Vec<_> = (0..WRITERS)
            .map(|writer| {
                let (local, sender) = (served.local(), sender.clone());
                thread::spawn(move || write(local, round, writer, &sender))
            })
            .collect();
        drop(sender);
        // The kill comes in the middle of the stream, each time somewhere else.
        let until = 1 + chance.below(60);
        let mut received = 0;
        for write in acknowledged {
            received += 1;
            if received == until {
                served.kill();
            }
            assert!(
                write.revision > highest || received > 1,
                "revision {} was given out before round {round}",
                write.revision
            );
            highest = highest.max(write.revision);
            let value = known.entry(write.name).or_default();
            *value = (*value).max(write.value);
        }
        for writer in writers {
            writer.join().unwrap();
        }
    }
    let mut served = Served::start(folder.path(), &[]);
    check(&mut served.local(), &known, usize::MAX);
    served.kill();
    assert!(known.len() > rounds(), "the stream of writes was there");
}

/// Creates objects and counts one up until the connection dies.
fn write(mut local: Local, round: usize, writer: usize, sender: &mpsc::Sender<Acknowledged>) {
    let counter = format!("counter-{writer}");
    for index in 0_u64.. {
        let value = (round as u64) << 32 | index;
        let (name, method, path) = if index % 2 == 0 {
            (
                format!("r{round}-{writer}-{index}"),
                "POST",
                CONFIG_MAPS.to_owned(),
            )
        } else {
            (counter.clone(), "PUT", format!("{CONFIG_MAPS}/{counter}"))
        };
        let object = json!({"apiVersion": "v1", "kind": "ConfigMap",
            "metadata": {"name": name}, "data": {"value": value.to_string()}});
        let mut outcome = local.send(method, &path, &object.to_string());
        if matches!(outcome, Ok((404, _))) {
            outcome = local.send("POST", CONFIG_MAPS, &object.to_string());
        }
        let Ok((status, answer)) = outcome else {
            return;
        };
        assert!(status == 200 || status == 201, "{status} {answer}");
        let revision = revision_of(&answer);
        let write = Acknowledged {
            name,
            value,
            revision,
        };
        if sender.send(write).is_err() {
            return;
        }
    }
}

/// Everything that was acknowledged is there, no older than it was acknowledged.
#[track_caller]
fn check(local: &mut Local, known: &BTreeMap<String, u64>, round: usize) {
    let (status, list) = local.send("GET", CONFIG_MAPS, "").unwrap();
    assert_eq!(status, 200);
    let stored: BTreeMap<&str, u64> = list["items"]
        .as_array()
        .unwrap()
        .iter()
        .filter_map(|item| {
            let name = item["metadata"]["name"].as_str()?;
            let value = item["data"]["value"].as_str()?.parse().ok()?;
            Some((name, value))
        })
        .collect();
    for (name, value) in known {
        let found = stored.get(name.as_str());
        assert!(
            found.is_some_and(|found| found >= value),
            "round {round}: `{name}` was acknowledged with {value}, the store has {found:?}"
        );
    }
}

fn revision_of(answer: &Value) -> u64 {
    let text = answer["metadata"]["resourceVersion"].as_str();
    text.and_then(|text| text.parse().ok()).unwrap()
}

#[test]
fn sigterm_ends_cleanly_and_the_next_start_goes_on() {
    let folder = tempfile::tempdir().unwrap();
    let served = Served::start(folder.path(), &[]);
    let object = json!({"metadata": {"name": "kept"}}).to_string();
    let (status, _) = served.local().send("POST", CONFIG_MAPS, &object).unwrap();
    assert_eq!(status, 201);
    assert_eq!(served.terminate(), Some(0));
    assert!(!folder.path().join("api.sock").exists());
    let served = Served::start(folder.path(), &[]);
    let path = format!("{CONFIG_MAPS}/kept");
    assert_eq!(served.local().send("GET", &path, "").unwrap().0, 200);
}

/// The lines of a watch that ends after a second.
fn watch(served: &Served, path: &str) -> Vec<Value> {
    let body = served.local().stream(path).unwrap();
    // The sizes of the body's chunks stand between them.
    let values = body
        .lines()
        .filter_map(|line| serde_json::from_str(line).ok());
    values.filter(Value::is_object).collect()
}

#[test]
fn a_watch_goes_on_where_it_was_after_a_restart() {
    let folder = tempfile::tempdir().unwrap();
    let served = Served::start(folder.path(), &[]);
    let mut local = served.local();
    let mut revisions = Vec::new();
    for (method, name) in [("POST", "one"), ("POST", "two"), ("PUT", "one")] {
        let object = json!({"apiVersion": "v1", "kind": "ConfigMap",
            "metadata": {"name": name}, "data": {"from": method}});
        let path = match method {
            "POST" => CONFIG_MAPS.to_owned(),
            _ => format!("{CONFIG_MAPS}/{name}"),
        };
        let (status, answer) = local.send(method, &path, &object.to_string()).unwrap();
        assert!(status < 300, "{answer}");
        revisions.push(revision_of(&answer));
    }
    let path = format!("{CONFIG_MAPS}/two");
    assert_eq!(local.send("DELETE", &path, "").unwrap().0, 200);
    assert_eq!(served.terminate(), Some(0));

    let served = Served::start(folder.path(), &[]);
    let from = |revision: u64| {
        let query = format!("watch=true&timeoutSeconds=1&resourceVersion={revision}");
        let events = watch(&served, &format!("{CONFIG_MAPS}?{query}"));
        let told = |event: &Value| {
            format!(
                "{} {}",
                event["type"].as_str().unwrap(),
                event["object"]["metadata"]["name"]
                    .as_str()
                    .unwrap_or_default()
            )
        };
        events.iter().map(told).collect::<Vec<_>>()
    };
    assert_eq!(from(revisions[1]), ["MODIFIED one", "DELETED two"]);
    assert_eq!(
        from(revisions[0]),
        ["ADDED two", "MODIFIED one", "DELETED two"]
    );
}
