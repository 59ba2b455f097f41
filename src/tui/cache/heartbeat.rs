//! Nodes say every few minutes that they are still there. Of five thousand that is a change a
//! twentieth of a second in which nothing has changed.

use crate::k8s::{Object, resources};

/// What such a message brings that is new.
const BEATS: [&str; 2] = ["\"lastHeartbeatTime\":\"", "\"resourceVersion\":\""];

/// Whether a node only said once more what it had said before.
pub fn is_heartbeat(before: &Object, after: &Object) -> bool {
    after.key.resource == resources::NODES
        && before.uid == after.uid
        && before.node() == after.node()
        && is_same_but_for_beats(&before.bytes(), &after.bytes())
}

fn is_same_but_for_beats(before: &[u8], after: &[u8]) -> bool {
    let (Ok(before), Ok(after)) = (std::str::from_utf8(before), std::str::from_utf8(after)) else {
        return false;
    };
    rest(before).eq(rest(after))
}

/// The text without the values that a heartbeat brings.
fn rest(text: &str) -> impl Iterator<Item = &str> {
    let [beat, revision] = BEATS;
    without(text, beat).flat_map(move |part| without(part, revision))
}

/// What stands between the values of `key`, which are strings without escapes.
fn without<'a>(text: &'a str, key: &'a str) -> impl Iterator<Item = &'a str> {
    text.split(key)
        .enumerate()
        .map(|(index, part)| match part.split_once('"') {
            Some((_value, rest)) if index > 0 => rest,
            _ => part,
        })
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn node(revision: &str, beat: &str, pressure: &str) -> Object {
        let json: Value = json!({
            "apiVersion": "v1", "kind": "Node",
            "metadata": {"name": "a", "uid": "1", "resourceVersion": revision},
            "status": {"conditions": [
                {"type": "Ready", "status": "True", "lastHeartbeatTime": beat},
                {"type": "MemoryPressure", "status": pressure, "lastHeartbeatTime": beat},
            ]},
        });
        Object::from_json(resources::NODES, &json).unwrap()
    }

    #[test]
    fn only_what_was_said_before_is_a_heartbeat() {
        let before = node("7", "2026-01-01T00:00:00Z", "False");
        for (after, expected) in [
            (node("8", "2026-01-01T00:05:00Z", "False"), true),
            (node("812", "2026-01-01T00:00:00Z", "False"), true),
            (node("8", "2026-01-01T00:05:00Z", "True"), false),
        ] {
            assert_eq!(is_heartbeat(&before, &after), expected, "{after:?}");
        }
    }
}
