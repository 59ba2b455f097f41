//! Workloads and what scales or protects them.

use serde_json::Value;

use super::cell::Row;

const TEMPLATE: &str = "/spec/template/spec/containers";

pub(super) fn deployment(row: &Row) -> Vec<Value> {
    let (containers, images) = row.containers(TEMPLATE);
    vec![
        row.name(),
        ready(row),
        row.number("/status/updatedReplicas").into(),
        row.number("/status/availableReplicas").into(),
        row.age(),
        containers,
        images,
        row.selector("/spec/selector"),
    ]
}

fn ready(row: &Row) -> Value {
    format!(
        "{}/{}",
        row.number("/status/readyReplicas"),
        row.number("/spec/replicas")
    )
    .into()
}

pub(super) fn replica_set(row: &Row) -> Vec<Value> {
    replicas(row, row.selector("/spec/selector"))
}

pub(super) fn replication_controller(row: &Row) -> Vec<Value> {
    replicas(row, row.labels("/spec/selector"))
}

fn replicas(row: &Row, selector: Value) -> Vec<Value> {
    let (containers, images) = row.containers(TEMPLATE);
    vec![
        row.name(),
        row.number("/spec/replicas").into(),
        row.number("/status/replicas").into(),
        row.number("/status/readyReplicas").into(),
        row.age(),
        containers,
        images,
        selector,
    ]
}

pub(super) fn stateful_set(row: &Row) -> Vec<Value> {
    let (containers, images) = row.containers(TEMPLATE);
    vec![row.name(), ready(row), row.age(), containers, images]
}

pub(super) fn daemon_set(row: &Row) -> Vec<Value> {
    let (containers, images) = row.containers(TEMPLATE);
    vec![
        row.name(),
        row.number("/status/desiredNumberScheduled").into(),
        row.number("/status/currentNumberScheduled").into(),
        row.number("/status/numberReady").into(),
        row.number("/status/updatedNumberScheduled").into(),
        row.number("/status/numberAvailable").into(),
        row.labels("/spec/template/spec/nodeSelector"),
        row.age(),
        containers,
        images,
        row.selector("/spec/selector"),
    ]
}

pub(super) fn controller_revision(row: &Row) -> Vec<Value> {
    let controller = row.object.controller().map_or_else(
        || "<none>".to_owned(),
        |owner| {
            let group = owner
                .api_version
                .split_once('/')
                .map_or("", |(group, _)| group);
            format!("{}.{group}/{}", owner.kind.to_lowercase(), owner.name)
        },
    );
    vec![
        row.name(),
        controller.into(),
        row.number("/revision").to_string().into(),
        row.age(),
    ]
}

pub(super) fn disruption_budget(row: &Row) -> Vec<Value> {
    vec![
        row.name(),
        row.shown("/spec/minAvailable", "N/A"),
        row.shown("/spec/maxUnavailable", "N/A"),
        row.number("/status/disruptionsAllowed").into(),
        row.age(),
    ]
}

pub(super) fn autoscaler(row: &Row) -> Vec<Value> {
    let reference = format!(
        "{}/{}",
        row.text("/spec/scaleTargetRef/kind"),
        row.text("/spec/scaleTargetRef/name")
    );
    vec![
        row.name(),
        reference.into(),
        targets(row),
        row.shown("/spec/minReplicas", "<unset>"),
        row.number("/spec/maxReplicas").to_string().into(),
        row.number("/status/currentReplicas").to_string().into(),
        row.age(),
    ]
}

/// `cpu: 40%/80%`, the first two metrics and how many more there are.
fn targets(row: &Row) -> Value {
    const SHOWN: usize = 2;
    let metrics = row.entries("/spec/metrics");
    if metrics.is_empty() {
        return "<none>".into();
    }
    let current = row.entries("/status/currentMetrics");
    let mut texts: Vec<String> = metrics
        .iter()
        .enumerate()
        .take(SHOWN)
        .map(|(index, metric)| target(metric, current.get(index)))
        .collect();
    if metrics.len() > SHOWN {
        texts.push(format!("{} more...", metrics.len() - SHOWN));
    }
    texts.join(", ").into()
}

fn target(metric: &Value, current: Option<&Value>) -> String {
    let kind = metric
        .get("type")
        .and_then(Value::as_str)
        .unwrap_or_default();
    let field = match kind {
        "ContainerResource" => "containerResource",
        "Pods" => "pods",
        "Object" => "object",
        "External" => "external",
        _ => "resource",
    };
    let wanted = metric.get(field).and_then(|body| body.get("target"));
    let found = current
        .and_then(|current| current.get(field))
        .and_then(|body| body.get("current"));
    let value = |from: Option<&Value>, key: &str| from.and_then(|from| from.get(key)).cloned();
    let (wanted, found) = match value(wanted, "averageUtilization") {
        Some(percent) => (
            format!("{percent}%"),
            value(found, "averageUtilization").map(|percent| format!("{percent}%")),
        ),
        None => {
            let text = |value: Value| value.as_str().unwrap_or_default().to_owned();
            (
                value(wanted, "averageValue")
                    .or_else(|| value(wanted, "value"))
                    .map(text)
                    .unwrap_or_default(),
                value(found, "averageValue")
                    .or_else(|| value(found, "value"))
                    .map(text),
            )
        }
    };
    let found = found.unwrap_or_else(|| "<unknown>".to_owned());
    match metric
        .get(field)
        .and_then(|body| body.get("name"))
        .and_then(Value::as_str)
    {
        Some(name) => format!("{name}: {found}/{wanted}"),
        None => format!("{found}/{wanted}"),
    }
}
