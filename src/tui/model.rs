//! Everything the console knows: the cluster's cache, where the user is, what is open.
//!
//! Plain data. [`super::update`] changes it, [`super::present`] shows it; neither does I/O.

use std::collections::BTreeMap;

use jiff::Timestamp;

use crate::config::settings::{ContextColor, Logs};
use crate::connect::{Access, Identity, Kind};
use crate::k8s::{Name, Resource, Uid, resources};

use super::actions::proposal::Consequence;
use super::actions::{Journal, Proposal};
use super::beside::{Around, Beside};
use super::cache::Cache;
use super::command::Command;
use super::forecast::fidelity::{Meter, Tally};
use super::forecast::moves::{Moves, MovesQuestion};
use super::keymap::Keymap;
use super::line_edit::LineEdit;
use super::notice::Notice;
use super::page::{Area, Context, Page};
use super::pages;
use super::rehearsal::Rehearsing;
use super::rehearsal::walk::Walk;
use super::render::Rows;
use super::summary::Summaries;
use super::update::drains::Running;
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
    /// Drains that are under way.
    pub drains: Vec<Running>,
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
    /// Other clusters that `:ctx` can open.
    pub contexts: Vec<String>,
    /// Clusters that pulse and domains show beside this one.
    pub beside: Vec<Beside>,
    /// How the header marks this cluster, where the settings say so.
    pub colour: Option<ContextColor>,
    /// What was wrong at the start, in full: the message row has no room for it.
    pub problems: Vec<String>,
    pub summary: Summaries,
    /// Kinds that are watched now.
    pub watched: Vec<Resource>,
    /// The kind whose server-side table is followed now.
    pub printing: Option<Resource>,
    /// Pages may look at a storm of changes once a second; this is when they are told once more
    /// after the last change, so that no picture stays that was made in the middle of it.
    pub catch_up: Option<Timestamp>,
    /// The fork that is shown, if it is one.
    pub rehearsal: Option<Rehearsing>,
    /// What came of the rehearsal before.
    pub last_outcome: Option<Box<crate::rehearse::Outcome>>,
    /// How often the real scheduler chose as foretold.
    pub fidelity: Meter,
    /// A rehearsal's steps that are taken here, in reality.
    pub walk: Option<Walk>,
    /// The row to put the cursor on once that cluster has taken this one's place.
    pub expected: Option<(String, Uid)>,
    /// Another cluster took this one's place: the page is to be opened once more when all is here.
    pub arriving: bool,
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
    /// Sentences to read.
    Report {
        title: String,
        texts: Vec<String>,
        scroll: usize,
    },
    Line(LineState),
    Moves(Box<MovesState>),
    Confirm(Box<ConfirmState>),
    /// The rehearsal's steps on their way into reality.
    Walk {
        scroll: usize,
    },
    /// What came of the rehearsal.
    Outcome {
        scroll: usize,
    },
    /// The same beside another's.
    Compare {
        scroll: usize,
    },
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
    Visit(super::effect::Visit),
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
    /// The filter before it was touched, for `Esc`; what was typed before the history was walked.
    pub before: String,
}

/// A change that waits for its confirmation. Its targets never change while it is open.
#[derive(Clone, Debug)]
pub struct ConfirmState {
    pub proposal: Proposal,
    pub typed: LineEdit,
    pub forecast: Forecast,
    /// The journal entry that this takes back.
    pub undoes: Option<u64>,
    pub purpose: Purpose,
}

/// What a panel is open for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Purpose {
    Send,
    /// A step of the walk.
    Walk,
    /// Only to see what would come of it: nothing can be sent from here.
    Question,
}

/// The rebalancer's proposal.
#[derive(Clone, Debug)]
pub struct MovesState {
    pub question: MovesQuestion,
    pub answer: MovesAnswer,
    pub scroll: usize,
}

#[derive(Clone, Debug)]
pub enum MovesAnswer {
    /// Not all that the scheduler reads is here yet.
    Loading,
    Computing,
    Known(Box<Result<Moves, String>>),
}

/// What the scheduler says of a drain before it is begun.
#[derive(Clone, PartialEq, Debug)]
pub enum Forecast {
    /// This change has none.
    None,
    /// Not all that the scheduler reads is here yet.
    Loading,
    Computing,
    Known(Vec<Consequence>),
}

