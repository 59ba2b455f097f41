//! The API's contract: requests in, answers out.

mod corpus;

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

#[track_caller]
fn invalid(object: &Value, url: &str, causes: &[(&str, &str, &str)]) {
    let mut server = Server::new();
    let (code, answer) = server.json(&format!("POST {url}"), object);
    assert_eq!(
        (code, answer["reason"].as_str()),
        (422, Some("Invalid")),
        "{answer:#}"
    );
    let found: Vec<(&str, &str, &str)> = answer["details"]["causes"]
        .as_array()
        .unwrap()
        .iter()
        .map(|cause| {
            (
                cause["reason"].as_str().unwrap(),
                cause["field"].as_str().unwrap(),
                cause["message"].as_str().unwrap(),
            )
        })
        .collect();
    assert_eq!(found, causes);
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

#[test]
fn invalid_objects_name_every_field() {
    invalid(
        &with(deployment("web"), "/spec/replicas", json!(-1)),
        DEPLOYMENTS,
        &[(
            "FieldValueInvalid",
            "spec.replicas",
            "Invalid value: -1: must be greater than or equal to 0",
        )],
    );
    invalid(
        &with(
            deployment("web"),
            "/spec/selector/matchLabels/app",
            json!("db"),
        ),
        DEPLOYMENTS,
        &[(
            "FieldValueInvalid",
            "spec.template.metadata.labels",
            "Invalid value: {\"app\":\"web\"}: `selector` does not match template `labels`",
        )],
    );
    let mut greedy = pod("web");
    greedy["spec"]["containers"][0]["resources"] =
        json!({"requests": {"cpu": "2"}, "limits": {"cpu": "1"}});
    invalid(
        &greedy,
        PODS,
        &[(
            "FieldValueInvalid",
            "spec.containers[0].resources.requests",
            "Invalid value: \"2\": must be less than or equal to cpu limit of 1",
        )],
    );
    invalid(
        &with(pod("web"), "/spec/containers", json!([{"name": "app"}])),
        PODS,
        &[(
            "FieldValueRequired",
            "spec.containers[0].image",
            "Required value",
        )],
    );
}

#[test]
fn wrong_types_and_unknown_fields_are_told_apart() {
    let mut server = Server::new();
    server.refused(
        &format!("POST {DEPLOYMENTS}"),
        &with(deployment("web"), "/spec/replicas", json!("two")),
        400,
        "BadRequest",
        "Deployment in version \"v1\" cannot be handled as a Deployment: json: cannot unmarshal \
         string into Go struct field DeploymentSpec.spec.replicas of type int32",
    );
    let mut odd = deployment("web");
    odd["spec"]["replica"] = json!(3);
    server.refused(
        &format!("POST {DEPLOYMENTS}?fieldValidation=Strict"),
        &odd,
        400,
        "BadRequest",
        "Deployment in version \"v1\" cannot be handled as a Deployment: strict decoding error: \
         unknown field \"spec.replica\"",
    );
    let url = format!("POST {DEPLOYMENTS}");
    let response = server.send(&url, "application/json", odd.to_string());
    assert_eq!(response.status, 201);
    let warning = "299 - \"unknown field \\\"spec.replica\\\"\"".to_owned();
    assert!(
        response.headers.contains(&("warning", warning)),
        "{:?}",
        response.headers
    );
    let mut wrong = pod("web");
    wrong["spec"]["containers"][0]["resources"] = json!({"requests": {"cpu": "lots"}});
    let (code, answer) = server.json(&format!("POST {PODS}"), &wrong);
    assert_eq!(code, 400, "{answer}");
    let message = answer["message"].as_str().unwrap();
    assert!(
        message.contains("unable to parse quantity") || message.contains("quantities must match"),
        "{message}"
    );
}

#[test]
fn generation_counts_what_is_wanted_and_status_goes_its_own_way() {
    let mut server = Server::new();
    let created = server.ok(&format!("POST {DEPLOYMENTS}"), &deployment("web"));
    assert_eq!(created["metadata"]["generation"], 1);
    let url = format!("PATCH {DEPLOYMENTS}/web");
    let labelled = server.ok(&url, &json!({"metadata": {"labels": {"a": "b"}}}));
    assert_eq!(labelled["metadata"]["generation"], 1);
    let ignored = server.ok(&url, &json!({"status": {"replicas": 7}}));
    assert_eq!(ignored["status"]["replicas"], Value::Null);
    let status = server.ok(
        &format!("{url}/status"),
        &json!({"status": {"replicas": 7}, "spec": {"replicas": 9}}),
    );
    assert_eq!(status["status"]["replicas"], 7);
    assert_eq!(status["spec"]["replicas"], 2);
    assert_eq!(status["metadata"]["generation"], 1);
    let scaled = server.ok(&format!("{url}/scale"), &json!({"spec": {"replicas": 5}}));
    assert_eq!(scaled["kind"], "Scale");
    assert_eq!(scaled["spec"]["replicas"], 5);
    assert_eq!(scaled["status"]["selector"], "app=web");
    let (_, now) = server.get(&format!("{DEPLOYMENTS}/web"));
    assert_eq!(now["metadata"]["generation"], 2);
    server.refused(
        &url,
        &json!({"spec": {
            "selector": {"matchLabels": {"app": "x"}},
            "template": {"metadata": {"labels": {"app": "x"}}},
        }}),
        422,
        "Invalid",
        "Deployment.apps \"web\" is invalid: spec.selector: Invalid value: \
         {\"matchLabels\":{\"app\":\"x\"}}: field is immutable",
    );
}

#[test]
fn strategic_patches_merge_lists_by_key() {
    let mut server = Server::new();
    let mut object = deployment("web");
    object["spec"]["template"]["spec"]["containers"] = json!([
        {"name": "app", "image": "web:1", "env": [
            {"name": "A", "value": "1"}, {"name": "B", "value": "2"},
        ]},
        {"name": "proxy", "image": "proxy:1"},
    ]);
    server.ok(&format!("POST {DEPLOYMENTS}"), &object);
    let patched = server.ok(
        &format!("PATCH {DEPLOYMENTS}/web"),
        &json!({"spec": {"template": {"spec": {
            "$setElementOrder/containers": [{"name": "log"}, {"name": "app"}],
            "containers": [
                {"name": "app", "env": [
                    {"name": "A", "$patch": "delete"}, {"name": "C", "value": "3"},
                ]},
                {"name": "proxy", "$patch": "delete"},
                {"name": "log", "image": "log:1"},
            ],
        }}}}),
    );
    let containers = &patched["spec"]["template"]["spec"]["containers"];
    assert_eq!(containers[0]["name"], "log");
    assert_eq!(containers[1]["name"], "app");
    assert_eq!(containers[2], Value::Null);
    assert_eq!(
        containers[1]["env"],
        json!([{"name": "B", "value": "2"}, {"name": "C", "value": "3"}])
    );
    let strategy = server.ok(
        &format!("PATCH {DEPLOYMENTS}/web"),
        &json!({"spec": {"strategy": {"$retainKeys": ["type"], "type": "Recreate"}}}),
    );
    assert_eq!(strategy["spec"]["strategy"], json!({"type": "Recreate"}));
}

#[test]
fn pods_are_deleted_gracefully_where_a_node_has_them() {
    let mut server = Server::new();
    server.ok(&format!("POST {PODS}"), &pod("web"));
    let binding = json!({"target": {"kind": "Node", "name": "n1"}});
    server.ok(&format!("POST {PODS}/web/binding"), &binding);
    let held = server.ok(&format!("DELETE {PODS}/web"), &Value::Null);
    assert_eq!(held["metadata"]["deletionGracePeriodSeconds"], 30);
    assert_eq!(server.get(&format!("{PODS}/web")).0, 200);
    let url = format!("DELETE {PODS}/web?gracePeriodSeconds=0");
    server.ok(&url, &Value::Null);
    assert_eq!(server.get(&format!("{PODS}/web")).0, 404);
}

#[test]
fn an_update_of_a_pod_keeps_what_admission_added_to_it() {
    let mut server = Server::new();
    let created = server.ok(&format!("POST {PODS}"), &pod("web"));
    let own = json!([{"key": "gpu", "operator": "Exists"}]);
    let patch = json!({"spec": {"tolerations": own}});
    let patched = server.ok(&format!("PATCH {PODS}/web"), &patch);
    let tolerations = patched["spec"]["tolerations"].as_array().unwrap();
    assert_eq!((tolerations.len(), &tolerations[0]), (3, &own[0]));
    let mut longer = patched.clone();
    longer["spec"]["tolerations"][2]["tolerationSeconds"] = json!(900);
    server.ok(&format!("PUT {PODS}/web"), &longer);
    let mut without = created;
    without["metadata"]["resourceVersion"] = Value::Null;
    without["spec"]["priority"] = Value::Null;
    server.refused(
        &format!("PUT {PODS}/web"),
        &without,
        422,
        "Invalid",
        "Pod \"web\" is invalid: spec.tolerations: Forbidden: existing toleration can not be \
         modified except its tolerationSeconds",
    );
}

#[test]
fn finalizers_hold_an_object_until_they_are_gone() {
    let mut server = Server::new();
    let mut object = config_map("settings");
    object["metadata"]["finalizers"] = json!(["example.com/hold"]);
    server.ok(&format!("POST {CONFIG_MAPS}"), &object);
    let held = server.ok(&format!("DELETE {CONFIG_MAPS}/settings"), &Value::Null);
    assert!(held["metadata"]["deletionTimestamp"].is_string());
    server.ok(
        &format!("PATCH {CONFIG_MAPS}/settings"),
        &json!({"metadata": {"finalizers": null}}),
    );
    assert_eq!(server.get(&format!("{CONFIG_MAPS}/settings")).0, 404);
}

#[test]
fn evictions_stop_at_the_budget() {
    let mut server = Server::new();
    server.ok(&format!("POST {PODS}"), &pod("web"));
    let binding = json!({"target": {"name": "n1"}});
    server.ok(&format!("POST {PODS}/web/binding"), &binding);
    server.ok(
        &format!("PATCH {PODS}/web/status"),
        &json!({"status": {
            "phase": "Running",
            "conditions": [{"type": "Ready", "status": "True"}],
        }}),
    );
    let budgets = "/apis/policy/v1/namespaces/default/poddisruptionbudgets";
    server.ok(
        &format!("POST {budgets}"),
        &json!({
            "metadata": {"name": "web"},
            "spec": {"minAvailable": 1, "selector": {"matchLabels": {"app": "web"}}},
        }),
    );
    server.ok(
        &format!("PATCH {budgets}/web/status"),
        &json!({"status": {
            "observedGeneration": 1,
            "disruptionsAllowed": 0,
            "currentHealthy": 1,
            "desiredHealthy": 1,
        }}),
    );
    let eviction =
        json!({"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": "web"}});
    server.refused(
        &format!("POST {PODS}/web/eviction"),
        &eviction,
        429,
        "TooManyRequests",
        "Cannot evict pod as it would violate the pod's disruption budget.",
    );
    server.ok(
        &format!("PATCH {budgets}/web/status"),
        &json!({"status": {"disruptionsAllowed": 1}}),
    );
    server.ok(&format!("POST {PODS}/web/eviction"), &eviction);
    let (_, budget) = server.get(&format!("{budgets}/web"));
    assert_eq!(budget["status"]["disruptionsAllowed"], 0);
}

