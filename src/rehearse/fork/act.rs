//! Carrying out a step: ordinary requests to the fork's own API server.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::super::step::{Domain, Packing, Reference, Setting, Step};
use super::{Fork, StepRefused};
use crate::apiserver::registry::ResourceType;
use crate::apiserver::{Request, ResourceTarget, Response, Target, User, Verb};
use crate::k8s::lab::{self, OutageSpec};
use crate::k8s::{Name, Object, Resource, resources};
use crate::sched::configuration::{Profile, Strategy};
use crate::sched::{Configuration, Plugin};
use crate::topology::level;

const MERGE: &str = "application/merge-patch+json";
const STRATEGIC: &str = "application/strategic-merge-patch+json";
const APPLY: &str = "application/apply-patch+yaml";
const JSON: &str = "application/json";
/// Field manager of what a rehearsal applies.
const MANAGER: &str = "bayplan-rehearsal";
/// How much more the balance of cpu and memory counts than usual under `pack balanced`: as much
/// as all other scores of the default profile together.
const BALANCE_WEIGHT: i64 = 10;

impl Fork {
    /// Does what the step says; what follows from it comes with time. Returns what the step has to
    /// say for itself.
    pub(super) fn act(&mut self, step: &Step) -> Result<Vec<String>, StepRefused> {
        match step {
            Step::Drain { node } => return self.drain(node),
            Step::Cordon { node } => self.cordon(node, true)?,
            Step::Uncordon { node } => self.cordon(node, false)?,
            Step::Lose(domain) => return self.lose(domain),
            Step::Restore(domain) => return self.restore(domain),
            Step::Add { count, model } => {
                let model = self.model(model)?;
                return self.add(*count, &model);
            }
            Step::Remove { node } => {
                self.node(node)?;
                let target = target(&resources::NODES, "v1", "", node);
                let response = self.send(Verb::Delete, target, JSON, String::new());
                accepted("the deletion of the node", &response)?;
            }
            Step::Scale { workload, replicas } => self.scale(workload, *replicas)?,
            Step::Set { workload, setting } => {
                let (found, object) = self.workload(workload)?;
                let patch = self.patch_of(&object, setting)?;
                self.patch(&found, &object, &patch)?;
            }
            Step::Patch { workload, patch } => {
                let (found, object) = self.workload(workload)?;
                self.patch(&found, &object, patch)?;
            }
            Step::Apply {
                objects, namespace, ..
            } => {
                return self.apply_all(objects, namespace);
            }
            Step::Evict { namespace, pod } => {
                self.pod(namespace, pod)?;
                if let Err(refusal) = self.evict(namespace, pod) {
                    return Ok(vec![format!("the eviction was refused: {refusal}")]);
                }
            }
            Step::Pack(packing) => {
                let configuration = configuration(*packing);
                self.world.set_scheduler(configuration, self.options.seed);
            }
            Step::Rebalance {
                balance,
                empty_dirs,
            } => return self.rebalance(balance, *empty_dirs),
            Step::Wait(_) => {}
        }
        Ok(Vec::new())
    }

    pub(super) fn send(
        &mut self,
        verb: Verb,
        target: ResourceTarget,
        media: &str,
        body: String,
    ) -> Response {
        let mut request = Request::internal(verb, target, User::system("rehearsal"));
        if media == APPLY {
            MANAGER.clone_into(&mut request.options.field_manager);
            request.options.force = true;
        }
        if !body.is_empty() {
            request = request.with_body(media, body);
        }
        self.world.handle(&request, self.now)
    }

    pub(super) fn cordon(&mut self, node: &Name, unschedulable: bool) -> Result<(), StepRefused> {
        self.node(node)?;
        let patch = json!({"spec": {"unschedulable": unschedulable.then_some(true)}});
        let target = target(&resources::NODES, "v1", "", node);
        let response = self.send(Verb::Patch, target, MERGE, patch.to_string());
        accepted("the cordon", &response)
    }

