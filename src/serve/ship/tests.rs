//! A target that refuses for a while, forgets to answer, finds things too large, and is missed by no
//! line.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::extract::State;
use axum::response::IntoResponse;

use super::*;
use crate::logstore::{Bounds, Labels};

/// What the target says to its requests, in order; afterwards it takes everything.
type Script = Vec<(u16, Takes)>;

#[derive(Clone, Copy, PartialEq, Eq)]
enum Takes {
    Nothing,
    /// And its answer is not told.
    TheLines,
}

#[derive(Clone, Default)]
struct Desk {
    bodies: Arc<Mutex<Vec<String>>>,
    script: Arc<Mutex<Script>>,
    requests: Arc<Mutex<u32>>,
    lines_max: Option<usize>,
}

async fn take(State(desk): State<Desk>, body: String) -> impl IntoResponse {
    *desk.requests.lock().unwrap() += 1;
    let count = body.matches("text-").count();
    if desk.lines_max.is_some_and(|most| count > most) {
        return (StatusCode::PAYLOAD_TOO_LARGE, String::new());
    }
    let mut script = desk.script.lock().unwrap();
    let next = (!script.is_empty()).then(|| script.remove(0));
    if next.is_none_or(|(_, takes)| takes == Takes::TheLines) {
        desk.bodies.lock().unwrap().push(body);
    }
    let items: Vec<Value> = (0..count)
        .map(|_| json!({"create": {"status": 201}}))
        .collect();
    let code = next.map_or(StatusCode::OK, |(code, _)| {
        StatusCode::from_u16(code).unwrap()
    });
    (code, json!({"items": items}).to_string())
}

async fn listen(desk: Desk) -> SocketAddr {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let router = Router::new().fallback(take).with_state(desk);
    tokio::spawn(async move { axum::serve(listener, router).await });
    address
}

struct Stage {
    folder: tempfile::TempDir,
    logs: Logs,
    said: u32,
}

impl Stage {
    fn new() -> Self {
        let _installed_before = rustls::crypto::ring::default_provider().install_default();
        let folder = tempfile::tempdir().unwrap();
        let logs = Logs::default();
        logs.place(folder.path().join("logs"), Bounds::default());
        Self {
            folder,
            logs,
            said: 0,
        }
    }

    fn say(&mut self, count: u32) {
        let labels = Labels {
            namespace: "shop".into(),
            pod: "cart-1".into(),
            uid: "uid".into(),
            container: "app".into(),
            ..Labels::default()
        };
        let said = self.said;
        self.said += count;
        let write = |store: &mut crate::logstore::Store| {
            let stream = store.stream(&labels);
            for number in said..said + count {
                let text = format!("text-{number}");
                store.append(stream, i64::from(number), false, text.as_bytes());
            }
            store.flush().unwrap();
            store.sync().unwrap();
        };
        self.logs.with(write).unwrap();
    }

    fn start(&self, target: &str) -> (CancellationToken, tokio::task::JoinHandle<()>) {
        let stop = CancellationToken::new();
        let pace = Pace {
            look: Duration::from_millis(5),
            first: Duration::from_millis(5),
            longest: Duration::from_millis(20),
        };
        let shipping = run(
            self.logs.clone(),
            target.parse().unwrap(),
            self.folder.path().to_path_buf(),
            pace,
            Stream::new(1, "ship"),
            stop.clone(),
        );
        (stop.clone(), tokio::spawn(shipping))
    }
}

/// How often each line was taken.
fn counts(desk: &Desk) -> BTreeMap<u32, u32> {
    let mut counts = BTreeMap::new();
    for body in desk.bodies.lock().unwrap().iter() {
        for found in body.split("text-").skip(1) {
            let digits: String = found.chars().take_while(char::is_ascii_digit).collect();
            *counts.entry(digits.parse().unwrap()).or_insert(0) += 1;
        }
    }
    counts
}

