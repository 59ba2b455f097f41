//! The bays view's answers to commands and changes.

use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};

use super::arrangement::Arrangement;
use super::gpus::Gpus;
use super::present::{self, map, node, tiles};
use super::state::{State, View, Zoom};
use crate::k8s::columns::NodeReady;
use crate::k8s::{Name, Resource, Uid, resources};
use crate::topology::level::levels;
use crate::topology::survey::Row;
use crate::topology::{Level, Survey};
use crate::tui::actions::Action;
use crate::tui::actions::machines::Machines;
use crate::tui::answer::Answer;
use crate::tui::command::{ChangeKind, Command, Motion, PageCommand};
use crate::tui::effect::Effect;
use crate::tui::forecast::need::{Pace, needed};
use crate::tui::forecast::why_here::{WhyHere, why_here};
use crate::tui::notice::Notice;
use crate::tui::page::{Area, Ask, Context, Page};
use crate::tui::pages::is_known;
use crate::tui::screen::Widget;
use crate::tui::text::{Line, Role};
use crate::tui::view::{self, Opening, Place, Target};
use crate::tui::widgets::cell_map::{CellAt, Direction};

/// Above this many pods a survey is made on another thread.
const INLINE_PODS: usize = 2_000;
/// And at most this often.
const SURVEY_EVERY: SignedDuration = SignedDuration::from_secs(1);

#[derive(Debug, Default)]
pub struct Bays {
    state: State,
    survey: Arc<Survey>,
    gpus: Gpus,
    levels: Vec<Level>,
    arrangement: Arrangement,
    area: Area,
    /// The cache's version that the survey was made of, and when.
    version: Option<u64>,
    surveyed: Option<Timestamp>,
    working: bool,
    /// Whether the survey was made of all nodes and pods.
    complete: bool,
    /// The last answer why a pod is where it is, and the one that was asked for.
    why: Option<(Uid, WhyHere)>,
    asked: Option<(Uid, u64)>,
    /// How few machines the workload needs.
    need: Pace,
}

