//! `VolumeRestrictions`: disks that cannot be shared, and claims for a single pod.

use crate::k8s::Name;
use crate::sched::framework::Subject;
use crate::sched::node_info::{NodeInfo, PodEntry};
use crate::sched::snapshot::Snapshot;
use crate::sched::spec::{Disk, Volume};
use crate::sched::verdict::{Plugin, Refusal};

pub const REASON_DISK: &str = "node(s) had no available disk";
pub const REASON_SINGLE_POD: &str = "node(s) unavailable due to PersistentVolumeClaim with \
                                     ReadWriteOncePod access mode already in-use by another pod";

/// How many pods hold the claims that only one pod may hold.
#[derive(Clone, Debug, Default)]
pub struct SinglePodClaims {
    claims: Vec<Name>,
    holders: i64,
}

pub fn pre_filter(
    snapshot: &Snapshot,
    subject: &Subject,
) -> Result<Option<SinglePodClaims>, Refusal> {
    let template = &subject.template;
    let mut state = SinglePodClaims::default();
    let mut has_disk = false;
    for volume in &template.spec.volumes {
        match volume {
            Volume::Disk(_) => has_disk = true,
            Volume::Claim {
                name,
                ephemeral: false,
            } => {
                let key = (template.namespace.clone(), name.clone());
                let Some(claim) = snapshot.surroundings().claims.get(&key) else {
                    return Err(Refusal::unresolvable(
                        Plugin::VolumeRestrictions,
                        format!("persistentvolumeclaim \"{name}\" not found"),
                    ));
                };
                if claim
                    .access_modes
                    .iter()
                    .any(|mode| mode == "ReadWriteOncePod")
                {
                    state.claims.push(name.clone());
                }
            }
            Volume::Claim { .. } => {}
        }
    }
    if !state.claims.is_empty() {
        for node in snapshot.nodes() {
            for entry in &node.pods {
                state.shift(subject, entry, 1);
            }
        }
    }
    Ok((has_disk || state.holders > 0).then_some(state))
}

impl SinglePodClaims {
    /// A pod comes (+1) or leaves (-1).
    pub fn shift(&mut self, subject: &Subject, entry: &PodEntry, delta: i64) {
        if entry.template.namespace != subject.template.namespace {
            return;
        }
        for volume in &entry.template.spec.volumes {
            if let Volume::Claim { name, .. } = volume
                && self.claims.contains(name)
            {
                self.holders += delta;
            }
        }
    }

    pub fn filter(&self, subject: &Subject, node: &NodeInfo) -> Option<Refusal> {
        let wanted = disks(&subject.template.spec.volumes);
        let mut used = node
            .pods
            .iter()
            .flat_map(|entry| disks(&entry.template.spec.volumes));
        let mut wanted_again = wanted.clone().peekable();
        if wanted_again.peek().is_some()
            && used.any(|disk| wanted.clone().any(|own| conflicts(own, disk)))
        {
            return Some(Refusal::resolvable(Plugin::VolumeRestrictions, REASON_DISK));
        }
        (self.holders > 0)
            .then(|| Refusal::resolvable(Plugin::VolumeRestrictions, REASON_SINGLE_POD))
    }
}

fn disks(volumes: &[Volume]) -> impl Iterator<Item = &Disk> + Clone {
    volumes.iter().filter_map(|volume| match volume {
        Volume::Disk(disk) => Some(disk),
        Volume::Claim { .. } => None,
    })
}

/// Read-only sharing is fine except for EBS volumes.
fn conflicts(one: &Disk, other: &Disk) -> bool {
    match (one, other) {
        (
            Disk::Gce { name, read_only },
            Disk::Gce {
                name: other_name,
                read_only: other_read_only,
            },
        ) => name == other_name && !(*read_only && *other_read_only),
        (Disk::Ebs { id }, Disk::Ebs { id: other_id }) => id == other_id,
        (
            Disk::Iscsi { target, read_only },
            Disk::Iscsi {
                target: other_target,
                read_only: other_read_only,
            },
        ) => target == other_target && !(*read_only && *other_read_only),
        (
            Disk::Rbd {
                monitors,
                pool,
                image,
                read_only,
            },
            Disk::Rbd {
                monitors: other_monitors,
                pool: other_pool,
                image: other_image,
                read_only: other_read_only,
            },
        ) => {
            monitors
                .iter()
                .any(|monitor| other_monitors.contains(monitor))
                && pool == other_pool
                && image == other_image
                && !(*read_only && *other_read_only)
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn read_only_disks_are_shared() {
        let gce = |read_only| Disk::Gce {
            name: "d".into(),
            read_only,
        };
        assert!(!conflicts(&gce(true), &gce(true)));
        assert!(conflicts(&gce(true), &gce(false)));
        let ebs = Disk::Ebs { id: "v".into() };
        assert!(conflicts(&ebs, &ebs));
        assert!(!conflicts(&ebs, &gce(false)));
    }
}
