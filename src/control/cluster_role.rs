//! `ClusterRole` aggregation: a role with an aggregation rule has the rules of those it selects.
//!
//! Source: `pkg/controller/clusterroleaggregation` of Kubernetes 1.36.

use jiff::Timestamp;
use serde::Deserialize;
use serde_json::{Value, json};

use super::{Controller, Outcome, field, write};
use crate::k8s::{Change, Cluster, LabelSelector, Object, ObjectKey, resources};

pub(super) const CONTROLLER: Controller = Controller {
    name: "clusterrole-aggregation-controller",
    triggers,
    reconcile,
};

fn triggers(cluster: &Cluster, change: &Change, keys: &mut Vec<ObjectKey>) {
    if change.object.key.resource == resources::CLUSTER_ROLES {
        let aggregated = cluster
            .list(&resources::CLUSTER_ROLES)
            .filter(|role| !selectors(role).is_empty());
        keys.extend(aggregated.map(|role| role.key.clone()));
    }
}

fn selectors(role: &Object) -> Vec<LabelSelector> {
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Wire {
        aggregation_rule: Option<Rule>,
    }
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Rule {
        #[serde(default)]
        cluster_role_selectors: Vec<LabelSelector>,
    }
    let wire = role.typed::<Wire>().ok();
    wire.and_then(|wire| wire.aggregation_rule)
        .map(|rule| rule.cluster_role_selectors)
        .unwrap_or_default()
}

fn reconcile(cluster: &Cluster, key: &ObjectKey, _now: Timestamp) -> Outcome {
    let mut outcome = Outcome::default();
    let Some(role) = cluster.get(key) else {
        return outcome;
    };
    let selectors = selectors(role);
    if selectors.is_empty() {
        return outcome;
    }
    let mut rules: Vec<Value> = Vec::new();
    for selector in &selectors {
        let selected = cluster
            .list(&resources::CLUSTER_ROLES)
            .filter(|other| other.uid != role.uid && selector.matches(&other.labels));
        for other in selected {
            for rule in field::list(&other.json(), "/rules") {
                if !rules.contains(rule) {
                    rules.push(rule.clone());
                }
            }
        }
    }
    if field::list(&role.json(), "/rules") != rules {
        outcome
            .ops
            .push(write::merge(role, json!({ "rules": rules })));
    }
    outcome
}

#[cfg(test)]
mod tests {
    use super::super::harness::Bench;
    use super::*;
    use crate::k8s::build;

    #[test]
    fn rules_of_selected_roles_are_joined() {
        let role = |name: &str| {
            build::object(
                resources::CLUSTER_ROLES,
                "rbac.authorization.k8s.io/v1",
                "ClusterRole",
                name,
            )
        };
        let rule =
            |resource: &str| json!({"apiGroups": [""], "resources": [resource], "verbs": ["get"]});
        let whole = role("/view").with(&json!({"aggregationRule": {"clusterRoleSelectors": [
            {"matchLabels": {"to-view": "true"}}]}}));
        let part = |name: &str, resource: &str| {
            role(name)
                .label("to-view", "true")
                .with(&json!({"rules": [rule(resource), rule("pods")]}))
        };
        let objects = [
            whole,
            part("/a", "pods"),
            part("/b", "nodes"),
            role("/c").with(&json!({"rules": [rule("secrets")]})),
        ];
        let mut bench = Bench::new(&[CONTROLLER], &objects);
        bench.settle();
        assert_eq!(
            bench.find(&resources::CLUSTER_ROLES, "/view")["rules"],
            json!([rule("pods"), rule("nodes")])
        );
        bench.edit(
            &resources::CLUSTER_ROLES,
            "/c",
            &json!({"metadata": {"labels": {"to-view": "true"}}}),
        );
        bench.settle();
        assert_eq!(
            bench.find(&resources::CLUSTER_ROLES, "/view")["rules"]
                .as_array()
                .unwrap()
                .len(),
            3
        );
    }
}
