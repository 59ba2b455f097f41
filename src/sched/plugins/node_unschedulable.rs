//! `NodeUnschedulable`: cordoned nodes take only pods that tolerate it.

use crate::k8s::Name;
use crate::k8s::taint::{Taint, TaintEffect, Toleration, UNSCHEDULABLE};
use crate::sched::node_info::NodeInfo;
use crate::sched::verdict::{Plugin, Refusal};

pub const REASON: &str = "node(s) were unschedulable";

pub fn filter(tolerations: &[Toleration], node: &NodeInfo) -> Option<Refusal> {
    (node.unschedulable && !is_tolerated(tolerations))
        .then(|| Refusal::unresolvable(Plugin::NodeUnschedulable, REASON))
}

fn is_tolerated(tolerations: &[Toleration]) -> bool {
    let cordon = Taint {
        key: Name::new_static(UNSCHEDULABLE),
        value: Name::default(),
        effect: TaintEffect::NoSchedule,
    };
    tolerations
        .iter()
        .any(|toleration| toleration.tolerates(&cordon))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn daemon_pods_tolerate_the_cordon() {
        let tolerates = |key: &str| {
            is_tolerated(&[Toleration {
                key: key.into(),
                operator: "Exists".into(),
                ..Toleration::default()
            }])
        };
        assert!(tolerates(UNSCHEDULABLE));
        assert!(tolerates(""));
        assert!(!tolerates("other"));
        assert!(!is_tolerated(&[]));
    }
}
