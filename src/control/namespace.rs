//! Namespace: once it is being deleted, everything in it goes, then the namespace itself.
//!
//! Source: `pkg/controller/namespace/deletion` of Kubernetes 1.36 (conditions and messages).

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde_json::{Value, json};

use super::condition::{self, Condition};
use super::{BURST, Controller, Outcome, field, trigger, write};
use crate::k8s::{Change, ChangeKind, Cluster, Object, ObjectKey, Resource, resources};

pub(super) const CONTROLLER: Controller = Controller {
    name: "namespace-controller",
    triggers,
    reconcile,
};

fn triggers(cluster: &Cluster, change: &Change, keys: &mut Vec<ObjectKey>) {
    trigger::itself(change, &resources::NAMESPACES, keys);
    let namespace = change.object.namespace();
    if !namespace.is_empty()
        && (change.kind != ChangeKind::Modified || !change.object.finalizers.is_empty())
        && cluster
            .find(&resources::NAMESPACES, "", namespace)
            .is_some_and(|namespace| namespace.is_terminating())
    {
        keys.push(ObjectKey::cluster_scoped(resources::NAMESPACES, namespace));
    }
}

fn reconcile(cluster: &Cluster, key: &ObjectKey, now: Timestamp) -> Outcome {
    let mut outcome = Outcome::default();
    let Some(namespace) = cluster.get(key).filter(|object| object.is_terminating()) else {
        return outcome;
    };
    let json = namespace.json();
    let left = Leftover::of(cluster, namespace.name());
    for resource in cluster.resources() {
        let going = cluster
            .list_in(resource, namespace.name())
            .filter(|object| !object.is_terminating());
        for object in going {
            if outcome.ops.len() == BURST {
                break;
            }
            outcome.ops.push(write::delete(object));
        }
    }
    if left.objects.is_empty() {
        if !field::list(&json, "/spec/finalizers").is_empty() {
            let done = json!({"spec": {"finalizers": []}});
            outcome.ops.push(write::merge(namespace, done));
        }
        return outcome;
    }
    let current = field::tree(&json, "/status").clone();
    let mut conditions = field::list(&current, "/conditions").to_vec();
    left.judge(&mut conditions, now);
    let wanted = json!({"phase": "Terminating", "conditions": conditions});
    // The status comes first: a deletion may be refused and end the run.
    let status = write::status(namespace, &current, &wanted);
    outcome.ops.splice(0..0, status);
    outcome
}

/// What is still there.
#[derive(Default)]
struct Leftover {
    objects: BTreeMap<Resource, usize>,
    finalizers: BTreeMap<String, usize>,
}

impl Leftover {
    fn of(cluster: &Cluster, namespace: &str) -> Self {
        let mut left = Self::default();
        for resource in cluster.resources() {
            for object in cluster.list_in(resource, namespace) {
                left.count(object);
            }
        }
        left
    }

    fn count(&mut self, object: &Object) {
        *self.objects.entry(object.key.resource.clone()).or_default() += 1;
        for finalizer in &object.finalizers {
            *self.finalizers.entry(finalizer.to_string()).or_default() += 1;
        }
    }

    fn judge(&self, conditions: &mut Vec<Value>, now: Timestamp) {
        let remaining: Vec<String> = self
            .objects
            .iter()
            .map(|(resource, count)| {
                let Resource { group, plural } = resource;
                format!("{plural}.{group} has {count} resource instances")
            })
            .collect();
        let held: Vec<String> = self
            .finalizers
            .iter()
            .map(|(name, count)| format!("{name} in {count} resource instances"))
            .collect();
        let remaining = format!("Some resources are remaining: {}", remaining.join(", "));
        let finalizers = format!(
            "Some content in the namespace has finalizers remaining: {}",
            held.join(", ")
        );
        let entries = [
            (
                "NamespaceDeletionDiscoveryFailure",
                "False",
                "ResourcesDiscovered",
                "All resources successfully discovered",
            ),
            (
                "NamespaceDeletionGroupVersionParsingFailure",
                "False",
                "ParsedGroupVersions",
                "All legacy kube types successfully parsed",
            ),
            (
                "NamespaceDeletionContentFailure",
                "False",
                "ContentDeleted",
                "All content successfully deleted, may be waiting on finalization",
            ),
            (
                "NamespaceContentRemaining",
                "True",
                "SomeResourcesRemain",
                remaining.as_str(),
            ),
            if held.is_empty() {
                (
                    "NamespaceFinalizersRemaining",
                    "False",
                    "ContentHasNoFinalizers",
                    "All content-preserving finalizers finished",
                )
            } else {
                (
                    "NamespaceFinalizersRemaining",
                    "True",
                    "SomeFinalizersRemain",
                    finalizers.as_str(),
                )
            },
        ];
        for (kind, status, reason, message) in entries {
            let condition = Condition {
                kind,
                status,
                reason,
                message,
            };
            condition::set_in_place(conditions, condition, None, now);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::harness::Bench;
    use super::*;
    use crate::k8s::Propagation;
    use crate::k8s::build;

    fn namespace() -> build::Draft {
        build::object(resources::NAMESPACES, "v1", "Namespace", "/shop")
            .with(&json!({"spec": {"finalizers": ["kubernetes"]}}))
    }

    #[test]
    fn content_goes_first_and_then_the_namespace() {
        let stubborn = build::object(resources::CONFIG_MAPS, "v1", "ConfigMap", "shop/held")
            .with(&json!({"metadata": {"finalizers": ["example.com/hold"]}}));
        let objects = [
            namespace(),
            build::pod("shop/a").node("n1"),
            stubborn,
            build::pod("other/b"),
        ];
        let mut bench = Bench::new(&[CONTROLLER], &objects);
        bench.settle();
        bench.delete(&resources::NAMESPACES, "/shop", Propagation::Background);
        bench.run_pods("n1");
        let status = bench.find(&resources::NAMESPACES, "/shop")["status"].clone();
        assert_eq!(status["phase"], "Terminating");
        let messages: Vec<&str> = field::list(&status, "/conditions")
            .iter()
            .map(|entry| field::text(entry, "/message"))
            .collect();
        assert!(
            messages
                .contains(&"Some resources are remaining: configmaps. has 1 resource instances")
        );
        assert!(messages.contains(
            &"Some content in the namespace has finalizers remaining: example.com/hold in 1 resource instances"
        ));
        let patch = json!({"metadata": {"finalizers": null}});
        let key = ObjectKey::new(resources::CONFIG_MAPS, "shop", "held");
        let held = bench.cluster.get(&key).unwrap().clone();
        bench.apply(write::merge(&held, patch));
        bench.settle();
        assert_eq!(bench.names(&resources::NAMESPACES), [""; 0]);
        assert_eq!(bench.names(&resources::PODS), ["b"]);
    }
}
