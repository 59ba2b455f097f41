//! What lists and watches show: pages, selections, what remains, bookmarks.

use serde_json::{Value, json};

use super::super::*;
use super::*;

#[test]
fn lists_are_paged_consistently() {
    let mut server = Server::new();
    for name in ["a", "b", "c", "d"] {
        server.ok(&format!("POST {CONFIG_MAPS}"), &config_map(name));
    }
    let names = |list: &Value| -> Vec<String> {
        list["items"]
            .as_array()
            .unwrap()
            .iter()
            .map(|item| item["metadata"]["name"].as_str().unwrap().to_owned())
            .collect()
    };
    let (_, first) = server.get(&format!("{CONFIG_MAPS}?limit=2"));
    assert_eq!(names(&first), ["a", "b"]);
    assert_eq!(first["metadata"]["remainingItemCount"], 2);
    server.ok(&format!("DELETE {CONFIG_MAPS}/c"), &Value::Null);
    server.ok(&format!("POST {CONFIG_MAPS}"), &config_map("bb"));
    let token = first["metadata"]["continue"].as_str().unwrap();
    let (_, rest) = server.get(&format!("{CONFIG_MAPS}?limit=2&continue={token}"));
    assert_eq!(names(&rest), ["c", "d"], "as it was at the first page");
    assert_eq!(
        rest["metadata"]["resourceVersion"],
        first["metadata"]["resourceVersion"]
    );
    assert_eq!(rest["metadata"].get("remainingItemCount"), None);
    let (_, now) = server.get(CONFIG_MAPS);
    assert_eq!(names(&now), ["a", "b", "bb", "d"]);
    let (code, status) = server.get(&format!("{CONFIG_MAPS}?fieldSelector=spec.x=1"));
    assert_eq!(code, 400, "{status}");
}

#[test]
fn pages_count_what_remains() {
    let mut server = Server::new();
    for index in 0..7 {
        server.ok(
            &format!("POST {CONFIG_MAPS}"),
            &config_map(&format!("m{index}")),
        );
    }
    for url in [CONFIG_MAPS, "/api/v1/configmaps"] {
        let (_, whole) = server.get(url);
        let total = whole["items"].as_array().unwrap().len();
        let (mut seen, mut token) = (0, String::new());
        loop {
            let (code, page) = server.get(&format!("{url}?limit=3&continue={token}"));
            assert_eq!(code, 200, "{page}");
            seen += page["items"].as_array().unwrap().len();
            let remaining = page["metadata"]["remainingItemCount"].as_u64();
            let more = page["metadata"]["continue"].as_str();
            assert_eq!(remaining.is_some(), more.is_some());
            let Some(more) = more else { break };
            assert_eq!(remaining, Some((total - seen) as u64));
            token = more.to_owned();
        }
        assert_eq!(seen, total, "{url}");
    }
    let (_, some) = server.get(&format!("{CONFIG_MAPS}?limit=1&labelSelector=a!=b"));
    assert!(some["metadata"]["continue"].is_string());
    assert_eq!(some["metadata"].get("remainingItemCount"), None);
}

