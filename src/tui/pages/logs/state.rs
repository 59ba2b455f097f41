//! What the logs view keeps: whose logs, the streams that are open, the text.

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};

use super::model::LogModel;
use super::past::{self, PastLine};
use super::present;
use crate::config::settings::Logs;
use crate::k8s::columns::{ContainerColumns, ContainerState};
use crate::k8s::workload::pods_of;
use crate::k8s::{Object, Uid};
use crate::stdx::humanize::counted;
use crate::tui::answer::Answer;
use crate::tui::command::{Command, Motion, PageCommand};
use crate::tui::effect::{Effect, LogOrder};
use crate::tui::notice::Notice;
use crate::tui::page::{Ask, Context, Page};
use crate::tui::pages::travel::{note, travel};
use crate::tui::screen::Widget;
use crate::tui::table::Unit;
use crate::tui::text::Line;
use crate::tui::view::{Opening, Target, View};

/// Streams open at once: each is a connection to the API server.
pub const STREAMS_MAX: usize = 64;

#[derive(Debug)]
pub struct LogsPage {
    /// Pods, and workloads whose pods are followed as they come and go.
    pub(super) of: Vec<Target>,
    pub(super) model: LogModel,
    streams: BTreeMap<LogOrder, u16>,
    /// When a container's stream ended; it is opened again when the container runs again.
    ended: BTreeMap<(Uid, String), Timestamp>,
    pub(super) since: Since,
    /// Only this container, when one was opened.
    only: Option<String>,
    pub(super) left_out: usize,
    /// How far back the log store was asked.
    seen_to: Option<Timestamp>,
    typed: String,
    pub(super) shift: usize,
    /// Lines that are kept.
    lines_max: usize,
    /// Lines of each container that are read at first.
    tail: i64,
}

/// How far back the streams begin.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Since {
    Tail(i64),
    Seconds(i64),
    Start,
}

impl Default for LogsPage {
    fn default() -> Self {
        Self::bounded(&Logs::default())
    }
}

impl LogsPage {
    /// A page that keeps and fetches as many lines as the settings say.
    pub fn bounded(logs: &Logs) -> Self {
        let tail = i64::try_from(logs.tail).unwrap_or(i64::MAX);
        Self {
            of: Vec::new(),
            model: LogModel::bounded(logs.lines),
            streams: BTreeMap::new(),
            ended: BTreeMap::new(),
            since: Since::Tail(tail),
            only: None,
            left_out: 0,
            seen_to: None,
            typed: String::new(),
            shift: 0,
            lines_max: logs.lines,
            tail,
        }
    }

    /// Forgets the text and opens the streams anew.
    fn restart(&mut self, context: &Context) -> Vec<Ask> {
        let (filter, display) = (self.typed.clone(), self.model.display);
        self.model = LogModel::bounded(self.lines_max);
        self.model.display = display;
        self.model.set_pattern(&filter);
        self.streams.clear();
        self.ended.clear();
        self.seen_to = None;
        // An empty order first: equal orders would otherwise go on where they are.
        let mut asks = vec![orders(Vec::new())];
        asks.extend(self.follow(context));
        asks
    }

    /// Opens the streams that should be open; pods come and go, containers start again.
    fn follow(&mut self, context: &Context) -> Vec<Ask> {
        let mut wanted: BTreeMap<LogOrder, (Target, ContainerColumns)> = BTreeMap::new();
        for object in self.pods(context) {
            let Some(pod) = object.pod() else { continue };
            for container in pod.containers.iter() {
                let chosen = self
                    .only
                    .as_ref()
                    .is_none_or(|only| container.name == only.as_str());
                if chosen && has_log(container, self.model.display.previous) {
                    let order = self.order(&object, container, context);
                    wanted.insert(order, (Target::of(&object), container.clone()));
                }
            }
        }
        self.left_out = wanted.len().saturating_sub(STREAMS_MAX);
        let mut changed = false;
        for (order, (pod, container)) in wanted.into_iter().take(STREAMS_MAX) {
            let known = self.streams.keys().any(|open| {
                open.pod == order.pod
                    && open.container == order.container
                    && open.previous == order.previous
            });
            let over = self.ended.get(&(pod.uid.clone(), order.container.clone()));
            let again = over.is_some_and(|at| started_after(&container, *at));
            if (known || over.is_some()) && !again {
                continue;
            }
            if again {
                self.streams
                    .retain(|open, _| open.pod != order.pod || open.container != order.container);
                self.ended
                    .remove(&(pod.uid.clone(), order.container.clone()));
            }
            let source =
                self.model
                    .sources
                    .add(&pod.key, &pod.uid, &container.name, container.role);
            self.streams.insert(order, source);
            changed = true;
        }
        if changed {
            vec![orders(self.streams.keys().cloned().collect())]
        } else {
            Vec::new()
        }
    }

