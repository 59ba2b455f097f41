//! Finished jobs, deleted after `ttlSecondsAfterFinished`.

use jiff::Timestamp;

use super::super::{Outcome, seconds_after};
use super::{Wire, finished};
use crate::k8s::{Cluster, ObjectKey, Op, Preconditions, Propagation};

pub(super) fn remove(cluster: &Cluster, key: &ObjectKey, now: Timestamp) -> Outcome {
    let mut outcome = Outcome::default();
    let Some(job) = cluster.get(key).filter(|job| !job.is_terminating()) else {
        return outcome;
    };
    let Ok(Wire { spec, status }) = job.typed::<Wire>() else {
        return outcome;
    };
    let (Some(ttl), Some((_, end))) = (spec.ttl_seconds_after_finished, finished(&status)) else {
        return outcome;
    };
    let due = seconds_after(end, ttl);
    if due > now {
        outcome.look_again(due);
        return outcome;
    }
    outcome.ops.push(Op::Delete {
        key: key.clone(),
        if_match: Preconditions {
            uid: Some(job.uid.clone()),
            revision: None,
        },
        propagation: Propagation::Foreground,
        grace_period_s: None,
    });
    outcome
}
