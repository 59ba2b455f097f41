//! `VolumeBinding`: a pod's claims must be bound to volumes that the node reaches, or be bindable
//! there.

use std::sync::Arc;

use crate::k8s::{Name, ObjectKey, resources};
use crate::sched::framework::Subject;
use crate::sched::node_info::NodeInfo;
use crate::sched::snapshot::Snapshot;
use crate::sched::spec::Volume;
use crate::sched::surroundings::{Claim, PersistentVolume, Surroundings};
use crate::sched::verdict::{Code, Plugin, Reason, Refusal};

pub const REASON_IMMEDIATE: &str = "pod has unbound immediate PersistentVolumeClaims";
pub const REASON_NODE: &str = "node(s) didn't match PersistentVolume's node affinity";
pub const REASON_BIND: &str = "node(s) didn't find available persistent volumes to bind";
pub const REASON_MISSING: &str =
    "node(s) unavailable due to one or more pvc(s) bound to non-existent pv(s)";

/// A class without dynamic provisioning names this provisioner.
const NO_PROVISIONER: &str = "kubernetes.io/no-provisioner";

/// The pod's claims, sorted by how they bind.
#[derive(Clone, Debug, Default)]
pub struct Claims {
    bound: Vec<Arc<Claim>>,
    /// Name and claim; these are bound where the pod goes.
    delayed: Vec<(Name, Arc<Claim>)>,
}

/// `Ok(None)`: the pod has no claims.
pub fn pre_filter(snapshot: &Snapshot, subject: &Subject) -> Result<Option<Claims>, Refusal> {
    let surroundings = snapshot.surroundings();
    let namespace = &subject.template.namespace;
    let refuse = |reason: Reason| Err(Refusal::unresolvable(Plugin::VolumeBinding, reason));
    let mut claims = Claims::default();
    let mut any = false;
    let mut immediate = false;
    for volume in &subject.template.spec.volumes {
        let Volume::Claim { name, ephemeral } = volume else {
            continue;
        };
        any = true;
        let Some(claim) = surroundings.claims.get(&(namespace.clone(), name.clone())) else {
            return refuse(
                if *ephemeral {
                    format!(
                        "waiting for ephemeral volume controller to create the \
                         persistentvolumeclaim \"{name}\""
                    )
                } else {
                    format!("persistentvolumeclaim \"{name}\" not found")
                }
                .into(),
            );
        };
        if claim.lost {
            return refuse(
                format!(
                    "persistentvolumeclaim \"{name}\" bound to non-existent persistentvolume \
                     \"{}\"",
                    claim.volume
                )
                .into(),
            );
        }
        if claim.terminating {
            return refuse(format!("persistentvolumeclaim \"{name}\" is being deleted").into());
        }
        if *ephemeral && !claim.owners.contains(&subject.object.uid.0) {
            return refuse(
                format!(
                    "PVC {namespace}/{name} was not created for pod {namespace}/{} (pod is not \
                     owner)",
                    subject.object.name()
                )
                .into(),
            );
        }
        let waits = surroundings
            .classes
            .get(&claim.class)
            .is_some_and(|class| class.waits);
        if claim.bound {
            claims.bound.push(Arc::clone(claim));
        } else if waits && claim.volume.is_empty() {
            claims.delayed.push((name.clone(), Arc::clone(claim)));
        } else {
            immediate = true;
        }
    }
    if immediate {
        return refuse(REASON_IMMEDIATE.into());
    }
    Ok(any.then_some(claims))
}

impl Claims {
    pub fn filter(
        &self,
        snapshot: &Snapshot,
        subject: &Subject,
        node: &NodeInfo,
    ) -> Option<Refusal> {
        let surroundings = snapshot.surroundings();
        let mut reasons: Vec<Reason> = Vec::new();
        match self.bound_fit(surroundings, node) {
            BoundFit::Reachable => {}
            BoundFit::OutOfReach => reasons.push(REASON_NODE.into()),
            BoundFit::Missing => reasons.push(REASON_MISSING.into()),
        }
        if !self.can_bind(surroundings, &subject.template.namespace, node) {
            reasons.push(REASON_BIND.into());
        }
        // Recorded decisions list the reasons sorted.
        reasons.sort_unstable();
        (!reasons.is_empty()).then_some(Refusal {
            plugin: Plugin::VolumeBinding,
            code: Code::UnschedulableAndUnresolvable,
            reasons,
        })
    }

