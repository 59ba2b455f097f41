//! `ImageLocality`: prefer nodes that already hold the pod's images, damped by how few nodes do.

use std::sync::Arc;

use rustc_hash::FxHashMap;

use crate::k8s::Name;
use crate::sched::node_info::NodeInfo;
use crate::sched::snapshot::NodeId;
use crate::sched::spec::PodSpec;

const MIB: i64 = 1024 * 1024;
/// Below this sum an image is not worth a detour.
const THRESHOLD_MIN: i64 = 23 * MIB;
/// A sum above this, per container, gets the full score.
const THRESHOLD_MAX: i64 = 1000 * MIB;

/// Which nodes hold an image, and its size as the first of them told it.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
struct ImageSpread {
    size: i64,
    holders: Vec<NodeId>,
}

/// The images of all nodes.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Images(FxHashMap<Name, ImageSpread>);

impl Images {
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// A node holds other images than before; names with sizes in bytes.
    pub fn replace(
        images: &mut Arc<Self>,
        node: NodeId,
        gone: &[(Name, i64)],
        come: &[(Name, i64)],
    ) {
        if gone.is_empty() && come.is_empty() {
            return;
        }
        let Self(images) = Arc::make_mut(images);
        for (name, _) in gone {
            if let Some(spread) = images.get_mut(name) {
                if let Some(place) = spread.holders.iter().position(|held| *held == node) {
                    spread.holders.swap_remove(place);
                }
                if spread.holders.is_empty() {
                    images.remove(name);
                }
            }
        }
        for (name, size) in come {
            let spread = images.entry(name.clone()).or_insert_with(|| ImageSpread {
                size: *size,
                holders: Vec::new(),
            });
            spread.holders.push(node);
        }
    }

    /// Nodes that hold any of the pod's images, some of them twice.
    pub fn holders(&self, spec: &PodSpec) -> impl Iterator<Item = NodeId> {
        let names = spec.images.iter().chain(&spec.image_volumes);
        names
            .filter_map(|name| self.0.get(name))
            .flat_map(|spread| &spread.holders)
            .copied()
    }

    /// Whether any node holds any of the pod's images.
    pub fn has_any_of(&self, spec: &PodSpec) -> bool {
        self.holders(spec).next().is_some()
    }
}

pub fn score(images: &Images, node_count: usize, spec: &PodSpec, node: &NodeInfo) -> i64 {
    if node.images.is_empty() {
        return 0;
    }
    let sum = spec
        .images
        .iter()
        .chain(&spec.image_volumes)
        .filter(|name| node.images.iter().any(|(held, _)| held == *name))
        .filter_map(|name| images.0.get(name))
        .map(|image| scaled(image.size, image.holders.len(), node_count))
        .fold(0, i64::saturating_add);
    points(sum, spec.images.len())
}

#[expect(clippy::cast_possible_truncation, reason = "truncation is upstream's")]
fn scaled(size: i64, holders: usize, node_count: usize) -> i64 {
    let spread = holders as f64 / node_count as f64;
    (size as f64 * spread) as i64
}

/// Image volumes do not count as containers here.
fn points(sum: i64, container_count: usize) -> i64 {
    let count = i64::try_from(container_count).unwrap_or(i64::MAX);
    let max = THRESHOLD_MAX.saturating_mul(count);
    let sum = sum.min(max).max(THRESHOLD_MIN);
    let range = max - THRESHOLD_MIN;
    if range <= 0 {
        return 0;
    }
    100 * (sum - THRESHOLD_MIN) / range
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn points_grow_between_the_thresholds() {
        assert_eq!(points(0, 1), 0);
        assert_eq!(points(23 * MIB, 1), 0);
        assert_eq!(points(5000 * MIB, 1), 100);
        assert_eq!(points(5000 * MIB, 10), 49);
        assert_eq!(points(0, 0), 0);
    }

    #[test]
    fn an_image_on_every_node_counts_in_full() {
        assert_eq!(scaled(1000, 5, 5), 1000);
        assert_eq!(scaled(1000, 5, 10), 500);
    }
}
