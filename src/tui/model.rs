//! Everything the console knows: the cluster's cache, where the user is, what is open.
//!
//! Plain data. [`super::update`] changes it, [`super::present`] shows it; neither does I/O.

use std::collections::BTreeMap;

use jiff::Timestamp;

use crate::connect::{Access, Identity};
use crate::k8s::{Name, Resource, resources};

use super::actions::{Journal, Proposal};
use super::cache::Cache;
use super::command::Command;
use super::keymap::Keymap;
use super::line_edit::LineEdit;
use super::notice::Notice;
use super::page::{Area, Context, Page};
use super::pages;
use super::render::Rows;
use super::summary::Summary;
use super::view::{Place, Scope, View};

/// Places to go back to, and lines of history: more than anybody walks back.
pub const PLACES_MAX: usize = 100;
pub const HISTORY_MAX: usize = 500;

#[expect(
    clippy::struct_excessive_bools,
    reason = "independent switches of the whole console, not states of one machine"
)]
pub struct Model {
    pub identity: Identity,
    pub cache: Cache,
    pub scope: Scope,
    pub journal: Journal,
    pub keymap: Keymap,
    pub place: Place,
    pub back: Vec<Place>,
    pub forth: Vec<Place>,
    pub last: Option<Place>,
    pub pages: BTreeMap<View, Box<dyn Page>>,
    pub open: Option<Open>,
    pub notice: Option<Notice>,
    /// Keys pressed of a longer sequence.
    pub pressed: Vec<super::key::Chord>,
    pub size: (u16, u16),
    pub zoomed: bool,
    pub mouse: bool,
    pub history: Vec<String>,
    pub contexts: Vec<String>,
    pub summary: Summary,
    /// Kinds that are watched now.
    pub watched: Vec<Resource>,
    /// Pages may look at a storm of changes once a second; this is when they are told once more
    /// after the last change, so that no picture stays that was made in the middle of it.
    pub catch_up: Option<Timestamp>,
    /// The page must be told about data, size or scope before the next frame.
    pub unsettled: bool,
    pub ended: bool,
}

/// What lies over the page or takes the keys.
#[derive(Clone, Debug)]
pub enum Open {
    Help {
        scroll: usize,
    },
    Line(LineState),
    Confirm(Box<ConfirmState>),
    Menu {
        title: String,
        choices: Vec<MenuChoice>,
        chosen: usize,
    },
    AskQuit,
}

#[derive(Clone, Debug)]
pub struct MenuChoice {
    pub name: String,
    pub about: String,
    pub keys: String,
    pub then: Then,
}

/// What a choice does.
#[derive(Clone, PartialEq, Debug)]
pub enum Then {
    Command(Command),
    Copy(String),
    Nothing,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum LineKind {
    Command,
    Palette,
    Filter,
}

#[derive(Clone, Debug)]
pub struct LineState {
    pub kind: LineKind,
    pub edit: LineEdit,
    pub completions: Vec<super::command::complete::Completion>,
    pub chosen: Option<usize>,
    pub problem: Option<String>,
    /// How far back in the history.
    pub recalled: Option<usize>,
    /// The filter before it was touched, for `Esc`.
    pub before: String,
}

/// A change that waits for its confirmation. Its targets never change while it is open.
#[derive(Clone, Debug)]
pub struct ConfirmState {
    pub proposal: Proposal,
    pub typed: LineEdit,
    /// The journal entry that this takes back.
    pub undoes: Option<u64>,
}

impl Model {
    pub fn new(identity: Identity, scope: Scope, view: View, size: (u16, u16)) -> Self {
        let pages = View::ALL
            .into_iter()
            .filter_map(|view| pages::create(view).map(|page| (view, page)))
            .collect();
        Self {
            identity,
            cache: Cache::default(),
            scope,
            journal: Journal::default(),
            keymap: Keymap::standard(),
            place: Place::of(view),
            back: Vec::new(),
            forth: Vec::new(),
            last: None,
            pages,
            open: None,
            notice: None,
            pressed: Vec::new(),
            size,
            zoomed: false,
            mouse: false,
            history: Vec::new(),
            contexts: Vec::new(),
            summary: Summary::default(),
            watched: Vec::new(),
            catch_up: None,
            unsettled: true,
            ended: false,
        }
    }

    pub fn read_only(&self) -> bool {
        self.identity.access == Access::ReadOnly
    }

    pub fn view(&self) -> View {
        self.place.view
    }

    pub fn page(&self) -> Option<&dyn Page> {
        self.pages.get(&self.place.view).map(AsRef::as_ref)
    }

    pub fn context(&self, now: Timestamp) -> Context<'_> {
        Context {
            cluster: &self.cache.cluster,
            cache: &self.cache,
            scope: &self.scope,
            journal: &self.journal,
            read_only: self.read_only(),
            now,
            area: self.area(),
        }
    }

    /// Works with the current page; the page and the rest of the model are separate.
    pub fn with_page<T>(
        &mut self,
        view: View,
        now: Timestamp,
        work: impl FnOnce(&mut dyn Page, &Context) -> T,
    ) -> Option<T> {
        let area = self.area();
        let read_only = self.read_only();
        let page = self.pages.get_mut(&view)?;
        let context = Context {
            cluster: &self.cache.cluster,
            cache: &self.cache,
            scope: &self.scope,
            journal: &self.journal,
            read_only,
            now,
            area,
        };
        Some(work(page.as_mut(), &context))
    }

    pub fn rows(&self) -> Rows {
        Rows::of(self.size.1, self.lost().is_some(), self.zoomed)
    }

    pub fn area(&self) -> Area {
        let whole = ratatui::layout::Rect::new(0, 0, self.size.0, self.size.1);
        let body = self.rows().body(whole);
        Area {
            width: body.width,
            height: body.height,
        }
    }

    /// Since when and why the picture is not current any more: the feed that was lost first.
    pub fn lost(&self) -> Option<(Timestamp, &str)> {
        self.cache
            .feeds()
            .filter(|(resource, _)| self.watched.contains(resource))
            .filter_map(|(_, state)| match state {
                super::cache::FeedState::Lost { since, why } => Some((*since, why.as_str())),
                _ => None,
            })
            .min()
    }

    /// The kinds that must be watched now: those of the page, and what the header needs.
    pub fn needs(&self) -> Vec<Resource> {
        // Workloads and events always: who owns a pod, and what changed before one looked.
        let mut needed = vec![
            resources::NODES,
            resources::PODS,
            resources::NAMESPACES,
            resources::EVENTS,
        ];
        needed.extend(crate::k8s::workload::WORKLOADS);
        if let Some(page) = self.page() {
            needed.extend(page.feeds());
        }
        needed.sort();
        needed.dedup();
        needed
    }

    pub fn namespaces(&self) -> impl Iterator<Item = &Name> {
        self.cache
            .cluster
            .list(&resources::NAMESPACES)
            .map(|namespace| &namespace.key.name)
    }
}
