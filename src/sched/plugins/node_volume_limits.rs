//! `NodeVolumeLimits`: how many volumes a storage driver attaches to one node.

use std::collections::{BTreeMap, BTreeSet};

use crate::k8s::Name;
use crate::sched::framework::Subject;
use crate::sched::node_info::NodeInfo;
use crate::sched::snapshot::Snapshot;
use crate::sched::spec::{Disk, Volume};
use crate::sched::surroundings::{Surroundings, migrated_driver};
use crate::sched::template::Template;
use crate::sched::verdict::{Plugin, Refusal};

pub const REASON: &str = "node(s) exceed max volume count";

/// Whether the pod has volumes that could count.
pub fn applies(template: &Template) -> bool {
    template.spec.volumes.iter().any(|volume| match volume {
        Volume::Claim { .. } => true,
        Volume::Disk(disk) => inline(disk).is_some(),
    })
}

pub fn filter(snapshot: &Snapshot, subject: &Subject, node: &NodeInfo) -> Option<Refusal> {
    let surroundings = snapshot.surroundings();
    let mut new = match attached(surroundings, &subject.template, true) {
        Ok(new) => new,
        Err(reason) => return Some(Refusal::unresolvable(Plugin::NodeVolumeLimits, reason)),
    };
    let limits = surroundings.volume_limits.get(&node.name)?;
    if new.is_empty() || limits.is_empty() {
        return None;
    }
    let mut old: BTreeSet<(Name, Name)> = BTreeSet::new();
    for entry in &node.pods {
        old.extend(attached(surroundings, &entry.template, false).unwrap_or_default());
    }
    new.retain(|volume| !old.contains(volume));
    let by_driver = |volumes: &BTreeSet<(Name, Name)>| {
        let mut counts: BTreeMap<Name, i64> = BTreeMap::new();
        for (driver, _) in volumes {
            *counts.entry(driver.clone()).or_default() += 1;
        }
        counts
    };
    let there = by_driver(&old);
    let exceeds = |driver: &Name, count: i64| {
        let limit = limits.iter().find(|(name, _)| name == driver);
        let there = there.get(driver).copied().unwrap_or(0);
        limit.is_some_and(|(_, limit)| there + count > *limit)
    };
    by_driver(&new)
        .iter()
        .any(|(driver, count)| exceeds(driver, *count))
        .then(|| Refusal::resolvable(Plugin::NodeVolumeLimits, REASON))
}

/// A disk that the pod names itself, of a kind that a driver took over.
fn inline(disk: &Disk) -> Option<(Name, Name)> {
    let (plugin, id) = match disk {
        Disk::Ebs { id } => ("kubernetes.io/aws-ebs", id),
        Disk::Gce { name, .. } => ("kubernetes.io/gce-pd", name),
        Disk::Iscsi { .. } | Disk::Rbd { .. } => return None,
    };
    let id = id.rsplit('/').next().unwrap_or_default();
    Some((Name::new_static(migrated_driver(plugin)?), Name::new(id)))
}

/// Driver and handle of every volume that a pod's claims stand for. Claims that are not bound yet
/// count by their class's driver.
fn attached(
    surroundings: &Surroundings,
    template: &Template,
    is_new: bool,
) -> Result<BTreeSet<(Name, Name)>, String> {
    let mut volumes = BTreeSet::new();
    for volume in &template.spec.volumes {
        let name = match volume {
            Volume::Claim { name, .. } => name,
            Volume::Disk(disk) => {
                volumes.extend(inline(disk));
                continue;
            }
        };
        let key = (template.namespace.clone(), name.clone());
        let Some(claim) = surroundings.claims.get(&key) else {
            if is_new {
                return Err(format!(
                    "looking up PVC {}/{name}: persistentvolumeclaim \"{name}\" not found",
                    template.namespace
                ));
            }
            continue;
        };
        let bound = surroundings.volumes.get(&claim.volume);
        match bound {
            Some(bound) => {
                if let Some((driver, handle)) = &bound.csi {
                    volumes.insert((driver.clone(), handle.clone()));
                }
            }
            None => {
                if let Some(class) = surroundings.classes.get(&claim.class) {
                    let driver = migrated_driver(&class.provisioner);
                    let driver = driver.map_or(class.provisioner.clone(), Name::new_static);
                    let handle = Name::from(format!("{}/{name}", template.namespace));
                    volumes.insert((driver, handle));
                }
            }
        }
    }
    Ok(volumes)
}
