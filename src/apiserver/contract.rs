//! The API's contract: requests in, answers out.

mod corpus;
mod kinds;
mod listing;
mod refusals;
mod writes;

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

const DEPLOYMENTS: &str = "/apis/apps/v1/namespaces/default/deployments";

fn deployment(name: &str) -> Value {
    json!({
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": name},
        "spec": {
            "replicas": 2,
            "selector": {"matchLabels": {"app": name}},
            "template": {
                "metadata": {"labels": {"app": name}},
                "spec": {"containers": [{"name": "app", "image": "web:1"}]},
            },
        },
    })
}

fn with(mut object: Value, pointer: &str, value: Value) -> Value {
    *object
        .pointer_mut(pointer)
        .unwrap_or_else(|| panic!("{pointer}")) = value;
    object
}
