//! The console without a terminal and without a server: keys and facts in, frames out, what it orders
//! computed on threads of their own, as the runtime does.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::{Duration, Instant};

use bayplan::connect::{Access, Identity, Kind};
use bayplan::k8s::{Change, ChangeKind, Resource};
use bayplan::stdx::clock;
use bayplan::tui::cache::{FeedEvent, FeedState, KindInfo};
use bayplan::tui::effect::Effect;
use bayplan::tui::key::Chord;
use bayplan::tui::model::Model;
use bayplan::tui::msg::Msg;
use bayplan::tui::present::present;
use bayplan::tui::render::render;
use bayplan::tui::theme::{Characters, Depth, Palette};
use bayplan::tui::update::{next_wake, settle, start, update};
use bayplan::tui::view::{Scope, View};
use jiff::SignedDuration;
use ratatui::buffer::Buffer;
use ratatui::layout::Rect;

use crate::incident::Objects;

const SIZE: (u16, u16) = (180, 50);
/// Frames that no key asked for come at most this often, as in the settings' default.
const FRAME: Duration = Duration::from_millis(33);

pub struct Session {
    pub model: Model,
    objects: Objects,
    fed: BTreeSet<Resource>,
    out: Sender<Done>,
    done: Receiver<Done>,
    /// What is being computed, by the view that it is for.
    under_way: BTreeMap<Option<View>, usize>,
    palette: Palette,
    shown: Buffer,
    drawn: Instant,
}

struct Done {
    view: Option<View>,
    msg: Msg,
}

impl Session {
    /// Read-only, on a cluster that another scheduler decides for.
    pub fn open(objects: Objects) -> Self {
        let identity = Identity {
            kind: Kind::Kubeconfig,
            cluster: "full-size".into(),
            user: "operator".into(),
            server: "https://127.0.0.1".into(),
            namespace: "default".into(),
            access: Access::ReadOnly,
        };
        let (theme, _) = bayplan::config::theme::built_in("dark").unwrap();
        let (out, done) = channel();
        let mut session = Self {
            model: Model::new(identity, Scope::All, View::Pods, SIZE),
            objects,
            fed: BTreeSet::new(),
            out,
            done,
            under_way: BTreeMap::new(),
            palette: Palette::new(&theme, Depth::True, Characters::Unicode),
            shown: Buffer::empty(Rect::new(0, 0, SIZE.0, SIZE.1)),
            drawn: clock::instant(),
        };
        let effects = start(&mut session.model, clock::now());
        session.carry_out(effects);
        session.take(Msg::Kinds(session.kinds()));
        session
    }

    /// The resource is the kind's plural; nothing here reads more of it.
    fn kinds(&self) -> Vec<KindInfo> {
        let mut wanted: BTreeSet<Resource> = self.objects.keys().cloned().collect();
        wanted.extend(self.fed.iter().cloned());
        let kinds = wanted.into_iter().map(|resource| KindInfo {
            version: "v1".into(),
            kind: resource.plural.to_string(),
            namespaced: true,
            short_names: Vec::new(),
            verbs: ["get", "list", "watch"].map(str::to_owned).to_vec(),
            resource,
        });
        kinds.collect()
    }

    pub fn take(&mut self, msg: Msg) {
        let effects = update(&mut self.model, msg, clock::now());
        self.carry_out(effects);
    }

    /// Changes of one kind in one batch, as a watch brings them.
    pub fn change(&mut self, changes: Vec<Change>) {
        let Some(first) = changes.first() else { return };
        let resource = first.object.key.resource.clone();
        let changes = changes
            .into_iter()
            .map(|change| (change.kind, change.object));
        let event = FeedEvent::Changed(changes.collect::<Vec<(ChangeKind, _)>>());
        self.take(Msg::Feed(resource, event));
    }

