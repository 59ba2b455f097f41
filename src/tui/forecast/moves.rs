//! What the rebalancer would move, and how few machines the workload needs: the answer behind
//! `:compact` and `:rebalance`.
//!
//! A proposal, made of the console's own cache; nothing is sent from here.

use super::need::PODS_MAX;
use crate::k8s::{Cluster, Name, resources};
use crate::sched::Snapshot;
use crate::sched::compaction::{Compaction, TRIALS, compact};
use crate::sched::rebalance::{Goal, Options, Rebalance, rebalance};
use crate::topology::level;

/// What is asked.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct MovesQuestion {
    pub goal: MovesGoal,
    /// Pods move although that loses their `emptyDir` volumes.
    pub empty_dirs: bool,
}

#[derive(Clone, PartialEq, Eq, Debug)]
pub enum MovesGoal {
    Machines,
    /// Over a level's title or a label.
    Spread(String),
}

#[derive(Clone, PartialEq, Debug)]
pub struct Moves {
    pub rebalance: Rebalance,
    /// The label whose values the spread is told over.
    pub key: Name,
    /// Where machines are asked about, and not too many pods.
    pub compaction: Option<Compaction>,
}

impl MovesQuestion {
    pub fn of(goal: MovesGoal) -> Self {
        Self {
            goal,
            empty_dirs: false,
        }
    }

    /// `machines`, `spread`, a level, each with `emptydir` after it.
    pub fn parse(text: &str, otherwise: MovesGoal) -> Result<Self, String> {
        let mut goal = otherwise;
        let mut empty_dirs = false;
        for word in text.split_whitespace() {
            match word {
                "emptydir" => empty_dirs = true,
                "machines" => goal = MovesGoal::Machines,
                "spread" => goal = MovesGoal::Spread("zone".to_owned()),
                _ if word.starts_with('-') => {
                    return Err(format!(
                        "`{word}`: machines, spread or a level such as rack"
                    ));
                }
                level => goal = MovesGoal::Spread(level.to_owned()),
            }
        }
        Ok(Self { goal, empty_dirs })
    }
}

/// The moves; the error says why there can be none.
pub fn moves(
    cluster: &Cluster,
    snapshot: &Snapshot,
    question: &MovesQuestion,
) -> Result<Moves, String> {
    let goal = match &question.goal {
        MovesGoal::Machines => Goal::FreeMachines,
        MovesGoal::Spread(word) => Goal::HealSpread {
            key: label(cluster, word)?,
        },
    };
    let options = Options {
        empty_dirs: question.empty_dirs,
        ..Options::default()
    };
    let rebalance = rebalance(snapshot, &goal, options, &mut || true);
    let (key, compaction) = match goal {
        Goal::HealSpread { key } => (key, None),
        Goal::FreeMachines => {
            let is_small = cluster.count(&resources::PODS) <= PODS_MAX;
            let found = is_small.then(|| compact(snapshot, TRIALS, 0, &mut || true));
            (Name::new_static(level::ZONE), found)
        }
    };
    Ok(Moves {
        rebalance,
        key,
        compaction,
    })
}

/// The label that a word stands for.
fn label(cluster: &Cluster, word: &str) -> Result<Name, String> {
    if matches!(word, "node" | "host" | "machine") {
        return Ok(Name::new_static(level::HOST));
    }
    let levels = level::levels(cluster, &[]);
    if let Some(level) = levels.iter().find(|level| level.title == word) {
        return Ok(level.label.clone());
    }
    if cluster.nodes().any(|node| node.labels.get(word).is_some()) {
        return Ok(Name::new(word));
    }
    let titles: Vec<&str> = levels.iter().map(|level| level.title.as_str()).collect();
    Err(format!(
        "there is no level `{word}` and no such node label; the levels are {}",
        titles.join(", ")
    ))
}
