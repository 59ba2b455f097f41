//! What a step names, looked up in the fork; or why it cannot be taken, with what may have been
//! meant.

use std::sync::Arc;

use super::super::nearest::nearest;
use super::super::step::{Domain, Model, Reference};
use super::Fork;
use crate::apiserver::registry::ResourceType;
use crate::k8s::{Name, Object, ObjectKey, resources};
use crate::topology::level::{self, Level};

const INSTANCE_TYPE: &str = "node.kubernetes.io/instance-type";

/// Why a step was not taken.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum StepRefused {
    #[error("there is no {what} `{name}`{}", meant(nearest))]
    Unknown {
        what: String,
        name: String,
        nearest: Vec<String>,
    },
    #[error("`{0}` has no replicas to set")]
    NotScaled(String),
    #[error("{0}")]
    Nothing(String),
    #[error("{what} was refused: {message}")]
    Refused { what: String, message: String },
}

fn meant(nearest: &[String]) -> String {
    match nearest {
        [] => String::new(),
        names => format!("; near it are {}", names.join(", ")),
    }
}

const NEAREST: usize = 5;

fn unknown<'a>(what: &str, name: &str, known: impl Iterator<Item = &'a str>) -> StepRefused {
    StepRefused::Unknown {
        what: what.to_owned(),
        name: name.to_owned(),
        nearest: nearest(name, known, NEAREST)
            .into_iter()
            .map(ToOwned::to_owned)
            .collect(),
    }
}

impl Fork {
    pub(super) fn node(&self, name: &str) -> Result<Arc<Object>, StepRefused> {
        let cluster = self.cluster();
        cluster
            .find(&resources::NODES, "", name)
            .cloned()
            .ok_or_else(|| unknown("node", name, cluster.nodes().map(|node| node.name())))
    }

    pub(super) fn pod(&self, namespace: &str, name: &str) -> Result<Arc<Object>, StepRefused> {
        let cluster = self.cluster();
        cluster
            .find(&resources::PODS, namespace, name)
            .cloned()
            .ok_or_else(|| {
                let names = cluster.list_in(&resources::PODS, namespace);
                let what = format!("pod in `{namespace}` called");
                unknown(&what, name, names.map(|pod| pod.name()))
            })
    }

    /// The label that a level's word stands for.
    pub(super) fn label(&self, word: &str) -> Result<Name, StepRefused> {
        if matches!(word, "node" | "host" | "machine") {
            return Ok(Name::new_static(level::HOST));
        }
        let cluster = self.cluster();
        let levels = level::levels(cluster, &[]);
        if let Some(level) = levels.iter().find(|level| level.title == word) {
            return Ok(level.label.clone());
        }
        if cluster.nodes().any(|node| node.labels.get(word).is_some()) {
            return Ok(Name::new(word));
        }
        let titles = levels.iter().map(|level: &Level| level.title.as_str());
        let labels = cluster
            .nodes()
            .take(1)
            .flat_map(|node| node.labels.iter().map(|(key, _)| key.as_str()));
        Err(unknown("failure domain level", word, titles.chain(labels)))
    }

    /// The domain's label and its machines, at least one.
    pub(super) fn domain(&self, domain: &Domain) -> Result<(Name, Vec<Name>), StepRefused> {
        let label = self.label(&domain.level)?;
        let is_host = label == level::HOST;
        let cluster = self.cluster();
        let nodes: Vec<Name> = cluster
            .nodes()
            .filter(|node| {
                node.labels.get(&label) == Some(&domain.value)
                    || (is_host && node.name() == domain.value)
            })
            .map(|node| node.key.name.clone())
            .collect();
        if nodes.is_empty() {
            let values = cluster
                .nodes()
                .filter_map(|node| node.labels.get(&label))
                .map(Name::as_str);
            return Err(unknown(&domain.level, &domain.value, values));
        }
        Ok((label, nodes))
    }

    /// The machine that new ones are made after.
    pub(super) fn model(&self, model: &Model) -> Result<Arc<Object>, StepRefused> {
        match model {
            Model::Like(node) => self.node(node),
            Model::Kind(kind) => {
                let kind_of = |node: &&Arc<Object>| node.labels.get(INSTANCE_TYPE) == Some(kind);
                let nodes = || self.cluster().nodes();
                nodes().find(kind_of).cloned().ok_or_else(|| {
                    let kinds = nodes().filter_map(|node| node.labels.get(INSTANCE_TYPE));
                    unknown("instance type", kind, kinds.map(Name::as_str))
                })
            }
        }
    }

    /// The workload that a reference means, and its type.
    pub(super) fn workload(
        &self,
        reference: &Reference,
    ) -> Result<(Arc<ResourceType>, Arc<Object>), StepRefused> {
        let published = self.world.published();
        let word = reference.kind.to_lowercase();
        let is_meant = |found: &&Arc<ResourceType>| {
            found.plural == word
                || found.singular == word
                || found.kind.to_lowercase() == word
                || found.short_names.iter().any(|short| *short == word)
        };
        let mut types: Vec<&Arc<ResourceType>> =
            published.registry.all().filter(is_meant).collect();
        types.sort_by_key(|found| found.group.as_str() == "extensions");
        let Some(found) = types.first().copied().cloned() else {
            let names = ["deployments", "statefulsets", "replicasets", "daemonsets"];
            return Err(unknown("kind", &reference.kind, names.into_iter()));
        };
        let key = ObjectKey {
            resource: found.resource(),
            namespace: reference.namespace.clone(),
            name: reference.name.clone(),
        };
        let cluster = self.cluster();
        if let Some(object) = cluster.get(&key) {
            return Ok((found, Arc::clone(object)));
        }
        let elsewhere: Vec<String> = cluster
            .list(&key.resource)
            .filter(|object| object.name() == reference.name)
            .map(|object| object.namespace().to_owned())
            .take(NEAREST)
            .collect();
        if !elsewhere.is_empty() {
            return Err(StepRefused::Nothing(format!(
                "there is no {} `{}` in `{}`; it is in {} (-n)",
                found.singular,
                reference.name,
                reference.namespace,
                elsewhere.join(", ")
            )));
        }
        let names = cluster.list_in(&key.resource, &reference.namespace);
        let names = names.map(|object| object.name());
        Err(unknown(&found.singular, &reference.name, names))
    }
}