impl Bays {
    fn view(&self, now: Timestamp) -> View<'_> {
        View {
            survey: &self.survey,
            gpus: &self.gpus,
            levels: &self.levels,
            arrangement: &self.arrangement,
            need: self.need.figure(),
            now,
        }
    }

    fn cursor_row(&self) -> Option<Row> {
        self.state.cursor_row(&self.survey, &self.arrangement)
    }

    fn set_cursor(&mut self, row: Row) {
        self.state.cursor = Some(Name::new(self.survey.node(row).name()));
        self.state.pod = None;
    }

    fn take_survey(&mut self, survey: Arc<Survey>, gpus: Gpus, context: &Context) {
        self.survey = survey;
        self.gpus = gpus;
        self.levels = levels(context.cluster, &[]);
        self.surveyed = Some(context.now);
        self.arrange();
    }

    fn arrange(&mut self) {
        self.arrangement = self.state.arrangement(&self.survey, &self.levels);
    }

    /// Asks for a new survey where the data changed; small fleets are surveyed at once.
    fn resurvey(&mut self, context: &Context) -> Option<Ask> {
        let version = context.cache.version();
        if self.version == Some(version) || self.working {
            return None;
        }
        if context.cluster.count(&resources::PODS) <= INLINE_PODS {
            self.version = Some(version);
            let survey = Arc::new(Survey::of(context.cluster));
            self.take_survey(survey, Gpus::of(context.cluster), context);
            return None;
        }
        let recent = |at: Timestamp| context.now.duration_since(at) < SURVEY_EVERY;
        // The first picture of all that is here does not wait.
        let completed = is_known(context) && !self.complete;
        if self.surveyed.is_some_and(recent) && !completed {
            return None;
        }
        self.complete = is_known(context);
        self.version = Some(version);
        self.working = true;
        let cluster = context.cluster.clone();
        Some(Ask::Effect(Effect::work(view::View::Bays, move || {
            Answer::Bays(Arc::new(Survey::of(&cluster)), Gpus::of(&cluster))
        })))
    }

    /// Asks how few machines are needed, once all is here that the scheduler reads.
    fn ask_need(&mut self, context: &Context) -> Option<Ask> {
        let reads = crate::sched::surroundings::WATCHED;
        if !is_known(context) || context.cache.still_loading(&reads).is_some() {
            return None;
        }
        let pods = context.cluster.count(&resources::PODS);
        let is_due = self.need.ask(context.cache.version(), pods, context.now);
        is_due.then(|| {
            let cluster = context.cluster.clone();
            let known = self.need.known().cloned();
            let scheduler = context.cache.scheduler();
            Ask::Effect(Effect::work(view::View::Bays, move || {
                Answer::Needed(Box::new(needed(&cluster, &scheduler, known)))
            }))
        })
    }

    /// In the closest zoom: why the pod under the cursor is here.
    fn ask_why(&mut self, context: &Context) -> Option<Ask> {
        if self.state.zoom != Zoom::Node {
            return None;
        }
        let pod = self.selected_pod(context.now)?;
        let object = Arc::clone(&self.survey.pod(pod).object);
        let question = (object.uid.clone(), context.cluster.revision().0);
        let same_pod = self
            .asked
            .as_ref()
            .is_some_and(|asked| asked.0 == question.0);
        if same_pod {
            return None;
        }
        self.asked = Some(question);
        let cluster = context.cluster.clone();
        let scheduler = context.cache.scheduler();
        Some(Ask::Effect(Effect::work(view::View::Bays, move || {
            let uid = object.uid.clone();
            Answer::WhyHere(uid, why_here(&scheduler.snapshot(&cluster), &object))
        })))
    }

    fn selected_pod(&self, now: Timestamp) -> Option<Row> {
        let view = self.view(now);
        let pods = node::pods(view, self.cursor_row()?);
        node::selected(&self.state, view, &pods)
    }

    fn step(&mut self, motion: Motion, now: Timestamp) {
        match self.state.zoom {
            Zoom::Map => self.step_map(motion),
            Zoom::Tiles => self.step_tiles(motion),
            Zoom::Node => self.step_node(motion, now),
        }
    }

    fn step_map(&mut self, motion: Motion) {
        let Some(at) = self
            .cursor_row()
            .and_then(|row| map::cell_of(&self.arrangement, row))
        else {
            return;
        };
        let geometry = map::geometry(&self.arrangement, self.area.width, self.area.height);
        let far = usize::from(self.area.height / 2);
        let (direction, times) = match motion {
            Motion::Left => (Direction::Left, 1),
            Motion::Right => (Direction::Right, 1),
            Motion::Up => (Direction::Up, 1),
            Motion::Down => (Direction::Down, 1),
            Motion::HalfUp => (Direction::Up, far / 2),
            Motion::HalfDown => (Direction::Down, far / 2),
            Motion::PageUp => (Direction::Up, far),
            Motion::PageDown => (Direction::Down, far),
            Motion::Top | Motion::Bottom | Motion::NextMatch | Motion::PreviousMatch => {
                self.step_list(motion, 1);
                return;
            }
        };
        let mut place: CellAt = at;
        for _ in 0..times.max(1) {
            match geometry.neighbour(place, direction) {
                Some(next) => place = next,
                None => break,
            }
        }
        if let Some(row) = map::node_at(&self.arrangement, place) {
            self.set_cursor(row);
        }
    }

    fn step_tiles(&mut self, motion: Motion) {
        let across = usize::from(tiles::columns(self.area.width));
        self.step_list(motion, across);
    }

    /// Through the nodes in their order, `across` of them in a line.
    fn step_list(&mut self, motion: Motion, across: usize) {
        let order = tiles::order(&self.arrangement);
        let Some(place) = self
            .cursor_row()
            .and_then(|row| order.iter().position(|entry| *entry == row))
        else {
            return;
        };
        let page = across * usize::from(self.area.height / 5).max(1);
        let last = order.len().saturating_sub(1);
        let next = match motion {
            Motion::Left | Motion::PreviousMatch => place.saturating_sub(1),
            Motion::Right | Motion::NextMatch => (place + 1).min(last),
            Motion::Up => place.checked_sub(across).unwrap_or(place),
            Motion::Down => {
                if place + across <= last {
                    place + across
                } else {
                    place
                }
            }
            Motion::HalfUp => place.saturating_sub(page / 2),
            Motion::HalfDown => (place + page / 2).min(last),
            Motion::PageUp => place.saturating_sub(page),
            Motion::PageDown => (place + page).min(last),
            Motion::Top => 0,
            Motion::Bottom => last,
        };
        if let Some(&row) = order.get(next) {
            self.set_cursor(row);
        }
    }

    /// Up and down through the pods, left and right to the neighbouring nodes.
    fn step_node(&mut self, motion: Motion, now: Timestamp) {
        if matches!(
            motion,
            Motion::Left | Motion::Right | Motion::NextMatch | Motion::PreviousMatch
        ) {
            self.step_list(motion, 1);
            return;
        }
        let Some(row) = self.cursor_row() else {
            return;
        };
        let view = self.view(now);
        let pods = node::pods(view, row);
        let selected = node::selected(&self.state, view, &pods);
        let place = pods
            .iter()
            .position(|pod| Some(*pod) == selected)
            .unwrap_or(0);
        let last = pods.len().saturating_sub(1);
        let next = match motion {
            Motion::Up => place.saturating_sub(1),
            Motion::Down => (place + 1).min(last),
            Motion::Top => 0,
            Motion::Bottom => last,
            Motion::HalfUp | Motion::PageUp => place.saturating_sub(10),
            _ => (place + 10).min(last),
        };
        self.state.pod = pods
            .get(next)
            .map(|&pod| self.survey.pod(pod).object.uid.clone());
    }

    fn enter(&mut self, now: Timestamp) -> Vec<Ask> {
        if self.state.zoom != Zoom::Node {
            self.state.zoom = self.state.zoom.closer();
            return Vec::new();
        }
        let Some(pod) = self.selected_pod(now) else {
            return Vec::new();
        };
        let object = &self.survey.pod(pod).object;
        vec![Ask::Go(Place {
            view: view::View::Pods,
            with: Opening {
                select: Some(object.uid.clone()),
                ..Opening::default()
            },
        })]
    }

    fn mark(&mut self) {
        if let Some(row) = self.cursor_row() {
            let name = Name::new(self.survey.node(row).name());
            if !self.state.marks.remove(&name) {
                self.state.marks.insert(name);
            }
        }
    }

    /// Stops the marked machines, or the cursor's; or lets them answer again.
    fn machines(&self, kind: ChangeKind, context: &Context) -> Vec<Ask> {
        let nodes: Vec<Target> = self
            .selection(context)
            .into_iter()
            .filter(|target| target.key.resource == resources::NODES)
            .collect();
        let offered = if kind == ChangeKind::StopMachine {
            Machines::stop_nodes(context.cache, &nodes)
        } else {
            Machines::start(context.cluster, &nodes)
        };
        match offered {
            Ok(machines) => vec![Ask::Propose(Box::new(Action::Machines(Box::new(machines))))],
            Err(why) => vec![Ask::Notice(Notice::note(why))],
        }
    }

    fn page_command(&mut self, command: &PageCommand) {
        match command {
            PageCommand::Group => self.state.next_group(&self.levels),
            PageCommand::Colour => self.state.colouring = self.state.colouring.next(),
            PageCommand::Order => self.state.order = self.state.order.next(),
            _ => return,
        }
        self.arrange();
    }
}

