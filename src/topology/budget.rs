//! What pod disruption budgets allow, as numbers.
//!
//! Source: the disruption controller of Kubernetes 1.36: percentages of the expected pods are
//! rounded up, for `minAvailable` and for `maxUnavailable` alike; a budget without either needs
//! nothing.

use serde::Deserialize;

use crate::k8s::{Cluster, LabelSelector, Name, Object, ObjectKey, resources};

/// One `PodDisruptionBudget`.
#[derive(Clone, Debug)]
pub struct Budget {
    pub key: ObjectKey,
    pub rule: Rule,
    /// `None` matches nothing.
    pub selector: Option<LabelSelector>,
    /// Live pods that it covers.
    pub covered: u32,
    /// Covered pods that are ready and not terminating.
    pub healthy: u32,
    /// `status.expectedPods`: the sum of the desired replicas of the covered pods' controllers.
    pub expected: Option<u32>,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Rule {
    MinAvailable(IntOrPercent),
    MaxUnavailable(IntOrPercent),
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum IntOrPercent {
    Int(u32),
    Percent(u32),
}

impl IntOrPercent {
    fn of(self, whole: u32) -> u32 {
        match self {
            Self::Int(count) => count,
            Self::Percent(percent) => {
                let scaled = (u64::from(percent) * u64::from(whole)).div_ceil(100);
                u32::try_from(scaled).unwrap_or(u32::MAX)
            }
        }
    }
}

impl<'de> Deserialize<'de> for IntOrPercent {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(untagged)]
        enum Wire {
            Int(u32),
            Text(Name),
        }
        match Wire::deserialize(deserializer)? {
            Wire::Int(count) => Ok(Self::Int(count)),
            Wire::Text(text) => text
                .strip_suffix('%')
                .and_then(|digits| digits.parse().ok())
                .map(Self::Percent)
                .ok_or_else(|| serde::de::Error::custom("neither a number nor a percentage")),
        }
    }
}

impl Rule {
    /// Pods that must stay healthy of `expected`.
    pub fn needs(self, expected: u32) -> u32 {
        match self {
            Self::MinAvailable(amount) => amount.of(expected),
            Self::MaxUnavailable(amount) => expected.saturating_sub(amount.of(expected)),
        }
    }
}

impl Budget {
    /// Pods that must stay healthy now.
    pub fn needs(&self) -> u32 {
        self.needs_with(0)
    }

    /// The same when the workload of the covered pods asks for `fewer` of them.
    pub fn needs_with(&self, fewer: u32) -> u32 {
        let expected = self.expected.unwrap_or(self.covered);
        self.rule.needs(expected.saturating_sub(fewer))
    }

    /// Pods that may go now.
    pub fn room(&self) -> u32 {
        self.healthy.saturating_sub(self.needs())
    }

    pub fn covers(&self, pod: &Object) -> bool {
        let matches = |selector: &LabelSelector| selector.matches(&pod.labels);
        self.key.namespace == pod.key.namespace && self.selector.as_ref().is_some_and(matches)
    }
}

/// Whether a pod counts as healthy: ready, and not on its way out.
pub fn is_healthy(pod: &Object) -> bool {
    !pod.is_terminating() && pod.pod().is_some_and(|columns| columns.ready)
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Wire {
    spec: SpecWire,
    status: StatusWire,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
struct SpecWire {
    min_available: Option<IntOrPercent>,
    max_unavailable: Option<IntOrPercent>,
    selector: Option<LabelSelector>,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
struct StatusWire {
    expected_pods: Option<u32>,
}

/// All budgets of the cluster with the pods that they cover counted.
pub fn budgets(cluster: &Cluster) -> Vec<Budget> {
    let mut budgets = unmatched(cluster);
    for budget in &mut budgets {
        let namespace = budget.key.namespace.clone();
        for pod in cluster.list_in(&resources::PODS, &namespace) {
            let is_live = pod.pod().is_some_and(|columns| !columns.is_finished());
            if is_live && budget.covers(pod) {
                budget.covered += 1;
                budget.healthy += u32::from(is_healthy(pod));
            }
        }
    }
    budgets
}

/// All budgets of the cluster, no pod counted yet. One that cannot be read is left out.
pub(super) fn unmatched(cluster: &Cluster) -> Vec<Budget> {
    cluster
        .list(&resources::POD_DISRUPTION_BUDGETS)
        .filter_map(|object| {
            let wire: Wire = serde_json::from_slice(&object.bytes()).ok()?;
            let rule = match (wire.spec.max_unavailable, wire.spec.min_available) {
                (Some(amount), _) => Rule::MaxUnavailable(amount),
                (None, Some(amount)) => Rule::MinAvailable(amount),
                (None, None) => Rule::MinAvailable(IntOrPercent::Int(0)),
            };
            Some(Budget {
                key: object.key.clone(),
                rule,
                selector: wire.spec.selector,
                covered: 0,
                healthy: 0,
                expected: wire.status.expected_pods.filter(|pods| *pods > 0),
            })
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_smaller_workload_needs_less_where_the_rule_counts_what_may_go() {
        let budget = |rule| Budget {
            key: ObjectKey::new(resources::POD_DISRUPTION_BUDGETS, "shop", "cart"),
            rule,
            selector: None,
            covered: 30,
            healthy: 30,
            expected: Some(30),
        };
        let may_go = budget(Rule::MaxUnavailable(IntOrPercent::Int(2)));
        assert_eq!((may_go.needs(), may_go.needs_with(6)), (28, 22));
        let must_stay = budget(Rule::MinAvailable(IntOrPercent::Int(28)));
        assert_eq!((must_stay.needs(), must_stay.needs_with(6)), (28, 28));
    }

    #[test]
    fn percentages_round_up() {
        let rows = [
            (Rule::MinAvailable(IntOrPercent::Int(2)), 5, 2),
            (Rule::MinAvailable(IntOrPercent::Percent(50)), 5, 3),
            (Rule::MaxUnavailable(IntOrPercent::Int(1)), 5, 4),
            (Rule::MaxUnavailable(IntOrPercent::Percent(20)), 6, 4),
            (Rule::MaxUnavailable(IntOrPercent::Int(9)), 5, 0),
        ];
        for (rule, expected, needs) in rows {
            assert_eq!(rule.needs(expected), needs, "{rule:?} of {expected}");
        }
    }
}