#[test]
fn dry_runs_change_nothing() {
    let mut server = Server::new();
    let before = server.store.revision();
    let url = format!("POST {DEPLOYMENTS}?dryRun=All");
    let answer = server.ok(&url, &deployment("web"));
    assert_eq!(answer["spec"]["revisionHistoryLimit"], 10);
    assert_eq!(server.store.revision(), before);
}

const DEFINITIONS: &str = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions";

fn ship_definition() -> Value {
    json!({
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": "ships.example.com"},
        "spec": {
            "group": "example.com",
            "scope": "Namespaced",
            "names": {"plural": "ships", "kind": "Ship"},
            "versions": [{
                "name": "v1", "served": true, "storage": true,
                "subresources": {"status": {}},
                "additionalPrinterColumns": [
                    {"name": "Bays", "type": "integer", "jsonPath": ".spec.bays"},
                ],
                "schema": {"openAPIV3Schema": {"type": "object", "properties": {
                    "spec": {"type": "object", "required": ["bays"], "properties": {
                        "bays": {"type": "integer", "minimum": 1},
                        "flag": {"type": "string", "default": "PA"},
                    }},
                    "status": {"type": "object", "properties": {"loaded": {"type": "boolean"}}},
                }}},
            }],
        },
    })
}

#[test]
fn custom_resources_live_and_die_with_their_definition() {
    let mut server = Server::new();
    let created = server.ok(&format!("POST {DEFINITIONS}"), &ship_definition());
    assert_eq!(created["status"]["conditions"][1]["type"], "Established");
    let ships = "/apis/example.com/v1/namespaces/default/ships";
    let ship = |spec: Value| {
        json!({
            "apiVersion": "example.com/v1",
            "kind": "Ship",
            "metadata": {"name": "ever"},
            "spec": spec,
        })
    };
    server.refused(
        &format!("POST {ships}"),
        &ship(json!({"bays": 0})),
        422,
        "Invalid",
        "Ship.example.com \"ever\" is invalid: spec.bays: Invalid value: 0: spec.bays in body \
         should be greater than or equal to 1",
    );
    let kept = server.ok(
        &format!("POST {ships}"),
        &ship(json!({"bays": 20, "crew": 3})),
    );
    assert_eq!(kept["spec"], json!({"bays": 20, "flag": "PA"}));
    let request = Request {
        accept: "application/json;as=Table;v=v1;g=meta.k8s.io".into(),
        ..Request::parse("GET", ships, "").unwrap()
    };
    let table = read(&server.registry, server.store.view(), &request, server.now).value();
    assert_eq!(table["rows"][0]["cells"], json!(["ever", 20]));
    let (_, discovered) = server.get("/apis/example.com/v1");
    assert_eq!(discovered["resources"][1]["name"], "ships/status");
    let url = format!("DELETE {DEFINITIONS}/ships.example.com");
    server.ok(&url, &Value::Null);
    assert_eq!(server.get(ships).0, 404);
    let resource = crate::k8s::Resource::new("example.com", "ships");
    assert_eq!(server.store.cluster().count(&resource), 0);
}

