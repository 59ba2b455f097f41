//! What the objects view keeps: which kind, which object, which way to look at it.

use std::sync::Arc;

use jiff::Timestamp;

use super::editor::{Editor, Step};
use super::present;
use crate::k8s::{Object, Resource, Uid, resources};
use crate::tui::answer::Answer;
use crate::tui::cache::{KindInfo, Logged};
use crate::tui::columns::{self, ObjectRow};
use crate::tui::command::{Command, Motion};
use crate::tui::effect::Effect;
use crate::tui::key::Chord;
use crate::tui::listing::{Concerned, Listing, Source};
use crate::tui::notice::Notice;
use crate::tui::page::{Ask, Context, Page, PageHint};
use crate::tui::pages::travel::{look, note, travel};
use crate::tui::screen::Widget;
use crate::tui::table::{Column, Record, TableState};
use crate::tui::text::Line;
use crate::tui::view::{Aspect, Opening, Place, Target, View};

#[derive(Debug, Default)]
pub struct ObjectsPage {
    pub(super) kinds: TableState<KindRow>,
    /// The objects of the kind that is listed.
    pub(super) list: Listing<Objects>,
    /// The cache's version and the second that an open object's text was made of.
    told: Option<(u64, i64)>,
    pub(super) open: Option<OpenObject>,
    pub(super) editor: Option<Editor>,
}

/// The objects of one kind.
#[derive(Debug, Default)]
pub struct Objects {
    /// The kind that is listed; none: the kinds themselves are.
    pub resource: Option<Resource>,
    /// The server's columns, where the kind has none here and they are known.
    printed: Option<Vec<Column<ObjectRow>>>,
    /// Which version of what the server prints the rows are of.
    version: Option<u64>,
}

impl Objects {
    /// Takes over what the server prints where it is new; says whether it was.
    fn print(&mut self, context: &Context) -> bool {
        let Some(resource) = &self.resource else {
            return false;
        };
        let table = context.cache.printed.get(resource);
        let version = table.map(|table| table.version);
        if self.version == version {
            return false;
        }
        self.version = version;
        let namespaced = context.cache.kind(resource);
        let namespaced = namespaced.is_none_or(|kind| kind.namespaced);
        self.printed = table
            .filter(|table| !table.columns.is_empty())
            .map(|table| columns::printed::columns(&table.columns, namespaced));
        true
    }
}

impl Source for Objects {
    type Row = ObjectRow;

    fn columns(&self) -> &[Column<ObjectRow>] {
        let own = || self.resource.as_ref().map_or(&[][..], columns::of);
        self.printed.as_deref().unwrap_or_else(own)
    }

    fn all(&self, context: &Context) -> Vec<Arc<Object>> {
        let resource = self.resource.iter();
        resource
            .flat_map(|resource| context.cluster.list(resource))
            .cloned()
            .collect()
    }

    fn row(&mut self, object: &Arc<Object>, context: &Context) -> Option<ObjectRow> {
        let printed = context.cache.printed.get(&object.key.resource);
        Some(ObjectRow {
            object: Arc::clone(object),
            cells: printed.and_then(|table| table.row(&object.uid)).cloned(),
        })
    }

    fn concerned(&self, change: &Logged, context: &Context, rows: &mut Concerned) {
        if Some(&change.key.resource) == self.resource.as_ref() {
            rows.insert(change.uid.clone(), change.key.clone());
        }
        // Machines are ordered by what is on them, too.
        if change.key.resource == resources::PODS
            && self.resource.as_ref() == Some(&resources::NODES)
        {
            let now = context.cluster.get(&change.key);
            let nodes = now
                .into_iter()
                .chain(&change.before)
                .filter_map(|pod| pod.pod()?.node.as_ref())
                .filter_map(|node| context.cluster.find(&resources::NODES, "", node));
            for node in nodes {
                rows.insert(node.uid.clone(), node.key.clone());
            }
        }
    }
}

