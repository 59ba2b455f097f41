//! What is said of GPUs where a fleet has any: how much of them is taken, and how much is idle that
//! no GPU pod among those that run or wait can use.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::k8s::{Cluster, Name};
use crate::sched::gpu::{NodeGpus, capacity};
use crate::topology::NodeFacts;
use crate::tui::text::{Line, Role};

/// By node; empty for fleets without GPUs.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct Gpus(Arc<BTreeMap<Name, NodeGpus>>);

impl Gpus {
    pub fn of(cluster: &Cluster) -> Self {
        Self(Arc::new(capacity(cluster)))
    }

    /// Adds `gpu 5.2/8, 0.9 stranded` after a gap; nothing for a node without.
    pub fn tell(&self, node: &NodeFacts, gap: &str, line: &mut Line) {
        if let Some(gpus) = self.0.get(&node.object.key.name) {
            line.push(gap, Role::Text);
            tell(gpus, line);
        }
    }
}

fn tell(gpus: &NodeGpus, line: &mut Line) {
    let whole = |milli: i64| milli as f64 / 1000.0;
    let taken = gpus.devices as f64 - whole(gpus.idle_milli);
    let taken = format!("gpu {}/{}", short(taken), gpus.devices);
    line.push(taken, Role::Text);
    if gpus.unusable_milli > 0 {
        let stranded = format!(", {} stranded", short(whole(gpus.unusable_milli)));
        line.push(stranded, Role::Warning);
    }
}

/// One decimal where it is needed; a little is not told as nothing.
fn short(gpus: f64) -> String {
    let tenths = (gpus * 10.0).round();
    if gpus > 0.0 && tenths == 0.0 {
        return "<0.1".to_owned();
    }
    if tenths % 10.0 == 0.0 {
        format!("{:.0}", tenths / 10.0)
    } else {
        format!("{:.1}", tenths / 10.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(devices: usize, idle_milli: i64, unusable_milli: i64, expected: &str) {
        let gpus = NodeGpus {
            devices,
            idle_milli,
            unusable_milli,
        };
        let mut line = Line::default();
        tell(&gpus, &mut line);
        assert_eq!(line.plain(), expected);
    }

    #[test]
    fn what_is_taken_and_what_is_stranded() {
        check(8, 2800, 900, "gpu 5.2/8, 0.9 stranded");
        check(8, 8000, 0, "gpu 0/8");
        check(4, 0, 0, "gpu 4/4");
        check(4, 20, 20, "gpu 4/4, <0.1 stranded");
        check(2, 1000, 1000, "gpu 1/2, 1 stranded");
    }
}
