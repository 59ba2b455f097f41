//! What the domains view knows: the fleet cut at a level, the losses, and the scheduler's answers
//! as they come in.

use std::collections::BTreeMap;
use std::sync::Arc;

use jiff::Timestamp;

use crate::k8s::Name;
use crate::topology::across::Cut;
use crate::topology::survey::Row;
use crate::topology::{
    Blast, Class, Domains, Level, Loss, QuorumImpact, Spread, Survey, WorkloadKey, blasts, spreads,
};
use crate::tui::forecast::domain_loss::DomainLoss;

use super::clusters::Clusters;

/// The cursor goes through the domains and on into the matrix.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Cursor {
    Domain(Name),
    Workload(WorkloadKey),
}

#[derive(Debug, Default)]
pub struct State {
    pub survey: Arc<Survey>,
    pub levels: Vec<Level>,
    /// The label of the chosen level.
    pub chosen: Option<Name>,
    pub domains: Option<Domains>,
    /// One a domain, in the domains' order.
    pub blasts: Vec<Blast>,
    pub spreads: Vec<Spread>,
    /// Rows of `domains.list`, the worst first, as far as the filter shows them.
    pub order: Vec<usize>,
    /// Places in `spreads` that the filter shows.
    pub shown: Vec<usize>,
    pub cursor: Option<Cursor>,
    pub filter: String,
    /// Several clusters side by side, where there are any.
    pub clusters: Clusters,
    /// The scheduler's answers by domain, each with the data's version it was given for.
    pub answers: BTreeMap<Name, (u64, DomainLoss)>,
    pub answered: Option<Answered>,
}

/// When the last answers came, and how long the scheduler took.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Answered {
    pub at: Timestamp,
    pub seconds: f64,
    /// The data's version that they are about.
    pub version: u64,
}

impl State {
    /// The chosen level, else clusters where there are several, else racks, else the smallest above hosts.
    pub fn level(&self) -> Option<&Level> {
        let named = |label: &str| self.levels.iter().find(|level| level.label == label);
        self.chosen
            .as_deref()
            .and_then(named)
            .or_else(|| named(&Cut::Cluster.level().label))
            .or_else(|| named(crate::topology::level::RACK))
            .or_else(|| self.levels.iter().rev().find(|level| !level.is_host()))
            .or_else(|| self.levels.first())
    }

    /// How the clusters are cut, where clusters are shown and not one of them.
    pub fn cut(&self) -> Option<Cut> {
        Cut::of(self.level()?)
    }

    /// The next level in a direction; it stops at the ends.
    pub fn shift_level(&mut self, by: isize) -> bool {
        let Some(place) = self
            .level()
            .and_then(|level| self.levels.iter().position(|entry| entry == level))
        else {
            return false;
        };
        let next = place.checked_add_signed(by);
        let Some(level) = next.and_then(|next| self.levels.get(next)) else {
            return false;
        };
        self.chosen = Some(level.label.clone());
        self.answers.clear();
        self.answered = None;
        self.cursor = None;
        self.rate();
        true
    }

    /// Cuts by the level of `label` and puts the cursor on `name` there.
    pub fn show(&mut self, label: &Name, name: &Name) {
        if self.level().is_none_or(|level| level.label != *label) {
            self.chosen = Some(label.clone());
            self.answers.clear();
            self.answered = None;
            self.rate();
        }
        self.cursor = Some(Cursor::Domain(name.clone()));
    }

    /// Everything that follows from survey and level.
    pub fn rate(&mut self) {
        let level = self.level().cloned();
        let Some(level) = level.filter(|level| Cut::of(level).is_none()) else {
            self.domains = None;
            self.order.clear();
            self.shown.clear();
            return;
        };
        let domains = Domains::of(&self.survey, &level);
        self.blasts = blasts(&self.survey, &domains);
        self.spreads = spreads(&self.survey, &domains);
        self.domains = Some(domains);
        self.sort();
    }

