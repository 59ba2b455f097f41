//! What every namespace has: the service account `default` and the config map
//! `kube-root-ca.crt`.
//!
//! Sources: `serviceaccounts_controller.go` and `rootcacertpublisher` of Kubernetes 1.36. The
//! authority's certificate is not this module's to know: whoever holds it puts the config map into
//! `kube-system`, and it is copied from there.

use jiff::Timestamp;
use serde_json::{Value, json};

use super::{Controller, Outcome, field, trigger, write};
use crate::k8s::{Change, Cluster, ObjectKey, resources};

pub(super) const CONTROLLER: Controller = Controller {
    name: "serviceaccount-controller",
    triggers,
    reconcile,
};

pub(super) const ROOT_CA: Controller = Controller {
    name: "root-ca-certificate-publisher-controller",
    triggers: root_ca_triggers,
    reconcile: publish_root_ca,
};

const ACCOUNT: &str = "default";
const BUNDLE: &str = "kube-root-ca.crt";
const BUNDLE_SOURCE: &str = "kube-system";
const DESCRIPTION: &str = "Contains a CA bundle that can be used to verify the kube-apiserver when \
    using internal endpoints such as the internal service IP or kubernetes.default.svc. No other \
    usage is guaranteed across distributions of Kubernetes clusters.";

fn triggers(_cluster: &Cluster, change: &Change, keys: &mut Vec<ObjectKey>) {
    trigger::itself(change, &resources::NAMESPACES, keys);
    if change.object.key.resource == resources::SERVICE_ACCOUNTS && change.object.name() == ACCOUNT
    {
        keys.push(namespace_of(change));
    }
}

fn root_ca_triggers(cluster: &Cluster, change: &Change, keys: &mut Vec<ObjectKey>) {
    trigger::itself(change, &resources::NAMESPACES, keys);
    if change.object.key.resource == resources::CONFIG_MAPS && change.object.name() == BUNDLE {
        keys.push(namespace_of(change));
        if change.object.namespace() == BUNDLE_SOURCE {
            let all = cluster.list(&resources::NAMESPACES);
            keys.extend(all.map(|namespace| namespace.key.clone()));
        }
    }
}

fn namespace_of(change: &Change) -> ObjectKey {
    ObjectKey::cluster_scoped(resources::NAMESPACES, change.object.namespace())
}

fn is_active(cluster: &Cluster, key: &ObjectKey) -> bool {
    cluster
        .get(key)
        .is_some_and(|namespace| !namespace.is_terminating())
}

fn reconcile(cluster: &Cluster, key: &ObjectKey, _now: Timestamp) -> Outcome {
    let mut outcome = Outcome::default();
    let exists = cluster
        .find(&resources::SERVICE_ACCOUNTS, &key.name, ACCOUNT)
        .is_some();
    if is_active(cluster, key) && !exists {
        let account = json!({
            "apiVersion": "v1",
            "kind": "ServiceAccount",
            "metadata": {"name": ACCOUNT, "namespace": key.name},
        });
        outcome.ops.push(write::create(
            resources::SERVICE_ACCOUNTS,
            &key.name,
            account,
        ));
    }
    outcome
}

fn publish_root_ca(cluster: &Cluster, key: &ObjectKey, _now: Timestamp) -> Outcome {
    let mut outcome = Outcome::default();
    let Some(source) = cluster.find(&resources::CONFIG_MAPS, BUNDLE_SOURCE, BUNDLE) else {
        return outcome;
    };
    if !is_active(cluster, key) || key.name == BUNDLE_SOURCE {
        return outcome;
    }
    let data = field::tree(&source.json(), "/data").clone();
    let op = match cluster.find(&resources::CONFIG_MAPS, &key.name, BUNDLE) {
        None => Some(write::create(
            resources::CONFIG_MAPS,
            &key.name,
            bundle(&key.name, &data),
        )),
        Some(copy) if *field::tree(&copy.json(), "/data") == data => None,
        Some(copy) => write::difference(field::tree(&copy.json(), "/data"), &data)
            .map(|patch| write::merge(copy, json!({ "data": patch }))),
    };
    outcome.ops.extend(op);
    outcome
}

fn bundle(namespace: &str, data: &Value) -> Value {
    json!({
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {
            "name": BUNDLE,
            "namespace": namespace,
            "annotations": {"kubernetes.io/description": DESCRIPTION},
        },
        "data": data,
    })
}

#[cfg(test)]
mod tests {
    use super::super::harness::Bench;
    use super::*;
    use crate::k8s::{Propagation, build};

    #[test]
    fn every_namespace_has_its_account_and_the_bundle() {
        let namespace = |name| build::object(resources::NAMESPACES, "v1", "Namespace", name);
        let source = build::object(
            resources::CONFIG_MAPS,
            "v1",
            "ConfigMap",
            "kube-system/kube-root-ca.crt",
        )
        .with(&json!({"data": {"ca.crt": "one"}}));
        let objects = [namespace("/shop"), namespace("/kube-system"), source];
        let mut bench = Bench::new(&[CONTROLLER, ROOT_CA], &objects);
        bench.settle();
        assert_eq!(
            bench.names(&resources::SERVICE_ACCOUNTS),
            ["default", "default"]
        );
        let data = |bench: &Bench| {
            bench.find(&resources::CONFIG_MAPS, "shop/kube-root-ca.crt")["data"].clone()
        };
        assert_eq!(data(&bench), json!({"ca.crt": "one"}));
        bench.edit(
            &resources::CONFIG_MAPS,
            "kube-system/kube-root-ca.crt",
            &json!({"data": {"ca.crt": "two"}}),
        );
        bench.delete(
            &resources::SERVICE_ACCOUNTS,
            "shop/default",
            Propagation::Background,
        );
        bench.settle();
        assert_eq!(data(&bench), json!({"ca.crt": "two"}));
        assert_eq!(bench.names(&resources::SERVICE_ACCOUNTS).len(), 2);
    }
}