    fn carry_out(&mut self, effects: Vec<Effect>) {
        for effect in effects {
            match effect {
                Effect::Watch(wanted) => self.feed(&wanted),
                Effect::Work(work) => self.compute(Some(work.view), move || {
                    let view = work.view;
                    Msg::Answer(view, (work.run)())
                }),
                Effect::Compute(computation) => self.compute(None, computation.0),
                Effect::Send { .. } | Effect::Evict { .. } | Effect::Apply { .. } => {
                    panic!("a question has sent something")
                }
                _ => {}
            }
        }
    }

    fn compute(&mut self, view: Option<View>, run: impl FnOnce() -> Msg + Send + 'static) {
        *self.under_way.entry(view).or_default() += 1;
        let out = self.out.clone();
        std::thread::spawn(move || {
            // Nobody listens once the bench is over.
            let _ = out.send(Done { view, msg: run() });
        });
    }

    /// What is watched for the first time is here at once.
    fn feed(&mut self, wanted: &[Resource]) {
        for resource in wanted {
            if !self.fed.insert(resource.clone()) {
                continue;
            }
            let objects = self.objects.remove(resource).unwrap_or_default();
            let keys = objects.iter().map(|object| object.key.clone()).collect();
            let state = FeedState::Live {
                since: clock::now(),
            };
            for event in [
                FeedEvent::Listed {
                    objects,
                    total: None,
                },
                FeedEvent::Complete {
                    keys: std::sync::Arc::new(keys),
                },
                FeedEvent::State(state),
            ] {
                self.take(Msg::Feed(resource.clone(), event));
            }
        }
    }

    /// One key, and the frame that follows it; how long that took.
    pub fn press(&mut self, chord: Chord) -> Duration {
        let pressed = clock::instant();
        self.take(Msg::Key(chord));
        self.frame();
        pressed.elapsed()
    }

    /// Goes on until the frame shows it; how long that took, `None` once it is given up.
    pub fn until(&mut self, limit: Duration, shows: &dyn Fn(&Self) -> bool) -> Option<Duration> {
        let began = clock::instant();
        loop {
            let elapsed = began.elapsed();
            if shows(self) {
                return Some(elapsed);
            }
            if elapsed > limit {
                return None;
            }
            self.step();
        }
    }

    /// Time passes.
    pub fn rest(&mut self, time: Duration) {
        let began = clock::instant();
        while began.elapsed() < time {
            self.step();
        }
    }

    /// Waits for something, takes all of it in, and draws.
    fn step(&mut self) {
        let now = clock::now();
        let wake = next_wake(&self.model, now).unwrap_or(now + SignedDuration::from_secs(10));
        let wait = Duration::try_from(wake.duration_since(now)).unwrap_or_default();
        let wait = wait.clamp(FRAME, Duration::from_millis(250));
        match self.done.recv_timeout(wait) {
            Ok(done) => self.receive(done),
            Err(_) => self.take(Msg::Tick),
        }
        let due = FRAME.saturating_sub(self.drawn.elapsed());
        if let Ok(done) = self.done.recv_timeout(due) {
            self.receive(done);
        }
        while let Ok(done) = self.done.try_recv() {
            self.receive(done);
        }
        self.frame();
    }

    fn receive(&mut self, done: Done) {
        if let Some(count) = self.under_way.get_mut(&done.view) {
            *count -= 1;
        }
        self.take(done.msg);
    }

    fn frame(&mut self) {
        let now = clock::now();
        let effects = settle(&mut self.model, now);
        self.carry_out(effects);
        let area = Rect::new(0, 0, SIZE.0, SIZE.1);
        let mut buffer = Buffer::empty(area);
        render(&present(&self.model, now), &self.palette, area, &mut buffer);
        self.shown = buffer;
        self.drawn = clock::instant();
    }

    pub fn text(&self) -> String {
        bayplan::tui::export::text(&self.shown)
    }

    pub fn shows(&self, text: &str) -> bool {
        self.text().contains(text)
    }

    /// Whether nothing is being computed for this view.
    pub fn rests(&self, view: Option<View>) -> bool {
        self.under_way.get(&view).is_none_or(|count| *count == 0)
    }
}