/// A kind as a row.
#[derive(Clone, Debug)]
pub struct KindRow {
    pub info: KindInfo,
    pub count: usize,
    /// Whether its objects are watched, so that the count is true.
    pub watched: bool,
}

/// One object, looked at.
#[derive(Debug)]
pub struct OpenObject {
    pub target: Target,
    pub aspect: Aspect,
    /// Whole, as the server has it: the cache leaves out what is large and rarely read.
    pub whole: Option<Result<Arc<Object>, String>>,
    /// The text that is shown.
    pub lines: Vec<Line>,
    pub first: usize,
    /// Managed fields and status too, and the values of secrets.
    pub everything: bool,
}

impl Record for KindRow {
    fn id(&self) -> Uid {
        Uid(self.info.resource.to_string().into())
    }

    fn texts(&self, each: &mut dyn FnMut(&str)) {
        each(&self.info.resource.to_string());
        each(&self.info.kind);
        self.info.short_names.iter().for_each(|name| each(name));
    }
}

impl ObjectsPage {
    fn resettle(&mut self, context: &Context) -> Vec<Ask> {
        let mut asks = Vec::new();
        let height = usize::from(context.area.height.saturating_sub(1));
        if self.list.source.resource.is_some() {
            self.list.source.print(context).then(|| self.list.restart());
            asks = self.list.settle(height, context);
        } else {
            let rows: Vec<KindRow> = context
                .cache
                .kinds
                .iter()
                .filter(|info| {
                    ["list", "watch"]
                        .iter()
                        .all(|verb| info.verbs.iter().any(|has| has == verb))
                })
                .map(|info| KindRow {
                    count: context.cluster.count(&info.resource),
                    watched: context.cache.is_complete(&info.resource),
                    info: info.clone(),
                })
                .collect();
            self.kinds
                .settle(rows, present::KIND_COLUMNS, height, context);
        }
        self.tell(context);
        if let Some(editor) = &mut self.editor {
            editor.scroll_to_caret(usize::from(context.area.height.saturating_sub(3)));
        }
        asks
    }

    /// Writes the open object's text anew when something or an age in it may have changed.
    fn tell(&mut self, context: &Context) {
        let Some(open) = &mut self.open else { return };
        let of = Some((context.cache.version(), context.now.as_second()));
        if self.told != of || open.lines.is_empty() {
            self.told = of;
            open.lines = present::lines(open, context);
        }
        let shown = usize::from(context.area.height.saturating_sub(1));
        open.first = open.first.min(open.lines.len().saturating_sub(shown));
    }

    fn look_at(&mut self, target: Target, aspect: Aspect) -> Vec<Ask> {
        let key = target.key.clone();
        if aspect == Aspect::Edit {
            // A text that was begun for this object is still there.
            if self
                .editor
                .as_ref()
                .is_none_or(|editor| editor.target != target)
            {
                self.editor = None;
            }
        }
        self.open = Some(OpenObject {
            target,
            aspect,
            whole: None,
            lines: Vec::new(),
            first: 0,
            everything: false,
        });
        vec![Ask::Effect(Effect::Fetch {
            view: View::Objects,
            key,
        })]
    }

    fn is_editing(&self) -> bool {
        self.open
            .as_ref()
            .is_some_and(|open| open.aspect == Aspect::Edit)
    }

    /// The editor, while it is the one that is looked at.
    pub(super) fn open_editor(&self) -> Option<&Editor> {
        self.editor.as_ref().filter(|_| self.is_editing())
    }