    fn order(&self, pod: &Object, container: &ContainerColumns, context: &Context) -> LogOrder {
        let again = self
            .ended
            .get(&(pod.uid.clone(), container.name.to_string()))
            .map(|at| context.now.duration_since(*at).as_secs().max(1));
        let (since_seconds, tail_lines) = match (again, self.since) {
            (Some(seconds), _) | (None, Since::Seconds(seconds)) => (Some(seconds), None),
            (None, Since::Tail(lines)) => (None, Some(lines)),
            (None, Since::Start) => (None, None),
        };
        LogOrder {
            pod: pod.key.clone(),
            container: container.name.to_string(),
            previous: self.model.display.previous,
            follow: !self.model.display.previous,
            since_seconds,
            tail_lines,
        }
    }

    fn pods(&self, context: &Context) -> Vec<std::sync::Arc<Object>> {
        self.of
            .iter()
            .filter_map(|target| {
                context
                    .cluster
                    .get(&target.key)
                    .filter(|object| object.uid == target.uid)
            })
            .flat_map(|object| {
                if object.pod().is_some() {
                    vec![object.clone()]
                } else {
                    pods_of(context.cluster, object)
                        .into_iter()
                        .cloned()
                        .collect()
                }
            })
            .collect()
    }

    fn page_command(&mut self, command: &PageCommand, context: &Context) -> Vec<Ask> {
        match command {
            PageCommand::Follow => self.model.toggle_follow(),
            PageCommand::Level => self.model.cycle_level(),
            PageCommand::Wrap => self.model.display.wrap = !self.model.display.wrap,
            PageCommand::Timestamps => {
                self.model.display.timestamps = !self.model.display.timestamps;
            }
            PageCommand::Unfold => self.model.display.unfold = !self.model.display.unfold,
            PageCommand::Previous => {
                self.model.display.previous = !self.model.display.previous;
                return self.restart(context);
            }
            PageCommand::Since(text) => return self.set_since(text.as_deref(), context),
            PageCommand::ToggleSource(letter) => {
                let known = self.model.toggle_container(*letter);
                return if known {
                    Vec::new()
                } else {
                    note(format!("no container has the letter {letter}"))
                };
            }
            PageCommand::Past => return self.look_back(context),
            PageCommand::Save => return self.save(context),
            _ => {}
        }
        Vec::new()
    }

    fn set_since(&mut self, text: Option<&str>, context: &Context) -> Vec<Ask> {
        self.since = match text {
            None => match self.since {
                Since::Tail(_) => Since::Seconds(600),
                Since::Seconds(600) => Since::Seconds(3_600),
                Since::Seconds(_) => Since::Start,
                Since::Start => Since::Tail(self.tail),
            },
            Some("all") => Since::Start,
            Some(text) => match Unit::Seconds.parse(text) {
                Some(seconds) if seconds > 0 => Since::Seconds(seconds),
                _ => {
                    let why = format!("`{text}` is no span; write 10m, 1h, or all");
                    return vec![Ask::Notice(Notice::warning(why))];
                }
            },
        };
        self.restart(context)
    }

    /// Asks the cluster's log store for what was before.
    fn look_back(&mut self, context: &Context) -> Vec<Ask> {
        let only = self.only.as_deref();
        let orders = past::orders(&self.of, only, context.cluster, self.seen_to, &self.model);
        if orders.is_empty() {
            return note("the log store cannot tell whose lines these are: no label selects them");
        }
        vec![Ask::Effect(Effect::Past {
            view: View::Logs,
            orders,
        })]
    }

    fn take_past(&mut self, lines: &[PastLine], context: &Context) -> Vec<Ask> {
        // What streams brought in this moment counts as shown.
        self.model.settle(context.now);
        let taken = past::take(&mut self.model, lines, context.now);
        let is_further = taken.oldest.is_some_and(|at| Some(at) != self.seen_to);
        self.seen_to = taken.oldest.or(self.seen_to);
        match taken.new {
            0 if lines.len() >= past::LINES && is_further => self.look_back(context),
            0 => note("the log store has no older lines of these"),
            new => {
                let lines = counted(new, "older line", "older lines");
                note(format!("{lines} from the log store; g goes to the first"))
            }
        }
    }

    fn save(&self, context: &Context) -> Vec<Ask> {
        if self.model.shown_count() == 0 {
            return note("nothing is shown, so nothing was saved");
        }
        let stem = self
            .of
            .first()
            .map_or("logs", |target| target.key.name.as_str());
        let stamp = context.now.strftime("%Y%m%dT%H%M%SZ");
        vec![Ask::Effect(Effect::Save {
            name: format!("{stem}-{stamp}.log"),
            text: self.model.export(),
        })]
    }