#[test]
fn services_get_addresses_and_node_ports() {
    let mut server = Server::new();
    let services = "/api/v1/namespaces/default/services";
    let body = |kind: &str| {
        json!({
            "metadata": {"name": "web"},
            "spec": {"type": kind, "ports": [{"port": 80}], "selector": {"app": "web"}},
        })
    };
    let created = server.ok(&format!("POST {services}"), &body("NodePort"));
    let address = created["spec"]["clusterIP"].as_str().unwrap().to_owned();
    assert!(address.starts_with("10.96."), "{address}");
    let port = created["spec"]["ports"][0]["nodePort"].as_u64().unwrap();
    assert!((30_000..=32_767).contains(&port));
    let again = server.ok(&format!("PUT {services}/web"), &body("NodePort"));
    assert_eq!(again["spec"]["clusterIP"], address.as_str());
    assert_eq!(again["spec"]["ports"][0]["nodePort"], port);
    let inside = server.ok(&format!("PUT {services}/web"), &body("ClusterIP"));
    assert_eq!(inside["spec"]["ports"][0]["nodePort"], Value::Null);
}

#[test]
fn who_may_do_what_follows_roles_and_bindings() {
    let mut server = Server::new();
    let bindings = "/apis/rbac.authorization.k8s.io/v1/namespaces/default/rolebindings";
    server.ok(
        &format!("POST {bindings}"),
        &json!({
            "metadata": {"name": "jane"},
            "roleRef": {"kind": "ClusterRole", "name": "view"},
            "subjects": [{"kind": "User", "name": "jane"}],
        }),
    );
    let jane = User {
        name: "jane".into(),
        ..User::default()
    };
    let may = |server: &Server, method: &str, path: &str| {
        let request = Request::parse(method, path, "").unwrap();
        authorize(server.store.cluster(), &jane, &request).map_err(|status| status.message)
    };
    assert_eq!(may(&server, "GET", PODS), Ok(()));
    assert_eq!(
        may(&server, "DELETE", &format!("{PODS}/web")),
        Err(
            "pods \"web\" is forbidden: User \"jane\" cannot delete resource \"pods\" in API \
             group \"\" in the namespace \"default\""
                .to_owned()
        )
    );
    assert_eq!(
        may(&server, "GET", "/api/v1/nodes"),
        Err(
            "nodes is forbidden: User \"jane\" cannot list resource \"nodes\" in API group \"\" \
             at the cluster scope"
                .to_owned()
        )
    );
    let review = server.ok(
        "POST /apis/authorization.k8s.io/v1/subjectaccessreviews",
        &json!({"spec": {
            "user": "jane",
            "resourceAttributes": {"namespace": "default", "verb": "list", "resource": "pods"},
        }}),
    );
    assert_eq!(review["status"]["allowed"], true);
}
