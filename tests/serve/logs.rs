//! The log store over HTTP, and `bayplan logs`.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use bayplan::connect::{self, Access};
use bayplan::logstore::{Bounds, Labels, Store};
use bayplan::serve::{Host, HostOptions, Seed};
use futures::{AsyncBufReadExt, StreamExt};
use serde_json::Value;

fn labels(pod: &str, container: &str) -> Labels {
    Labels {
        namespace: "shop".into(),
        pod: pod.into(),
        uid: format!("uid-of-{pod}"),
        container: container.into(),
        node: "here".into(),
        labels: [("app".to_owned(), "cart".to_owned())].into(),
    }
}

fn say(store: &mut Store, pod: &str, container: &str, second: i64, text: &str) {
    let stream = store.stream(&labels(pod, container));
    store.append(stream, second * 1_000_000_000, false, text.as_bytes());
}

async fn host(folder: Option<&Path>) -> Host {
    let options = HostOptions {
        cluster: "test".into(),
        folder: folder.map(Path::to_path_buf),
        command: "test".into(),
        listen: None,
        seed: Seed::Objects(Vec::new()),
        scheduler: None,
        companion: None,
        logs: Bounds::default(),
    };
    Host::open(options).await.unwrap()
}

fn ask(path: &str) -> http::Request<Vec<u8>> {
    http::Request::get(path).body(Vec::new()).unwrap()
}

async fn texts(client: &kube::Client, query: &str) -> Vec<String> {
    let path = format!("/bayplan/logs{query}");
    let body = client.request_text(ask(&path)).await.unwrap();
    let value = |line: &str| serde_json::from_str::<Value>(line).unwrap();
    let lines = body.lines().map(value);
    lines
        .map(|line| line["text"].as_str().unwrap().to_owned())
        .collect()
}

#[tokio::test]
async fn the_store_is_searched_and_followed_over_http() {
    let folder = tempfile::tempdir().unwrap();
    let host = host(Some(folder.path())).await;
    let write = |second: i64, text: &str| {
        host.logs()
            .with(|store| say(store, "cart-1", "app", second, text))
            .unwrap();
    };
    write(1, "one & \"only\"");
    write(2, "two");
    let client = connect::in_process(&host, Access::ReadWrite);
    assert_eq!(texts(&client, "").await, ["one & \"only\"", "two"]);
    assert_eq!(
        texts(&client, "?labelSelector=app%3Dcart&grep=tw").await,
        ["two"]
    );
    assert_eq!(texts(&client, "?pod=other,cart-1&tail=1").await, ["two"]);
    assert_eq!(
        texts(&client, "?namespace=else").await,
        Vec::<String>::new()
    );
    assert_eq!(
        texts(&client, "?until=1970-01-01T00:00:02Z").await,
        ["one & \"only\""]
    );
    for bad in ["?since=x", "?grep=/(/", "?tail=-1", "?labelSelector=a%20b"] {
        let refused = client
            .request_text(ask(&format!("/bayplan/logs{bad}")))
            .await;
        assert!(
            matches!(refused, Err(kube::Error::Api(status)) if status.code == 400),
            "{bad}"
        );
    }
    let body = client
        .request_stream(ask("/bayplan/logs?follow=true&tail=1"))
        .await
        .unwrap();
    let mut lines = body.lines();
    let mut next = async || {
        let line = tokio::time::timeout(Duration::from_secs(20), lines.next()).await;
        line.unwrap().unwrap().unwrap()
    };
    assert!(next().await.contains("\"text\":\"two\""));
    write(3, "three");
    let line: Value = serde_json::from_str(&next().await).unwrap();
    assert_eq!(line["text"], "three");
    assert_eq!(line["time"], "1970-01-01T00:00:03.000000000Z");
    assert_eq!(
        (&line["pod"], &line["labels"]["app"]),
        (&"cart-1".into(), &"cart".into())
    );
    host.stop().await.unwrap();
}

#[tokio::test]
async fn only_who_may_reads_and_a_cluster_in_memory_keeps_nothing() {
    let host = host(None).await;
    let client = connect::in_process(&host, Access::ReadWrite);
    let code = async |request| match client.request_text(request).await {
        Err(kube::Error::Api(status)) => status.code,
        other => panic!("{other:?}"),
    };
    assert_eq!(code(ask("/bayplan/logs")).await, 404);
    let mut request = ask("/bayplan/logs");
    request
        .headers_mut()
        .insert("Impersonate-User", "mallory".parse().unwrap());
    assert_eq!(code(request).await, 403);
    host.stop().await.unwrap();
}

#[test]
fn the_command_reads_what_was_kept() {
    let data = tempfile::tempdir().unwrap();
    let folder = data.path().join("bayplan/clusters/kept/logs");
    let (mut store, _) = Store::open(&folder, Bounds::default()).unwrap();
    // Whether an age of minutes is kept is the node's business, which is not here.
    say(
        &mut store,
        "cart-1",
        "app",
        1_700_000_000,
        "upstream refused",
    );
    say(&mut store, "cart-1", "proxy", 1_700_000_001, "503");
    store.flush().unwrap();
    drop(store);
    let run = |arguments: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_bayplan"));
        command.args(["logs", "--cluster", "kept"]).args(arguments);
        for name in ["XDG_DATA_HOME", "XDG_CONFIG_HOME", "XDG_STATE_HOME"] {
            command.env(name, data.path());
        }
        let output = command.output().unwrap();
        assert!(
            output.status.success(),
            "{}",
            String::from_utf8_lossy(&output.stderr)
        );
        String::from_utf8(output.stdout).unwrap()
    };
    let first = "2023-11-14T22:13:20.000Z shop/cart-1 app upstream refused\n";
    let second = "2023-11-14T22:13:21.000Z shop/cart-1 proxy 503\n";
    assert_eq!(run(&[]), [first, second].concat());
    assert_eq!(run(&["--grep", "/^5..$/"]), second);
    assert_eq!(run(&["-n", "shop", "-c", "app", "cart-1"]), first);
    assert_eq!(run(&["--since", "1h"]), "");
    let json: Value = serde_json::from_str(&run(&["-o", "json", "--tail", "1"])).unwrap();
    assert_eq!(json["container"], "proxy");
}

