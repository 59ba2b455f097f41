//! What a rehearsal does not take into account, said before anybody relies on it.

use std::collections::BTreeMap;

use crate::k8s::{Cluster, Name, Object, Resource, resources};
use crate::stdx::humanize::counted;

/// One sentence a gap. `foreign` are kinds of owners that are stood in for, and how many.
pub fn of(cluster: &Cluster, foreign: &BTreeMap<String, usize>, failing: usize) -> Vec<String> {
    let mut gaps = vec![
        "the scheduler's configuration and extenders cannot be read from a cluster: \
         kube-scheduler's defaults are assumed"
            .to_owned(),
        "admission webhooks are not called; images exist, start-up and shutdown times are drawn \
         from the seed"
            .to_owned(),
    ];
    gaps.extend(schedulers(cluster));
    gaps.extend(claims(cluster));
    let scalers = cluster.count(&resources::HORIZONTAL_POD_AUTOSCALERS);
    if scalers > 0 {
        gaps.push(format!(
            "{} without metrics: they hold their bounds and do not react to load",
            counted(scalers, "autoscaler is", "autoscalers are")
        ));
    }
    if !foreign.is_empty() {
        let kinds: Vec<String> = foreign
            .iter()
            .map(|(kind, count)| format!("{count} {kind}"))
            .collect();
        gaps.push(format!(
            "owners whose controllers do not run here, so what they own is not replaced: {}",
            kinds.join(", ")
        ));
    }
    if failing > 0 {
        gaps.push(format!(
            "{} not ready and kept so; pods that replace them are assumed to come up",
            counted(failing, "pod was", "pods were")
        ));
    }
    let jobs = cluster.count(&resources::JOBS) + cluster.count(&resources::CRON_JOBS);
    if jobs > 0 {
        gaps.push("how long the work of jobs takes is not known: their running pods run on".into());
    }
    gaps
}

fn schedulers(cluster: &Cluster) -> Option<String> {
    let mut others: BTreeMap<&Name, usize> = BTreeMap::new();
    for pod in cluster.pods().filter_map(|pod| pod.pod()) {
        if pod.scheduler != "default-scheduler" && !pod.is_finished() {
            *others.entry(&pod.scheduler).or_default() += 1;
        }
    }
    let list: Vec<String> = others
        .iter()
        .map(|(name, count)| format!("`{name}` ({})", counted(*count, "pod", "pods")))
        .collect();
    (!list.is_empty()).then(|| {
        format!(
            "other schedulers do not run here, their pods wait: {}",
            list.join(", ")
        )
    })
}

/// Dynamic resource allocation: the claims are not part of a fork.
fn claims(cluster: &Cluster) -> Option<String> {
    const TEMPLATES: [Resource; 3] = [
        resources::REPLICA_SETS,
        resources::STATEFUL_SETS,
        resources::DAEMON_SETS,
    ];
    let claims = |object: &Object| contains(&object.bytes(), b"\"resourceClaims\"");
    let users = TEMPLATES
        .iter()
        .flat_map(|resource| cluster.list(resource))
        .filter(|object| claims(object))
        .count();
    (users > 0).then(|| {
        format!(
            "{} devices (dynamic resource allocation), which are not allocated here",
            counted(users, "workload claims", "workloads claim")
        )
    })
}

fn contains(bytes: &[u8], part: &[u8]) -> bool {
    bytes.windows(part.len()).any(|window| window == part)
}
