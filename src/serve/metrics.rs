//! `metrics.k8s.io/v1beta1`: what real nodes and their containers use now.
//!
//! Served only while a node is registered that measures. Simulated machines and their pods are not
//! in it: nothing runs there that could be measured.
//!
//! Source: `k8s.io/metrics/pkg/apis/metrics/v1beta1` and metrics-server, which leaves out what it has
//! not measured yet.

use jiff::SignedDuration;
use serde_json::{Value, json};

use crate::apiserver::{self, Request, Response, Status, Target, Verb};
use crate::k8s::Resource;
use crate::plane::Published;
use crate::stdx::clock;

use super::nodes::{Nodes, Usage, Used};

pub const GROUP: &str = "metrics.k8s.io";
const VERSION: &str = "metrics.k8s.io/v1beta1";

/// What was measured of an object.
type Singular = fn(&Value, &[(String, Usage)]) -> Option<Value>;

/// The answer, if a request is for this group and some node measures.
pub fn answer(
    nodes: &Nodes,
    published: &Published,
    request: &Request,
) -> Option<Result<Response, Status>> {
    let Target::Resource(target) = &request.target else {
        return None;
    };
    let usages = nodes.usages();
    if target.group != GROUP || usages.is_empty() {
        return None;
    }
    let (kind, singular): (&str, Singular) = match target.plural.as_str() {
        "nodes" => ("NodeMetrics", node),
        "pods" => ("PodMetrics", pod),
        _ => return Some(Err(Status::unknown_path())),
    };
    if target.version != "v1beta1" || !matches!(request.verb, Verb::Get | Verb::List) {
        return Some(Err(Status::unknown_path()));
    }
    let objects = match objects(published, request) {
        Ok(objects) => objects,
        Err(response) => return Some(Ok(response)),
    };
    if let Some(Value::Array(items)) = objects.get("items") {
        let items = items.iter().filter_map(|item| singular(item, &usages));
        let list = json!({
            "kind": format!("{kind}List"),
            "apiVersion": VERSION,
            "metadata": {},
            "items": items.collect::<Vec<Value>>(),
        });
        return Some(Ok(Response::json(200, &list)));
    }
    let Some(mut metrics) = singular(&objects, &usages) else {
        let resource = Resource::new(GROUP, &kind.to_ascii_lowercase());
        let name = if target.namespace.is_empty() {
            target.name.to_string()
        } else {
            format!("{}/{}", target.namespace, target.name)
        };
        return Some(Err(Status::not_found(&resource, &name)));
    };
    if let Some(fields) = metrics.as_object_mut() {
        fields.insert("kind".to_owned(), kind.into());
        fields.insert("apiVersion".to_owned(), VERSION.into());
    }
    Some(Ok(Response::json(200, &metrics)))
}

/// The pods or nodes that are asked for, chosen by the same selectors.
fn objects(published: &Published, request: &Request) -> Result<Value, Response> {
    let mut request = request.clone();
    if let Target::Resource(target) = &mut request.target {
        target.group = "".into();
        target.version = "v1".into();
    }
    "application/json".clone_into(&mut request.accept);
    let Published { snapshot, registry } = published;
    let response = apiserver::read(registry, snapshot, &request, clock::now());
    if response.is_success() {
        return Ok(response.value());
    }
    Err(response)
}

fn metadata(object: &Value) -> Value {
    let mut metadata =
        json!({"creationTimestamp": clock::now().strftime("%Y-%m-%dT%H:%M:%SZ").to_string()});
    for name in ["name", "namespace", "labels"] {
        if let Some(value) = object.pointer(&format!("/metadata/{name}"))
            && let Some(fields) = metadata.as_object_mut()
        {
            fields.insert(name.to_owned(), value.clone());
        }
    }
    metadata
}

fn text<'a>(object: &'a Value, pointer: &str) -> &'a str {
    object
        .pointer(pointer)
        .and_then(Value::as_str)
        .unwrap_or_default()
}

fn measured(object: &Value, usage: &Usage) -> Value {
    json!({
        "metadata": metadata(object),
        "timestamp": usage.at.strftime("%Y-%m-%dT%H:%M:%SZ").to_string(),
        "window": window(usage.window),
    })
}

/// As Go writes durations.
fn window(window: SignedDuration) -> String {
    format!("{}.{:03}s", window.as_secs(), window.subsec_millis())
}

fn used(used: Used) -> Value {
    json!({
        "cpu": format!("{}n", used.cpu_nanos),
        "memory": format!("{}Ki", used.memory_bytes / 1024),
    })
}

fn node(object: &Value, usages: &[(String, Usage)]) -> Option<Value> {
    let name = text(object, "/metadata/name");
    let (_, usage) = usages.iter().find(|(node, _)| node == name)?;
    let mut metrics = measured(object, usage);
    metrics
        .as_object_mut()?
        .insert("usage".to_owned(), used(usage.node?));
    Some(metrics)
}

/// A pod is shown when all its running containers were measured.
fn pod(object: &Value, usages: &[(String, Usage)]) -> Option<Value> {
    let name = text(object, "/spec/nodeName");
    let (_, usage) = usages.iter().find(|(node, _)| node == name)?;
    let containers: Vec<Value> = usage
        .pods
        .get(text(object, "/metadata/uid"))?
        .iter()
        .map(|(name, it)| json!({"name": name, "usage": used(*it)}))
        .collect();
    let mut metrics = measured(object, usage);
    metrics
        .as_object_mut()?
        .insert("containers".to_owned(), containers.into());
    Some(metrics)
}