    /// An Outage object, as an operator of an embedded cluster makes one.
    fn lose(&mut self, domain: &Domain) -> Result<Vec<String>, StepRefused> {
        let (_, nodes) = self.domain(domain)?;
        let outage = json!({
            "apiVersion": lab::API_VERSION, "kind": lab::OUTAGE,
            "metadata": {
                "generateName": "rehearsed-",
                "annotations": {"bayplan.dev/domain": domain.to_string()},
            },
            "spec": {"nodes": nodes, "mode": "PowerOff"},
        });
        let target = target(&resources::OUTAGES, "v1alpha1", "", "");
        let response = self.send(Verb::Create, target, JSON, outage.to_string());
        accepted("the outage", &response)?;
        let now = self.now;
        self.ledger.darken(self.world.cluster(), &nodes, now);
        Ok(vec![match nodes.as_slice() {
            [only] => format!("{only} loses its power"),
            more => format!("{} machines lose their power", more.len()),
        }])
    }

    /// Takes the domain's machines out of every outage.
    fn restore(&mut self, domain: &Domain) -> Result<Vec<String>, StepRefused> {
        let (_, nodes) = self.domain(domain)?;
        let cluster = self.cluster();
        let mut changed: Vec<(Name, Option<Vec<Name>>)> = Vec::new();
        for outage in cluster.list(&resources::OUTAGES) {
            let spec: OutageSpec = lab::spec(outage);
            let concerned: Vec<Name> = cluster
                .nodes()
                .filter(|node| spec.concerns(node))
                .map(|node| node.key.name.clone())
                .collect();
            if !concerned.iter().any(|node| nodes.contains(node)) {
                continue;
            }
            let left: Vec<Name> = concerned
                .into_iter()
                .filter(|node| !nodes.contains(node))
                .collect();
            changed.push((outage.key.name.clone(), (!left.is_empty()).then_some(left)));
        }
        if changed.is_empty() {
            return Err(StepRefused::Nothing(format!("{domain} is not lost")));
        }
        for (name, left) in changed {
            let target = target(&resources::OUTAGES, "v1alpha1", "", &name);
            let response = match left {
                None => self.send(Verb::Delete, target, JSON, String::new()),
                Some(left) => {
                    let spec = json!({"spec": {"nodes": left, "nodeSelector": null}});
                    self.send(Verb::Patch, target, MERGE, spec.to_string())
                }
            };
            accepted("the end of the outage", &response)?;
        }
        let now = self.now;
        self.ledger.lighten(self.world.cluster(), &nodes, now);
        Ok(Vec::new())
    }

    fn scale(&mut self, workload: &Reference, replicas: u32) -> Result<(), StepRefused> {
        let (found, object) = self.workload(workload)?;
        if found.subresource("scale").is_none() {
            return Err(StepRefused::NotScaled(workload.to_string()));
        }
        let mut target = target_of(&found, &object);
        target.subresource = Name::new_static("scale");
        let patch = json!({"spec": {"replicas": replicas}});
        let response = self.send(Verb::Patch, target, MERGE, patch.to_string());
        accepted("the scale", &response)
    }

    fn patch(
        &mut self,
        found: &ResourceType,
        object: &Object,
        patch: &Value,
    ) -> Result<(), StepRefused> {
        let target = target_of(found, object);
        let response = self.send(Verb::Patch, target, STRATEGIC, patch.to_string());
        accepted("the patch", &response)
    }

    /// What others stand on first. Objects of kinds that the cluster does not serve change nothing
    /// that is modelled; they are left out and named.
    fn apply_all(
        &mut self,
        objects: &[Value],
        namespace: &str,
    ) -> Result<Vec<String>, StepRefused> {
        let rank = |object: &&Value| match object.get("kind").and_then(Value::as_str) {
            Some("Namespace" | "CustomResourceDefinition") => 0,
            _ => 1,
        };
        let mut ordered: Vec<&Value> = objects.iter().collect();
        ordered.sort_by_key(rank);
        let mut unserved: BTreeMap<String, usize> = BTreeMap::new();
        for object in ordered {
            match self.apply(object, namespace) {
                Err(StepRefused::Unknown { name, .. }) => *unserved.entry(name).or_default() += 1,
                other => other?,
            }
        }
        if unserved.is_empty() {
            return Ok(Vec::new());
        }
        let kinds: Vec<String> = unserved
            .iter()
            .map(|(kind, count)| format!("{count} × {kind}"))
            .collect();
        Ok(vec![format!(
            "left out, of kinds that this cluster does not serve: {}",
            kinds.join(", ")
        )])
    }

