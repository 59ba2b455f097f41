//! A cluster out of texts: what `kubectl get -A -o json` and `-o yaml` print, lists or single
//! objects, in any number of files.
//!
//! JSON lists are taken item by item without building a tree: a full dump has half a gigabyte.

use std::collections::BTreeMap;
use std::sync::{Arc, OnceLock};

use jiff::Timestamp;
use serde::Deserialize;
use serde_json::Value;
use serde_json::value::RawValue;

use crate::k8s::{Cluster, Object, ObjectError, Resource, facts, trim};

/// Objects as they are read.
#[derive(Clone, Debug, Default)]
pub struct Dump {
    cluster: Cluster,
    count: usize,
}

#[derive(Debug, thiserror::Error)]
pub enum DumpError {
    #[error("{file}: {source}")]
    Syntax {
        file: String,
        #[source]
        source: serde_json::Error,
    },
    #[error("{file}: an object without `apiVersion` and `kind`")]
    NoType { file: String },
    #[error(
        "{file}: {kind} `{name}` has no uid: it was written by hand, and not dumped from a cluster"
    )]
    NoUid {
        file: String,
        kind: String,
        name: String,
    },
    #[error("{file}: {source}")]
    Object {
        file: String,
        #[source]
        source: ObjectError,
    },
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Wire<'a> {
    #[serde(default)]
    api_version: String,
    #[serde(default)]
    kind: String,
    #[serde(borrow, default)]
    items: Option<Vec<&'a RawValue>>,
}

impl Dump {
    /// Adds a JSON text: one object, or a list of any kind.
    pub fn add_json(&mut self, text: &str, file: &str) -> Result<(), DumpError> {
        let syntax = |source| DumpError::Syntax {
            file: file.to_owned(),
            source,
        };
        let wire: Wire<'_> = serde_json::from_str(text).map_err(syntax)?;
        let Some(items) = wire.items else {
            return self.add(text, &wire.api_version, &wire.kind, file);
        };
        // Items of a typed list (a raw API answer) come without their type.
        let kind = wire.kind.strip_suffix("List").unwrap_or_default();
        for item in items {
            let own: Wire<'_> = serde_json::from_str(item.get()).map_err(syntax)?;
            if own.kind.is_empty() {
                self.add(item.get(), &wire.api_version, kind, file)?;
            } else {
                self.add(item.get(), &own.api_version, &own.kind, file)?;
            }
        }
        Ok(())
    }

    /// Adds an object that was read from another format.
    pub fn add_value(&mut self, object: &Value, file: &str) -> Result<(), DumpError> {
        self.add_json(&object.to_string(), file)
    }

    fn add(
        &mut self,
        json: &str,
        api_version: &str,
        kind: &str,
        file: &str,
    ) -> Result<(), DumpError> {
        if api_version.is_empty() || kind.is_empty() {
            return Err(DumpError::NoType {
                file: file.to_owned(),
            });
        }
        let bytes = trim::trimmed(json, api_version, kind);
        let object = Object::parse(resource_of(api_version, kind), bytes).map_err(|source| {
            DumpError::Object {
                file: file.to_owned(),
                source,
            }
        })?;
        if object.uid.0.is_empty() {
            return Err(DumpError::NoUid {
                file: file.to_owned(),
                kind: kind.to_owned(),
                name: object.name().to_owned(),
            });
        }
        self.count += 1;
        self.cluster.insert(&Arc::new(object));
        Ok(())
    }

    pub fn count(&self) -> usize {
        self.count
    }

    pub fn cluster(&self) -> &Cluster {
        &self.cluster
    }

    /// The newest time in the headers: when it was dumped, as nearly as can be told.
    pub fn newest(&self) -> Timestamp {
        newest(&self.cluster)
    }
}

/// The newest time that the headers of a cluster's objects mention.
pub fn newest(cluster: &Cluster) -> Timestamp {
    let times = cluster
        .resources()
        .flat_map(|resource| cluster.list(resource))
        .flat_map(|object| {
            let pod = object.pod();
            [
                object.created,
                pod.and_then(|pod| pod.ready_since),
                pod.and_then(|pod| pod.started),
                object.node().and_then(|node| node.ready_since),
            ]
        });
    times.flatten().max().unwrap_or_default()
}

/// The resource type of a kind: Kubernetes' own and ours by name, others by the usual plural.
pub fn resource_of(api_version: &str, kind: &str) -> Resource {
    static PLURALS: OnceLock<BTreeMap<(String, String), String>> = OnceLock::new();
    let plurals = PLURALS.get_or_init(|| {
        let known = facts::api_resources();
        known
            .into_iter()
            .filter(|resource| !resource.name.contains('/'))
            .map(|resource| ((resource.api_group, resource.kind), resource.name))
            .collect()
    });
    let group = api_version.split_once('/').map_or("", |(group, _)| group);
    let key = (group.to_owned(), kind.to_owned());
    match plurals.get(&key) {
        Some(plural) => Resource::new(group, plural),
        None => Resource::new(group, &format!("{}s", kind.to_lowercase())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::k8s::{lab, resources};

    #[test]
    fn lists_of_both_forms_are_read() {
        let mut dump = Dump::default();
        let list = r#"{"apiVersion": "v1", "kind": "List", "items": [
            {"apiVersion": "v1", "kind": "Node", "metadata": {"name": "a", "uid": "1"}},
            {"apiVersion": "apps/v1", "kind": "Deployment",
             "metadata": {"name": "web", "namespace": "shop", "uid": "2"}}]}"#;
        dump.add_json(list, "all.json").unwrap();
        let pods = r#"{"apiVersion": "v1", "kind": "PodList", "items": [
            {"metadata": {"name": "p", "namespace": "shop", "uid": "3"}}]}"#;
        dump.add_json(pods, "pods.json").unwrap();
        let cluster = dump.cluster();
        assert_eq!(cluster.nodes().count(), 1);
        assert!(
            cluster
                .find(&resources::DEPLOYMENTS, "shop", "web")
                .is_some()
        );
        assert!(cluster.find(&resources::PODS, "shop", "p").is_some());
    }

    #[test]
    fn what_is_no_dump_is_named() {
        let mut dump = Dump::default();
        let mut refuse = |text: &str| dump.add_json(text, "x.json").unwrap_err().to_string();
        assert!(refuse("{").starts_with("x.json: "));
        assert!(refuse("{}").contains("without `apiVersion`"));
        let by_hand = r#"{"apiVersion": "v1", "kind": "Node", "metadata": {"name": "a"}}"#;
        assert!(refuse(by_hand).contains("Node `a` has no uid"));
    }

    #[test]
    fn kinds_have_their_plurals() {
        assert_eq!(
            resource_of("networking.k8s.io/v1", "Ingress").plural,
            "ingresses"
        );
        assert_eq!(
            resource_of(lab::API_VERSION, lab::NODE_POOL),
            resources::NODE_POOLS
        );
        assert_eq!(resource_of("argoproj.io/v1", "Rollout").plural, "rollouts");
    }
}
