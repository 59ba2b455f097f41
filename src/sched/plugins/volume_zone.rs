//! `VolumeZone`: a bound volume's zone and region labels must suit the node.

use crate::k8s::Name;
use crate::sched::framework::Subject;
use crate::sched::node_info::NodeInfo;
use crate::sched::snapshot::Snapshot;
use crate::sched::spec::Volume;
use crate::sched::verdict::{Plugin, Refusal};

pub const REASON: &str = "node(s) had no available volume zone";

/// Old names of the labels and their successors.
const KEYS: [(&str, &str); 2] = [
    (
        "failure-domain.beta.kubernetes.io/zone",
        "topology.kubernetes.io/zone",
    ),
    (
        "failure-domain.beta.kubernetes.io/region",
        "topology.kubernetes.io/region",
    ),
];

/// Label and the values that suit.
pub type Zones = Vec<(&'static str, Vec<Name>)>;

/// `Ok(None)`: no volume names a place.
pub fn pre_filter(snapshot: &Snapshot, subject: &Subject) -> Result<Option<Zones>, Refusal> {
    let surroundings = snapshot.surroundings();
    let refuse = |reason: String| Err(Refusal::unresolvable(Plugin::VolumeZone, reason));
    let mut zones = Zones::new();
    for volume in &subject.template.spec.volumes {
        let Volume::Claim {
            name,
            ephemeral: false,
        } = volume
        else {
            continue;
        };
        if name.is_empty() {
            return refuse("PersistentVolumeClaim had no name".to_owned());
        }
        let key = (subject.template.namespace.clone(), name.clone());
        let Some(claim) = surroundings.claims.get(&key) else {
            return refuse(format!("persistentvolumeclaim \"{name}\" not found"));
        };
        if claim.volume.is_empty() {
            if claim.class.is_empty() {
                return refuse(
                    "PersistentVolumeClaim had no pv name and storageClass name".to_owned(),
                );
            }
            match surroundings.classes.get(&claim.class) {
                None => {
                    return refuse(format!(
                        "storageclass.storage.k8s.io \"{}\" not found",
                        claim.class
                    ));
                }
                Some(class) if class.waits => continue,
                Some(_) => return refuse("PersistentVolume had no name".to_owned()),
            }
        }
        let Some(bound) = surroundings.volumes.get(&claim.volume) else {
            return refuse(format!("persistentvolume \"{}\" not found", claim.volume));
        };
        for key in KEYS.into_iter().flat_map(|(old, new)| [old, new]) {
            if let Some(values) = bound.labels.get(key).and_then(|value| set_of(value)) {
                zones.push((key, values));
            }
        }
    }
    Ok((!zones.is_empty()).then_some(zones))
}

/// The values of a label like `a__b`; a label with an empty part says nothing.
fn set_of(value: &str) -> Option<Vec<Name>> {
    let parts = value.split("__").map(str::trim);
    parts
        .map(|part| (!part.is_empty()).then(|| Name::new(part)))
        .collect()
}

pub fn filter(zones: &Zones, node: &NodeInfo) -> Option<Refusal> {
    let has_place = KEYS
        .into_iter()
        .any(|(old, new)| node.labels.get(old).is_some() || node.labels.get(new).is_some());
    if !has_place {
        return None;
    }
    let suits = |(key, values): &(&str, Vec<Name>)| {
        let successor = KEYS
            .into_iter()
            .find(|(old, _)| old == key)
            .map_or(*key, |(_, new)| new);
        let value = node.labels.get(key).or_else(|| node.labels.get(successor));
        value.is_some_and(|value| values.contains(value))
    };
    (!zones.iter().all(suits)).then(|| Refusal::unresolvable(Plugin::VolumeZone, REASON))
}
