//! The domains view's answers to commands and changes, and its questions to the scheduler.

use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};

use super::present;
use super::state::{Answered, Cursor, State};
use crate::k8s::{Name, Resource, resources};
use crate::stdx::clock;
use crate::topology::level::levels;
use crate::topology::survey::Row;
use crate::topology::{Share, Survey};
use crate::tui::actions::Action;
use crate::tui::actions::action::Target;
use crate::tui::actions::machines::Machines;
use crate::tui::answer::Answer;
use crate::tui::command::{ChangeKind, Command, Motion, PageCommand};
use crate::tui::effect::Effect;
use crate::tui::forecast::domain_loss::{DomainLoss, lose};
use crate::tui::notice::Notice;
use crate::tui::page::{Ask, Context, Page, PageHint};
use crate::tui::screen::Widget;
use crate::tui::view::{self, Opening, Place};

/// Above this many pods surveys are made on another thread.
const INLINE_PODS: usize = 2_000;
/// And at most this often.
const SURVEY_EVERY: SignedDuration = SignedDuration::from_secs(1);
/// Displaced pods that one question to the scheduler may hold, so that answers keep coming in.
const BATCH_PODS: usize = 2_000;
/// Answers are asked for anew at most this often; longer where the scheduler takes long.
const ASK_EVERY: SignedDuration = SignedDuration::from_secs(2);

/// What a question to the scheduler brought.
#[derive(Debug)]
pub struct DomainLosses {
    pub version: u64,
    pub label: Name,
    pub losses: Vec<(Name, DomainLoss)>,
    pub seconds: f64,
}

#[derive(Debug, Default)]
pub struct DomainsPage {
    state: State,
    version: Option<u64>,
    surveying: bool,
    surveyed: Option<Timestamp>,
    asking: bool,
    asked_at: Option<Timestamp>,
}

/// Whether other clusters are shown beside this one.
fn several(context: &Context) -> bool {
    !context.around.others.is_empty()
}

impl DomainsPage {
    fn resurvey(&mut self, context: &Context) -> Option<Ask> {
        let version = context.cache.version();
        if self.version == Some(version) || self.surveying {
            return None;
        }
        let inline = context.cluster.count(&resources::PODS) <= INLINE_PODS;
        let recent = |at: Timestamp| context.now.duration_since(at) < SURVEY_EVERY;
        if !inline && self.surveyed.is_some_and(recent) {
            return None;
        }
        self.version = Some(version);
        if inline {
            let survey = Arc::new(Survey::of(context.cluster));
            let share = several(context).then(|| Arc::new(Share::of(&survey)));
            self.take(survey, share, context);
            return None;
        }
        self.surveying = true;
        self.surveyed = Some(context.now);
        let cluster = context.cluster.clone();
        let several = several(context);
        Some(Ask::Effect(Effect::work(view::View::Domains, move || {
            let survey = Arc::new(Survey::of(&cluster));
            let share = several.then(|| Arc::new(Share::of(&survey)));
            Answer::Survey(survey, share)
        })))
    }

    fn take(&mut self, survey: Arc<Survey>, share: Option<Arc<Share>>, context: &Context) {
        self.state.survey = survey;
        if let Some(share) = share {
            self.state.clusters.own(share);
        }
        self.follow_clusters(context);
        self.find_levels(context);
    }

    fn find_levels(&mut self, context: &Context) {
        self.state.levels = self.state.clusters.levels();
        let own = levels(context.cluster, &[]);
        self.state.levels.extend(own);
        self.state.rate();
    }

    /// The other clusters come with looks of their own, and with regions that several share.
    fn follow_clusters(&mut self, context: &Context) {
        if !several(context) {
            return;
        }
        let before = self.state.clusters.levels();
        let cut = self.state.cut().unwrap_or_default();
        self.state
            .clusters
            .follow(&context.around, cut, &self.state.filter);
        if self.state.clusters.levels() != before {
            self.find_levels(context);
        }
    }

    /// Domains whose answer is missing or of older data, the cursor's first, then the worst.
    fn open_questions(&self, version: u64) -> Vec<usize> {
        let is_open = |place: &usize| {
            let known = self.state.answers.get(&self.state.name(*place));
            known.is_none_or(|(answered, _)| *answered != version)
        };
        let cursor = self.state.domain_at_cursor();
        let first = cursor.into_iter();
        let rest = self
            .state
            .order
            .iter()
            .copied()
            .filter(|place| Some(*place) != cursor);
        first.chain(rest).filter(is_open).collect()
    }

