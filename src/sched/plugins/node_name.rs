//! `NodeName`: a pod that names its node goes nowhere else.

use crate::k8s::Name;
use crate::sched::verdict::{Plugin, Refusal};

pub const REASON: &str = "node(s) didn't match the requested node name";

pub fn filter(wanted: Option<&Name>, node: &Name) -> Option<Refusal> {
    wanted
        .filter(|wanted| *wanted != node)
        .map(|_| Refusal::unresolvable(Plugin::NodeName, REASON))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_named_node_passes() {
        assert!(filter(None, &"n1".into()).is_none());
        assert!(filter(Some(&"n1".into()), &"n1".into()).is_none());
        assert_eq!(
            filter(Some(&"n1".into()), &"n2".into()).unwrap().reasons,
            [REASON]
        );
    }
}
