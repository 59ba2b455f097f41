//! What this operator did, newest last, bounded, each with what takes it back.

use std::collections::VecDeque;

use jiff::Timestamp;

use super::action::Action;

/// Actions kept: more than anybody does in a session.
pub const ACTIONS_MAX: usize = 1_000;

#[derive(Clone, PartialEq, Debug)]
pub struct Done {
    pub number: u64,
    pub at: Timestamp,
    pub action: Action,
    pub undo: Option<Action>,
    pub outcome: Outcome,
    /// It has been taken back by the action of this number.
    pub undone_by: Option<u64>,
}

#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Outcome {
    Sent,
    Accepted,
    /// What was begun ended before all of it was done.
    Partly(String),
    Refused(String),
}

#[derive(Clone, Debug, Default)]
pub struct Journal {
    done: VecDeque<Done>,
    next_number: u64,
}

impl Journal {
    /// Notes an action as sent and returns its number.
    pub fn record(&mut self, action: Action, undo: Option<Action>, at: Timestamp) -> u64 {
        let number = self.next_number;
        self.next_number += 1;
        self.done.push_back(Done {
            number,
            at,
            action,
            undo,
            outcome: Outcome::Sent,
            undone_by: None,
        });
        if self.done.len() > ACTIONS_MAX {
            self.done.pop_front();
        }
        number
    }

    /// One write of the action was answered. A refusal of one of several stays.
    pub fn answer(&mut self, number: u64, outcome: Outcome) {
        if let Some(done) = self.get_mut(number)
            && !matches!(done.outcome, Outcome::Refused(_))
        {
            done.outcome = outcome;
        }
    }

    pub fn mark_undone(&mut self, number: u64, by: u64) {
        if let Some(done) = self.get_mut(number) {
            done.undone_by = Some(by);
        }
    }

    /// The newest action that was accepted, can be taken back and has not been.
    pub fn last_undoable(&self) -> Option<&Done> {
        self.done.iter().rev().find(|done| {
            done.undo.is_some()
                && done.undone_by.is_none()
                && !matches!(done.outcome, Outcome::Refused(_))
        })
    }

    pub fn newest(&self) -> impl Iterator<Item = &Done> {
        self.done.iter().rev()
    }

    pub fn len(&self) -> usize {
        self.done.len()
    }

    pub fn is_empty(&self) -> bool {
        self.done.is_empty()
    }

    fn get_mut(&mut self, number: u64) -> Option<&mut Done> {
        self.done.iter_mut().find(|done| done.number == number)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::k8s::{Cluster, build};
    use crate::tui::actions::action::Target;

    #[test]
    fn undo_takes_back_the_newest_that_stands() {
        let mut journal = Journal::default();
        let at = Timestamp::UNIX_EPOCH;
        let node = Target::of(&build::node("n1").build());
        let cordon = Action::Cordon {
            nodes: vec![node],
            cordon: true,
        };
        let first = journal.record(cordon.clone(), cordon.undo(&Cluster::default()), at);
        let refused = journal.record(cordon.clone(), cordon.undo(&Cluster::default()), at);
        journal.answer(refused, Outcome::Refused("forbidden".into()));
        assert_eq!(journal.last_undoable().map(|done| done.number), Some(first));
        let undo = journal.record(cordon, None, at);
        journal.mark_undone(first, undo);
        assert_eq!(journal.last_undoable(), None);
    }
}
