//! How few machines a workload needs, for people.

use super::super::need::{Need, Spread};
use super::{Section, names, section};
use crate::stdx::humanize::{counted, significant};

pub(super) fn sections(need: &Need) -> Vec<Section> {
    let moves = need.waves.iter().enumerate().flat_map(|(place, wave)| {
        wave.iter().map(move |step| {
            vec![
                (place + 1).to_string(),
                format!("{}/{}", step.namespace, step.pod),
                step.from.to_string(),
                step.to.to_string(),
                step.budget
                    .as_ref()
                    .map_or("-", |name| name.as_str())
                    .to_owned(),
            ]
        })
    });
    let fixed = need.fixed.iter();
    vec![
        section("Machines", &[], sentences(need)),
        section(
            "Before and after the moves",
            &["", "before", "after"],
            before_and_after(need),
        ),
        section(
            "Moves, wave by wave",
            &["wave", "pod", "from", "to", "budget"],
            moves.collect(),
        ),
        section("Machines that the moves free", &[], names(&need.frees)),
        section(
            "In the way, and may not be moved",
            &["pods", "why"],
            fixed
                .map(|fixed| vec![fixed.pods.to_string(), fixed.why.clone()])
                .collect(),
        ),
    ]
}

fn sentences(need: &Need) -> Vec<Vec<String>> {
    let mut lines = vec![need.sentence()];
    if let (Some(least), Some(most)) = (need.trials.first(), need.trials.last()) {
        lines.push(format!(
            "packed anew from empty ({}, daemons come on top): with machines removed at random {} \
             needed {least} to {most}, 9 in 10 no more than {}; with the least used removed first {}",
            counted(need.pods, "pod", "pods"),
            counted(need.trials.len(), "trial", "trials"),
            need.removed_at_random.unwrap_or(*most),
            need.least_used_removed_first.map_or("unknown".to_owned(), |count| count.to_string()),
        ));
    }
    if need.homeless > 0 {
        lines.push(format!(
            "{} no place even on all machines, packed from empty",
            counted(need.homeless, "pod finds", "pods find")
        ));
    }
    let moves: usize = need.waves.iter().map(Vec::len).sum();
    lines.push(if moves == 0 {
        format!(
            "{} in use; no move of a pod to another of them frees one",
            counted(need.in_use, "machine is", "machines are")
        )
    } else {
        format!(
            "{} in use; {} in {} free {} of them, within the budgets",
            counted(need.in_use, "machine is", "machines are"),
            counted(moves, "move", "moves"),
            counted(need.waves.len(), "wave", "waves"),
            need.frees.len(),
        )
    });
    let losing = need
        .waves
        .iter()
        .flatten()
        .filter(|step| step.loses.is_some());
    match losing.count() {
        0 if need.fixed.iter().any(|fixed| fixed.why.contains("local to the node")) => lines.push(
            "pods with emptyDir volumes stay; --compact=emptydir moves them too, and they lose \
             what they keep there"
                .to_owned(),
        ),
        0 => {}
        pods => lines.push(format!(
            "{} what they keep in emptyDir volumes",
            counted(pods, "pod loses", "pods lose")
        )),
    }
    if moves > 0 {
        lines.push(
            "a wave begins when every pod of the last one is ready again; targets are places that \
             will do, the scheduler decides (--rebalance machines rehearses it)"
                .to_owned(),
        );
    }
    lines.into_iter().map(|line| vec![line]).collect()
}

fn before_and_after(need: &Need) -> Vec<Vec<String>> {
    if need.waves.is_empty() {
        return Vec::new();
    }
    let row = |what: &str, before: String, after: String| vec![what.to_owned(), before, after];
    vec![
        row(
            "machines in use",
            need.in_use.to_string(),
            need.in_use_after.to_string(),
        ),
        row(
            "stranded, in machines",
            significant(need.stranded),
            significant(need.stranded_after),
        ),
        row(
            "worst spread over zones",
            spread(need.worst_spread.as_ref()),
            spread(need.worst_spread_after.as_ref()),
        ),
    ]
}

fn spread(worst: Option<&Spread>) -> String {
    worst.map_or_else(
        || "-".to_owned(),
        |worst| {
            format!(
                "skew {} of {}, {}",
                worst.skew, worst.replicas, worst.workload
            )
        },
    )
}
