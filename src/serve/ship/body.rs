//! Requests as Loki and Elasticsearch read them.
//!
//! Sources: Loki's `POST /loki/api/v1/push`, Elasticsearch's `POST /_bulk`; the fields are those that
//! Filebeat's Kubernetes metadata has, dots in label names replaced as it does, because
//! `app` and `app.kubernetes.io/name` could not be in one index otherwise.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use crate::logstore::{Labels, Line, timestamp};

fn stream(is_error: bool) -> &'static str {
    if is_error { "stderr" } else { "stdout" }
}

pub fn loki(lines: &[Line]) -> Vec<u8> {
    let mut streams: BTreeMap<(&Labels, bool), Vec<Value>> = BTreeMap::new();
    for line in lines {
        let values = streams
            .entry((line.labels.as_ref(), line.is_error))
            .or_default();
        values.push(json!([
            line.at.to_string(),
            String::from_utf8_lossy(&line.text)
        ]));
    }
    let streams: Vec<Value> = streams
        .into_iter()
        .map(|((labels, is_error), values)| {
            let stream = json!({
                "namespace": labels.namespace,
                "pod": labels.pod,
                "container": labels.container,
                "node": labels.node,
                "app": labels.app(),
                "stream": stream(is_error),
            });
            json!({"stream": stream, "values": values})
        })
        .collect();
    json!({ "streams": streams }).to_string().into_bytes()
}

pub fn elasticsearch(lines: &[Line], index: &str) -> Vec<u8> {
    let mut out = String::new();
    for line in lines {
        let labels = &line.labels;
        let id = format!("{}-{:x}-{:x}", labels.uid, line.at, line.number);
        let order = json!({"create": {"_index": index, "_id": id}});
        let plain: Map<String, Value> = labels
            .labels
            .iter()
            .map(|(key, value)| (key.replace('.', "_"), Value::from(value.as_str())))
            .collect();
        let document = json!({
            "@timestamp": format!("{:.9}", timestamp(line.at)),
            "message": String::from_utf8_lossy(&line.text),
            "stream": stream(line.is_error),
            "kubernetes": {
                "namespace": labels.namespace,
                "pod": {"name": labels.pod, "uid": labels.uid},
                "container": {"name": labels.container},
                "node": {"name": labels.node},
                "labels": plain,
            },
        });
        for part in [order, document] {
            out.push_str(&part.to_string());
            out.push('\n');
        }
    }
    out.into_bytes()
}