/// Two containers that say something and end.
#[cfg(target_os = "linux")]
fn teller() -> Value {
    let container = |name: &str, says: &str| {
        serde_json::json!({
            "name": name, "image": crate::containers::IMAGE,
            "command": ["/bin/sh", "-c", says],
        })
    };
    serde_json::json!({
        "apiVersion": "v1", "kind": "Pod",
        "metadata": {"name": "web", "labels": {"app": "teller"}},
        "spec": {
            "restartPolicy": "Never",
            "terminationGracePeriodSeconds": 0,
            "containers": [
                container("app", "echo told by app; echo complained >&2"),
                container("second", "echo told by the second"),
            ],
        },
    })
}

#[cfg(target_os = "linux")]
#[test]
fn lines_of_a_pod_that_is_gone_are_found() {
    use crate::containers::{Runs, prepare, wait};
    use crate::served::{Served, command};

    let folder = tempfile::tempdir().unwrap();
    let (data, home) = (folder.path().join("data"), folder.path().join("home"));
    if let Err(why) = prepare(folder.path(), &home) {
        println!("skipped: {why}");
        return;
    }
    let _runs = Runs(data.clone());
    let start = || {
        Served::spawn(
            &data,
            command(&data, &["--local-node"]).env("XDG_DATA_HOME", &home),
        )
    };
    let served = start();
    let mut local = served.local();
    wait_created(&mut local);
    wait(&mut local, |_, pod| pod["status"]["phase"] == "Succeeded");
    let look = |served: &Served, query: &str| {
        served
            .local()
            .stream(&format!("/bayplan/logs?labelSelector=app%3Dteller{query}"))
            .unwrap()
    };
    // What a pod says in the last moment before it is deleted may be missed.
    let deadline = bayplan::stdx::clock::instant() + crate::containers::PATIENCE;
    let is_whole = |all: &str| {
        let mut texts = ["told by app", "told by the second", "complained"].into_iter();
        texts.all(|text| all.contains(text))
    };
    while !is_whole(&look(&served, "")) {
        assert!(
            bayplan::stdx::clock::instant() < deadline,
            "nothing was taken in"
        );
        std::thread::yield_now();
    }
    let pod = "/api/v1/namespaces/default/pods/web";
    local.send("DELETE", pod, "").unwrap();
    wait(&mut local, |code, _| code == 404);
    let all = look(&served, "");
    for (text, count) in [
        ("told by app", 1),
        ("told by the second", 1),
        ("complained", 1),
        ("stderr", 1),
    ] {
        assert_eq!(all.matches(text).count(), count, "{text}: {all}");
    }
    assert!(!look(&served, "&container=second&grep=told").contains("by app"));
    // Not for this life only, and not twice.
    served.terminate();
    let served = start();
    assert_eq!(look(&served, "&grep=told").matches("told by").count(), 2);
    served.terminate();
}

/// The default service account comes a moment after the cluster.
#[cfg(target_os = "linux")]
fn wait_created(local: &mut crate::served::Local) {
    let deadline = bayplan::stdx::clock::instant() + crate::containers::PATIENCE;
    let pods = "/api/v1/namespaces/default/pods";
    while local.send("POST", pods, &teller().to_string()).unwrap().0 != 201 {
        assert!(
            bayplan::stdx::clock::instant() < deadline,
            "the pod is refused"
        );
        std::thread::yield_now();
    }
}

/// More than is kept of a log, as fast as a shell can write it.
#[cfg(target_os = "linux")]
#[test]
fn who_follows_gets_every_line_or_is_told_how_many_are_missing() {
    use bayplan::k8s::dropped;

    use crate::lives::{PODS, Stage};

    const LINES: u64 = 1_000_000;
    let mut stage = match Stage::open() {
        Ok(stage) => stage,
        Err(why) => return println!("skipped: {why}"),
    };
    let script = "yes \"$(printf %0127d 7)\" | head -c 12800000 > /dev/shm/block
        n=0; while [ $n -lt 10 ]; do cat /dev/shm/block; n=$((n+1)); done";
    stage.create("loud", script, Value::Null, Value::Null);
    stage.wait(&format!("{PODS}/loud"), |_, pod| {
        let state = &pod["status"]["containerStatuses"][0]["state"];
        state["running"].is_object() || state["terminated"].is_object()
    });
    let log = stage.followed("loud");
    let line = format!("{:0127}", 7);
    let (mut read, mut missed) = (0, 0);
    for told in log.lines() {
        if let Some(lines) = dropped::count(told) {
            missed += lines;
        } else {
            assert_eq!(told, line);
            read += 1;
        }
    }
    assert_eq!(read + missed, LINES, "{missed} were dropped");
    stage.close();
}
