//! Drives the console's model as the runtime does, with a clock that stands still.

use std::sync::Arc;

use bayplan::connect::{Access, Identity, Kind};
use bayplan::k8s::{ChangeKind, Object, Resource};
use bayplan::tui::cache::{FeedEvent, FeedState, KindInfo};
use bayplan::tui::effect::Effect;
use bayplan::tui::key::Chord;
use bayplan::tui::model::Model;
use bayplan::tui::msg::Msg;
use bayplan::tui::present::present;
use bayplan::tui::render::render;
use bayplan::tui::screen::Screen;
use bayplan::tui::theme::{Characters, Depth, Palette};
use bayplan::tui::update::{settle, start, update};
use bayplan::tui::view::{Scope, View};
use jiff::Timestamp;
use ratatui::buffer::Buffer;
use ratatui::layout::Rect;

pub struct Console {
    pub model: Model,
    pub now: Timestamp,
    /// Everything that was ordered so far.
    pub effects: Vec<Effect>,
}

pub fn identity(access: Access) -> Identity {
    Identity {
        kind: Kind::Embedded,
        cluster: "default".into(),
        user: "admin".into(),
        server: "in this process".into(),
        namespace: "default".into(),
        access,
    }
}

impl Console {
    pub fn new(view: View, size: (u16, u16)) -> Self {
        Self::with(view, size, Access::ReadWrite)
    }

    pub fn with(view: View, size: (u16, u16), access: Access) -> Self {
        let mut console = Self {
            model: Model::new(identity(access), Scope::All, view, size),
            now: "2026-03-01T14:03:22Z".parse().unwrap(),
            effects: Vec::new(),
        };
        let effects = start(&mut console.model, console.now);
        console.effects.extend(effects);
        console.tell(Msg::Kinds(kinds()));
        console
    }

    pub fn tell(&mut self, msg: Msg) {
        let effects = update(&mut self.model, msg, self.now);
        self.effects.extend(effects);
        self.settle();
    }

    /// Brings the page up to date and does what it orders to be computed, as the runtime would.
    pub fn settle(&mut self) {
        for _ in 0..8 {
            let ordered = settle(&mut self.model, self.now);
            self.effects.extend(ordered);
            let mut work = Vec::new();
            let mut computations = Vec::new();
            let mut kept = Vec::new();
            for effect in self.effects.drain(..) {
                match effect {
                    Effect::Work(one) => work.push(one),
                    Effect::Compute(one) => computations.push(one),
                    other => kept.push(other),
                }
            }
            self.effects = kept;
            if work.is_empty() && computations.is_empty() {
                return;
            }
            for one in computations {
                let effects = update(&mut self.model, (one.0)(), self.now);
                self.effects.extend(effects);
            }
            for one in work {
                let answer = (one.run)();
                let effects = update(&mut self.model, Msg::Answer(one.view, answer), self.now);
                self.effects.extend(effects);
            }
        }
    }

    /// All objects at once, as complete lists.
    pub fn load(&mut self, objects: &[Arc<Object>]) {
        let mut resources: Vec<Resource> = objects
            .iter()
            .map(|object| object.key.resource.clone())
            .chain(self.model.watched.iter().cloned())
            .collect();
        resources.sort();
        resources.dedup();
        for resource in resources {
            let of_kind: Vec<Arc<Object>> = objects
                .iter()
                .filter(|object| object.key.resource == resource)
                .cloned()
                .collect();
            let keys = of_kind.iter().map(|object| object.key.clone()).collect();
            for event in [
                FeedEvent::Listed {
                    objects: of_kind,
                    total: None,
                },
                FeedEvent::Complete {
                    keys: Arc::new(keys),
                },
                FeedEvent::State(FeedState::Live { since: self.now }),
            ] {
                let effects = update(
                    &mut self.model,
                    Msg::Feed(resource.clone(), event),
                    self.now,
                );
                self.effects.extend(effects);
            }
        }
        self.settle();
    }

    pub fn change(&mut self, kind: ChangeKind, object: &Arc<Object>) {
        let event = FeedEvent::Changed(vec![(kind, Arc::clone(object))]);
        self.tell(Msg::Feed(object.key.resource.clone(), event));
    }

    /// Keys separated by blanks; `"text"` types its letters.
    #[track_caller]
    pub fn press(&mut self, keys: &str) {
        for word in keys.split(' ').filter(|word| !word.is_empty()) {
            if let Some(text) = word.strip_prefix('"') {
                for letter in text.trim_end_matches('"').chars() {
                    self.tell(Msg::Key(Chord::char(letter)));
                }
            } else {
                let chords = Chord::parse_sequence(word).unwrap_or_else(|| panic!("no key {word}"));
                for chord in chords {
                    self.tell(Msg::Key(chord));
                }
            }
        }
    }

    pub fn screen(&self) -> Screen {
        present(&self.model, self.now)
    }

    pub fn buffer(&self) -> Buffer {
        self.drawn(Depth::True, Characters::Unicode)
    }

    pub fn drawn(&self, depth: Depth, characters: Characters) -> Buffer {
        let (theme, _) = bayplan::config::theme::built_in("dark").unwrap();
        let palette = Palette::new(&theme, depth, characters);
        let area = Rect::new(0, 0, self.model.size.0, self.model.size.1);
        let mut buffer = Buffer::empty(area);
        render(&self.screen(), &palette, area, &mut buffer);
        buffer
    }

    pub fn text(&self) -> String {
        bayplan::tui::export::text(&self.buffer())
    }

    #[track_caller]
    pub fn shows(&self, text: &str) {
        let shown = self.text();
        assert!(shown.contains(text), "`{text}` is not shown:\n{shown}");
    }

    #[track_caller]
    pub fn hides(&self, text: &str) {
        let shown = self.text();
        assert!(!shown.contains(text), "`{text}` is shown:\n{shown}");
    }
}

pub fn kinds() -> Vec<KindInfo> {
    use bayplan::k8s::resources as known;
    let kind = |resource: Resource, kind: &str, namespaced: bool, short: &[&str]| KindInfo {
        resource,
        version: "v1".into(),
        kind: kind.into(),
        namespaced,
        short_names: short.iter().map(|name| (*name).to_owned()).collect(),
        verbs: ["get", "list", "watch"].map(str::to_owned).to_vec(),
    };
    vec![
        kind(known::PODS, "Pod", true, &["po"]),
        kind(known::NODES, "Node", false, &["no"]),
        kind(known::NAMESPACES, "Namespace", false, &["ns"]),
        kind(known::SERVICES, "Service", true, &["svc"]),
        kind(known::DEPLOYMENTS, "Deployment", true, &["deploy"]),
        kind(known::REPLICA_SETS, "ReplicaSet", true, &["rs"]),
        kind(known::CONFIG_MAPS, "ConfigMap", true, &["cm"]),
    ]
}