    fn scroll(&mut self, motion: Motion, context: &Context) {
        let page = usize::from(context.area.height.saturating_sub(1)).max(2);
        let Some(open) = &mut self.open else { return };
        let deepest = open.lines.len().saturating_sub(page);
        let first = match motion {
            Motion::Up => open.first.saturating_sub(1),
            Motion::Down => open.first + 1,
            Motion::Top => 0,
            Motion::Bottom => deepest,
            Motion::HalfUp => open.first.saturating_sub(page / 2),
            Motion::HalfDown => open.first + page / 2,
            Motion::PageUp => open.first.saturating_sub(page - 1),
            Motion::PageDown => open.first + page - 1,
            _ => open.first,
        };
        open.first = first.min(deepest);
    }

    fn enter(&mut self, context: &Context) -> Vec<Ask> {
        if self.open.is_some() {
            return Vec::new();
        }
        if self.list.source.resource.is_some() {
            return match self.selection(context).first() {
                Some(target) => vec![look(target, Aspect::Describe)],
                None => note("nothing is selected"),
            };
        }
        let Some(kind) = self.kinds.selected() else {
            return note("the server's kinds are not known yet");
        };
        vec![Ask::Go(Place {
            view: View::Objects,
            with: Opening {
                resource: Some(kind.info.resource.clone()),
                ..Opening::default()
            },
        })]
    }

    fn table_command(&mut self, command: &Command, context: &Context) -> Vec<Ask> {
        if self.list.source.resource.is_some() {
            return self.list.command(command, context);
        }
        match self.kinds.command(command, present::KIND_COLUMNS) {
            Ok(_) => self.resettle(context),
            Err(why) => vec![Ask::Notice(Notice::warning(why))],
        }
    }
}

impl Page for ObjectsPage {
    fn feeds(&self) -> Vec<Resource> {
        let mut feeds = vec![resources::EVENTS];
        feeds.extend(self.list.source.resource.clone());
        feeds
    }

    fn printed(&self) -> Option<Resource> {
        let resource = self.list.source.resource.clone();
        resource.filter(columns::is_printed)
    }

    fn open(&mut self, opening: &Opening, context: &Context) -> Vec<Ask> {
        if opening.resource != self.list.source.resource {
            let resource = opening.resource.clone();
            let source = Objects {
                resource,
                ..Objects::default()
            };
            self.list = Listing::of(source, TableState::default());
        }
        self.open = None;
        let mut asks = Vec::new();
        if let Some(filter) = &opening.filter
            && let Err(why) = self.set_filter(filter, context)
        {
            asks.push(Ask::Notice(Notice::warning(why)));
        }
        asks.extend(self.resettle(context));
        let of = opening.of.first();
        if let Some(uid) = opening.select.as_ref().or(of.map(|target| &target.uid)) {
            self.list.table.select(uid.clone());
        }
        if let Some(target) = of {
            let aspect = match opening.aspect {
                Aspect::Usual | Aspect::Why => Aspect::Describe,
                aspect => aspect,
            };
            asks.extend(self.look_at(target.clone(), aspect));
            self.tell(context);
        }
        asks
    }

    fn settle(&mut self, context: &Context) -> Vec<Ask> {
        self.resettle(context)
    }

    fn command(&mut self, command: &Command, context: &Context) -> Vec<Ask> {
        match command {
            Command::Enter => return self.enter(context),
            Command::Move(motion) if self.open.is_some() => {
                self.scroll(*motion, context);
                return Vec::new();
            }
            Command::Wide if self.open.is_some() => {
                if let Some(open) = &mut self.open {
                    open.everything = !open.everything;
                }
                self.told = None;
                self.tell(context);
                return Vec::new();
            }
            _ => {}
        }
        let targets = self.selection(context);
        let has_objects = self.list.source.resource.is_some() || self.open.is_some();
        if has_objects && let Some(asks) = travel(command, &targets, context) {
            return asks;
        }
        self.table_command(command, context)
    }

