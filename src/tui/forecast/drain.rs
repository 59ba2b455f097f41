//! A drain before it is begun: where the pods would go, and what would stay pending.

use super::domain_loss::{DomainLoss, lose};
use super::reasons::sentence;
use crate::k8s::Cluster;
use crate::sched::Snapshot;
use crate::stdx::humanize::counted;
use crate::topology::Survey;
use crate::topology::survey::Row;
use crate::tui::actions::action::Target;
use crate::tui::actions::proposal::{Consequence, Weight};

/// The scheduler's answer for the pods of these nodes.
pub fn forecast(cluster: &Cluster, snapshot: &Snapshot, nodes: &[Target]) -> Vec<Consequence> {
    let survey = Survey::of(cluster);
    let rows: Vec<Row> = nodes
        .iter()
        .filter_map(|node| survey.node_row(&node.key.name))
        .collect();
    words(&lose(snapshot, &survey, &rows))
}

fn words(loss: &DomainLoss) -> Vec<Consequence> {
    let mut list = Vec::new();
    let mut add = |weight, text| list.push(Consequence { weight, text });
    if loss.pending > 0 {
        let what = counted(loss.pending, "pod would stay", "pods would stay");
        add(
            Weight::Danger,
            format!("{what} pending: {}", sentence(&loss.reasons)),
        );
    }
    if loss.placed > 0 {
        let places: Vec<String> = loss
            .landing
            .iter()
            .take(4)
            .map(|(node, count)| format!("{node} {count}"))
            .collect();
        let more = if loss.landing.len() > 4 { ", …" } else { "" };
        let what = counted(loss.placed, "pod finds", "pods find");
        add(
            Weight::Note,
            format!("{what} another place: {}{more}", places.join(", ")),
        );
    }
    let (cpu, memory) = loss.before.percents();
    let (cpu_after, memory_after) = loss.after.percents();
    add(
        Weight::Note,
        format!(
            "requested of what is left: cpu {cpu:.0} → {cpu_after:.0}%, memory {memory:.0} → {memory_after:.0}%"
        ),
    );
    list
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::k8s::build::{cluster, node, pod};

    #[test]
    fn what_would_stay_pending_comes_first() {
        let owned = |name: &str, memory: &str| {
            let pod = pod(name).owner("ReplicaSet", "web").node("n1");
            pod.cpu("1").memory(memory)
        };
        let drafts = [
            node("n1").cpu("8").memory("32Gi"),
            node("n2").cpu("8").memory("8Gi"),
            owned("web-1", "2Gi"),
            owned("web-2", "20Gi"),
        ];
        let cluster = cluster(&drafts);
        let node = Target::of(&drafts[0].build());
        let found = forecast(&cluster, &Snapshot::of(&cluster), &[node]);
        let texts: Vec<&str> = found.iter().map(|note| note.text.as_str()).collect();
        assert_eq!(
            texts,
            [
                "1 pod would stay pending: 1 too little memory",
                "1 pod finds another place: n2 1",
                "requested of what is left: cpu 12 → 12%, memory 55 → 25%",
            ]
        );
        assert_eq!(found[0].weight, Weight::Danger);
    }
}
