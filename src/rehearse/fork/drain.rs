//! `kubectl drain` in virtual time: cordon, then ask for every pod's eviction, again every five
//! seconds where a budget says no, until all are gone.
//!
//! Source: `pkg/drain` of kubectl: daemon set pods and mirror pods are left, all others are asked
//! for at once. Pods without a controller, which kubectl wants `--force` for, go too, and it is
//! said.

use std::collections::BTreeMap;

use jiff::SignedDuration;
use serde_json::json;

use super::super::outcome::WorkloadName;
use super::{Fork, StepRefused};
use crate::apiserver::Verb;
use crate::k8s::{Name, Uid, resources};
use crate::stdx::humanize::counted;
use crate::topology::Class;
use crate::topology::workload::workload_of;

/// Between two attempts (`EvictPods`' retry).
const RETRY: SignedDuration = SignedDuration::from_secs(5);
/// A drain that takes longer is given up, as an operator would.
const PATIENCE: SignedDuration = SignedDuration::from_mins(30);

struct Leaving {
    namespace: Name,
    name: Name,
    uid: Uid,
    workload: WorkloadName,
    accepted: bool,
    refusal: Option<String>,
}

impl Fork {
    pub(super) fn drain(&mut self, node: &Name) -> Result<Vec<String>, StepRefused> {
        self.node(node)?;
        self.cordon(node, true)?;
        let mut notes = Vec::new();
        let mut pods = self.leaving(node, &mut notes);
        let deadline = self.now + PATIENCE;
        while !pods.is_empty() && self.now < deadline {
            for pod in pods.iter_mut().filter(|pod| !pod.accepted) {
                pod.refusal = self.evict(&pod.namespace, &pod.name).err();
                pod.accepted = pod.refusal.is_none();
            }
            self.run_until(self.now + RETRY);
            pods.retain(|pod| {
                let key = crate::k8s::ObjectKey::new(resources::PODS, &pod.namespace, &pod.name);
                self.cluster()
                    .get(&key)
                    .is_some_and(|object| object.uid == pod.uid)
            });
        }
        notes.extend(held_up(&pods));
        Ok(notes)
    }

    fn leaving(&self, node: &str, notes: &mut Vec<String>) -> Vec<Leaving> {
        let cluster = self.cluster();
        let mut pods = Vec::new();
        let mut bare = Vec::new();
        let mut left = 0;
        for pod in cluster.pods_on(node) {
            let workload = workload_of(cluster, pod);
            match workload.class() {
                Class::Daemon | Class::Static => {
                    left += 1;
                    continue;
                }
                Class::Bare => bare.push(format!("{}/{}", pod.namespace(), pod.name())),
                Class::Service | Class::Batch => {}
            }
            pods.push(Leaving {
                namespace: pod.key.namespace.clone(),
                name: pod.key.name.clone(),
                uid: pod.uid.clone(),
                workload: WorkloadName::of(&workload),
                accepted: false,
                refusal: None,
            });
        }
        if left > 0 {
            let pods = counted(left, "pod", "pods");
            notes.push(format!(
                "{pods} of daemon sets and of the machine itself stay"
            ));
        }
        if !bare.is_empty() {
            notes.push(format!(
                "nobody replaces {} (kubectl asks for --force)",
                bare.join(", ")
            ));
        }
        pods
    }

    /// Asks for one eviction; the refusal in the server's words.
    pub(super) fn evict(&mut self, namespace: &str, name: &str) -> Result<(), String> {
        let body = json!({
            "apiVersion": "policy/v1", "kind": "Eviction",
            "metadata": {"name": name, "namespace": namespace},
        });
        let mut target = super::act::target(&resources::PODS, "v1", namespace, name);
        target.subresource = Name::new_static("eviction");
        let response = self.send(Verb::Create, target, "application/json", body.to_string());
        if response.is_success() || response.status == 404 {
            return Ok(());
        }
        let status = response.value();
        let cause = status.pointer("/details/causes/0/message");
        let message = cause.or_else(|| status.get("message"));
        let text = message.and_then(serde_json::Value::as_str);
        Err(text.unwrap_or("it was refused").to_owned())
    }
}

/// What is still there when patience is over, by workload and reason.
fn held_up(pods: &[Leaving]) -> Vec<String> {
    let mut groups: BTreeMap<(String, String), Vec<&str>> = BTreeMap::new();
    for pod in pods {
        let why = match &pod.refusal {
            Some(refusal) => refusal.clone(),
            None => "they are on their way out and do not end".to_owned(),
        };
        groups
            .entry((pod.workload.to_string(), why))
            .or_default()
            .push(&pod.name);
    }
    groups
        .into_iter()
        .map(|((workload, why), names)| {
            let pods = counted(names.len(), "pod", "pods");
            let minutes = PATIENCE.as_mins();
            format!("not drained within {minutes} minutes: {pods} of {workload}: {why}")
        })
        .collect()
}
