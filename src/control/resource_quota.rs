//! `ResourceQuota`: how much of what is limited is in use.
//!
//! Sources: `pkg/controller/resourcequota` and the evaluators of `pkg/quota/v1` of Kubernetes 1.36.
//! Pods are summed from their header columns; finished ones use nothing.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::Deserialize;
use serde_json::{Value, json};

use super::{Controller, Outcome, field, trigger, write};
use crate::k8s::columns::{PodColumns, QosClass};
use crate::k8s::quantity::Quantity;
use crate::k8s::resource_list::{Quantities, ResourceList};
use crate::k8s::{Change, ChangeKind, Cluster, Name, Object, ObjectKey, Resource, resources};

pub(super) const CONTROLLER: Controller = Controller {
    name: "resourcequota-controller",
    triggers,
    reconcile,
};

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
struct Spec {
    hard: Quantities,
    scopes: Vec<Name>,
    scope_selector: ScopeSelector,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
struct ScopeSelector {
    match_expressions: Vec<Scope>,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
struct Scope {
    #[serde(rename = "scopeName")]
    name: Name,
    operator: Name,
    values: Vec<Name>,
}

fn triggers(cluster: &Cluster, change: &Change, keys: &mut Vec<ObjectKey>) {
    trigger::itself(change, &resources::RESOURCE_QUOTAS, keys);
    let object = &change.object;
    let counts = change.kind != ChangeKind::Modified
        || object.key.resource == resources::SERVICES
        || object.key.resource == resources::PERSISTENT_VOLUME_CLAIMS
        || (object.key.resource == resources::PODS && trigger::pod_turned(change));
    if counts {
        let quotas = cluster.list_in(&resources::RESOURCE_QUOTAS, object.namespace());
        keys.extend(quotas.map(|quota| quota.key.clone()));
    }
}

fn reconcile(cluster: &Cluster, key: &ObjectKey, _now: Timestamp) -> Outcome {
    #[derive(Deserialize)]
    struct Wire {
        #[serde(default)]
        spec: Spec,
        #[serde(default)]
        status: Value,
    }
    let mut outcome = Outcome::default();
    let Some(quota) = cluster.get(key) else {
        return outcome;
    };
    let Ok(Wire { spec, mut status }) = quota.typed::<Wire>() else {
        return outcome;
    };
    if !status.is_object() {
        status = json!({});
    }
    let usage = Usage {
        cluster,
        namespace: quota.namespace(),
        spec: &spec,
    };
    let used: BTreeMap<&Name, Quantity> = spec
        .hard
        .keys()
        .map(|name| (name, usage.of(name)))
        .collect();
    let wanted = json!({"hard": spec.hard, "used": used});
    outcome.ops.extend(write::status(quota, &status, &wanted));
    outcome
}

struct Usage<'a> {
    cluster: &'a Cluster,
    namespace: &'a str,
    spec: &'a Spec,
}

impl Usage<'_> {
    fn of(&self, name: &str) -> Quantity {
        let pods = |amount: fn(&PodColumns, &str) -> Quantity, what: &str| {
            self.pods()
                .fold(Quantity::ZERO, |sum, pod| sum.plus(amount(pod, what)))
        };
        if let Some(object) = name.strip_prefix("count/") {
            return self.count(&resource_of(object));
        }
        if let Some((class, what)) = name.split_once(".storageclass.storage.k8s.io/") {
            return self.claims(what, Some(class));
        }
        match name {
            "pods" => Quantity::from_units(self.pods().map(|_| 1).sum()),
            "cpu" | "memory" | "ephemeral-storage" => pods(requested, name),
            "persistentvolumeclaims" | "requests.storage" => self.claims(name, None),
            "services" => self.count(&resources::SERVICES),
            "services.loadbalancers" | "services.nodeports" => self.services(name),
            "configmaps" => self.count(&resources::CONFIG_MAPS),
            "secrets" => self.count(&resources::SECRETS),
            "replicationcontrollers" => self.count(&resources::REPLICATION_CONTROLLERS),
            "resourcequotas" => self.count(&resources::RESOURCE_QUOTAS),
            _ => match name.split_once('.') {
                Some(("requests", what)) => pods(requested, what),
                Some(("limits", what)) => pods(limited, what),
                _ => pods(requested, name),
            },
        }
    }

    fn count(&self, resource: &Resource) -> Quantity {
        let count = self.cluster.list_in(resource, self.namespace).count();
        Quantity::from_units(i64::try_from(count).unwrap_or(i64::MAX))
    }

    /// Pods that count: not finished and within all scopes.
    fn pods(&self) -> impl Iterator<Item = &PodColumns> {
        self.cluster
            .list_in(&resources::PODS, self.namespace)
            .filter(|pod| self.is_in_scope(pod))
            .filter_map(|pod| pod.pod())
            .filter(|columns| !columns.is_finished())
    }

    fn is_in_scope(&self, pod: &Object) -> bool {
        let plain = self.spec.scopes.iter().map(|name| (name, None));
        let chosen = &self.spec.scope_selector.match_expressions;
        let chosen = chosen.iter().map(|scope| (&scope.name, Some(scope)));
        plain.chain(chosen).all(|(name, scope)| {
            let Some(columns) = pod.pod() else {
                return false;
            };
            match name.as_str() {
                "BestEffort" => columns.qos == QosClass::BestEffort,
                "NotBestEffort" => columns.qos != QosClass::BestEffort,
                "Terminating" => has_deadline(pod),
                "NotTerminating" => !has_deadline(pod),
                "PriorityClass" => scope.is_none_or(|scope| scope.matches(&priority_class(pod))),
                _ => true,
            }
        })
    }