    /// Asks the scheduler about the next domains, in one batch at a time.
    fn ask(&mut self, context: &Context) -> Option<Ask> {
        let version = self.version?;
        // Without all that the scheduler reads the answer would be about another cluster, and be
        // asked for again.
        let is_loading = context.cache.still_loading(&self.feeds()).is_some()
            || !context.cache.is_complete(&resources::PODS);
        if self.asking || self.surveying || is_loading {
            return None;
        }
        let open = self.open_questions(version);
        if open.is_empty() {
            return None;
        }
        // New data is asked about at intervals; the rest of a round follows at once.
        let new_round = self
            .state
            .answered
            .is_some_and(|answered| answered.version != version);
        let due = self.next_round();
        if new_round && due.is_some_and(|due| context.now < due) {
            return None;
        }
        let domains = self.state.domains.as_ref()?;
        let mut batch: Vec<(Name, Vec<Row>)> = Vec::new();
        let mut pods = 0;
        for place in open {
            let displaced = self
                .state
                .blasts
                .get(place)
                .map_or(0, |blast| blast.displaced.len());
            if !batch.is_empty() && pods + displaced > BATCH_PODS {
                break;
            }
            pods += displaced;
            let nodes = domains.list.get(place).map(|domain| domain.nodes.clone());
            batch.push((self.state.name(place), nodes.unwrap_or_default()));
        }
        let label = domains.level.label.clone();
        let survey = Arc::clone(&self.state.survey);
        let scheduler = context.cache.scheduler();
        let cluster = context.cluster.clone();
        self.asking = true;
        self.asked_at = Some(context.now);
        Some(Ask::Effect(Effect::work(view::View::Domains, move || {
            // The runtime's thread carries this out; how long it takes is part of the answer.
            let start = clock::instant();
            let snapshot = scheduler.snapshot(&cluster);
            let losses = batch
                .into_iter()
                .map(|(name, nodes)| (name, lose(&snapshot, &survey, &nodes)))
                .collect();
            Answer::DomainLosses(Box::new(DomainLosses {
                version,
                label,
                losses,
                seconds: start.elapsed().as_secs_f64(),
            }))
        })))
    }

    /// When the next round of questions about new data may begin.
    fn next_round(&self) -> Option<Timestamp> {
        let took = self.state.answered.map_or(0.0, |answered| answered.seconds);
        #[expect(clippy::cast_possible_truncation, reason = "seconds are few")]
        let pause = SignedDuration::from_millis((took * 10_000.0) as i64).max(ASK_EVERY);
        self.asked_at.map(|at| at + pause)
    }

    fn answer(&mut self, found: DomainLosses, context: &Context) {
        self.asking = false;
        let label = self.state.level().map(|level| level.label.clone());
        if label != Some(found.label) {
            return;
        }
        for (name, loss) in found.losses {
            self.state.answers.insert(name, (found.version, loss));
        }
        let seconds = match self.state.answered {
            Some(answered) if answered.version == found.version => answered.seconds + found.seconds,
            _ => found.seconds,
        };
        self.state.answered = Some(Answered {
            at: context.now,
            seconds,
            version: found.version,
        });
        self.state.sort();
    }

    /// The same among clusters.
    fn step_clusters(&mut self, motion: Motion, context: &Context) {
        match motion {
            Motion::Left | Motion::Right => {
                let by = if motion == Motion::Left { -1 } else { 1 };
                self.state.shift_level(by);
                self.follow_clusters(context);
            }
            other => self.state.clusters.step(other, context.area.height),
        }
    }

    /// What is meant where clusters are shown: to look, to work in one of them, never to change.
    fn command_clusters(&mut self, command: &Command, context: &Context) -> Vec<Ask> {
        match command {
            Command::Move(motion) => self.step_clusters(*motion, context),
            Command::Enter => return self.state.clusters.enter(&context.around),
            Command::Page(PageCommand::Group | PageCommand::Level) => {
                if !self.state.shift_level(1) {
                    while self.state.shift_level(-1) {}
                }
                self.follow_clusters(context);
            }
            _ => {
                let text = "clusters are only looked at side by side: enter works in one, \
                            l goes on to its own levels";
                return vec![Ask::Notice(Notice::note(text))];
            }
        }
        self.ask(context).into_iter().collect()
    }