    fn bound_fit(&self, surroundings: &Surroundings, node: &NodeInfo) -> BoundFit {
        for claim in &self.bound {
            let Some(volume) = surroundings.volumes.get(&claim.volume) else {
                return BoundFit::Missing;
            };
            if !is_reachable(volume, node) {
                return BoundFit::OutOfReach;
            }
        }
        BoundFit::Reachable
    }

    /// Whether every waiting claim finds a volume or can be provisioned on this node.
    fn can_bind(&self, surroundings: &Surroundings, namespace: &Name, node: &NodeInfo) -> bool {
        let mut provision: Vec<&Claim> = Vec::new();
        let mut find: Vec<&(Name, Arc<Claim>)> = Vec::new();
        for entry in &self.delayed {
            match &entry.1.selected_node {
                Some(selected) if *selected != node.name => return false,
                Some(_) => provision.push(&entry.1),
                None => find.push(entry),
            }
        }
        // Small claims choose first, so that a large volume is left for a large claim.
        find.sort_by_key(|(_, claim)| claim.requested);
        let mut chosen: Vec<Name> = Vec::new();
        for (name, claim) in find {
            match find_volume(surroundings, (namespace, name), claim, node, &chosen) {
                Some(volume) => chosen.push(volume.name.clone()),
                None => provision.push(claim),
            }
        }
        provision
            .into_iter()
            .all(|claim| can_provision(surroundings, claim, node))
    }
}

/// The claims that are bound where the pod goes: they are told the node before the pod is.
pub fn waiting_claims(snapshot: &Snapshot, subject: &Subject) -> Vec<ObjectKey> {
    match pre_filter(snapshot, subject) {
        Ok(Some(claims)) => claims
            .delayed
            .iter()
            .map(|(name, _)| ObjectKey {
                resource: resources::PERSISTENT_VOLUME_CLAIMS,
                namespace: subject.template.namespace.clone(),
                name: name.clone(),
            })
            .collect(),
        _ => Vec::new(),
    }
}

enum BoundFit {
    Reachable,
    OutOfReach,
    Missing,
}

fn is_reachable(volume: &PersistentVolume, node: &NodeInfo) -> bool {
    volume.nodes.as_ref().is_none_or(|terms| {
        terms
            .iter()
            // Upstream matches labels alone here; a term about the node's name matches nothing.
            .any(|term| term.matches(&Name::default(), &node.labels))
    })
}

/// The smallest volume of the claim's class that satisfies it, or the one reserved for it.
fn find_volume<'a>(
    surroundings: &'a Surroundings,
    (namespace, name): (&Name, &Name),
    claim: &Claim,
    node: &NodeInfo,
    chosen: &[Name],
) -> Option<&'a PersistentVolume> {
    let mut best: Option<&PersistentVolume> = None;
    for volume in surroundings.volumes.values() {
        if volume.class != claim.class || chosen.contains(&volume.name) {
            continue;
        }
        let reserved = volume.claim.as_ref().map(|(space, own, uid)| {
            space == namespace && own == name && (uid.is_empty() || *uid == claim.uid)
        });
        if reserved == Some(false)
            || volume.capacity < claim.requested
            || volume.block != claim.block
            || volume.attributes_class != claim.attributes_class
            || volume.terminating
        {
            continue;
        }
        let reachable = is_reachable(volume, node);
        if reserved == Some(true) {
            return reachable.then_some(volume);
        }
        let suits = volume.available
            && claim
                .selector
                .as_ref()
                .is_none_or(|selector| selector.matches(&volume.labels))
            && reachable
            && claim
                .access_modes
                .iter()
                .all(|mode| volume.access_modes.contains(mode));
        if suits && best.is_none_or(|best| volume.capacity < best.capacity) {
            best = Some(volume);
        }
    }
    best
}

fn can_provision(surroundings: &Surroundings, claim: &Claim, node: &NodeInfo) -> bool {
    let Some(class) = surroundings.classes.get(&claim.class) else {
        return false;
    };
    if class.provisioner.is_empty() || class.provisioner == NO_PROVISIONER {
        return false;
    }
    class.topologies.is_empty()
        || class.topologies.iter().any(|term| {
            !term.is_empty()
                && term.iter().all(|(key, values)| {
                    node.labels
                        .get(key)
                        .is_some_and(|value| values.contains(value))
                })
        })
}
