//! Why a bound pod is where it is: how the scheduler would decide about it now, in few words.
//!
//! It is today's answer, not a record of the decision that was made: the cluster may have changed
//! since, and a pod is never moved for that alone.

use std::sync::Arc;

use crate::k8s::{Name, Object};
use crate::sched::{Explanation, Snapshot, Verdict};
use crate::stdx::humanize::counted;

/// A sentence for the verdict and one for the scores behind it.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct WhyHere {
    pub verdict: String,
    pub scores: String,
}

/// Explains a pod as if it were still to be placed, without itself in the way.
pub fn why_here(snapshot: &Snapshot, pod: &Arc<Object>) -> WhyHere {
    let snapshot = snapshot.without_pods([pod]);
    let here = pod.pod().and_then(|columns| columns.node.clone());
    match snapshot.explain(pod) {
        Ok(explanation) => words(&explanation, here.as_ref()),
        Err(error) => WhyHere {
            verdict: error.to_string(),
            scores: String::new(),
        },
    }
}

fn words(explanation: &Explanation, here: Option<&Name>) -> WhyHere {
    let feasible = explanation.feasible().count();
    let total = explanation.nodes.len();
    let verdict_of = |name: &Name| {
        let found = explanation.nodes.iter().find(|entry| entry.node == *name);
        found.map(|entry| &entry.verdict)
    };
    let Some(here) = here else {
        return WhyHere {
            verdict: explanation.message.clone(),
            scores: String::new(),
        };
    };
    match verdict_of(here) {
        Some(Verdict::Feasible {
            normalized,
            total: score,
            ..
        }) => {
            let verdict = if explanation.best.contains(here) {
                let equals = explanation.best.len() - 1;
                let also = if equals == 0 {
                    String::new()
                } else {
                    format!(", as {} do", counted(equals, "other", "others"))
                };
                format!("scores {score}, the most of {feasible} nodes that fit{also}")
            } else {
                let best = explanation.best.first().map_or("none", Name::as_str);
                format!("scores {score} of {feasible} nodes that fit; new, it would go to {best}")
            };
            let mut parts: Vec<(i64, String)> = explanation
                .columns
                .iter()
                .zip(normalized)
                .filter(|(column, _)| !column.skipped && column.weight > 0)
                .map(|(column, score)| {
                    let points = score * column.weight;
                    (points, format!("{} {points}", column.plugin))
                })
                .collect();
            parts.sort_by_key(|(points, _)| std::cmp::Reverse(*points));
            let parts: Vec<String> = parts.into_iter().map(|(_, text)| text).collect();
            WhyHere {
                verdict,
                scores: parts.join(" · "),
            }
        }
        Some(Verdict::Refused { refusal, .. }) => WhyHere {
            verdict: format!(
                "would not come here today: {} ({feasible} of {total} nodes fit)",
                refusal.reasons.join(", ")
            ),
            scores: String::new(),
        },
        None => WhyHere {
            verdict: explanation.message.clone(),
            scores: String::new(),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::k8s::build::{cluster, node, pod};

    #[track_caller]
    fn check(on: &str, expected: &str) {
        let web = pod("web").cpu("1").memory("1Gi").node(on);
        let cluster = cluster(&[
            node("n1").cpu("4").memory("4Gi"),
            node("n2").cpu("64").memory("64Gi"),
            node("n3").taint("dedicated", "gpu", "NoSchedule"),
            web.clone(),
        ]);
        // The scores themselves are the scheduler's business and tested there.
        let found = why_here(&Snapshot::of(&cluster), &web.build()).verdict;
        let words: Vec<&str> = found
            .split(' ')
            .map(|word| {
                let number = word.trim_end_matches(',').parse::<i64>();
                if word.len() > 2 && number.is_ok() {
                    "N"
                } else {
                    word
                }
            })
            .collect();
        assert_eq!(words.join(" "), expected);
    }

    #[test]
    fn todays_decision_is_told_against_where_it_is() {
        check("n2", "scores N the most of 2 nodes that fit");
        check("n1", "scores N of 2 nodes that fit; new, it would go to n2");
        check(
            "n3",
            "would not come here today: node(s) had untolerated taint(s) (2 of 3 nodes fit)",
        );
    }
}