    fn step(&mut self, motion: Motion, context: &Context) {
        let place = self.state.place_of_cursor();
        let domains = self.state.order.len();
        let page = usize::from(context.area.height / 3).max(1);
        let next = match motion {
            Motion::Left => {
                self.state.shift_level(-1);
                self.follow_clusters(context);
                return;
            }
            Motion::Right => {
                self.state.shift_level(1);
                return;
            }
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
        self.state.set_cursor(next);
    }

    fn enter(&self, context: &Context) -> Vec<Ask> {
        let place = match (&self.state.cursor, self.state.level()) {
            (Some(Cursor::Workload(_)), _) => {
                let target = self.workload_target(context);
                Place {
                    view: view::View::Workloads,
                    with: Opening {
                        select: target.map(|target| target.uid),
                        ..Opening::default()
                    },
                }
            }
            (_, Some(level)) => {
                let Some(domain) = self.state.domain_at_cursor() else {
                    return Vec::new();
                };
                Place {
                    view: view::View::Bays,
                    with: Opening {
                        filter: Some(format!("{}={}", level.title, self.state.name(domain))),
                        ..Opening::default()
                    },
                }
            }
            (_, None) => return Vec::new(),
        };
        vec![Ask::Go(place)]
    }

    fn workload_target(&self, context: &Context) -> Option<Target> {
        let spread = self.state.spread_at_cursor()?;
        let key = &self.state.survey.workload(spread.workload).key;
        let object = context
            .cluster
            .find(&key.resource()?, &key.namespace, &key.name)?;
        Some(Target::of(object))
    }

    /// The domain under the cursor, as people call it, and its nodes.
    fn domain(&self) -> Option<(String, Vec<Target>)> {
        let level = self.state.level()?;
        let place = self.state.domain_at_cursor()?;
        let domain = self.state.domains.as_ref()?.list.get(place)?;
        let nodes = domain
            .nodes
            .iter()
            .map(|&row| Target::of(&self.state.survey.node(row).object))
            .collect();
        // A machine needs no level before its name.
        let what = match level.title.as_str() {
            "host" | "hostname" | "node" => domain.name.to_string(),
            title => format!("{title} {}", domain.name),
        };
        Some((what, nodes))
    }

    /// Cordons or drains the nodes of the cursor's domain.
    fn nodes(&self, kind: ChangeKind, context: &Context) -> Vec<Ask> {
        let Some((what, nodes)) = self.domain() else {
            let text = "put the cursor on a domain: only nodes can be cordoned or drained";
            return vec![Ask::Notice(Notice::note(text))];
        };
        let action = if kind == ChangeKind::Drain {
            Action::drain(context.cluster, what, nodes)
        } else {
            Action::Cordon {
                nodes,
                cordon: kind == ChangeKind::Cordon,
            }
        };
        vec![Ask::Propose(Box::new(action))]
    }

    /// What draining the nodes of the cursor's domain would bring with it.
    fn away(&self, context: &Context) -> Vec<Ask> {
        let asks = self.nodes(ChangeKind::Drain, context).into_iter();
        let asks = asks.map(|ask| match ask {
            Ask::Propose(action) => Ask::Wonder(action),
            other => other,
        });
        asks.collect()
    }

    /// Stops the machines of the cursor's domain, or lets them answer again.
    fn machines(&self, kind: ChangeKind, context: &Context) -> Vec<Ask> {
        let (Some(level), Some(place)) = (self.state.level(), self.state.domain_at_cursor()) else {
            return Vec::new();
        };
        let Some(domain) = self
            .state
            .domains
            .as_ref()
            .and_then(|domains| domains.list.get(place))
        else {
            return Vec::new();
        };
        let nodes: Vec<Target> = domain
            .nodes
            .iter()
            .map(|&row| Target::of(&self.state.survey.node(row).object))
            .collect();
        let offered = if kind == ChangeKind::StopMachine {
            Machines::stop_domain(context.cache, level, &domain.name, nodes.len())
        } else {
            Machines::start(context.cluster, &nodes)
        };
        match offered {
            Ok(machines) => vec![Ask::Propose(Box::new(Action::Machines(Box::new(machines))))],
            Err(why) => vec![Ask::Notice(Notice::note(why))],
        }
    }
}

impl Page for DomainsPage {
    fn feeds(&self) -> Vec<Resource> {
        let mut feeds = crate::sched::surroundings::WATCHED.to_vec();
        feeds.extend([
            resources::DEPLOYMENTS,
            resources::DAEMON_SETS,
            resources::JOBS,
            resources::OUTAGES,
        ]);
        feeds
    }

    fn open(&mut self, opening: &Opening, context: &Context) -> Vec<Ask> {
        if let Some(filter) = &opening.filter {
            self.state.filter.clone_from(filter);
        }
        if let Some((label, name)) = &opening.domain {
            self.state.show(label, name);
        }
        self.settle(context)
    }

    fn settle(&mut self, context: &Context) -> Vec<Ask> {
        let mut asks = Vec::new();
        self.follow_clusters(context);
        asks.extend(self.resurvey(context));
        asks.extend(self.ask(context));
        asks
    }

