//! Where the operator stands in the bays view: zoom, grouping, colouring, order, cursor.

use std::collections::BTreeSet;

use jiff::Timestamp;

use super::arrangement::{Arrangement, Order, arrange};
use super::colouring::Colouring;
use super::gpus::Gpus;
use crate::k8s::{Name, Uid};
use crate::topology::level::RACK;
use crate::topology::survey::Row;
use crate::topology::{Level, Survey};
use crate::tui::forecast::need::Figure;

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Default)]
pub enum Zoom {
    /// One cell a node.
    #[default]
    Map,
    /// One tile a node.
    Tiles,
    /// One node.
    Node,
}

impl Zoom {
    pub fn closer(self) -> Self {
        match self {
            Self::Map => Self::Tiles,
            Self::Tiles | Self::Node => Self::Node,
        }
    }

    pub fn farther(self) -> Self {
        match self {
            Self::Node => Self::Tiles,
            Self::Tiles | Self::Map => Self::Map,
        }
    }

    /// Around in one direction, for a single key.
    pub fn cycle(self) -> Self {
        match self {
            Self::Map => Self::Tiles,
            Self::Tiles => Self::Node,
            Self::Node => Self::Map,
        }
    }
}

/// Selections are by name and uid: they belong to an object, not to a place on the screen.
#[derive(Clone, Debug, Default)]
pub struct State {
    pub zoom: Zoom,
    /// The label of the grouping level; `None` for the smallest level above hosts.
    pub group: Option<Name>,
    pub colouring: Colouring,
    pub order: Order,
    /// Only nodes whose name or label values contain this text, or of one domain (`rack=b07`).
    pub filter: String,
    pub cursor: Option<Name>,
    /// The pod under the cursor in the closest zoom.
    pub pod: Option<Uid>,
    pub marks: BTreeSet<Name>,
}

/// What the pictures are drawn from.
#[derive(Clone, Copy, Debug)]
pub struct View<'a> {
    pub survey: &'a Survey,
    pub gpus: &'a Gpus,
    pub levels: &'a [Level],
    pub arrangement: &'a Arrangement,
    /// How few machines the workload needs.
    pub need: Figure,
    pub now: Timestamp,
}

impl State {
    /// The level that the map is grouped by: the chosen one, else racks, else the smallest level
    /// above hosts.
    pub fn level<'a>(&self, levels: &'a [Level]) -> Option<&'a Level> {
        let named = |label: &str| levels.iter().find(|level| level.label == label);
        self.group
            .as_deref()
            .and_then(named)
            .or_else(|| named(RACK))
            .or_else(|| levels.iter().rev().find(|level| !level.is_host()))
    }

    /// The next grouping; ungrouped comes after the last level.
    pub fn next_group(&mut self, levels: &[Level]) {
        let Some(current) = self.level(levels) else {
            return;
        };
        let place = levels.iter().position(|level| level == current);
        let next = place.map_or(0, |place| (place + 1) % levels.len());
        self.group = levels.get(next).map(|level| level.label.clone());
    }

    pub fn arrangement(&self, survey: &Survey, levels: &[Level]) -> Arrangement {
        arrange(survey, levels, self.level(levels), self.order, |row| {
            self.shows(survey, levels, row)
        })
    }

    /// The filter is a part of a name or of a label's value, or `rack=b07` for a level's domain.
    fn shows(&self, survey: &Survey, levels: &[Level], row: Row) -> bool {
        let node = &survey.node(row).object;
        if let Some((title, value)) = self.filter.split_once('=') {
            let level = levels
                .iter()
                .find(|level| level.title == title || level.label == title);
            let label = level.map_or(title, |level| level.label.as_str());
            return node.labels.get(label).is_some_and(|found| found == value)
                || (level.is_some_and(Level::is_host) && node.key.name == value);
        }
        let part = self.filter.as_str();
        part.is_empty()
            || node.name().contains(part)
            || node.labels.iter().any(|(_, value)| value.contains(part))
    }

    /// The cursor's node, or the first one of the arrangement where it is gone.
    pub fn cursor_row(&self, survey: &Survey, arrangement: &Arrangement) -> Option<Row> {
        let shown = |row: &Row| {
            arrangement
                .blocks
                .iter()
                .flat_map(|block| &block.rows)
                .any(|line| line.nodes.contains(row))
        };
        self.cursor
            .as_deref()
            .and_then(|name| survey.node_row(name))
            .filter(shown)
            .or_else(|| {
                let first = arrangement.blocks.first()?.rows.first()?;
                first.nodes.first().copied()
            })
    }
}
