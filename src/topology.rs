//! Failure domains, packing arithmetic, blast radius: pure functions over a [`crate::k8s::Cluster`].