    fn move_by(&mut self, motion: Motion, context: &Context) {
        let page = isize::try_from(present::rows(self, context))
            .unwrap_or(10)
            .max(2);
        let lines = match motion {
            Motion::Up => -1,
            Motion::Down => 1,
            Motion::HalfUp => -page / 2,
            Motion::HalfDown => page / 2,
            Motion::PageUp => 1 - page,
            Motion::PageDown => page - 1,
            Motion::Top => return self.model.go_top(),
            Motion::Bottom => return self.model.go_end(),
            Motion::Left => {
                self.shift = self.shift.saturating_sub(20);
                return;
            }
            Motion::Right => {
                self.shift += 20;
                return;
            }
            Motion::NextMatch => return self.model.go_to_serious(1),
            Motion::PreviousMatch => return self.model.go_to_serious(-1),
        };
        self.model.move_by(lines);
    }
}

fn orders(streams: Vec<LogOrder>) -> Ask {
    Ask::Effect(Effect::Logs {
        view: View::Logs,
        streams,
    })
}

/// A container that has not started has no log, and the API server would say so with an error.
fn has_log(container: &ContainerColumns, previous: bool) -> bool {
    if previous {
        return container.restarts > 0 || container.last_end.is_some();
    }
    container.restarts > 0 || !matches!(container.state, ContainerState::Waiting { .. })
}

fn started_after(container: &ContainerColumns, at: Timestamp) -> bool {
    matches!(&container.state, ContainerState::Running { since }
        if since.is_some_and(|since| since >= at))
}

impl Page for LogsPage {
    fn open(&mut self, opening: &Opening, context: &Context) -> Vec<Ask> {
        let only = opening
            .filter
            .as_deref()
            .and_then(|filter| filter.strip_prefix("container="))
            .map(str::to_owned);
        if opening.of.is_empty() || (opening.of == self.of && only == self.only) {
            return self.follow(context);
        }
        self.of.clone_from(&opening.of);
        self.only = only;
        self.shift = 0;
        self.model.display.previous = false;
        self.restart(context)
    }

    fn settle(&mut self, context: &Context) -> Vec<Ask> {
        self.model.settle(context.now);
        if self.model.display.previous {
            return Vec::new();
        }
        self.follow(context)
    }

    fn command(&mut self, command: &Command, context: &Context) -> Vec<Ask> {
        match command {
            Command::Move(motion) => {
                self.move_by(*motion, context);
                return Vec::new();
            }
            Command::Page(command) => return self.page_command(command, context),
            _ => {}
        }
        let targets = self.selection(context);
        travel(command, &targets, context).unwrap_or_default()
    }

    fn receive(&mut self, answer: Answer, context: &Context) -> Vec<Ask> {
        match answer {
            Answer::LogLines { order, lines } => {
                if let Some(source) = self.streams.get(&order) {
                    let lines = lines.iter().map(String::as_str);
                    self.model.receive(*source, lines, context.now);
                    self.model.settle(context.now);
                }
            }
            Answer::Past(Ok(lines)) => return self.take_past(&lines, context),
            Answer::Past(Err(why)) => return vec![Ask::Notice(Notice::warning(why))],
            Answer::LogEnded { order, failure } => {
                if let Some(source) = self.streams.get(&order).copied() {
                    if let Some(source) = self.model.sources.get(source) {
                        let key = (source.uid.clone(), order.container.clone());
                        self.ended.insert(key, context.now);
                    }
                    self.model.end_stream(source, failure, context.now);
                }
            }
            _ => {}
        }
        Vec::new()
    }

    fn present(&self, context: &Context) -> Widget {
        present::present(self, context)
    }

    /// The pod of the line under the cursor.
    fn selection(&self, context: &Context) -> Vec<Target> {
        let source = self
            .model
            .line(self.model.cursor())
            .and_then(|kept| self.model.sources.get(kept.line.source));
        match source {
            Some(source) => context
                .cluster
                .get(&source.pod)
                .map(|pod| Target::of(pod))
                .into_iter()
                .collect(),
            None => self.of.clone(),
        }
    }

    /// The container of the line under the cursor.
    fn container(&self) -> Option<String> {
        let line = self.model.line(self.model.cursor())?;
        let source = self.model.sources.get(line.line.source)?;
        Some(source.container.to_string())
    }

    fn filter(&self) -> Option<&str> {
        Some(&self.typed)
    }

    fn set_filter(&mut self, text: &str, _context: &Context) -> Result<(), String> {
        text.clone_into(&mut self.typed);
        // Another filter finds other lines of the same time.
        self.seen_to = None;
        self.model.set_pattern(text);
        let complaint = self
            .model
            .filter()
            .pattern
            .as_ref()
            .and_then(|pattern| pattern.complaint.clone());
        match complaint {
            Some(why) => Err(format!(
                "no regular expression ({why}); searched as it stands"
            )),
            None => Ok(()),
        }
    }

    fn status(&self, _context: &Context) -> Line {
        present::status(self)
    }

    fn next_wake(&self, context: &Context) -> Option<Timestamp> {
        let rate = self
            .model
            .buffer()
            .rate_settles_at(present::RATE_SECONDS)
            .filter(|end| *end > context.now)
            .and_then(|_| context.now.checked_add(SignedDuration::from_secs(1)).ok());
        self.model.next_due().into_iter().chain(rate).min()
    }

    fn view(&self) -> View {
        View::Logs
    }
}
