//! Everything that happened, in one bounded stream in the order of time.

use std::collections::{BTreeMap, BTreeSet};

use jiff::{SignedDuration, Timestamp};
use rustc_hash::FxHashMap;

use super::entry::{Entry, EntryKind, Tone};
use crate::k8s::{Name, ObjectKey, Uid};

/// Entries kept: hours of a busy cluster.
pub const ENTRIES_MAX: usize = 20_000;

#[derive(Clone, Debug)]
pub struct Timeline {
    /// The oldest first.
    entries: BTreeMap<Place, Entry>,
    /// Where the entry of an Event object is: a fleet that starts has more of them than are kept.
    events: FxHashMap<Uid, Place>,
    recorded: u64,
    entries_max: usize,
    /// Oldest entries that made room for newer ones.
    pub dropped: u64,
}

/// When it was, and its number among all that were recorded.
type Place = (Timestamp, u64);

/// Which entries are shown.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct TimelineFilter {
    /// Only what is about these objects; all where empty.
    pub about: BTreeSet<ObjectKey>,
    /// Or what happened on this node.
    pub node: Option<Name>,
    pub namespace: Option<Name>,
    pub hidden: BTreeSet<EntryKind>,
    pub least: Option<Tone>,
    /// In small letters.
    pub text: String,
}

impl Default for Timeline {
    fn default() -> Self {
        Self::bounded(ENTRIES_MAX)
    }
}

impl Timeline {
    pub fn bounded(entries_max: usize) -> Self {
        Self {
            entries: BTreeMap::new(),
            events: FxHashMap::default(),
            recorded: 0,
            entries_max,
            dropped: 0,
        }
    }

    /// Puts an entry in its place. An event that is counted up replaces its earlier self.
    pub fn record(&mut self, entry: Entry) {
        let place = (entry.at, self.recorded);
        if let Some(uid) = &entry.event {
            if let Some(known) = self.events.get(uid) {
                if self.entries.get(known) == Some(&entry) {
                    return;
                }
                self.entries.remove(known);
            }
            self.events.insert(uid.clone(), place);
        }
        self.recorded += 1;
        self.entries.insert(place, entry);
        while self.entries.len() > self.entries_max {
            let Some((_, oldest)) = self.entries.pop_first() else {
                return;
            };
            if let Some(uid) = &oldest.event {
                self.events.remove(uid);
            }
            self.dropped += 1;
        }
    }

    /// The newest first.
    pub fn newest<'a>(&'a self, filter: &'a TimelineFilter) -> impl Iterator<Item = &'a Entry> {
        self.entries
            .values()
            .rev()
            .filter(move |entry| filter.shows(entry))
    }

    pub fn len(&self) -> usize {
        self.entries.len()
    }

    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// What happened in the last `span`, the newest first.
    pub fn since(&self, now: Timestamp, span: SignedDuration) -> impl Iterator<Item = &Entry> {
        self.entries
            .values()
            .rev()
            .take_while(move |entry| now.duration_since(entry.at) <= span)
    }

    /// Entries of each of the last `slots` equal spans, the newest last, for a histogram: all,
    /// and those that are a warning or worse.
    pub fn histogram(
        &self,
        filter: &TimelineFilter,
        now: Timestamp,
        slot: SignedDuration,
        slots: usize,
    ) -> Vec<(u32, u32)> {
        let mut counts = vec![(0_u32, 0_u32); slots];
        let width = slot.as_secs().max(1);
        for entry in self.newest(filter) {
            let back = now.duration_since(entry.at).as_secs().max(0) / width;
            let Some(index) = usize::try_from(back)
                .ok()
                .and_then(|back| slots.checked_sub(back + 1))
            else {
                break;
            };
            if let Some((all, bad)) = counts.get_mut(index) {
                *all += entry.count.min(1);
                *bad += u32::from(entry.tone >= Tone::Warning);
            }
        }
        counts
    }
}

