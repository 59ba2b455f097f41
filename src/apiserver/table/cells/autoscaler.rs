//! Cells of autoscalers.

use serde_json::Value;

use super::super::Row;
use super::{items, text, text_at};

pub fn autoscaler_reference(row: &Row<'_>) -> Value {
    let kind = text_at(row.json, "/spec/scaleTargetRef/kind");
    Value::from(format!(
        "{kind}/{}",
        text_at(row.json, "/spec/scaleTargetRef/name")
    ))
}

/// `cpu: <unknown>/80%` for resource metrics in both API versions.
pub fn autoscaler_targets(row: &Row<'_>) -> Value {
    let mut parts: Vec<String> = items(row.json.pointer("/spec/metrics"))
        .enumerate()
        .map(|(index, metric)| autoscaler_target(row.json, index, metric))
        .collect();
    if let Some(target) = row.json.pointer("/spec/targetCPUUtilizationPercentage") {
        let current = text_at(row.json, "/status/currentCPUUtilizationPercentage");
        let current = if current.is_empty() {
            "<unknown>".to_owned()
        } else {
            format!("{current}%")
        };
        parts.push(format!("cpu: {current}/{}%", text(target)));
    }
    Value::from(first_few_metrics(&parts))
}

fn autoscaler_target(json: &Value, index: usize, metric: &Value) -> String {
    let kind = text_at(metric, "/type");
    let mut field = kind.clone();
    if let Some(first) = field.get_mut(0..1) {
        first.make_ascii_lowercase();
    }
    let source = metric.get(&field).cloned().unwrap_or_default();
    let name = [text_at(&source, "/name"), text_at(&source, "/metric/name")].concat();
    let current = format!("/status/currentMetrics/{index}/{field}/current");
    let utilization = text_at(&source, "/target/averageUtilization");
    if utilization.is_empty() {
        let target = ["/target/averageValue", "/target/value"]
            .iter()
            .map(|path| text_at(&source, path))
            .find(|found| !found.is_empty());
        let now = text_at(json, &format!("{current}/averageValue"));
        let now = if now.is_empty() {
            "<unknown>".to_owned()
        } else {
            now
        };
        let prefix = if kind == "Resource" {
            format!("{name}: ")
        } else {
            String::new()
        };
        format!("{prefix}{now}/{}", target.unwrap_or_default())
    } else {
        let now = text_at(json, &format!("{current}/averageUtilization"));
        let now = if now.is_empty() {
            "<unknown>".to_owned()
        } else {
            format!("{now}%")
        };
        format!("{name}: {now}/{utilization}%")
    }
}

fn first_few_metrics(parts: &[String]) -> String {
    const SHOWN: usize = 2;
    let shown = parts
        .iter()
        .take(SHOWN)
        .cloned()
        .collect::<Vec<_>>()
        .join(", ");
    match parts.len() {
        0 => "<none>".to_owned(),
        total if total > SHOWN => format!("{shown} + {} more...", total - SHOWN),
        _ => shown,
    }
}