async fn until(what: &str, holds: impl Fn() -> bool) {
    let wait = async {
        while !holds() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    let waited = tokio::time::timeout(Duration::from_mins(1), wait).await;
    assert!(waited.is_ok(), "{what}");
}

#[tokio::test]
async fn lines_wait_while_the_target_refuses_and_each_goes_once() {
    let mut stage = Stage::new();
    let desk = Desk {
        script: Arc::new(Mutex::new(vec![
            (503, Takes::Nothing),
            (429, Takes::Nothing),
            (401, Takes::Nothing),
        ])),
        ..Desk::default()
    };
    let address = listen(desk.clone()).await;
    stage.say(100);
    let target = format!("loki=http://{address}");
    let (stop, task) = stage.start(&target);
    until("the first lines", || counts(&desk).len() == 100).await;
    assert!(*desk.requests.lock().unwrap() >= 4);
    stage.say(50);
    until("what came meanwhile", || counts(&desk).len() == 150).await;
    stop.cancel();
    task.await.unwrap();
    // The next life goes on where this one came.
    stage.say(7);
    let (stop, task) = stage.start(&target);
    until("what came while nobody shipped", || {
        counts(&desk).len() == 157
    })
    .await;
    stop.cancel();
    task.await.unwrap();
    assert!(counts(&desk).values().all(|count| *count == 1));
}

#[tokio::test]
async fn a_target_that_is_not_there_yet_gets_everything_later() {
    let mut stage = Stage::new();
    stage.say(10);
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    drop(listener);
    let (stop, task) = stage.start(&format!("loki=http://{address}"));
    tokio::time::sleep(Duration::from_millis(60)).await;
    let desk = Desk::default();
    let listener = tokio::net::TcpListener::bind(address).await.unwrap();
    let router = Router::new().fallback(take).with_state(desk.clone());
    tokio::spawn(async move { axum::serve(listener, router).await });
    until("everything", || counts(&desk).len() == 10).await;
    stop.cancel();
    task.await.unwrap();
}

#[tokio::test]
async fn an_answer_that_was_lost_makes_lines_come_again_under_the_same_ids() {
    let mut stage = Stage::new();
    let desk = Desk {
        script: Arc::new(Mutex::new(vec![(500, Takes::TheLines)])),
        ..Desk::default()
    };
    let address = listen(desk.clone()).await;
    stage.say(5);
    let (stop, task) = stage.start(&format!("elasticsearch=http://{address}"));
    until("the second time", || {
        counts(&desk).values().all(|count| *count == 2) && counts(&desk).len() == 5
    })
    .await;
    stop.cancel();
    task.await.unwrap();
    let bodies = desk.bodies.lock().unwrap().concat();
    let ids: BTreeSet<String> = bodies
        .lines()
        .filter_map(|line| {
            let line: Value = serde_json::from_str(line).unwrap();
            assert!(line.get("create").is_none_or(|it| it["_index"] == INDEX));
            Some(line.pointer("/create/_id")?.as_str()?.to_owned())
        })
        .collect();
    assert_eq!(ids.len(), 5);
}

#[tokio::test]
async fn too_much_at_once_is_sent_in_parts_and_what_is_never_taken_holds_nothing_up() {
    let mut stage = Stage::new();
    let desk = Desk {
        lines_max: Some(3),
        script: Arc::new(Mutex::new(vec![(400, Takes::Nothing)])),
        ..Desk::default()
    };
    let address = listen(desk.clone()).await;
    stage.say(16);
    let (stop, task) = stage.start(&format!("loki=http://{address}"));
    // The first two were refused for good.
    until("the others", || counts(&desk).len() == 14).await;
    stage.say(1);
    until("one more", || counts(&desk).len() == 15).await;
    stop.cancel();
    task.await.unwrap();
    assert!(counts(&desk).values().all(|count| *count == 1));
}

#[test]
fn targets_are_read_and_passwords_are_not_told() {
    for (text, url, index) in [
        (
            "loki=http://logs:3100",
            "http://logs:3100/loki/api/v1/push",
            "",
        ),
        (
            "loki=https://a.b/tenant/",
            "https://a.b/tenant/loki/api/v1/push",
            "",
        ),
        ("elasticsearch=http://e:9200", "http://e:9200/_bulk", INDEX),
        (
            "elasticsearch=http://u:secret@e/x/mine",
            "http://u@e/x/_bulk",
            "mine",
        ),
    ] {
        let target: Target = text.parse().unwrap();
        assert_eq!(
            (target.to_string().as_str(), target.index.as_str()),
            (url, index),
            "{text}"
        );
    }
    for text in [
        "",
        "loki",
        "loki=",
        "loki=ftp://x",
        "splunk=http://x",
        "loki=http://x?y=z",
    ] {
        assert!(text.parse::<Target>().is_err(), "{text}");
    }
}

#[test]
fn waits_double_up_to_a_bound_and_differ() {
    let (pace, mut jitter) = (Pace::default(), Stream::new(7, "ship"));
    let mut waits = BTreeSet::new();
    for failures in 0..40 {
        let wait = pace.wait(failures, &mut jitter);
        let most = Duration::from_secs(60.min(1 << failures.min(6)));
        assert!(wait >= most / 2 && wait <= most, "{failures}: {wait:?}");
        waits.insert(wait);
    }
    assert!(waits.len() > 30);
}

#[test]
fn answers_are_told_apart() {
    let taken = |refused, why: &str| Answer::Taken {
        refused,
        why: why.into(),
    };
    let bulk = |statuses: &[u16]| {
        let item = |status: &u16| json!({"create": {"status": status, "error": {"reason": "bad"}}});
        json!({"items": statuses.iter().map(item).collect::<Vec<_>>()}).to_string()
    };
    let elastic = Kind::Elasticsearch;
    for (kind, status, text, expected) in [
        (Kind::Loki, 204, String::new(), taken(0, "")),
        (
            Kind::Loki,
            400,
            "too old\nmore".into(),
            taken(9, "400 Bad Request too old"),
        ),
        (Kind::Loki, 413, String::new(), Answer::TooLarge),
        (
            Kind::Loki,
            500,
            "x".into(),
            Answer::Away("500 Internal Server Error x".into()),
        ),
        (elastic, 200, bulk(&[201, 409]), taken(0, "")),
        (elastic, 200, bulk(&[201, 400]), taken(1, "bad")),
        (elastic, 200, bulk(&[201, 429]), Answer::Away("bad".into())),
        (
            elastic,
            200,
            "<html>".into(),
            Answer::Away("the answer is not Elasticsearch's".into()),
        ),
    ] {
        let status = StatusCode::from_u16(status).unwrap();
        assert_eq!(judge(kind, status, &text, 9), expected, "{status} {text}");
    }
}
