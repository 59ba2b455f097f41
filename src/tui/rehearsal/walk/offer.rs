//! A step as the change that it is in reality, compared with what is there now.

use serde_json::{Value, json};

use super::{Leg, is_compared};
use crate::k8s::{Cluster, Object, Op, Preconditions, resources};
use crate::rehearse::report;
use crate::rehearse::walk::{Deed, Real};
use crate::tui::actions::proposal::{Consequence, Weight};
use crate::tui::actions::walked::{Walked, Write};
use crate::tui::actions::{Action, Confirmation, Proposal};
use crate::tui::view::Target;

/// What would be sent, with what the rehearsal foretold; or why it cannot be meant any more.
///
/// `known`: how reality departs already, which the operator has been told. Whoever goes on then
/// types the name.
pub fn proposal(leg: &Leg, cluster: &Cluster, known: Option<&str>) -> Result<Proposal, String> {
    let Ok(real) = &leg.stride.real else {
        return Err("it is no step of reality".to_owned());
    };
    let action = action(&leg.stride.text, real, cluster)?;
    let mut proposal = action.propose(cluster);
    let foretold = &real.foretold;
    let mut add = |weight, text: String| {
        proposal.consequences.push(Consequence { weight, text });
    };
    let took = if foretold.settled {
        let length = i64::try_from(foretold.took_s).unwrap_or(i64::MAX);
        let length = jiff::SignedDuration::from_secs(length);
        format!(", in {}", crate::rehearse::duration_text(length))
    } else {
        String::new()
    };
    let effects = &foretold.effects;
    add(
        Weight::Note,
        format!("foretold: {}{took}", report::sentence(effects)),
    );
    for effect in effects.workloads.iter().take(SHOWN) {
        let text = format!(
            "foretold: {} falls to {} of {}",
            effect.workload, effect.lowest_ready, effect.target
        );
        add(Weight::Warning, text);
    }
    for breach in effects.budgets.iter().chain(&effects.quorums).take(SHOWN) {
        let text = format!(
            "foretold: {}/{} breaks, {} of {} needed",
            breach.namespace, breach.name, breach.lowest, breach.needs
        );
        add(Weight::Danger, text);
    }
    for note in foretold.notes.iter().take(SHOWN) {
        add(Weight::Note, format!("foretold: {note}"));
    }
    if let Some(why) = known {
        add(Weight::Danger, why.to_owned());
        let name = real.touched.key.name.to_string();
        if proposal.confirmation == Confirmation::Enter {
            proposal.confirmation = Confirmation::Typed(name);
        }
    }
    proposal
        .consequences
        .sort_by_key(|consequence| std::cmp::Reverse(consequence.weight));
    proposal.title = format!("apply: {}", leg.stride.text);
    Ok(proposal)
}

/// Lines of one sort that a panel has room for.
const SHOWN: usize = 3;

