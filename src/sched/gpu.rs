//! GPUs one by one: what a pod asks of them, what is free on each device of a node, and which pods
//! are typical of those that run.
//!
//! kube-scheduler counts GPUs as a sum and cannot share one. Here the conventions are those of the
//! simulator published with the FGD paper (github.com/hkust-adsl/kubernetes-scheduler-simulator,
//! `pkg/type/open-gpu-share/utils/const.go`): the annotations `alibabacloud.com/gpu-milli`,
//! `gpu-count` and `gpu-card-model` of a pod, and `gpu-index`, which names its devices. Whole GPUs
//! may be asked for as an extended resource instead. The books are kept for every profile, so that
//! stranded capacity can be told; only the plugin `GpuShare` decides by them.

mod capacity;
mod devices;
mod typical;
mod wish;

pub use capacity::{NodeGpus, capacity};
pub use devices::{DeviceSet, card_model, device_count, settle};
pub use typical::{Typical, Workload, ask};
pub use wish::{Annotations, GpuWish, INDEX};

/// Extended resources that count whole GPUs, the first that is there counts.
pub const RESOURCES: [&str; 3] = [
    "alibabacloud.com/gpu-count",
    "nvidia.com/gpu",
    "amd.com/gpu",
];
/// A node's label of its card model; the second is that of NVIDIA's feature discovery.
pub const MODEL_LABELS: [&str; 2] = ["alibabacloud.com/gpu-card-model", "nvidia.com/gpu.product"];
