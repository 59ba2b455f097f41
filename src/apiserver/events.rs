//! Events: what controllers and agents say about objects, aggregated and forgotten after an hour.

use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};

use super::status::Status;
use super::write::Writing;
use crate::k8s::op::{EventDraft, EventSeverity};
use crate::k8s::{Object, ObjectKey, resources};
use crate::store::{Expect, Store, Write};

/// kube-apiserver's `--event-ttl`.
pub const TIME_TO_LIVE: SignedDuration = SignedDuration::from_hours(1);

/// Cluster-scoped objects' events live here.
const CLUSTER_NAMESPACE: &str = "default";

/// Creates an event, or counts up an equal one.
pub(super) fn record(writing: &mut Writing, draft: &EventDraft) -> Result<(), Status> {
    let namespace = if draft.regarding.namespace.is_empty() {
        CLUSTER_NAMESPACE
    } else {
        draft.regarding.namespace.as_str()
    };
    let name = format!("{}.{:016x}", draft.regarding.name, fingerprint(draft));
    let now = writing.timestamp();
    let key = ObjectKey::new(resources::EVENTS, namespace, &name);
    let existing = writing.store.cluster().get(&key).cloned();
    let (object, expect) = if let Some(found) = existing {
        (again(&found, &now), Expect::Revision(found.revision))
    } else {
        let uid = writing.ids.uuid();
        (first(draft, namespace, &name, &uid, &now), Expect::Absent)
    };
    writing.commit(Write::Put {
        resource: resources::EVENTS,
        object,
        expect,
    })?;
    Ok(())
}

/// Deletes events that nobody has repeated for an hour and says how many.
pub fn sweep(store: &mut Store, now: Timestamp) -> usize {
    let expired: Vec<ObjectKey> = store
        .cluster()
        .list(&resources::EVENTS)
        .filter(|event| {
            last_seen(event, now).is_some_and(|seen| now.duration_since(seen) > TIME_TO_LIVE)
        })
        .map(|event| event.key.clone())
        .collect();
    let count = expired.len();
    for key in expired {
        let _ = store.commit(Write::Delete {
            key,
            expect: Expect::Present,
        });
    }
    count
}

fn last_seen(event: &Arc<Object>, now: Timestamp) -> Option<Timestamp> {
    #[derive(serde::Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Times {
        last_timestamp: Option<Timestamp>,
        event_time: Option<Timestamp>,
    }
    let created = event.created?;
    if created.as_second() == 0 {
        return None;
    }
    // Nothing is seen before it is created: a young event need not be read.
    if now.duration_since(created) <= TIME_TO_LIVE {
        return Some(created);
    }
    let times: Times = event.typed().ok()?;
    times.last_timestamp.or(times.event_time).or(Some(created))
}

fn first(draft: &EventDraft, namespace: &str, name: &str, uid: &str, now: &Value) -> Value {
    let mut regarding = json!({
        "apiVersion": draft.api_version.as_str(),
        "kind": draft.kind.as_str(),
        "namespace": draft.regarding.namespace.as_str(),
        "name": draft.regarding.name.as_str(),
        "uid": draft.uid.0.as_str(),
    });
    if !draft.field_path.is_empty()
        && let Some(map) = regarding.as_object_mut()
    {
        map.insert("fieldPath".into(), draft.field_path.as_str().into());
    }
    json!({
        "apiVersion": "v1",
        "kind": "Event",
        "metadata": {
            "name": name,
            "namespace": namespace,
            "uid": uid,
            "creationTimestamp": now,
        },
        "involvedObject": regarding,
        "type": match draft.severity {
            EventSeverity::Normal => "Normal",
            EventSeverity::Warning => "Warning",
        },
        "reason": draft.reason.as_str(),
        "message": draft.message,
        "source": source(draft),
        "reportingComponent": draft.reporter.as_str(),
        "reportingInstance": draft.host.as_str(),
        "firstTimestamp": now,
        "lastTimestamp": now,
        "eventTime": null,
        "count": 1,
    })
}

fn source(draft: &EventDraft) -> Value {
    if draft.host.is_empty() {
        json!({"component": draft.reporter.as_str()})
    } else {
        json!({"component": draft.reporter.as_str(), "host": draft.host.as_str()})
    }
}

fn again(found: &Object, now: &Value) -> Value {
    let mut object = found.json();
    if let Some(root) = object.as_object_mut() {
        let count = root.get("count").and_then(Value::as_i64).unwrap_or(1);
        root.insert("count".into(), json!(count + 1));
        root.insert("lastTimestamp".into(), now.clone());
    }
    object
}

/// Equal events share a name, and so an object: everything that upstream's correlator compares.
fn fingerprint(draft: &EventDraft) -> u64 {
    use std::hash::Hasher;
    let mut hasher = rustc_hash::FxHasher::default();
    for part in [
        draft.regarding.resource.plural.as_str(),
        draft.regarding.resource.group.as_str(),
        draft.uid.0.as_str(),
        draft.field_path.as_str(),
        draft.reason.as_str(),
        draft.message.as_str(),
        draft.reporter.as_str(),
        draft.host.as_str(),
    ] {
        hasher.write(part.as_bytes());
        hasher.write_u8(0xff);
    }
    hasher.finish()
}
