//! `TaintToleration`: taints that a pod must tolerate, and taints it should rather.

use crate::k8s::taint::{Taint, TaintEffect, Toleration};
use crate::sched::verdict::{Plugin, Refusal};

/// Version 1.34 still named the taint here.
pub const REASON: &str = "node(s) had untolerated taint(s)";

pub fn filter(tolerations: &[Toleration], taints: &[Taint]) -> Option<Refusal> {
    untolerated(tolerations, taints)
        .next()
        .map(|_| Refusal::unresolvable(Plugin::TaintToleration, REASON))
}

/// The `NoSchedule` and `NoExecute` taints without a matching toleration.
pub fn untolerated<'a>(
    tolerations: &'a [Toleration],
    taints: &'a [Taint],
) -> impl Iterator<Item = &'a Taint> {
    taints.iter().filter(|taint| {
        taint.effect != TaintEffect::PreferNoSchedule
            && !tolerations
                .iter()
                .any(|toleration| toleration.tolerates(taint))
    })
}

/// How many `PreferNoSchedule` taints are not tolerated; fewer is better.
pub fn score(tolerations: &[Toleration], taints: &[Taint]) -> i64 {
    let intolerable = taints.iter().filter(|taint| {
        taint.effect == TaintEffect::PreferNoSchedule
            && !tolerations
                .iter()
                .filter(|toleration| {
                    matches!(
                        toleration.effect,
                        None | Some(TaintEffect::PreferNoSchedule)
                    )
                })
                .any(|toleration| toleration.tolerates(taint))
    });
    i64::try_from(intolerable.count()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn taint(key: &str, effect: TaintEffect) -> Taint {
        Taint {
            key: key.into(),
            value: "v".into(),
            effect,
        }
    }

    fn exists(key: &str, effect: Option<TaintEffect>) -> Toleration {
        Toleration {
            key: key.into(),
            operator: "Exists".into(),
            effect,
            ..Toleration::default()
        }
    }

    #[test]
    fn hard_taints_refuse_and_soft_ones_count() {
        let taints = [
            taint("a", TaintEffect::NoSchedule),
            taint("b", TaintEffect::PreferNoSchedule),
            taint("c", TaintEffect::PreferNoSchedule),
        ];
        assert!(filter(&[], &taints).is_some());
        assert!(filter(&[exists("a", None)], &taints).is_none());
        assert!(filter(&[exists("a", Some(TaintEffect::NoExecute))], &taints).is_some());
        assert_eq!(score(&[], &taints), 2);
        assert_eq!(score(&[exists("b", None)], &taints), 1);
        // A toleration of another effect does not help against a wish.
        assert_eq!(
            score(&[exists("b", Some(TaintEffect::NoSchedule))], &taints),
            2
        );
    }
}