#[test]
fn list_continued_too_late_may_go_on_inconsistently() {
    let mut server = Server::new();
    for name in ["a", "b", "c"] {
        server.ok(&format!("POST {CONFIG_MAPS}"), &config_map(name));
    }
    let (_, first) = server.get(&format!("{CONFIG_MAPS}?limit=1"));
    let kept = server.store.snapshot();
    server.ok(&format!("DELETE {CONFIG_MAPS}/b"), &Value::Null);
    // The log of changes is bounded; large objects push the deletion out of it.
    let text = "x".repeat(1 << 20);
    for _ in 0..64 {
        let object =
            json!({"metadata": {"name": "z", "namespace": "default"}, "data": {"t": text}});
        let write = crate::store::Write::Put {
            resource: crate::k8s::resources::CONFIG_MAPS,
            object,
            expect: crate::store::Expect::Anything,
        };
        server.store.commit(write).unwrap();
    }
    let next =
        |token: &Value| format!("{CONFIG_MAPS}?limit=1&continue={}", token.as_str().unwrap());
    let url = next(&first["metadata"]["continue"]);
    let (code, status) = server.get(&url);
    assert_eq!((code, &status["reason"]), (410, &json!("Expired")));
    assert_eq!(
        status["message"],
        "The provided continue parameter is too old to display a consistent list result. You can \
         start a new list without the continue parameter, or use the continue token in this \
         response to retrieve the remainder of the results. Continuing with the provided token \
         results in an inconsistent list - objects that were created, modified, or deleted between \
         the time the first chunk was returned and now may show up in the list."
    );
    let (code, rest) = server.get(&next(&status["metadata"]["continue"]));
    assert_eq!(code, 200, "{rest}");
    assert_eq!(rest["items"][0]["metadata"]["name"], "c", "`b` is gone now");
    assert_eq!(rest["metadata"]["remainingItemCount"], 1);
    // The snapshot of the first page still has everything.
    let (path, query) = url.split_once('?').unwrap();
    let request = Request::parse("GET", path, query).unwrap();
    assert_eq!(continued_at(&request), Some(kept.revision()));
    let page = read(&server.registry, &kept, &request, server.now).value();
    assert_eq!(page["items"][0]["metadata"]["name"], "b");
    assert_eq!(page["metadata"]["remainingItemCount"], 1);
}

fn watch(server: &Server, url: &str) -> watch::Cursor {
    let (path, query) = url.split_once('?').unwrap();
    let request = Request::parse("GET", path, query).unwrap();
    watch::Cursor::open(&server.registry, server.store.view(), &request, server.now).unwrap()
}

fn events(server: &Server, cursor: &mut watch::Cursor) -> Vec<(String, String)> {
    cursor
        .next_events(&server.registry, server.store.view(), server.now)
        .unwrap()
        .iter()
        .flat_map(|chunk| {
            chunk
                .split(|byte| *byte == b'\n')
                .map(<[u8]>::to_vec)
                .collect::<Vec<_>>()
        })
        .filter(|line| !line.is_empty())
        .map(|line| {
            let event: Value = serde_json::from_slice(&line).unwrap();
            let name = event["object"]["metadata"]["name"]
                .as_str()
                .unwrap_or_default();
            (event["type"].as_str().unwrap().to_owned(), name.to_owned())
        })
        .collect()
}

#[test]
fn a_watch_sees_what_enters_and_leaves_its_selector() {
    let mut server = Server::new();
    server.ok(&format!("POST {PODS}"), &pod("web"));
    let mut cursor = watch(&server, &format!("{PODS}?watch=1&labelSelector=app=web"));
    let expect = |found: Vec<(String, String)>, expected: &[&str]| {
        let found: Vec<&str> = found.iter().map(|(kind, _)| kind.as_str()).collect();
        assert_eq!(found, expected);
    };
    expect(events(&server, &mut cursor), &["ADDED"]);
    server.ok(&format!("POST {PODS}"), &pod("db"));
    expect(events(&server, &mut cursor), &[]);
    let relabel = |value: &str| json!({"metadata": {"labels": {"app": value}}});
    server.ok(&format!("PATCH {PODS}/web"), &relabel("api"));
    expect(events(&server, &mut cursor), &["DELETED"]);
    server.ok(&format!("PATCH {PODS}/web"), &relabel("web"));
    server.ok(
        &format!("PATCH {PODS}/web"),
        &json!({"metadata": {"annotations": {"a": "b"}}}),
    );
    expect(events(&server, &mut cursor), &["ADDED", "MODIFIED"]);
    server.ok(&format!("DELETE {PODS}/web"), &Value::Null);
    expect(events(&server, &mut cursor), &["DELETED"]);
}

#[test]
fn streaming_lists_end_with_a_bookmark() {
    let mut server = Server::new();
    server.ok(&format!("POST {CONFIG_MAPS}"), &config_map("a"));
    let mut cursor = watch(
        &server,
        &format!(
            "{CONFIG_MAPS}?watch=1&sendInitialEvents=true&resourceVersionMatch=NotOlderThan\
             &allowWatchBookmarks=true"
        ),
    );
    let kinds: Vec<String> = events(&server, &mut cursor)
        .into_iter()
        .map(|(kind, _)| kind)
        .collect();
    assert_eq!(kinds, ["ADDED", "BOOKMARK"]);
    assert!(cursor.bookmark().is_some());
}