    /// The worst first: services lost whole and quorums, pods without a place, broken budgets, the largest share.
    pub fn sort(&mut self) {
        let Some(domains) = &self.domains else {
            return;
        };
        let part = self.filter.as_str();
        let mut order: Vec<usize> = (0..domains.list.len())
            .filter(|&place| {
                domains
                    .list
                    .get(place)
                    .is_some_and(|domain| domain.name.contains(part))
            })
            .collect();
        let shows_all = order.is_empty();
        if shows_all {
            order = (0..domains.list.len()).collect();
        }
        order.sort_by(|&left, &right| {
            let (left, right) = (self.badness(left), self.badness(right));
            right
                .0
                .cmp(&left.0)
                .then(right.1.total_cmp(&left.1))
                .then(right.2.cmp(&left.2))
        });
        self.order = order;
        let matching = |spread: &Spread| {
            let key = &self.survey.workload(spread.workload).key;
            key.name.contains(part) || key.namespace.contains(part)
        };
        let mut shown: Vec<usize> = (0..self.spreads.len())
            .filter(|&place| self.spreads.get(place).is_some_and(matching))
            .collect();
        if shown.is_empty() {
            shown = (0..self.spreads.len()).collect();
        }
        self.shown = shown;
    }

    fn badness(&self, place: usize) -> ((u32, usize, u32), f64, usize) {
        let Some(blast) = self.blasts.get(place) else {
            return ((0, 0, 0), 0.0, 0);
        };
        let pending = self.answer(place).map_or(0, |answer| answer.pending);
        let gone = u32::try_from(self.lost_whole(place).count()).unwrap_or(u32::MAX);
        let share = blast
            .losses
            .iter()
            .map(|loss| loss.share)
            .fold(0.0, f64::max);
        (
            (blast.quorums_broken + gone, pending, blast.budgets_broken),
            share,
            blast.displaced.len(),
        )
    }

    pub fn name(&self, place: usize) -> Name {
        self.domains
            .as_ref()
            .and_then(|domains| domains.list.get(place))
            .map(|domain| domain.name.clone())
            .unwrap_or_default()
    }

    pub fn answer(&self, place: usize) -> Option<&DomainLoss> {
        self.answers
            .get(&self.name(place))
            .map(|(_, answer)| answer)
    }

    /// The domain under the cursor; while the cursor is in the matrix, that workload's worst one.
    pub fn domain_at_cursor(&self) -> Option<usize> {
        match &self.cursor {
            Some(Cursor::Domain(name)) => {
                let row = self.domains.as_ref()?.find(name)?;
                Some(row as usize)
            }
            Some(Cursor::Workload(_)) => {
                let worst = self.spread_at_cursor()?.worst?;
                Some(worst.domain as usize)
            }
            None => self.order.first().copied(),
        }
    }

    pub fn spread_at_cursor(&self) -> Option<&Spread> {
        let Some(Cursor::Workload(key)) = &self.cursor else {
            return None;
        };
        self.spreads
            .iter()
            .find(|spread| self.survey.workload(spread.workload).key == *key)
    }

    /// Places the cursor by its place in the one list of domains and workloads.
    pub fn place_of_cursor(&self) -> usize {
        match &self.cursor {
            Some(Cursor::Domain(name)) => self
                .order
                .iter()
                .position(|&place| self.name(place) == *name)
                .unwrap_or(0),
            Some(Cursor::Workload(key)) => {
                let place = self.shown.iter().position(|&place| {
                    self.spreads
                        .get(place)
                        .is_some_and(|spread| self.survey.workload(spread.workload).key == *key)
                });
                self.order.len() + place.unwrap_or(0)
            }
            None => 0,
        }
    }

    pub fn set_cursor(&mut self, place: usize) {
        let last = (self.order.len() + self.shown.len()).saturating_sub(1);
        let place = place.min(last);
        let cursor = if let Some(&domain) = self.order.get(place) {
            Some(Cursor::Domain(self.name(domain)))
        } else {
            self.shown
                .get(place - self.order.len())
                .and_then(|&place| self.spreads.get(place))
                .map(|spread| Cursor::Workload(self.survey.workload(spread.workload).key.clone()))
        };
        self.cursor = cursor;
    }

    /// Services of several replicas that lose all of them with a domain.
    pub fn lost_whole(&self, place: usize) -> impl Iterator<Item = &Loss> {
        let losses = self.blasts.get(place).map(|blast| blast.losses.as_slice());
        losses.unwrap_or_default().iter().filter(|loss| {
            loss.ready > 1
                && loss.lost_ready == loss.ready
                && self.survey.workload(loss.workload).class == Class::Service
        })
    }

    /// Workloads that lose their quorum with a domain.
    pub fn quorums_lost(&self, place: usize) -> Vec<(Row, u32, u32)> {
        let losses = self.blasts.get(place).map(|blast| blast.losses.as_slice());
        losses
            .unwrap_or_default()
            .iter()
            .filter_map(|loss| match loss.quorum {
                QuorumImpact::Broken { left, needs } => Some((loss.workload, left, needs)),
                _ => None,
            })
            .collect()
    }
}