    fn apply(&mut self, object: &Value, namespace: &str) -> Result<(), StepRefused> {
        let (kind, target) = self.applied(object, namespace)?;
        let what = format!("{kind} `{}`", target.name);
        let response = self.send(Verb::Patch, target, APPLY, object.to_string());
        accepted(&what, &response)
    }

    /// The kind of an object that is applied, and where it goes.
    pub(super) fn applied(
        &self,
        object: &Value,
        namespace: &str,
    ) -> Result<(String, ResourceTarget), StepRefused> {
        let text = |pointer: &str| {
            object
                .pointer(pointer)
                .and_then(Value::as_str)
                .unwrap_or("")
        };
        let (group, version) = text("/apiVersion")
            .split_once('/')
            .unwrap_or(("", text("/apiVersion")));
        let kind = text("/kind");
        let published = self.world.published();
        let Some(found) = published.registry.by_kind(group, version, kind).cloned() else {
            return Err(StepRefused::Unknown {
                what: "kind".to_owned(),
                name: format!("{kind} ({})", text("/apiVersion")),
                nearest: Vec::new(),
            });
        };
        let namespace = match (found.namespaced, text("/metadata/namespace")) {
            (false, _) => "",
            (true, "") => namespace,
            (true, own) => own,
        };
        let target = ResourceTarget {
            namespace: namespace.into(),
            name: text("/metadata/name").into(),
            ..Target::resource(&found.group, &found.version, &found.plural)
        };
        Ok((kind.to_owned(), target))
    }

    /// Copies of a node, each with a name, a hostname and pod addresses of its own.
    fn add(&mut self, count: u32, model: &Object) -> Result<Vec<String>, StepRefused> {
        let mut names = Vec::new();
        for number in 1..=count {
            let name = format!("{}-new{number}", model.name());
            let node = copy_of(&model.json(), &name);
            let target = target(&resources::NODES, "v1", "", "");
            let response = self.send(Verb::Create, target, JSON, node.to_string());
            accepted(&format!("node `{name}`"), &response)?;
            names.push(name);
        }
        Ok(vec![format!("new machines: {}", names.join(", "))])
    }

    /// A setting as a strategic merge patch of the workload.
    pub(super) fn patch_of(
        &self,
        object: &Object,
        setting: &Setting,
    ) -> Result<Value, StepRefused> {
        let json = object.json();
        let resources = |container: &Option<Name>, field: &str, amounts: &[(Name, Name)]| {
            let amounts: BTreeMap<&str, &str> = amounts
                .iter()
                .map(|(name, amount)| (name.as_str(), amount.as_str()))
                .collect();
            let container = container_of(&json, container.as_deref())?;
            Ok(template(&json!({"containers": [
                {"name": container, "resources": {field: amounts}}]})))
        };
        match setting {
            Setting::Requests { container, amounts } => resources(container, "requests", amounts),
            Setting::Limits { container, amounts } => resources(container, "limits", amounts),
            Setting::Image { container, image } => {
                let container = container_of(&json, container.as_deref())?;
                Ok(template(&json!({"containers": [
                    {"name": container, "image": image}]})))
            }
            Setting::Spread {
                level,
                max_skew,
                firm,
            } => {
                let when = if *firm {
                    "DoNotSchedule"
                } else {
                    "ScheduleAnyway"
                };
                // Merged by topologyKey and whenUnsatisfiable.
                Ok(template(&json!({"topologySpreadConstraints": [{
                    "maxSkew": max_skew, "topologyKey": self.label(level)?,
                    "whenUnsatisfiable": when,
                    "labelSelector": json.pointer("/spec/selector"),
                }]})))
            }
            Setting::Apart { level, firm } => {
                let term = json!({
                    "topologyKey": self.label(level)?,
                    "labelSelector": json.pointer("/spec/selector"),
                });
                let terms = if *firm {
                    json!({"requiredDuringSchedulingIgnoredDuringExecution": [term]})
                } else {
                    json!({"preferredDuringSchedulingIgnoredDuringExecution": [
                        {"weight": 100, "podAffinityTerm": term}]})
                };
                Ok(template(&json!({"affinity": {"podAntiAffinity": terms}})))
            }
        }
    }
}