impl Model {
    pub fn new(identity: Identity, scope: Scope, view: View, size: (u16, u16)) -> Self {
        let pages = View::ALL
            .into_iter()
            .filter_map(|view| pages::create(view).map(|page| (view, page)))
            .collect();
        Self {
            cache: if identity.kind == Kind::Kubeconfig {
                Cache::with_news()
            } else {
                Cache::default()
            },
            identity,
            scope,
            journal: Journal::default(),
            drains: Vec::new(),
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
            beside: Vec::new(),
            colour: None,
            problems: Vec::new(),
            summary: Summaries::default(),
            watched: Vec::new(),
            printing: None,
            catch_up: None,
            rehearsal: None,
            last_outcome: None,
            fidelity: Meter::default(),
            walk: None,
            expected: None,
            arriving: false,
            unsettled: true,
            ended: false,
        }
    }

    /// Another cluster takes the place of this one: nothing of what was known or open stays but
    /// the view, the keys and what was typed.
    pub fn turn_to(&mut self, identity: Identity, colour: Option<ContextColor>, logs: &Logs) {
        let view = self.view();
        let fresh = Self::new(identity, Scope::All, view, self.size);
        let old = std::mem::replace(self, fresh);
        self.keymap = old.keymap;
        self.mouse = old.mouse;
        self.zoomed = old.zoomed;
        self.history = old.history;
        self.contexts = old.contexts;
        self.last_outcome = old.last_outcome;
        let expected = old
            .expected
            .filter(|(name, _)| *name == self.identity.cluster);
        self.place.with.select = expected.map(|(_, row)| row);
        self.colour = colour;
        self.bound_logs(logs);
    }

    /// How many log lines are kept and fetched.
    pub fn bound_logs(&mut self, logs: &Logs) {
        let page = pages::logs::LogsPage::bounded(logs);
        self.pages.insert(View::Logs, Box::new(page));
    }

    /// What time it is in the cluster that is shown.
    pub fn time(&self, now: Timestamp) -> Timestamp {
        let clock = self.rehearsal.as_ref().map(Rehearsing::clock);
        clock.map_or(now, |clock| clock.read(now))
    }

    /// When it will be `at` there; `None` while time stands still.
    pub fn outside(&self, at: Timestamp) -> Option<Timestamp> {
        match &self.rehearsal {
            Some(rehearsal) => rehearsal.clock().outside(at),
            None => Some(at),
        }
    }

    /// Another scheduler than the embedded one decides here, and can be measured against it.
    pub fn measures_fidelity(&self) -> bool {
        self.identity.kind == Kind::Kubeconfig
    }

    fn tally(&self) -> Option<&Tally> {
        self.measures_fidelity().then_some(&self.fidelity.tally)
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
            summary: &self.summary.shown,
            around: self.around(),
            journal: &self.journal,
            keymap: &self.keymap,
            read_only: self.read_only(),
            now: self.time(now),
            fidelity: self.tally(),
            area: self.area(),
        }
    }

    /// This cluster and those beside it.
    pub fn around(&self) -> Around<'_> {
        Around {
            here: &self.identity.cluster,
            user: &self.identity.user,
            colour: self.colour,
            others: &self.beside,
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
        let now = self.time(now);
        let measures = self.measures_fidelity();
        let page = self.pages.get_mut(&view)?;
        let context = Context {
            cluster: &self.cache.cluster,
            cache: &self.cache,
            scope: &self.scope,
            summary: &self.summary.shown,
            around: Around {
                here: &self.identity.cluster,
                user: &self.identity.user,
                colour: self.colour,
                others: &self.beside,
            },
            journal: &self.journal,
            keymap: &self.keymap,
            read_only,
            now,
            fidelity: measures.then_some(&self.fidelity.tally),
            area,
        };
        Some(work(page.as_mut(), &context))
    }

    /// Whether all nodes and pods are here that this user may see.
    pub fn is_loaded(&self) -> bool {
        let wanted = [resources::NODES, resources::PODS];
        self.cache.feeds().next().is_some() && self.cache.still_loading(&wanted).is_none()
    }

    pub fn rows(&self) -> Rows {
        let band = self.lost().is_some()
            || !self.drains.is_empty()
            || self.rehearsal.is_some()
            || self.walk.is_some();
        Rows::of(self.size.1, band, self.zoomed)
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
        if self.shows_forecast() {
            needed.extend(crate::sched::surroundings::WATCHED);
        }
        if self.measures_fidelity() {
            needed.push(resources::SERVICES);
        }
        if let Some(walk) = &self.walk {
            needed.extend(walk.reads());
        }
        needed.sort();
        needed.dedup();
        needed
    }

    /// A panel is open that shows what the scheduler says.
    pub fn shows_forecast(&self) -> bool {
        match &self.open {
            Some(Open::Confirm(state)) => state.forecast != Forecast::None,
            Some(Open::Moves(_)) => true,
            _ => false,
        }
    }

    pub fn namespaces(&self) -> impl Iterator<Item = &Name> {
        self.cache
            .cluster
            .list(&resources::NAMESPACES)
            .map(|namespace| &namespace.key.name)
    }
}
