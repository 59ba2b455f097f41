//! Amounts of compute resources as the scheduler counts them, and what a pod asks for.
//!
//! Source: kube-scheduler 1.36 and its `resource` helpers: cpu in milli-units, everything else
//! in whole units, each rounded up once after the exact sum of a pod is formed; sidecars (init
//! containers with `restartPolicy: Always`) count beside the containers, ordinary init containers
//! as a maximum; pod-level requests replace cpu, memory and huge pages; overhead comes last.

use std::collections::BTreeMap;

use serde::Deserialize;

use super::key::Name;
use super::quantity::Quantity;

/// Rounded amounts. Absent resources are zero.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct ResourceList {
    pub cpu_milli: i64,
    pub memory_bytes: i64,
    pub ephemeral_storage_bytes: i64,
    /// Extended and other scalar resources, sorted by name (`nvidia.com/gpu`, `hugepages-2Mi`).
    pub scalars: Box<[(Name, i64)]>,
}

/// Amounts as written in an object: resource name to quantity.
pub type Quantities = BTreeMap<Name, Quantity>;

impl ResourceList {
    /// Rounds exact amounts. `pods` is not a resource of this list; see
    /// [`super::columns::NodeColumns::pod_limit`].
    pub fn rounded(exact: &Quantities) -> Self {
        let amount = |name: &str| exact.get(name).copied().unwrap_or_default();
        Self {
            cpu_milli: amount("cpu").milli(),
            memory_bytes: amount("memory").value(),
            ephemeral_storage_bytes: amount("ephemeral-storage").value(),
            scalars: exact
                .iter()
                .filter(|(name, _)| is_scalar(name))
                .map(|(name, quantity)| (name.clone(), quantity.value()))
                .collect(),
        }
    }

    pub fn scalar(&self, name: &str) -> i64 {
        self.scalars
            .binary_search_by(|(key, _)| key.as_str().cmp(name))
            .ok()
            .and_then(|index| self.scalars.get(index))
            .map_or(0, |(_, amount)| *amount)
    }

    /// Adds `other` in place, saturating.
    pub fn add(&mut self, other: &Self) {
        self.combine(other, i64::saturating_add);
    }

    /// Subtracts `other` in place, saturating; the result may be negative.
    pub fn subtract(&mut self, other: &Self) {
        self.combine(other, i64::saturating_sub);
    }

    fn combine(&mut self, other: &Self, operation: fn(i64, i64) -> i64) {
        self.cpu_milli = operation(self.cpu_milli, other.cpu_milli);
        self.memory_bytes = operation(self.memory_bytes, other.memory_bytes);
        self.ephemeral_storage_bytes =
            operation(self.ephemeral_storage_bytes, other.ephemeral_storage_bytes);
        if other.scalars.is_empty() {
            return;
        }
        let place =
            |list: &Self, name: &Name| list.scalars.binary_search_by(|(key, _)| key.cmp(name)).ok();
        // Mostly every name is there already.
        if other
            .scalars
            .iter()
            .all(|(name, _)| place(self, name).is_some())
        {
            for (name, amount) in &other.scalars {
                let found = place(self, name).and_then(|index| self.scalars.get_mut(index));
                if let Some((_, known)) = found {
                    *known = operation(*known, *amount);
                }
            }
            return;
        }
        let mut merged: BTreeMap<Name, i64> = self.scalars.iter().cloned().collect();
        for (name, amount) in &other.scalars {
            let entry = merged.entry(name.clone()).or_default();
            *entry = operation(*entry, *amount);
        }
        self.scalars = merged.into_iter().collect();
    }
}

/// Whether the scheduler counts this resource beside cpu, memory and ephemeral storage: extended
/// resources (with a domain outside `kubernetes.io`, no `requests.` prefix), prefixed native ones,
/// huge pages and attachable volumes.
pub fn is_scalar(name: &str) -> bool {
    name.starts_with("hugepages-")
        || name.starts_with("attachable-volumes-")
        || name.contains("kubernetes.io/")
        || (name.contains('/') && !name.starts_with("requests."))
}

/// The parts of a pod's specification that say how much it needs.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct PodResources {
    pub containers: Vec<ContainerResources>,
    pub init_containers: Vec<ContainerResources>,
    pub overhead: Quantities,
    pub resources: Requirements,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ContainerResources {
    pub name: Name,
    pub resources: Requirements,
    pub restart_policy: Name,
}

#[derive(Clone, Debug, Default, Deserialize, PartialEq, Eq)]
#[serde(default)]
pub struct Requirements {
    pub requests: Quantities,
    pub limits: Quantities,
}

impl ContainerResources {
    /// An init container that keeps running beside the app.
    pub fn is_sidecar(&self) -> bool {
        self.restart_policy == "Always"
    }
}

impl PodResources {
    /// What the pod asks for, exactly.
    pub fn requests(&self) -> Quantities {
        self.total(|requirements| &requirements.requests)
    }

    /// What the pod may use at most, exactly; resources without a limit are absent.
    pub fn limits(&self) -> Quantities {
        self.total(|requirements| &requirements.limits)
    }

    fn total(&self, side: fn(&Requirements) -> &Quantities) -> Quantities {
        let mut total = Quantities::new();
        for container in &self.containers {
            add(&mut total, side(&container.resources));
        }
        let mut sidecars = Quantities::new();
        let mut start_up = Quantities::new();
        for container in &self.init_containers {
            let own = side(&container.resources);
            if container.is_sidecar() {
                add(&mut sidecars, own);
                raise(&mut start_up, &sidecars);
            } else {
                let mut during = sidecars.clone();
                add(&mut during, own);
                raise(&mut start_up, &during);
            }
        }
        add(&mut total, &sidecars);
        raise(&mut total, &start_up);
        for (name, quantity) in side(&self.resources) {
            if name == "cpu" || name == "memory" || name.starts_with("hugepages-") {
                total.insert(name.clone(), *quantity);
            }
        }
        add(&mut total, &self.overhead);
        total
    }
}

fn add(total: &mut Quantities, more: &Quantities) {
    for (name, quantity) in more {
        let entry = total.entry(name.clone()).or_default();
        *entry = entry.plus(*quantity);
    }
}

fn raise(total: &mut Quantities, floor: &Quantities) {
    for (name, quantity) in floor {
        let entry = total.entry(name.clone()).or_default();
        if *quantity > *entry {
            *entry = *quantity;
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[track_caller]
    fn check(spec: serde_json::Value, cpu_milli: i64, memory_bytes: i64) {
        let pod: PodResources = serde_json::from_value(spec).unwrap();
        let list = ResourceList::rounded(&pod.requests());
        assert_eq!(
            (list.cpu_milli, list.memory_bytes),
            (cpu_milli, memory_bytes)
        );
    }

    #[test]
    fn containers_sidecars_and_init_containers_are_combined_as_upstream_does() {
        check(
            json!({"containers": [{"resources": {"requests": {"cpu": "100m"}}},
                                    {"resources": {"requests": {"cpu": "0.2", "memory": "1Ki"}}}]}),
            300,
            1024,
        );
        check(
            json!({"containers": [{"resources": {"requests": {"cpu": "100m"}}}],
                     "initContainers": [{"restartPolicy": "Always", "resources": {"requests": {"cpu": "50m"}}},
                                        {"resources": {"requests": {"cpu": "500m"}}}]}),
            550,
            0,
        );
        check(
            json!({"containers": [{"resources": {"requests": {"cpu": "1"}}}],
                     "resources": {"requests": {"cpu": "3"}}, "overhead": {"cpu": "250m"}}),
            3250,
            0,
        );
    }
}