    fn claims(&self, what: &str, class: Option<&str>) -> Quantity {
        self.cluster
            .list_in(&resources::PERSISTENT_VOLUME_CLAIMS, self.namespace)
            .map(|claim| claim.json())
            .filter(|claim| {
                class.is_none_or(|class| field::text(claim, "/spec/storageClassName") == class)
            })
            .fold(Quantity::ZERO, |sum, claim| {
                if what == "persistentvolumeclaims" {
                    return sum.plus(Quantity::from_units(1));
                }
                let storage = field::text(&claim, "/spec/resources/requests/storage");
                sum.plus(Quantity::parse(storage).unwrap_or_default())
            })
    }

    fn services(&self, what: &str) -> Quantity {
        let amount: i64 = self
            .cluster
            .list_in(&resources::SERVICES, self.namespace)
            .map(|service| service.json())
            .map(|service| {
                let ports = field::list(&service, "/spec/ports");
                let kind = field::text(&service, "/spec/type");
                match (what, kind) {
                    ("services.loadbalancers", "LoadBalancer") => 1,
                    ("services.nodeports", "NodePort") => {
                        i64::try_from(ports.len()).unwrap_or(i64::MAX)
                    }
                    ("services.nodeports", "LoadBalancer") => {
                        let allocated = ports
                            .iter()
                            .filter(|port| field::count(port, "/nodePort") != 0);
                        i64::try_from(allocated.count()).unwrap_or(i64::MAX)
                    }
                    _ => 0,
                }
            })
            .sum();
        Quantity::from_units(amount)
    }
}

impl Scope {
    fn matches(&self, class: &str) -> bool {
        match self.operator.as_str() {
            "In" => self.values.iter().any(|value| value == class),
            "NotIn" => self.values.iter().all(|value| value != class),
            "DoesNotExist" => class.is_empty(),
            _ => !class.is_empty(),
        }
    }
}

/// `deployments.apps` or `configmaps`.
fn resource_of(text: &str) -> Resource {
    let (plural, group) = text.split_once('.').unwrap_or((text, ""));
    Resource::new(group, plural)
}

fn requested(pod: &PodColumns, what: &str) -> Quantity {
    amount(&pod.requests, what)
}

fn limited(pod: &PodColumns, what: &str) -> Quantity {
    amount(&pod.limits, what)
}

fn amount(list: &ResourceList, what: &str) -> Quantity {
    match what {
        "cpu" => Quantity::from_milli(list.cpu_milli),
        "memory" => Quantity::from_bytes(list.memory_bytes),
        "ephemeral-storage" => Quantity::from_bytes(list.ephemeral_storage_bytes),
        _ => {
            let scalar = list.scalars.iter().find(|(name, _)| name == what);
            Quantity::from_units(scalar.map_or(0, |(_, amount)| *amount))
        }
    }
}

fn has_deadline(pod: &Object) -> bool {
    field::integer(&pod.json(), "/spec/activeDeadlineSeconds").is_some_and(|seconds| seconds >= 0)
}

fn priority_class(pod: &Object) -> String {
    field::text(&pod.json(), "/spec/priorityClassName").to_owned()
}

#[cfg(test)]
mod tests {
    use super::super::harness::Bench;
    use super::*;
    use crate::k8s::build;

    #[test]
    fn usage_is_summed_by_name_and_scope() {
        let quota = |name: &str, spec: Value| {
            build::object(resources::RESOURCE_QUOTAS, "v1", "ResourceQuota", name)
                .with(&json!({ "spec": spec }))
        };
        let claim = build::object(resources::PERSISTENT_VOLUME_CLAIMS, "v1", "PersistentVolumeClaim", "data")
            .with(&json!({"spec": {"storageClassName": "standard", "resources": {"requests": {"storage": "3Gi"}}}}));
        let objects = [
            quota(
                "all",
                json!({"hard": {"pods": "10", "cpu": "4", "requests.memory": "8Gi", "limits.cpu": "9",
                "count/deployments.apps": "2", "requests.storage": "1Ti",
                "standard.storageclass.storage.k8s.io/persistentvolumeclaims": "5"}}),
            ),
            quota(
                "idle",
                json!({"hard": {"pods": "3"}, "scopes": ["BestEffort"]}),
            ),
            build::pod("a").cpu("500m").memory("1Gi").limit("cpu", "1"),
            build::pod("b").cpu("250m").memory("512Mi"),
            build::pod("best-effort"),
            build::pod("done").cpu("3").phase("Succeeded"),
            build::pod("elsewhere/c").cpu("1"),
            build::deployment("web"),
            claim,
        ];
        let mut bench = Bench::new(&[CONTROLLER], &objects);
        bench.settle();
        let used =
            |name: &str| bench.find(&resources::RESOURCE_QUOTAS, name)["status"]["used"].clone();
        assert_eq!(
            used("all"),
            json!({"pods": "3", "cpu": "750m", "requests.memory": "1536Mi", "limits.cpu": "1",
                "count/deployments.apps": "1", "requests.storage": "3Gi",
                "standard.storageclass.storage.k8s.io/persistentvolumeclaims": "1"})
        );
        assert_eq!(used("idle"), json!({"pods": "1"}));
    }
}