impl TimelineFilter {
    pub fn shows(&self, entry: &Entry) -> bool {
        let about = self.about.is_empty() && self.node.is_none()
            || self.about.contains(&entry.about)
            || self.node.is_some() && entry.node == self.node;
        about
            && !self.hidden.contains(&entry.kind)
            && self.least.is_none_or(|least| entry.tone >= least)
            && self.namespace.as_ref().is_none_or(|namespace| {
                entry.about.namespace.is_empty() || entry.about.namespace == *namespace
            })
            && (self.text.is_empty() || self.matches_text(entry))
    }

    fn matches_text(&self, entry: &Entry) -> bool {
        let (inverse, text) = match self.text.strip_prefix('!') {
            Some(rest) => (true, rest),
            None => (false, self.text.as_str()),
        };
        let holds = |field: &str| field.to_lowercase().contains(text);
        let found = holds(&entry.text)
            || holds(&entry.what)
            || holds(&entry.about.name)
            || holds(&entry.about.namespace)
            || holds(&entry.by)
            || entry.node.as_deref().is_some_and(holds);
        found != inverse
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::k8s::{Uid, resources};

    fn entry(second: i64, name: &str, event: Option<&str>) -> Entry {
        Entry {
            at: Timestamp::from_second(second).unwrap(),
            kind: EntryKind::Event,
            tone: Tone::Warning,
            about: ObjectKey::new(resources::PODS, "shop", name),
            node: Some("n1".into()),
            what: "BackOff".into(),
            text: String::new(),
            by: Name::default(),
            count: 1,
            event: event.map(|uid| Uid(uid.into())),
        }
    }

    fn names(timeline: &Timeline, filter: &TimelineFilter) -> Vec<String> {
        timeline
            .newest(filter)
            .map(|entry| format!("{}@{}", entry.about.name, entry.at.as_second()))
            .collect()
    }

    #[test]
    fn entries_are_ordered_and_repeats_move_up() {
        let mut timeline = Timeline::default();
        for entry in [
            entry(1, "a", Some("e1")),
            entry(3, "b", None),
            entry(2, "c", None),
            entry(4, "a", Some("e1")),
        ] {
            timeline.record(entry);
        }
        let all = TimelineFilter::default();
        assert_eq!(names(&timeline, &all), ["a@4", "b@3", "c@2"]);
        assert_eq!(
            timeline
                .since(
                    Timestamp::from_second(5).unwrap(),
                    SignedDuration::from_secs(2)
                )
                .count(),
            2
        );
    }

    #[test]
    fn bound_drops_the_oldest_and_counts() {
        let mut timeline = Timeline::bounded(2);
        for second in 0..5 {
            timeline.record(entry(second, "a", None));
        }
        assert_eq!((timeline.len(), timeline.dropped), (2, 3));
    }

    #[test]
    fn filters_combine() {
        let mut timeline = Timeline::default();
        timeline.record(entry(1, "cart", None));
        timeline.record(entry(2, "search", None));
        let check = |filter: TimelineFilter, expected: &[&str]| {
            assert_eq!(names(&timeline, &filter), expected);
        };
        check(
            TimelineFilter {
                text: "car".into(),
                ..TimelineFilter::default()
            },
            &["cart@1"],
        );
        check(
            TimelineFilter {
                text: "!car".into(),
                ..TimelineFilter::default()
            },
            &["search@2"],
        );
        check(
            TimelineFilter {
                node: Some("n2".into()),
                ..TimelineFilter::default()
            },
            &[],
        );
        check(
            TimelineFilter {
                least: Some(Tone::Bad),
                ..TimelineFilter::default()
            },
            &[],
        );
    }

    #[test]
    fn histogram_counts_by_age() {
        let mut timeline = Timeline::default();
        for second in [1, 58, 59] {
            timeline.record(entry(second, "a", None));
        }
        let now = Timestamp::from_second(60).unwrap();
        let counts = timeline.histogram(
            &TimelineFilter::default(),
            now,
            SignedDuration::from_secs(30),
            2,
        );
        assert_eq!(counts, [(1, 1), (2, 2)]);
    }
}