impl Page for Bays {
    fn feeds(&self) -> Vec<Resource> {
        let mut feeds = crate::sched::surroundings::WATCHED.to_vec();
        feeds.extend([
            resources::DEPLOYMENTS,
            resources::DAEMON_SETS,
            resources::JOBS,
        ]);
        feeds
    }

    fn open(&mut self, opening: &Opening, context: &Context) -> Vec<Ask> {
        let asks = self.settle(context);
        if let Some(filter) = &opening.filter {
            self.state.filter.clone_from(filter);
            self.state.zoom = Zoom::Map;
        }
        let mut nodes = opening
            .of
            .iter()
            .filter(|target| target.key.resource == resources::NODES);
        if let Some(target) = nodes.next_back() {
            self.state.cursor = Some(target.key.name.clone());
            self.state.zoom = Zoom::Node;
        }
        if let Some(uid) = &opening.select {
            let is_wanted = |object: &crate::k8s::Object| object.uid == *uid;
            if let Some(node) = self
                .survey
                .nodes
                .iter()
                .find(|node| is_wanted(&node.object))
            {
                self.state.cursor = Some(Name::new(node.name()));
            } else if let Some(pod) = self.survey.pods.iter().find(|pod| is_wanted(&pod.object))
                && let Some(node) = pod.node
            {
                self.state.cursor = Some(Name::new(self.survey.node(node).name()));
                self.state.pod = Some(uid.clone());
                self.state.zoom = Zoom::Node;
            }
        }
        self.arrange();
        asks
    }

    fn settle(&mut self, context: &Context) -> Vec<Ask> {
        self.area = context.area;
        let mut asks = Vec::new();
        asks.extend(self.resurvey(context));
        // The cursor holds on to its node, not to a place: once set it stays set.
        if self.state.cursor.is_none()
            && let Some(row) = self.cursor_row()
        {
            self.set_cursor(row);
        }
        self.state
            .marks
            .retain(|name| self.survey.node_row(name).is_some());
        asks.extend(self.ask_why(context));
        asks.extend(self.ask_need(context));
        asks
    }

