//! What the timeline view keeps: a filter and a position in the stream.

use std::collections::BTreeSet;

use jiff::{SignedDuration, Timestamp};

use super::entry::{Entry, EntryKind, Tone};
use super::model::TimelineFilter;
use super::present;
use crate::k8s::workload::{WORKLOADS, pods_of};
use crate::k8s::{Name, ObjectKey, Resource, resources};
use crate::tui::actions::Outcome;
use crate::tui::command::{Command, Motion};
use crate::tui::page::{Ask, Context, Page};
use crate::tui::pages::ages::next_turn;
use crate::tui::pages::travel::{note, to_row, travel};
use crate::tui::screen::Widget;
use crate::tui::text::Line;
use crate::tui::view::{Opening, Scope, Target, View};

#[derive(Debug, Default)]
pub struct TimelinePage {
    pub(super) of: Option<Target>,
    pub(super) filter: TimelineFilter,
    typed: String,
    /// The newest first.
    pub(super) entries: Vec<Entry>,
    pub(super) cursor: usize,
    pub(super) first: usize,
    /// When the entries were collected, and of which state of the cache; `None`: not as they are
    /// to be now.
    collected: Option<(Timestamp, u64, Scope)>,
}

/// One press of `[` or `]`.
const MINUTE: SignedDuration = SignedDuration::from_secs(60);
/// Up to this many entries are collected with every change; more of them a few times a second.
const AT_ONCE: usize = 2_000;
const COLLECT_EVERY: SignedDuration = SignedDuration::from_millis(250);

impl TimelinePage {
    /// Collects the entries where they may be others than before.
    fn follow(&mut self, context: &Context) {
        let version = context.cache.version();
        let storm = context.cache.timeline.len() > AT_ONCE;
        let due = self.collected.as_ref().is_none_or(|(at, seen, scope)| {
            let passed = context.now.duration_since(*at);
            // Actions of this console are no change of the cache.
            passed.as_secs() >= 1
                || scope != context.scope
                || *seen != version && (!storm || passed >= COLLECT_EVERY)
        });
        if due {
            self.resettle(context);
        } else {
            self.stand(self.cursor, context);
        }
    }

    fn resettle(&mut self, context: &Context) {
        self.collected = Some((context.now, context.cache.version(), context.scope.clone()));
        let under_cursor = self.entries.get(self.cursor).cloned();
        if let Some(target) = &self.of {
            self.filter.about = family(target, context);
            self.filter.node =
                (target.key.resource == resources::NODES).then(|| target.key.name.clone());
        } else {
            self.filter.about.clear();
            self.filter.node = None;
        }
        let mut entries: Vec<Entry> = context
            .cache
            .timeline
            .newest(&self.filter)
            .filter(|entry| context.scope.contains_key(&entry.about))
            .cloned()
            .collect();
        entries.extend(actions(context).filter(|entry| self.filter.shows(entry)));
        entries.sort_by_key(|entry| std::cmp::Reverse(entry.at));
        self.entries = entries;
        // At the top one stays with the newest; elsewhere with what one reads.
        if self.cursor > 0
            && let Some(before) = under_cursor
        {
            let found = self
                .entries
                .iter()
                .position(|entry| entry.at <= before.at && entry.about == before.about);
            self.cursor = found.unwrap_or(self.cursor);
        }
        self.stand(self.cursor, context);
    }

    fn stand(&mut self, index: usize, context: &Context) {
        self.cursor = index.min(self.entries.len().saturating_sub(1));
        let height = present::rows(context);
        self.first = self
            .first
            .clamp((self.cursor + 1).saturating_sub(height), self.cursor);
    }

    fn move_by(&mut self, motion: Motion, context: &Context) {
        let page = present::rows(context).max(2);
        let index = match motion {
            Motion::Up => self.cursor.saturating_sub(1),
            Motion::Down => self.cursor + 1,
            Motion::Top => 0,
            Motion::Bottom => usize::MAX,
            Motion::HalfUp => self.cursor.saturating_sub(page / 2),
            Motion::HalfDown => self.cursor + page / 2,
            Motion::PageUp => self.cursor.saturating_sub(page - 1),
            Motion::PageDown => self.cursor + page - 1,
            Motion::NextMatch => return self.go_to_serious(1, context),
            Motion::PreviousMatch => return self.go_to_serious(-1, context),
            Motion::Left | Motion::Right => self.cursor,
        };
        self.stand(index, context);
    }

