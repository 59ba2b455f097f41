//! `backoffLimitPerIndex`: each index of a job is tried so often, and fails by itself.
//!
//! Source: `backoff_utils.go` and `indexed_job_utils.go` of Kubernetes 1.36. How often an index has
//! failed stands on the pod that tries it next, so nothing is to be remembered between runs.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use jiff::Timestamp;
use serde_json::{Value, json};

use super::pods::backoff_s;
use super::policy::Failure;
use super::{ended, index};
use crate::control::{field, seconds_after};
use crate::k8s::Object;

const FAILURES: &str = "batch.kubernetes.io/job-index-failure-count";
const IGNORED: &str = "batch.kubernetes.io/job-index-ignored-failure-count";

/// What became of the indexes of a job with a limit for each.
#[derive(Default)]
pub(super) struct Indexes {
    /// That are not tried again.
    pub failed: BTreeSet<i64>,
    next: BTreeMap<i64, Try>,
}

/// What the next pod of an index has behind it.
#[derive(Clone, Copy, Default)]
struct Try {
    failures: i64,
    ignored: i64,
    last_end: Option<Timestamp>,
}

impl Indexes {
    /// `failures` are the job's failed pods with what its policy says of each.
    pub fn of(limit: i64, status: &Value, failures: &[(&Arc<Object>, Failure)]) -> Self {
        let mut indexes = Self {
            failed: index::parse(field::text(status, "/failedIndexes")),
            next: BTreeMap::new(),
        };
        for (pod, failure) in failures {
            let Some(index) = index::of(pod) else {
                continue;
            };
            let mut next = Try::behind(pod);
            match failure {
                Failure::Ignored => next.ignored += 1,
                Failure::Counts | Failure::FailsIndex | Failure::FailsJob(_) => next.failures += 1,
            }
            let is_last_try = *failure != Failure::Ignored && next.failures > limit;
            if is_last_try || *failure == Failure::FailsIndex {
                indexes.failed.insert(index);
            }
            let known = indexes.next.entry(index).or_default();
            if next.count() > known.count() {
                *known = next;
            }
        }
        indexes
    }

    /// Until when an index is not tried again.
    pub fn waits_until(&self, index: i64) -> Option<Timestamp> {
        let next = self.next.get(&index)?;
        Some(seconds_after(next.last_end?, backoff_s(next.count())))
    }

    /// Writes on a new pod how often its index has failed.
    pub fn mark(&self, pod: &mut Value, index: i64) {
        let next = self.next.get(&index).copied().unwrap_or_default();
        let mut annotations = json!({FAILURES: next.failures.to_string()});
        if next.ignored > 0 {
            field::put(&mut annotations, IGNORED, next.ignored.to_string().into());
        }
        json_patch::merge(pod, &json!({"metadata": {"annotations": annotations}}));
    }
}

impl Try {
    fn behind(pod: &Object) -> Self {
        let json = pod.json();
        let annotations = field::tree(&json, "/metadata/annotations");
        let count = |name: &str| {
            let text = annotations.get(name).and_then(Value::as_str);
            text.and_then(|text| text.parse().ok()).unwrap_or(0)
        };
        Self {
            failures: count(FAILURES),
            ignored: count(IGNORED),
            last_end: ended(pod),
        }
    }

    fn count(self) -> u32 {
        u32::try_from(self.failures + self.ignored).unwrap_or(0)
    }
}