    fn input(&mut self, chord: Chord, context: &Context) -> Option<Vec<Ask>> {
        if !self.is_editing() {
            return None;
        }
        let editor = self.editor.as_mut()?;
        let step = editor.key(chord);
        let target = editor.target.clone();
        let changed = editor.is_changed();
        editor.scroll_to_caret(usize::from(context.area.height.saturating_sub(3)));
        Some(match step {
            Step::Nothing => Vec::new(),
            Step::Compose(draft) => vec![Ask::Effect(Effect::Compose {
                view: View::Objects,
                draft,
            })],
            Step::Try(op) => vec![Ask::Effect(Effect::DryRun {
                view: View::Objects,
                op: *op,
            })],
            Step::Propose(action) => {
                // Whatever becomes of it, the next edit starts from what the server has then.
                self.editor = None;
                self.open = None;
                vec![Ask::Back, Ask::Propose(action)]
            }
            Step::Leave if changed => {
                self.open = None;
                let mut asks = note(format!(
                    "your text for {} is kept: {} opens it again",
                    target.path(),
                    context.key("edit")
                ));
                asks.push(Ask::Back);
                asks
            }
            Step::Leave => {
                self.open = None;
                self.editor = None;
                vec![Ask::Back]
            }
        })
    }

    fn paste(&mut self, text: &str) -> bool {
        let is_editing = self.is_editing();
        match self.editor.as_mut().filter(|_| is_editing) {
            Some(editor) => {
                editor.insert(text);
                true
            }
            None => false,
        }
    }

    fn receive(&mut self, answer: Answer, context: &Context) -> Vec<Ask> {
        match answer {
            Answer::Fetched { key, result } => {
                let Some(open) = self.open.as_mut().filter(|open| open.target.key == key) else {
                    return Vec::new();
                };
                if open.aspect == Aspect::Edit && self.editor.is_none() {
                    match &result {
                        Ok(object) => self.editor = Some(Editor::new(Arc::clone(object))),
                        Err(why) => {
                            let why = format!("cannot edit {}: {why}", open.target.path());
                            self.open = None;
                            return vec![Ask::Notice(Notice::failure(why))];
                        }
                    }
                }
                if let Some(open) = &mut self.open {
                    open.whole = Some(result);
                }
            }
            Answer::Composed(answer) => {
                let step = self.editor.as_mut().map(|editor| editor.composed(answer));
                if let Some(Step::Try(op)) = step {
                    return vec![Ask::Effect(Effect::DryRun {
                        view: View::Objects,
                        op: *op,
                    })];
                }
            }
            Answer::DryRun(answer) => {
                if let Some(editor) = &mut self.editor {
                    let current = context.cluster.get(&editor.target.key);
                    editor.tried(answer, current.map(|object| &**object));
                }
            }
            _ => {}
        }
        self.told = None;
        self.resettle(context)
    }

    fn present(&self, context: &Context) -> Widget {
        present::present(self, context)
    }

    fn selection(&self, _context: &Context) -> Vec<Target> {
        if let Some(open) = &self.open {
            return vec![open.target.clone()];
        }
        if self.list.source.resource.is_none() {
            return Vec::new();
        }
        self.list.selection()
    }

    fn filter(&self) -> Option<&str> {
        if self.open.is_some() {
            None
        } else if self.list.source.resource.is_some() {
            Some(self.list.table.filter())
        } else {
            Some(self.kinds.filter())
        }
    }

    fn set_filter(&mut self, text: &str, context: &Context) -> Result<(), String> {
        if self.list.source.resource.is_some() {
            return self.list.set_filter(text, context);
        }
        self.kinds.set_filter(text, present::KIND_COLUMNS)?;
        self.kinds.refresh(present::KIND_COLUMNS, context);
        Ok(())
    }

    fn hints(&self) -> Option<Vec<PageHint>> {
        present::hints(self)
    }

    fn status(&self, context: &Context) -> Line {
        present::status(self, context)
    }

    fn next_wake(&self, context: &Context) -> Option<Timestamp> {
        if self.is_editing() {
            return None;
        }
        self.list.next_wake(context)
    }

    fn view(&self) -> View {
        View::Objects
    }
}