    fn command(&mut self, command: &Command, context: &Context) -> Vec<Ask> {
        if self.state.cut().is_some() {
            return self.command_clusters(command, context);
        }
        match command {
            Command::Move(motion) => {
                self.step(*motion, context);
                self.ask(context).into_iter().collect()
            }
            Command::Enter => self.enter(context),
            Command::Page(PageCommand::Group | PageCommand::Level) => {
                if !self.state.shift_level(1) {
                    while self.state.shift_level(-1) {}
                }
                self.ask(context).into_iter().collect()
            }
            Command::Change(kind @ (ChangeKind::StopMachine | ChangeKind::StartMachine))
                if !context.read_only =>
            {
                self.machines(*kind, context)
            }
            Command::Change(
                kind @ (ChangeKind::Drain | ChangeKind::Cordon | ChangeKind::Uncordon),
            ) if !context.read_only => self.nodes(*kind, context),
            Command::Away => self.away(context),
            Command::Act if !context.read_only && self.state.spread_at_cursor().is_none() => {
                vec![Ask::Menu {
                    title: "act on the domain".to_owned(),
                    choices: vec![
                        (
                            "stop its simulated machines".to_owned(),
                            Command::Change(ChangeKind::StopMachine),
                        ),
                        (
                            "drain its nodes, as budgets allow".to_owned(),
                            Command::Change(ChangeKind::Drain),
                        ),
                        (
                            "cordon its nodes".to_owned(),
                            Command::Change(ChangeKind::Cordon),
                        ),
                        (
                            "uncordon its nodes".to_owned(),
                            Command::Change(ChangeKind::Uncordon),
                        ),
                        (
                            "let its machines answer again".to_owned(),
                            Command::Change(ChangeKind::StartMachine),
                        ),
                    ],
                }]
            }
            other => {
                let targets = self.selection(context);
                crate::tui::pages::travel::travel(other, &targets, context).unwrap_or_default()
            }
        }
    }

    fn back(&mut self, context: &Context) -> bool {
        if !self.state.filter.is_empty() {
            self.state.filter.clear();
            self.state.sort();
            self.follow_clusters(context);
            return true;
        }
        if self.state.cut().is_some() {
            return self.state.clusters.back();
        }
        if matches!(self.state.cursor, Some(Cursor::Workload(_))) {
            self.state.set_cursor(0);
            return true;
        }
        false
    }

    fn receive(&mut self, answer: Answer, context: &Context) -> Vec<Ask> {
        match answer {
            Answer::Survey(survey, share) => {
                self.surveying = false;
                self.take(survey, share, context);
            }
            Answer::DomainLosses(losses) => self.answer(*losses, context),
            _ => {}
        }
        Vec::new()
    }

    fn present(&self, context: &Context) -> Widget {
        if self.state.cut().is_some() {
            return Widget::Canvas(present::clusters::present(&self.state, context));
        }
        let Some(domains) = &self.state.domains else {
            return if context.cache.is_complete(&resources::NODES) {
                Widget::empty("this cluster has no nodes, so there is nothing to lose", "")
            } else {
                Widget::empty("loading nodes and pods …", "")
            };
        };
        if domains.list.is_empty() {
            return Widget::empty(
                format!("no node says which {} it is in", domains.level.title),
                "h and l choose another level",
            );
        }
        let area = context.area;
        let version = self.version.unwrap_or_default();
        Widget::Canvas(present::present(
            &self.state,
            version,
            (area.width, area.height),
        ))
    }

    fn selection(&self, context: &Context) -> Vec<Target> {
        self.workload_target(context).into_iter().collect()
    }

    fn filter(&self) -> Option<&str> {
        (!self.state.filter.is_empty()).then_some(self.state.filter.as_str())
    }

    fn set_filter(&mut self, text: &str, context: &Context) -> Result<(), String> {
        text.clone_into(&mut self.state.filter);
        self.state.sort();
        self.follow_clusters(context);
        Ok(())
    }

    fn hints(&self) -> Option<Vec<PageHint>> {
        self.state.cut()?;
        Some(vec![
            PageHint::Command(&["enter"], "work there"),
            PageHint::Command(&["left", "right"], "level"),
            PageHint::Command(&["filter"], "filter"),
            PageHint::Command(&["command"], "command"),
            PageHint::Command(&["help"], "help"),
        ])
    }

    /// When answers about changed data are due.
    fn next_wake(&self, _context: &Context) -> Option<Timestamp> {
        let version = self.version?;
        let is_old = self
            .state
            .answered
            .is_some_and(|answered| answered.version != version);
        (is_old && !self.asking)
            .then(|| self.next_round())
            .flatten()
    }

    fn view(&self) -> view::View {
        view::View::Domains
    }
}