    fn command(&mut self, command: &Command, context: &Context) -> Vec<Ask> {
        match command {
            Command::Move(motion) => self.step(*motion, context.now),
            Command::Enter => return self.enter(context.now),
            Command::ZoomIn => self.state.zoom = self.state.zoom.closer(),
            Command::ZoomOut => self.state.zoom = self.state.zoom.farther(),
            Command::Zoom => self.state.zoom = self.state.zoom.cycle(),
            Command::Mark => self.mark(),
            Command::Unmark => self.state.marks.clear(),
            Command::MarkAll => {
                let order = tiles::order(&self.arrangement);
                let names = order
                    .iter()
                    .map(|&row| Name::new(self.survey.node(row).name()));
                self.state.marks = names.collect();
            }
            Command::Page(command) => self.page_command(command),
            Command::Change(kind @ (ChangeKind::StopMachine | ChangeKind::StartMachine))
                if !context.read_only =>
            {
                return self.machines(*kind, context);
            }
            other => {
                let targets = self.selection(context);
                return crate::tui::pages::travel::travel(other, &targets, context)
                    .unwrap_or_default();
            }
        }
        Vec::new()
    }

    fn back(&mut self, _context: &Context) -> bool {
        if self.state.zoom > Zoom::Map {
            self.state.zoom = self.state.zoom.farther();
        } else if !self.state.filter.is_empty() {
            self.state.filter.clear();
            self.arrange();
        } else if !self.state.marks.is_empty() {
            self.state.marks.clear();
        } else {
            return false;
        }
        true
    }

    fn receive(&mut self, answer: Answer, context: &Context) -> Vec<Ask> {
        match answer {
            Answer::Bays(survey, gpus) => {
                self.working = false;
                self.take_survey(survey, gpus, context);
            }
            Answer::Needed(needed) => self.need.take(*needed),
            Answer::WhyHere(uid, why) => self.why = Some((uid, why)),
            _ => {}
        }
        Vec::new()
    }

    fn present(&self, context: &Context) -> Widget {
        if self.survey.nodes.is_empty() {
            return if context.cache.is_complete(&resources::NODES) {
                Widget::empty(
                    "this cluster has no nodes",
                    "apply a NodePool (lab.bayplan.dev), or start with --fleet FILE",
                )
            } else {
                Widget::empty("loading nodes and pods …", "")
            };
        }
        if self.arrangement.blocks.is_empty() {
            return Widget::empty(
                format!("no node matches `{}`", self.state.filter),
                "esc drops the filter",
            );
        }
        let area = context.area;
        let why = self.why.as_ref().map(|(uid, why)| (uid, why));
        let canvas = present::present(
            &self.state,
            self.view(context.now),
            why,
            (area.width, area.height),
        );
        Widget::Canvas(canvas)
    }

    fn selection(&self, context: &Context) -> Vec<Target> {
        if self.state.zoom == Zoom::Node {
            let pod = self.selected_pod(context.now);
            return pod
                .map(|row| Target::of(&self.survey.pod(row).object))
                .into_iter()
                .collect();
        }
        let marked: Vec<Target> = self
            .state
            .marks
            .iter()
            .filter_map(|name| self.survey.node_row(name))
            .map(|row| Target::of(&self.survey.node(row).object))
            .collect();
        if !marked.is_empty() {
            return marked;
        }
        let cursor = self.cursor_row();
        cursor
            .map(|row| Target::of(&self.survey.node(row).object))
            .into_iter()
            .collect()
    }

    fn filter(&self) -> Option<&str> {
        (!self.state.filter.is_empty()).then_some(self.state.filter.as_str())
    }

    fn set_filter(&mut self, text: &str, _context: &Context) -> Result<(), String> {
        text.clone_into(&mut self.state.filter);
        self.arrange();
        // Marks that a filter hides are dropped.
        let shown = tiles::order(&self.arrangement);
        let survey = &self.survey;
        self.state.marks.retain(|name| {
            survey
                .node_row(name)
                .is_some_and(|row| shown.contains(&row))
        });
        Ok(())
    }

    fn status(&self, _context: &Context) -> Line {
        if self.state.marks.is_empty() {
            return Line::default();
        }
        Line::of(format!("{} marked", self.state.marks.len()), Role::Mark)
    }

    /// Ages of nodes that are not ready count on.
    fn next_wake(&self, context: &Context) -> Option<Timestamp> {
        let late = self.version != Some(context.cache.version()) && !self.working;
        if late {
            return self.surveyed.map(|at| at + SURVEY_EVERY);
        }
        let not_ready = |row: Row| self.survey.node(row).ready != NodeReady::True;
        let age = self
            .cursor_row()
            .is_some_and(not_ready)
            .then(|| context.now + SignedDuration::from_secs(1));
        let need = self.need.next_wake(context.cache.version());
        age.into_iter().chain(need).min()
    }

    fn view(&self) -> view::View {
        view::View::Bays
    }
}