fn action(step: &str, real: &Real, cluster: &Cluster) -> Result<Action, String> {
    let key = &real.touched.key;
    let there = cluster.get(key);
    let target = || {
        let object = there.ok_or_else(|| format!("{} is gone", key.name));
        object.map(|object| Target::of(object))
    };
    let walked = |target: Target, write: Write| {
        Ok(Action::Walked(Box::new(Walked {
            target,
            step: step.to_owned(),
            write,
            before: there.map(|object| object.json()),
            rehearsed: (real.touched.before.clone(), real.touched.after.clone()),
        })))
    };
    let new = || Target {
        key: key.clone(),
        uid: there.map(|object| object.uid.clone()).unwrap_or_default(),
    };
    match &real.deed {
        Deed::Cordon { cordon, .. } => Ok(Action::Cordon {
            nodes: vec![target()?],
            cordon: *cordon,
        }),
        Deed::Drain { node } => Ok(Action::drain(cluster, node.to_string(), vec![target()?])),
        Deed::Evict => Ok(Action::Evict { pod: target()? }),
        Deed::Delete => Ok(Action::Delete {
            targets: vec![target()?],
        }),
        Deed::Scale { replicas } => {
            let object = there.ok_or_else(|| format!("{} is gone", key.name))?;
            Action::scale(object, *replicas).ok_or_else(|| format!("{} cannot be scaled", key.name))
        }
        Deed::Patch(patch) => {
            let target = target()?;
            let op = Op::Patch {
                key: key.clone(),
                subresource: None,
                patch: patch.clone(),
                // Nothing that came after this picture is written over.
                if_match: Preconditions {
                    uid: Some(target.uid.clone()),
                    revision: there.map(|object| object.revision),
                },
            };
            walked(target, Write::Op(Box::new(op)))
        }
        Deed::Apply(object) => {
            let mut object = object.clone();
            if !key.namespace.is_empty()
                && let Some(metadata) = object.get_mut("metadata").and_then(Value::as_object_mut)
            {
                metadata.insert("namespace".to_owned(), json!(key.namespace));
            }
            walked(new(), Write::Apply(object))
        }
        Deed::Create(object) => {
            let op = Op::Create {
                resource: key.resource.clone(),
                namespace: key.namespace.clone(),
                object: object.clone(),
            };
            walked(new(), Write::Op(Box::new(op)))
        }
    }
}

/// How what is there differs from what the rehearsal had before this step.
pub fn changed_meanwhile(real: &Real, cluster: &Cluster) -> Option<String> {
    let key = &real.touched.key;
    if !is_compared(&key.resource) {
        return None;
    }
    let name = key.name.as_str();
    match (&real.touched.before, cluster.get(key)) {
        (None, None) => None,
        (None, Some(_)) => Some(format!("{name} is there by now; the rehearsal made it")),
        (Some(_), None) => Some(format!("{name} is gone since the fork")),
        (Some(before), Some(object)) => {
            let uid = before.pointer("/metadata/uid").and_then(Value::as_str);
            if uid.is_some_and(|uid| uid != object.uid.0.as_str()) {
                return Some(format!("{name} is another object since the fork"));
            }
            let (old, new) = (meant(before, object), meant(&object.json(), object));
            let (path, from, to) = first_difference(&old, &new, String::new())?;
            Some(format!(
                "{name} was changed since the fork: {path} {} → {} (resourceVersion {})",
                brief(&from),
                brief(&to),
                object.revision
            ))
        }
    }
}

/// What an operator says of an object, without what the machinery writes.
fn meant(json: &Value, object: &Object) -> Value {
    let part = |pointer: &str| json.pointer(pointer).cloned().unwrap_or_default();
    let resource = &object.key.resource;
    if *resource == resources::NODES {
        return json!({"spec": {"unschedulable": part("/spec/unschedulable") == Value::Bool(true)}});
    }
    if *resource == resources::PODS {
        return json!({"spec": {"nodeName": part("/spec/nodeName")}});
    }
    let labels = part("/metadata/labels");
    json!({"metadata": {"labels": labels}, "spec": part("/spec")})
}

fn first_difference(old: &Value, new: &Value, path: String) -> Option<(String, Value, Value)> {
    if old == new {
        return None;
    }
    let below = |name: &str| match path.as_str() {
        "" => name.to_owned(),
        path => format!("{path}.{name}"),
    };
    match (old, new) {
        (Value::Object(before), Value::Object(after)) => {
            let mut names = before.keys().chain(after.keys());
            let nothing = Value::Null;
            names.find_map(|name| {
                let from = before.get(name).unwrap_or(&nothing);
                let to = after.get(name).unwrap_or(&nothing);
                first_difference(from, to, below(name))
            })
        }
        (Value::Array(before), Value::Array(after)) if before.len() == after.len() => before
            .iter()
            .zip(after)
            .enumerate()
            .find_map(|(place, (from, to))| first_difference(from, to, format!("{path}[{place}]"))),
        _ => Some((path, old.clone(), new.clone())),
    }
}

fn brief(value: &Value) -> String {
    let text = match value {
        Value::Null => "nothing".to_owned(),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    };
    crate::tui::text::cut_middle(&text, 32)
}
