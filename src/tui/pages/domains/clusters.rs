//! Several clusters side by side, as the domains view keeps them: what was computed of their
//! shares, what the filter shows, and where the cursor is.

use std::sync::Arc;

use super::state::Cursor;
use crate::k8s::Name;
use crate::topology::Level;
use crate::topology::across::{Across, Cut, Service, Share, share_a_region};
use crate::tui::beside::Around;
use crate::tui::command::Motion;
use crate::tui::notice::Notice;
use crate::tui::page::Ask;

#[derive(Debug, Default)]
pub struct Clusters {
    pub across: Across,
    /// Places in `across.services` that the filter shows.
    pub shown: Vec<usize>,
    own: Arc<Share>,
    /// What `across` was computed of: the own share first.
    of: Vec<(Name, Arc<Share>)>,
    filter: String,
    cursor: Option<Cursor>,
}

impl Clusters {
    /// What the cluster that the console works in holds now.
    pub fn own(&mut self, share: Arc<Share>) {
        self.own = share;
    }

    /// Computes anew what is out of date; cheap where nothing is.
    pub fn follow(&mut self, around: &Around, cut: Cut, filter: &str) {
        let others = around.others.iter();
        let others = others.map(|other| (other.name.clone(), Arc::clone(&other.look.share)));
        let own = (Name::new(around.here), Arc::clone(&self.own));
        let now: Vec<(Name, Arc<Share>)> = std::iter::once(own).chain(others).collect();
        let same = now.len() == self.of.len()
            && now
                .iter()
                .zip(&self.of)
                .all(|(now, before)| now.0 == before.0 && Arc::ptr_eq(&now.1, &before.1));
        if same && self.across.cut == cut && self.filter == filter {
            return;
        }
        self.of = now;
        let shares: Vec<(Name, &Share)> = self
            .of
            .iter()
            .map(|(name, share)| (name.clone(), share.as_ref()))
            .collect();
        self.across = Across::of(&shares, cut);
        filter.clone_into(&mut self.filter);
        let matching = |service: &Service| {
            service.key.name.contains(filter) || service.key.namespace.contains(filter)
        };
        let services = self.across.services.iter().enumerate();
        let shown = services.filter(|(_, service)| matching(service));
        self.shown = shown.map(|(place, _)| place).collect();
        if self.shown.is_empty() {
            self.shown = (0..self.across.services.len()).collect();
        }
    }

    /// Clusters, and regions where several share one; none where nothing is beside.
    pub fn levels(&self) -> Vec<Level> {
        if self.of.len() < 2 {
            return Vec::new();
        }
        let mut levels = vec![Cut::Cluster.level()];
        if share_a_region(self.of.iter().map(|(_, share)| share.as_ref())) {
            levels.push(Cut::Region.level());
        }
        levels
    }

    /// The cursor's place in the one list of domains and services.
    pub fn place(&self) -> usize {
        let domains = self.across.domains.len();
        match &self.cursor {
            Some(Cursor::Domain(name)) => {
                let mut names = self.across.domains.iter();
                names.position(|domain| domain.name == *name).unwrap_or(0)
            }
            Some(Cursor::Workload(key)) => {
                let mut shown = self.shown.iter();
                let place = shown.position(|&place| {
                    let service = self.across.services.get(place);
                    service.is_some_and(|service| service.key == *key)
                });
                domains + place.unwrap_or(0)
            }
            None => 0,
        }
    }

    /// The domain under the cursor; in the matrix, the one whose loss is the service's worst.
    pub fn domain(&self) -> usize {
        match self.service() {
            Some(service) => service.worst.map_or(0, |worst| worst.domain),
            None => self.place(),
        }
    }

    pub fn service(&self) -> Option<&Service> {
        let place = self.place().checked_sub(self.across.domains.len())?;
        self.across.services.get(*self.shown.get(place)?)
    }

    pub fn step(&mut self, motion: Motion, height: u16) {
        let place = self.place();
        let domains = self.across.domains.len();
        let page = usize::from(height / 3).max(1);
        let next = match motion {
            Motion::Left | Motion::Right => return,
            Motion::Up | Motion::PreviousMatch => place.saturating_sub(1),
            Motion::Down | Motion::NextMatch => place + 1,
            Motion::Bottom => usize::MAX,
            Motion::HalfUp => place.saturating_sub(page),
            Motion::HalfDown => place + page,
            // A page is the other list.
            Motion::PageDown => place.max(domains),
            Motion::PageUp if place > domains => domains,
            Motion::Top | Motion::PageUp => 0,
        };
        self.set_cursor(next);
    }

    fn set_cursor(&mut self, place: usize) {
        let domains = self.across.domains.len();
        let place = place.min((domains + self.shown.len()).saturating_sub(1));
        self.cursor = match self.across.domains.get(place) {
            Some(domain) => Some(Cursor::Domain(domain.name.clone())),
            None => self
                .shown
                .get(place.saturating_sub(domains))
                .and_then(|&place| self.across.services.get(place))
                .map(|service| Cursor::Workload(service.key.clone())),
        };
    }

    /// From the matrix back to the domains.
    pub fn back(&mut self) -> bool {
        let inside = self.service().is_some();
        if inside {
            self.set_cursor(0);
        }
        inside
    }

    /// Works in the cluster under the cursor from now on.
    pub fn enter(&self, around: &Around) -> Vec<Ask> {
        let domain = self.across.domains.get(self.domain());
        let clusters = domain.map_or(&[][..], |domain| domain.clusters.as_slice());
        let text = if let [one] = clusters {
            let name = self.of.get(*one).map(|(name, _)| name.to_string());
            if let Some(name) = name.filter(|name| name != around.here) {
                return vec![Ask::Switch {
                    cluster: name,
                    select: None,
                }];
            }
            let here = around.here;
            format!("this console works in {here}; l goes on to its own levels")
        } else {
            "several clusters are there; h goes back to the clusters".to_owned()
        };
        vec![Ask::Notice(Notice::note(text))]
    }
}
