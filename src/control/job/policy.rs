//! What a job says about single failures and early success: `podFailurePolicy`, `successPolicy`.
//!
//! Source: `pod_failure_policy.go` and `success_policy.go` of Kubernetes 1.36.

use std::collections::BTreeSet;

use serde::Deserialize;

use super::super::field;
use super::index;
use crate::k8s::Object;
use crate::k8s::columns::ContainerState;

#[derive(Deserialize, Default)]
#[serde(default)]
pub(super) struct FailurePolicy {
    rules: Vec<FailureRule>,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
struct FailureRule {
    action: String,
    on_exit_codes: Option<ExitCodes>,
    on_pod_conditions: Vec<PodCondition>,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
struct ExitCodes {
    container_name: Option<String>,
    operator: String,
    values: Vec<i64>,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct PodCondition {
    #[serde(rename = "type")]
    kind: String,
    status: String,
}

#[derive(Deserialize, Default)]
#[serde(default)]
pub(super) struct SuccessPolicy {
    rules: Vec<SuccessRule>,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
struct SuccessRule {
    succeeded_indexes: Option<String>,
    succeeded_count: Option<i64>,
}

/// What becomes of a pod's failure.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum Failure {
    /// Against the back-off limit.
    Counts,
    Ignored,
    /// Counts, and its index is not tried again.
    FailsIndex,
    /// The whole job fails, for this reason.
    FailsJob(String),
}

impl FailurePolicy {
    /// The first rule that matches decides.
    pub fn judge(&self, pod: &Object) -> Failure {
        for (n, rule) in self.rules.iter().enumerate() {
            let Some(what) = rule.matched(pod) else {
                continue;
            };
            return match rule.action.as_str() {
                "Ignore" => Failure::Ignored,
                "Count" => Failure::Counts,
                "FailIndex" => Failure::FailsIndex,
                "FailJob" => {
                    Failure::FailsJob(format!("{what} matching FailJob rule at index {n}"))
                }
                _ => continue,
            };
        }
        Failure::Counts
    }
}

impl FailureRule {
    /// What about the pod matches, in upstream's words.
    fn matched(&self, pod: &Object) -> Option<String> {
        let place = format!("{}/{}", pod.namespace(), pod.name());
        if let Some(codes) = &self.on_exit_codes {
            let containers = pod.pod()?.containers.iter();
            return containers
                .filter(|container| {
                    let wanted = codes.container_name.as_deref();
                    wanted.is_none_or(|name| container.name == name)
                })
                .find_map(|container| match &container.state {
                    ContainerState::Terminated(end) if codes.includes(i64::from(end.exit_code)) => {
                        Some(format!(
                            "Container {} for pod {place} failed with exit code {}",
                            container.name, end.exit_code
                        ))
                    }
                    _ => None,
                });
        }
        let json = pod.json();
        let conditions = field::list(&json, "/status/conditions");
        let has = |pattern: &PodCondition| {
            conditions.iter().any(|condition| {
                let wanted = if pattern.status.is_empty() {
                    "True"
                } else {
                    &pattern.status
                };
                field::text(condition, "/type") == pattern.kind
                    && field::text(condition, "/status") == wanted
            })
        };
        let pattern = self.on_pod_conditions.iter().find(|pattern| has(pattern))?;
        Some(format!("Pod {place} has condition {}", pattern.kind))
    }
}

impl ExitCodes {
    /// Success is never a failure, whatever the rule says.
    fn includes(&self, code: i64) -> bool {
        let listed = self.values.contains(&code);
        code != 0
            && match self.operator.as_str() {
                "In" => listed,
                "NotIn" => !listed,
                _ => false,
            }
    }
}

impl SuccessPolicy {
    /// The first rule that the succeeded indexes satisfy.
    pub fn met(&self, done: &BTreeSet<i64>) -> Option<usize> {
        self.rules.iter().position(|rule| {
            let named = rule.succeeded_indexes.as_deref().map(index::parse);
            let counted = match &named {
                Some(named) => done.intersection(named).count(),
                None => done.len(),
            };
            let wanted = match (rule.succeeded_count, &named) {
                (Some(count), _) => usize::try_from(count).unwrap_or_default(),
                (None, Some(named)) => named.len(),
                (None, None) => return false,
            };
            counted >= wanted
        })
    }
}
