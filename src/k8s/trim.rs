//! Leaves out of an object what no view and no core reads, before it is kept by the hundred
//! thousand.
//!
//! `metadata.managedFields` and the last-applied annotation are often more than half of an object.
//! What is edited is always fetched again in full, so nothing is lost by leaving them out of caches.

use std::collections::BTreeMap;

use bytes::Bytes;
use serde_json::value::RawValue;

const LAST_APPLIED: &str = "kubectl.kubernetes.io/last-applied-configuration";

type Fields<'a> = BTreeMap<&'a str, &'a RawValue>;

/// The object without its heavy fields, and with `apiVersion` and `kind` (items of typed lists come
/// without them). Bytes that are no JSON object are returned as they are, for the parser to refuse.
pub fn trimmed(json: &str, api_version: &str, kind: &str) -> Bytes {
    // `apiVersion` and `kind` come together, and first, where they come at all.
    if json.starts_with("{\"apiVersion\":") && !is_heavy(json) {
        return Bytes::copy_from_slice(json.as_bytes());
    }
    let Ok(fields) = serde_json::from_str::<Fields<'_>>(json) else {
        return Bytes::copy_from_slice(json.as_bytes());
    };
    let mut out = String::with_capacity(json.len());
    out.push('{');
    if !fields.contains_key("apiVersion") {
        push_text(&mut out, "apiVersion", api_version);
    }
    if !fields.contains_key("kind") {
        push_text(&mut out, "kind", kind);
    }
    for (name, value) in &fields {
        let lighter = (*name == "metadata")
            .then(|| metadata(value.get()))
            .flatten();
        push(&mut out, name, lighter.as_deref().unwrap_or(value.get()));
    }
    out.push('}');
    // Boxed: what the text reserved in excess would be held as long as the object.
    Bytes::from(out.into_bytes().into_boxed_slice())
}

fn is_heavy(json: &str) -> bool {
    json.contains("\"managedFields\"") || json.contains(LAST_APPLIED)
}

/// `None` where there is nothing to leave out.
fn metadata(json: &str) -> Option<String> {
    let mut fields = is_heavy(json)
        .then(|| serde_json::from_str::<Fields<'_>>(json).ok())
        .flatten()?;
    fields.remove("managedFields");
    let annotations = fields.remove("annotations");
    let mut out = String::with_capacity(json.len());
    out.push('{');
    if let Some(kept) = annotations.and_then(|annotations| lighter_annotations(annotations.get())) {
        push(&mut out, "annotations", &kept);
    }
    for (name, value) in &fields {
        push(&mut out, name, value.get());
    }
    out.push('}');
    Some(out)
}

fn lighter_annotations(json: &str) -> Option<String> {
    let mut fields: BTreeMap<String, &RawValue> = serde_json::from_str(json).ok()?;
    fields.remove(LAST_APPLIED);
    if fields.is_empty() {
        return None;
    }
    let mut out = String::from("{");
    for (name, value) in &fields {
        let name = serde_json::Value::from(name.as_str()).to_string();
        separate(&mut out);
        out.push_str(&name);
        out.push(':');
        out.push_str(value.get());
    }
    out.push('}');
    Some(out)
}

/// `name` is a key of JSON text that needed no escapes, so it needs none now.
fn push(out: &mut String, name: &str, json: &str) {
    separate(out);
    out.push('"');
    out.push_str(name);
    out.push_str("\":");
    out.push_str(json);
}

fn push_text(out: &mut String, name: &str, text: &str) {
    push(out, name, &serde_json::Value::from(text).to_string());
}

fn separate(out: &mut String) {
    if !out.ends_with('{') {
        out.push(',');
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    #[track_caller]
    fn check(before: &Value, after: &Value) {
        let bytes = trimmed(&before.to_string(), "v1", "Pod");
        assert_eq!(&serde_json::from_slice::<Value>(&bytes).unwrap(), after);
    }

    #[test]
    fn heavy_fields_go_and_everything_else_stays() {
        check(
            &json!({"metadata": {"name": "a", "managedFields": [{"manager": "x"}],
                "annotations": {LAST_APPLIED: "{}", "b\"c": "d"}}, "spec": {"x": [1, 2]}}),
            &json!({"apiVersion": "v1", "kind": "Pod",
                "metadata": {"name": "a", "annotations": {"b\"c": "d"}}, "spec": {"x": [1, 2]}}),
        );
        check(
            &json!({"metadata": {"name": "a", "annotations": {LAST_APPLIED: "{}"}}}),
            &json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "a"}}),
        );
        check(
            &json!({"apiVersion": "v2", "kind": "Other", "metadata": {"name": "a"}}),
            &json!({"apiVersion": "v2", "kind": "Other", "metadata": {"name": "a"}}),
        );
    }
}
