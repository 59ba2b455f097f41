//! The rebalancer's proposal carried out: what can be known only by letting the scheduler decide.
//!
//! A proposal says where a pod would do; a move is an eviction, after which the controller's new pod
//! goes where the scheduler sends it. Here as in reality a wave begins when every pod of the last
//! one is replaced and ready. Machines that shall be empty are cordoned first, those that are empty
//! already too: the scheduler prefers them to the full ones.

use std::collections::BTreeMap;

use jiff::SignedDuration;

use super::super::step::Balance;
use super::{Fork, StepRefused};
use crate::k8s::{Name, Uid};
use crate::sched::rebalance::{Goal, Move, Options, Rebalance, rebalance};
use crate::stdx::humanize::counted;

/// Between two looks at a wave, and two attempts where a budget says no.
const RETRY: SignedDuration = SignedDuration::from_secs(5);
/// A wave that takes longer is the last one, as it would be for an operator.
const PATIENCE: SignedDuration = SignedDuration::from_mins(10);
/// Names in one sentence.
const NAMES_MAX: usize = 8;

impl Fork {
    pub(super) fn rebalance(
        &mut self,
        balance: &Balance,
        empty_dirs: bool,
    ) -> Result<Vec<String>, StepRefused> {
        let goal = match balance {
            Balance::Machines => Goal::FreeMachines,
            Balance::Spread { level } => Goal::HealSpread {
                key: self.label(level)?,
            },
        };
        let snapshot = self.world.scheduler().snapshot();
        let options = Options {
            empty_dirs,
            ..Options::default()
        };
        let found = rebalance(snapshot, &goal, options, &mut || true);
        let mut notes = vec![proposed(&found, &goal)];
        if found.losing() > 0 {
            notes.push(format!(
                "{} what they keep in emptyDir volumes",
                counted(found.losing(), "pod loses", "pods lose")
            ));
        }
        if goal == Goal::FreeMachines && !found.waves.is_empty() {
            let idle = self.idle();
            for node in found.gain.freed.iter().chain(&idle) {
                self.cordon(node, true)?;
            }
            notes.push(format!(
                "cordoned first: {}, and {} that ran nothing but daemons",
                listed(&found.gain.freed),
                counted(idle.len(), "machine", "machines"),
            ));
        }
        for (place, wave) in found.waves.iter().enumerate() {
            if let Some(late) = self.wave(wave) {
                notes.push(format!("wave {}: {late}", place + 1));
                let left = found.waves.len() - place - 1;
                if left > 0 {
                    notes.push(format!(
                        "{} not begun",
                        counted(left, "wave is", "waves are")
                    ));
                }
                break;
            }
        }
        if !found.fixed.is_empty() {
            let reasons = found.fixed_by_reason();
            let reasons: Vec<String> = reasons
                .iter()
                .map(|(why, pods)| format!("{} ({why})", counted(*pods, "pod", "pods")))
                .collect();
            notes.push(format!("may not be moved: {}", reasons.join(", ")));
        }
        Ok(notes)
    }

    /// Machines that take pods and run nothing that would run elsewhere without them.
    fn idle(&self) -> Vec<Name> {
        let nodes = self.world.scheduler().snapshot().nodes();
        let idle =
            nodes.filter(|node| !node.unschedulable && !crate::sched::rebalance::is_used(node));
        let mut names: Vec<Name> = idle.map(|node| node.name.clone()).collect();
        names.sort_unstable();
        names
    }

    /// Evicts the wave's pods and waits for those that replace them; says what did not come.
    fn wave(&mut self, wave: &[Move]) -> Option<String> {
        let mut waiting: Vec<(&Move, Uid)> = Vec::new();
        let mut owners: BTreeMap<Uid, usize> = BTreeMap::new();
        for step in wave {
            let Some(pod) = self.cluster().get(&step.pod) else {
                continue;
            };
            if let Some(owner) = pod.controller() {
                owners.insert(owner.uid.clone(), self.ready(&owner.uid));
            }
            waiting.push((step, pod.uid.clone()));
        }
        let mut refused: BTreeMap<Uid, String> = BTreeMap::new();
        let deadline = self.now + PATIENCE;
        loop {
            for (step, uid) in &waiting {
                let leaves = self
                    .cluster()
                    .get(&step.pod)
                    .is_none_or(|pod| pod.uid != *uid || pod.is_terminating());
                if leaves {
                    continue;
                }
                match self.evict(&step.pod.namespace, &step.pod.name) {
                    Ok(()) => drop(refused.remove(uid)),
                    Err(why) => drop(refused.insert(uid.clone(), why)),
                }
            }
            self.run_until(self.now + RETRY);
            waiting.retain(|(step, uid)| {
                let pod = self.cluster().get(&step.pod);
                pod.is_some_and(|pod| pod.uid == *uid)
            });
            let short: usize = owners
                .iter()
                .map(|(owner, ready)| ready.saturating_sub(self.ready(owner)))
                .sum();
            if waiting.is_empty() && short == 0 {
                return None;
            }
            if self.now >= deadline {
                let why = refused.values().next();
                let why = why.map(|why| format!("; {why}")).unwrap_or_default();
                return Some(format!(
                    "after {} minutes {} not gone and {short} not replaced by a ready one{why}",
                    PATIENCE.as_mins(),
                    counted(waiting.len(), "pod is", "pods are"),
                ));
            }
        }
    }

    /// Ready pods of a controller.
    fn ready(&self, owner: &Uid) -> usize {
        let pods = self.cluster().owned_by(owner);
        pods.filter(|pod| !pod.is_terminating() && pod.pod().is_some_and(|pod| pod.ready))
            .count()
    }
}

fn proposed(found: &Rebalance, goal: &Goal) -> String {
    if found.waves.is_empty() {
        return match goal {
            Goal::FreeMachines => "no machine can be emptied by moving pods to others in use",
            Goal::HealSpread { .. } => "no move makes a service's spread more even",
        }
        .to_owned();
    }
    let moves = counted(found.moves(), "move", "moves");
    let waves = counted(found.waves.len(), "wave", "waves");
    let what = match goal {
        Goal::FreeMachines => format!(
            "shall free {}",
            counted(found.gain.freed.len(), "machine", "machines")
        ),
        Goal::HealSpread { key } => format!("shall even out replicas over {key}"),
    };
    format!("{moves} in {waves} {what}")
}

fn listed(names: &[Name]) -> String {
    let shown: Vec<&str> = names.iter().take(NAMES_MAX).map(Name::as_str).collect();
    match names.len().saturating_sub(NAMES_MAX) {
        0 => shown.join(", "),
        more => format!("{} and {more} more", shown.join(", ")),
    }
}
