//! The API's contract: requests in, answers out.

use jiff::Timestamp;
use serde_json::{Value, json};

use super::*;
use crate::stdx::rng;
use crate::store::Store;

/// A server with its bootstrap objects, spoken to as over HTTP.
pub(super) struct Server {
    pub store: Store,
    pub registry: Registry,
    pub now: Timestamp,
    pub ids: rng::Stream,
}

impl Server {
    pub fn new() -> Self {
        let mut server = Self {
            store: Store::default(),
            registry: Registry::default(),
            now: Timestamp::from_second(1_763_000_000).unwrap(),
            ids: rng::Stream::new(1, "ids"),
        };
        let mut context = WriteContext {
            now: server.now,
            ids: &mut server.ids,
        };
        bootstrap::seed(&mut server.store, &server.registry, &mut context).unwrap();
        server
    }

    pub fn send(
        &mut self,
        line: &str,
        content_type: &str,
        body: impl Into<bytes::Bytes>,
    ) -> Response {
        let (method, url) = line.split_once(' ').unwrap();
        let (path, query) = url.split_once('?').unwrap_or((url, ""));
        let request = match Request::parse(method, path, query) {
            Ok(request) => request.with_body(content_type, body),
            Err(status) => return status.into(),
        };
        let request = Request {
            user: User::system("admin"),
            ..request
        };
        if request.is_read() {
            return read(&self.registry, self.store.view(), &request, self.now);
        }
        let mut context = WriteContext {
            now: self.now,
            ids: &mut self.ids,
        };
        let response = write(&mut self.store, &self.registry, &request, &mut context);
        self.registry.follow(self.store.cluster());
        response
    }

    pub fn json(&mut self, line: &str, body: &Value) -> (u16, Value) {
        let content_type = if line.starts_with("PATCH") {
            "application/strategic-merge-patch+json"
        } else {
            "application/json"
        };
        let body = if body.is_null() {
            String::new()
        } else {
            body.to_string()
        };
        let response = self.send(line, content_type, body);
        (response.status, response.value())
    }

    pub fn get(&mut self, url: &str) -> (u16, Value) {
        self.json(&format!("GET {url}"), &Value::Null)
    }

    /// Sends a request that must succeed.
    #[track_caller]
    pub fn ok(&mut self, line: &str, body: &Value) -> Value {
        let (code, answer) = self.json(line, body);
        assert!(code < 300, "{line}: {code} {answer:#}");
        answer
    }

    /// Sends a request that must be refused with this code, reason and message.
    #[track_caller]
    pub fn refused(&mut self, line: &str, body: &Value, code: u16, reason: &str, message: &str) {
        let (found, answer) = self.json(line, body);
        assert_eq!(
            (found, answer["reason"].as_str(), answer["message"].as_str()),
            (code, Some(reason), Some(message)),
            "{line}: {answer:#}"
        );
    }
}

pub(super) const CONFIG_MAPS: &str = "/api/v1/namespaces/default/configmaps";
pub(super) const PODS: &str = "/api/v1/namespaces/default/pods";

pub(super) fn pod(name: &str) -> Value {
    json!({
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "labels": {"app": name}},
        "spec": {"containers": [{"name": "app", "image": "web:1"}]},
    })
}

pub(super) fn config_map(name: &str) -> Value {
    json!({"metadata": {"name": name}, "data": {"key": "value"}})
}

#[test]
fn create_get_update_delete() {
    let mut server = Server::new();
    let created = server.ok(&format!("POST {CONFIG_MAPS}"), &config_map("settings"));
    assert_eq!(created["kind"], "ConfigMap");
    assert_eq!(created["metadata"]["namespace"], "default");
    assert!(created["metadata"]["uid"].is_string());
    server.refused(
        &format!("POST {CONFIG_MAPS}"),
        &config_map("settings"),
        409,
        "AlreadyExists",
        "configmaps \"settings\" already exists",
    );
    let mut changed = created.clone();
    changed["data"]["key"] = json!("other");
    let updated = server.ok(&format!("PUT {CONFIG_MAPS}/settings"), &changed);
    assert_ne!(
        updated["metadata"]["resourceVersion"],
        created["metadata"]["resourceVersion"]
    );
    server.refused(
        &format!("PUT {CONFIG_MAPS}/settings"),
        &changed,
        409,
        "Conflict",
        "Operation cannot be fulfilled on configmaps \"settings\": the object has been modified; \
         please apply your changes to the latest version and try again",
    );
    let again = server.ok(&format!("PUT {CONFIG_MAPS}/settings"), &updated);
    assert_eq!(
        again["metadata"]["resourceVersion"], updated["metadata"]["resourceVersion"],
        "an update that changes nothing writes nothing"
    );
    server.ok(&format!("DELETE {CONFIG_MAPS}/settings"), &Value::Null);
    server.refused(
        &format!("GET {CONFIG_MAPS}/settings"),
        &Value::Null,
        404,
        "NotFound",
        "configmaps \"settings\" not found",
    );
}

#[test]
fn namespaces_must_exist() {
    let mut server = Server::new();
    server.refused(
        "POST /api/v1/namespaces/nowhere/configmaps",
        &config_map("settings"),
        404,
        "NotFound",
        "namespaces \"nowhere\" not found",
    );
}

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
    let (_, now) = server.get(CONFIG_MAPS);
    assert_eq!(names(&now), ["a", "b", "bb", "d"]);
    let (code, status) = server.get(&format!("{CONFIG_MAPS}?fieldSelector=spec.x=1"));
    assert_eq!(code, 400, "{status}");
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
