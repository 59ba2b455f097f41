//! What pod disruption budgets allow, as numbers.
//!
//! Source: the disruption controller of Kubernetes 1.36: percentages of the expected pods are
//! rounded up, for `minAvailable` and for `maxUnavailable` alike; a budget without either needs
//! nothing.

use serde::Deserialize;

use crate::k8s::{Cluster, LabelSelector, Name, ObjectKey, resources};

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
        self.rule.needs(self.expected.unwrap_or(self.covered))
    }
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

/// All budgets of the cluster, not yet matched with pods. One that cannot be read is left out.
pub fn budgets(cluster: &Cluster) -> Vec<Budget> {
    cluster
        .list(&resources::POD_DISRUPTION_BUDGETS)
        .filter_map(|object| {
            let wire: Wire = serde_json::from_slice(&object.bytes).ok()?;
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
