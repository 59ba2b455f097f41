//! What losing the worst failure domain takes from each workload. Computed away from the screen.

use std::collections::BTreeMap;

use crate::k8s::{Cluster, Name, ObjectKey};
use crate::topology::{Domains, Level, Survey, level, spreads};

/// By workload: the domain whose loss costs most, and the share of ready replicas it takes.
pub type Losses = BTreeMap<ObjectKey, (Name, f64)>;

/// The level that losses are told for: racks, else zones, else machines.
pub fn level_for(cluster: &Cluster) -> Option<Level> {
    let levels = level::levels(cluster, &[]);
    ["rack", "zone"]
        .iter()
        .find_map(|title| levels.iter().find(|level| level.title == *title))
        .or_else(|| levels.last())
        .cloned()
}

pub fn losses(cluster: &Cluster) -> Losses {
    let Some(level) = level_for(cluster) else {
        return Losses::new();
    };
    let survey = Survey::of(cluster);
    let domains = Domains::of(&survey, &level);
    spreads(&survey, &domains)
        .into_iter()
        .filter_map(|spread| {
            let workload = survey.workload(spread.workload);
            let worst = spread.worst?;
            let domain = domains.list.get(worst.domain as usize)?;
            let key = ObjectKey {
                resource: workload.key.resource()?,
                namespace: workload.key.namespace.clone(),
                name: workload.key.name.clone(),
            };
            let name = Name::from(format!("{} {}", level.title, domain.name));
            Some((key, (name, worst.share)))
        })
        .collect()
}