    /// To what happened a minute or more before, or after: to the nearest such moment.
    fn walk(&mut self, command: &Command, context: &Context) -> Vec<Ask> {
        let Some(here) = self.entries.get(self.cursor).map(|entry| entry.at) else {
            return note("nothing has happened yet that is known here");
        };
        let found = if *command == Command::TimeBack {
            let before = here - MINUTE;
            self.entries.iter().position(|entry| entry.at <= before)
        } else {
            let after = here + MINUTE;
            self.entries.iter().rposition(|entry| entry.at >= after)
        };
        match found {
            Some(index) => {
                self.stand(index, context);
                Vec::new()
            }
            None if *command == Command::TimeBack => {
                self.stand(usize::MAX, context);
                note("nothing older is known")
            }
            None => {
                self.stand(0, context);
                note(format!(
                    "this is now; {} goes back to where you were",
                    context.key("place-back")
                ))
            }
        }
    }

    /// `n` and `N` go from one warning to the next.
    fn go_to_serious(&mut self, step: isize, context: &Context) {
        let mut index = self.cursor;
        while let Some(next) = index.checked_add_signed(step) {
            index = next;
            match self.entries.get(index) {
                Some(entry) if entry.tone >= Tone::Warning => return self.stand(index, context),
                Some(_) => {}
                None => return,
            }
        }
    }
}

/// The object and what belongs to it: a workload's pods tell its story.
fn family(target: &Target, context: &Context) -> BTreeSet<ObjectKey> {
    let mut keys = BTreeSet::from([target.key.clone()]);
    if let Some(object) = context.cluster.get(&target.key) {
        let owned = context.cluster.owned_by(&object.uid);
        keys.extend(owned.map(|child| child.key.clone()));
        let pods = pods_of(context.cluster, object);
        keys.extend(pods.into_iter().map(|pod| pod.key.clone()));
    }
    keys
}

/// What was done from this console, as entries.
fn actions<'a>(context: &'a Context<'a>) -> impl Iterator<Item = Entry> + 'a {
    context.journal.newest().flat_map(|done| {
        let (tone, outcome) = match &done.outcome {
            Outcome::Sent => (Tone::Plain, "sent".to_owned()),
            Outcome::Accepted => (Tone::Good, "accepted".to_owned()),
            Outcome::Partly(how) => (Tone::Warning, how.clone()),
            Outcome::Refused(why) => (Tone::Bad, format!("refused: {why}")),
        };
        done.action.targets().into_iter().map(move |target| Entry {
            at: done.at,
            kind: EntryKind::Action,
            tone,
            node: None,
            about: target.key,
            what: Name::new(done.action.verb()),
            text: format!("{}: {outcome}", done.action.sentence()),
            by: Name::new_static("you"),
            count: 1,
            event: None,
        })
    })
}

impl Page for TimelinePage {
    fn feeds(&self) -> Vec<Resource> {
        let mut feeds = WORKLOADS.to_vec();
        feeds.push(resources::EVENTS);
        feeds
    }

    fn open(&mut self, opening: &Opening, context: &Context) -> Vec<Ask> {
        self.of = opening.of.first().cloned();
        self.cursor = 0;
        self.resettle(context);
        Vec::new()
    }

    fn settle(&mut self, context: &Context) -> Vec<Ask> {
        self.follow(context);
        Vec::new()
    }

    fn command(&mut self, command: &Command, context: &Context) -> Vec<Ask> {
        match command {
            Command::Move(motion) => {
                self.move_by(*motion, context);
                return Vec::new();
            }
            Command::TimeBack | Command::TimeForth => return self.walk(command, context),
            Command::Enter => {
                return match self.selection(context).first() {
                    Some(target) => vec![to_row(target)],
                    None => note("what this is about is gone"),
                };
            }
            Command::Page(crate::tui::command::PageCommand::Level) => {
                self.filter.least = match self.filter.least {
                    None => Some(Tone::Warning),
                    Some(Tone::Warning) => Some(Tone::Bad),
                    Some(_) => None,
                };
                self.resettle(context);
                return Vec::new();
            }
            _ => {}
        }
        let targets = self.selection(context);
        travel(command, &targets, context).unwrap_or_default()
    }

    fn present(&self, context: &Context) -> Widget {
        present::present(self, context)
    }

    fn selection(&self, context: &Context) -> Vec<Target> {
        self.entries
            .get(self.cursor)
            .and_then(|entry| context.cluster.get(&entry.about))
            .map(|object| Target::of(object))
            .into_iter()
            .collect()
    }

    fn filter(&self) -> Option<&str> {
        Some(&self.typed)
    }

    fn set_filter(&mut self, text: &str, context: &Context) -> Result<(), String> {
        text.clone_into(&mut self.typed);
        self.filter.text = text.to_lowercase();
        self.resettle(context);
        Ok(())
    }

    fn status(&self, context: &Context) -> Line {
        present::status(self, context)
    }

    fn next_wake(&self, context: &Context) -> Option<Timestamp> {
        next_turn(
            context.now,
            self.entries.first().map(|entry| entry.at).into_iter(),
        )
    }

    fn view(&self) -> View {
        View::Timeline
    }
}
