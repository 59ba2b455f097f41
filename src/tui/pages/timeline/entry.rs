//! One thing that happened, and where it is read from: an Event object, or the difference between
//! an object before and after a watch event.

use jiff::Timestamp;
use serde::Deserialize;

use crate::k8s::{Name, Object, ObjectKey, Resource, Uid, resources};

#[derive(Clone, PartialEq, Debug)]
pub struct Entry {
    pub at: Timestamp,
    pub kind: EntryKind,
    pub tone: Tone,
    pub about: ObjectKey,
    /// The node it happened on, where it happened on one.
    pub node: Option<Name>,
    /// A word to scan for: `BackOff`, `ready`, `scaled`.
    pub what: Name,
    pub text: String,
    /// Who says so or did it: a reporter, a field manager, the operator.
    pub by: Name,
    /// How often, for an event that is counted up.
    pub count: u32,
    /// The Event object that this entry follows.
    pub event: Option<Uid>,
}

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum EntryKind {
    /// An Event object.
    Event,
    /// An object's state turned.
    State,
    /// Somebody changed what is wanted.
    Change,
    /// The scheduler decided.
    Decision,
    /// Done from this console.
    Action,
}

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Tone {
    Plain,
    Good,
    Warning,
    Bad,
}

impl EntryKind {
    pub const ALL: [Self; 5] = [
        Self::Event,
        Self::State,
        Self::Change,
        Self::Decision,
        Self::Action,
    ];

    pub fn word(self) -> &'static str {
        match self {
            Self::Event => "event",
            Self::State => "state",
            Self::Change => "change",
            Self::Decision => "sched",
            Self::Action => "you",
        }
    }
}

/// `Event` of core/v1 and of events.k8s.io/v1, whose fields have two names each.
#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
struct EventWire {
    #[serde(alias = "regarding")]
    involved_object: Reference,
    reason: Name,
    #[serde(alias = "note")]
    message: String,
    #[serde(rename = "type")]
    severity: Name,
    #[serde(alias = "deprecatedCount")]
    count: Option<u32>,
    #[serde(alias = "deprecatedLastTimestamp")]
    last_timestamp: Option<Timestamp>,
    #[serde(alias = "deprecatedFirstTimestamp")]
    first_timestamp: Option<Timestamp>,
    event_time: Option<Timestamp>,
    series: Option<Series>,
    #[serde(alias = "deprecatedSource")]
    source: EventSource,
    #[serde(alias = "reportingController")]
    reporting_component: Name,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
struct Reference {
    api_version: Name,
    kind: Name,
    namespace: Name,
    name: Name,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
struct Series {
    count: u32,
    last_observed_time: Option<Timestamp>,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct EventSource {
    component: Name,
    host: Name,
}

/// Reads an Event object; `None` where it is none.
pub fn of_event(object: &Object) -> Option<Entry> {
    let wire: EventWire = serde_json::from_slice(&object.bytes()).ok()?;
    let series = wire.series.as_ref();
    let at = series
        .and_then(|series| series.last_observed_time)
        .or(wire.last_timestamp)
        .or(wire.event_time)
        .or(wire.first_timestamp)
        .or(object.created)?;
    let by = if wire.source.component.is_empty() {
        wire.reporting_component
    } else {
        wire.source.component
    };
    let kind = match wire.reason.as_str() {
        "Scheduled" | "FailedScheduling" | "Preempted" | "NotTriggerScaleUp"
        | "WaitingForGates" => EntryKind::Decision,
        _ => EntryKind::Event,
    };
    let resource = resource_of(&wire.involved_object);
    let node = if resource == resources::NODES {
        Some(wire.involved_object.name.clone())
    } else {
        Some(wire.source.host).filter(|host| !host.is_empty())
    };
    Some(Entry {
        at,
        kind,
        tone: if wire.severity == "Warning" {
            Tone::Warning
        } else {
            Tone::Plain
        },
        about: ObjectKey {
            namespace: if resource == resources::NODES {
                Name::default()
            } else {
                wire.involved_object.namespace
            },
            name: wire.involved_object.name,
            resource,
        },
        node,
        what: wire.reason,
        text: wire.message.trim_end().to_owned(),
        by,
        count: series
            .map_or(wire.count.unwrap_or(1), |series| series.count)
            .max(1),
        event: Some(object.uid.clone()),
    })
}

/// The resource of a kind that events speak of. An event names the kind alone, and every built-in
/// kind's plural follows from it; a custom kind's plural is taken as the regular one, which only
/// costs the link from the event to its object where it is not.
fn resource_of(reference: &Reference) -> Resource {
    let group = reference
        .api_version
        .split_once('/')
        .map_or("", |(group, _)| group);
    let lower = reference.kind.to_ascii_lowercase();
    let plural = match lower.as_str() {
        "" => String::new(),
        "endpoints" => lower,
        word if word.ends_with('s') || word.ends_with('x') || word.ends_with("ch") => {
            format!("{word}es")
        }
        word if word.ends_with('y') && !word.ends_with("ey") && !word.ends_with("ay") => {
            format!("{}ies", word.trim_end_matches('y'))
        }
        word => format!("{word}s"),
    };
    Resource::new(group, &plural)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn both_forms_of_events_are_read() {
        let old = json!({"metadata": {"name": "a.1", "namespace": "shop", "uid": "e"},
            "involvedObject": {"kind": "Pod", "namespace": "shop", "name": "cart-1", "apiVersion": "v1"},
            "reason": "BackOff", "message": "Back-off restarting failed container\n", "type": "Warning",
            "count": 7, "lastTimestamp": "2026-01-01T00:00:05Z", "eventTime": null,
            "source": {"component": "kubelet", "host": "a01-h01"}});
        let entry = of_event(&Object::from_json(resources::EVENTS, &old).unwrap()).unwrap();
        assert_eq!(entry.about.to_string(), "pods shop/cart-1");
        assert_eq!(
            (entry.count, entry.tone, entry.by.as_str()),
            (7, Tone::Warning, "kubelet")
        );
        assert_eq!(entry.text, "Back-off restarting failed container");
        let new = json!({"metadata": {"name": "a.1", "namespace": "shop"},
            "regarding": {"kind": "Pod", "namespace": "shop", "name": "cart-1"},
            "reason": "FailedScheduling", "note": "0/3 nodes are available", "type": "Warning",
            "eventTime": "2026-01-01T00:00:05.5Z", "reportingController": "default-scheduler",
            "series": {"count": 3, "lastObservedTime": "2026-01-01T00:01:00Z"}});
        let entry = of_event(&Object::from_json(resources::EVENTS, &new).unwrap()).unwrap();
        assert_eq!((entry.kind, entry.count), (EntryKind::Decision, 3));
        assert_eq!(entry.at.to_string(), "2026-01-01T00:01:00Z");
    }

    #[test]
    fn plurals_of_built_in_kinds_are_right() {
        for (kind, plural) in [
            ("Ingress", "ingresses"),
            ("NetworkPolicy", "networkpolicies"),
            ("StorageClass", "storageclasses"),
            ("Endpoints", "endpoints"),
            ("Gateway", "gateways"),
            ("EndpointSlice", "endpointslices"),
        ] {
            let reference = Reference {
                kind: kind.into(),
                ..Reference::default()
            };
            assert_eq!(resource_of(&reference).plural, plural);
        }
    }
}
