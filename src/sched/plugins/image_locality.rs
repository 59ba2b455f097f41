//! `ImageLocality`: prefer nodes that already hold the pod's images, damped by how few nodes do.

use rustc_hash::FxHashMap;

use crate::k8s::Name;
use crate::sched::node_info::NodeInfo;
use crate::sched::spec::PodSpec;

const MIB: i64 = 1024 * 1024;
/// Below this sum an image is not worth a detour.
const THRESHOLD_MIN: i64 = 23 * MIB;
/// A sum above this, per container, gets the full score.
const THRESHOLD_MAX: i64 = 1000 * MIB;

/// How many nodes hold an image, and its size as the first of them told it.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct ImageSpread {
    pub size: i64,
    pub node_count: usize,
}

pub type Images = FxHashMap<Name, ImageSpread>;

/// Whether any node holds any of the pod's images.
pub fn is_anywhere(images: &Images, spec: &PodSpec) -> bool {
    let mut names = spec.images.iter().chain(&spec.image_volumes);
    !images.is_empty() && names.any(|name| images.contains_key(name))
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
        .filter_map(|name| images.get(name))
        .map(|image| scaled(*image, node_count))
        .fold(0, i64::saturating_add);
    points(sum, spec.images.len())
}

#[expect(clippy::cast_possible_truncation, reason = "truncation is upstream's")]
fn scaled(image: ImageSpread, node_count: usize) -> i64 {
    let spread = image.node_count as f64 / node_count as f64;
    (image.size as f64 * spread) as i64
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
        let image = ImageSpread {
            size: 1000,
            node_count: 5,
        };
        assert_eq!(scaled(image, 5), 1000);
        assert_eq!(scaled(image, 10), 500);
    }
}
