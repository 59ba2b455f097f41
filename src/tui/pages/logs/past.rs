//! Lines from before: what the cluster's log store kept of the shown selection, also of pods that
//! are gone.
//!
//! Each look goes further back from where the last one ended, and takes the newest lines of what is
//! left. Lines that a live stream has shown already are left out.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde_json::Value;

use super::model::LogModel;
use crate::k8s::columns::ContainerRole;
use crate::k8s::{Cluster, Name, ObjectKey, Uid};
use crate::tui::effect::PastOrder;
use crate::tui::view::Target;

/// Lines of one look.
pub const LINES: usize = 2_000;

/// A line of the store.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct PastLine {
    pub pod: ObjectKey,
    pub uid: Uid,
    pub container: Name,
    pub at: Timestamp,
    pub text: String,
}

/// What came of a look.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Taken {
    pub new: usize,
    /// The oldest line that was looked at, whether it was new or not.
    pub oldest: Option<Timestamp>,
}

/// What to ask the store for the shown pods and workloads.
pub fn orders(
    of: &[Target],
    only: Option<&str>,
    cluster: &Cluster,
    until: Option<Timestamp>,
    model: &LogModel,
) -> Vec<PastOrder> {
    of.iter()
        .filter_map(|target| {
            let (pods, selector) = if target.key.resource == crate::k8s::resources::PODS {
                (vec![target.key.name.to_string()], String::new())
            } else {
                (Vec::new(), selector(&cluster.get(&target.key)?.json())?)
            };
            Some(PastOrder {
                namespace: target.key.namespace.to_string(),
                pods,
                selector,
                container: only.map(str::to_owned),
                until,
                grep: grep(model),
                lines: LINES,
            })
        })
        .collect()
}

/// A workload's pods are found by its labels, because those that are gone are in no list.
fn selector(workload: &Value) -> Option<String> {
    let labels = workload
        .pointer("/spec/selector/matchLabels")?
        .as_object()?;
    let terms: Vec<String> = labels
        .iter()
        .filter_map(|(key, value)| Some(format!("{key}={}", value.as_str()?)))
        .collect();
    (!terms.is_empty()).then(|| terms.join(","))
}

/// The filter as the store understands it. An inverse one, or one that is no expression, is left to
/// the view.
fn grep(model: &LogModel) -> String {
    let pattern = model.filter().pattern.as_ref();
    let usable = pattern.filter(|pattern| !pattern.inverse && pattern.complaint.is_none());
    usable.map_or_else(String::new, |pattern| {
        let typed = pattern.typed();
        let exact = typed.chars().any(char::is_uppercase);
        let case = if exact { "" } else { "(?i)" };
        format!("/{case}{typed}/")
    })
}

/// Puts lines of the store among those that are there.
pub fn take(model: &mut LogModel, lines: &[PastLine], now: Timestamp) -> Taken {
    let shown = model.oldest_by_source();
    let mut taken = Taken {
        new: 0,
        oldest: lines.iter().map(|line| line.at).min(),
    };
    let mut by_source: BTreeMap<u16, Vec<String>> = BTreeMap::new();
    for line in lines {
        let known = model.sources.find(&line.uid, &line.container);
        let oldest = known.and_then(|source| shown.get(&source).copied());
        if oldest.is_some_and(|oldest| line.at >= oldest) {
            continue;
        }
        let source = known.unwrap_or_else(|| {
            let role = model
                .sources
                .role_of(&line.container)
                .unwrap_or(ContainerRole::App);
            model
                .sources
                .add_ended(&line.pod, &line.uid, &line.container, role)
        });
        let raw = format!("{} {}", line.at, line.text);
        by_source.entry(source).or_default().push(raw);
        taken.new += 1;
    }
    for (source, lines) in by_source {
        model.receive_past(source, lines.iter().map(String::as_str), now);
    }
    taken
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::k8s::resources;
    use crate::tui::pages::logs::source::StreamState;
    use serde_json::json;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    fn past(pod: &str, second: i64, text: &str) -> PastLine {
        PastLine {
            pod: ObjectKey::new(resources::PODS, "shop", pod),
            uid: Uid(pod.into()),
            container: "app".into(),
            at: at(second),
            text: text.to_owned(),
        }
    }

    fn texts(model: &LogModel) -> Vec<&str> {
        model.lines().map(|kept| &*kept.line.text).collect()
    }

    fn live() -> LogModel {
        let mut model = LogModel::bounded(1_000);
        let key = ObjectKey::new(resources::PODS, "shop", "cart-2");
        let uid = Uid("cart-2".into());
        model
            .sources
            .add(&key, &uid, &"app".into(), ContainerRole::App);
        model.receive(0, ["1970-01-01T00:00:10Z live"], at(11));
        model.settle(at(12));
        model
    }

    #[test]
    fn older_lines_come_before_and_what_is_shown_comes_once() {
        let mut model = live();
        let lines = [
            past("cart-1", 4, "of a pod that is gone"),
            past("cart-2", 7, "before the tail"),
            past("cart-2", 10, "live"),
            past("cart-1", 20, "a later one of the pod that is gone"),
        ];
        let taken = take(&mut model, &lines, at(30));
        model.settle(at(31));
        assert_eq!(
            taken,
            Taken {
                new: 3,
                oldest: Some(at(4))
            }
        );
        assert_eq!(
            texts(&model),
            [
                "of a pod that is gone",
                "before the tail",
                "live",
                "a later one of the pod that is gone"
            ]
        );
        // A stream that is open stays so, and one that is gone was never opened.
        let states: Vec<_> = model
            .sources
            .iter()
            .map(|source| source.state.clone())
            .collect();
        assert_eq!(states, [StreamState::Open, StreamState::Ended]);
        assert!(model.follow);
        assert_eq!(take(&mut model, &lines, at(40)).new, 0);
        // The live stream goes on.
        model.receive(0, ["1970-01-01T00:00:41Z next"], at(41));
        model.settle(at(42));
        assert_eq!(texts(&model).last(), Some(&"next"));
    }

    #[test]
    fn filter_and_labels_narrow_what_is_asked() {
        let mut model = live();
        for (typed, expected) in [
            ("", ""),
            ("refused|5..", "/(?i)refused|5../"),
            ("Refused", "/Refused/"),
            ("!health", ""),
            ("(", ""),
        ] {
            model.set_pattern(typed);
            assert_eq!(grep(&model), expected, "{typed}");
        }
        let workload =
            json!({"spec": {"selector": {"matchLabels": {"app": "cart", "tier": "web"}}}});
        assert_eq!(selector(&workload).as_deref(), Some("app=cart,tier=web"));
        assert_eq!(selector(&json!({"spec": {}})), None);
    }
}