fn template(pod: &Value) -> Value {
    json!({"spec": {"template": {"spec": pod}}})
}

/// The container of that name, or the first.
fn container_of(workload: &Value, name: Option<&str>) -> Result<String, StepRefused> {
    let containers = workload
        .pointer("/spec/template/spec/containers")
        .and_then(Value::as_array);
    let names: Vec<&str> = containers
        .into_iter()
        .flatten()
        .filter_map(|container| container.get("name").and_then(Value::as_str))
        .collect();
    let found = match name {
        Some(name) => names.iter().find(|known| **known == name),
        None => names.first(),
    };
    found
        .map(|name| (*name).to_owned())
        .ok_or_else(|| StepRefused::Unknown {
            what: "container".to_owned(),
            name: name.unwrap_or_default().to_owned(),
            nearest: names.iter().map(|name| (*name).to_owned()).collect(),
        })
}

/// A new machine of the same shape in the same place.
fn copy_of(model: &Value, name: &str) -> Value {
    let map = |pointer: &str| {
        let found = model.pointer(pointer).and_then(Value::as_object);
        found.cloned().unwrap_or_default()
    };
    let mut labels = map("/metadata/labels");
    labels.insert(level::HOST.to_owned(), name.into());
    labels.insert(lab::RUNTIME_LABEL.to_owned(), lab::RUNTIME_SIMULATED.into());
    // Taints that say how the model was at the moment are not the new machine's.
    let taints: Vec<Value> = model
        .pointer("/spec/taints")
        .and_then(Value::as_array)
        .into_iter()
        .flatten()
        .filter(|taint| {
            let key = taint.get("key").and_then(Value::as_str).unwrap_or_default();
            !key.starts_with("node.kubernetes.io/")
        })
        .cloned()
        .collect();
    json!({
        "apiVersion": "v1", "kind": "Node",
        "metadata": {"name": name, "labels": labels},
        "spec": {"taints": taints},
        "status": {
            "capacity": map("/status/capacity"),
            "allocatable": map("/status/allocatable"),
        },
    })
}

fn configuration(packing: Packing) -> Configuration {
    let mut configuration = Configuration::default();
    for profile in &mut configuration.profiles {
        match packing {
            Packing::Least => {}
            Packing::Most => profile.fit.strategy = Strategy::MostAllocated,
            Packing::Balanced => {
                for (plugin, weight) in &mut profile.scores {
                    if *plugin == Plugin::NodeResourcesBalancedAllocation {
                        *weight = BALANCE_WEIGHT;
                    }
                }
            }
            Packing::Gpus => *profile = Profile::with_gpu_share(&profile.scheduler),
        }
    }
    configuration
}

pub(super) fn target(
    resource: &Resource,
    version: &str,
    namespace: &str,
    name: &str,
) -> ResourceTarget {
    ResourceTarget {
        namespace: namespace.into(),
        name: name.into(),
        ..Target::resource(&resource.group, version, &resource.plural)
    }
}

fn target_of(found: &ResourceType, object: &Object) -> ResourceTarget {
    target(
        &found.resource(),
        &found.version,
        object.namespace(),
        object.name(),
    )
}

fn accepted(what: &str, response: &Response) -> Result<(), StepRefused> {
    if response.is_success() {
        return Ok(());
    }
    let status = response.value();
    let message = status.get("message").and_then(Value::as_str);
    Err(StepRefused::Refused {
        what: what.to_owned(),
        message: message.unwrap_or("no reason was given").to_owned(),
    })
}
