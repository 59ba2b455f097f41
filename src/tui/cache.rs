//! What the console knows of the cluster: the objects that watches brought, how fresh each kind
//! is, and what changed when.
//!
//! Objects live here once; pages keep identities only. Nothing here does I/O: feeds hand in batches.

pub(super) mod heartbeat;

use std::collections::{BTreeMap, VecDeque};
use std::fmt;
use std::sync::Arc;

use imbl::OrdMap;
use jiff::{SignedDuration, Timestamp};
use rustc_hash::FxHashSet;

use crate::k8s::{Change, ChangeKind, Cluster, Object, ObjectKey, Resource, Uid};

use crate::sched::kept::Kept;
use crate::stdx::humanize::thousands;

use super::forecast::fidelity::is_read;
use super::pages::timeline::model::Timeline;
use super::pages::timeline::observe;
use super::printed::{Printed, PrintedEvent};

/// A value that has just changed is marked this long.
pub const FRESH: SignedDuration = SignedDuration::from_secs(2);
/// Change times kept: those of the last seconds are asked for, a storm is cut off.
const CHANGES_MAX: usize = 20_000;
/// How long the scheduler's snapshot outlasts the last question, at least.
const SCHEDULER_STAYS: SignedDuration = SignedDuration::from_mins(2);

#[derive(Clone, Debug, Default)]
pub struct Cache {
    pub cluster: Cluster,
    /// What the server prints of the kind that is looked at.
    pub printed: BTreeMap<Resource, Printed>,
    pub kinds: Vec<KindInfo>,
    feeds: BTreeMap<Resource, FeedState>,
    changed: OrdMap<Uid, Timestamp>,
    recent: VecDeque<(Timestamp, Uid)>,
    /// What happened since the console came, and what Event objects tell of before.
    pub timeline: Timeline,
    /// Rises with every change, so that pages know whether anything is new.
    version: u64,
    /// The last changes, so that a page looks only at what is new, and how many there were before.
    log: VecDeque<Logged>,
    logged: u64,
    scheduler: Arc<Kept>,
    /// When the scheduler's snapshot was last looked after.
    rested: Option<Timestamp>,
    /// Changes of what the scheduler reads, in order, for whoever asks for them.
    news: Option<Vec<Change>>,
}

/// An object that came, changed or is gone. What it is now is in the cluster.
#[derive(Clone, Debug)]
pub struct Logged {
    pub key: ObjectKey,
    pub uid: Uid,
    /// What it was, where others may have to let go of it: it is gone, or its owner, labels or node
    /// are not what they were.
    pub before: Option<Arc<Object>>,
}

/// A kind that the server knows.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct KindInfo {
    pub resource: Resource,
    pub version: String,
    pub kind: String,
    pub namespaced: bool,
    pub short_names: Vec<String>,
    pub verbs: Vec<String>,
}

/// How fresh the objects of one kind are.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum FeedState {
    /// The first list is under way; the total is the server's, where it says one.
    Loading {
        loaded: usize,
        total: Option<usize>,
    },
    Live {
        since: Timestamp,
    },
    /// Not connected; what is shown is as old as `since`.
    Lost {
        since: Timestamp,
        why: String,
    },
    /// The user may not see this kind.
    Forbidden {
        why: String,
    },
    /// The server does not know this kind.
    Unknown,
}

/// A kind whose list is under way.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct StillLoading {
    pub resource: Resource,
    pub loaded: usize,
    /// The server's count, where it says one.
    pub total: Option<usize>,
}

impl fmt::Display for StillLoading {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "still loading {}", self.resource.plural)?;
        match self.total {
            Some(total) => write!(
                f,
                " ({} of {})",
                thousands(self.loaded as u64),
                thousands(total as u64)
            ),
            None => Ok(()),
        }
    }
}

/// What a feed brought.
#[derive(Clone, Debug)]
pub enum FeedEvent {
    /// A page of a list; `reset` drops what there was once the list is complete.
    Listed {
        objects: Vec<Arc<Object>>,
        total: Option<usize>,
    },
    /// The list is complete: what it did not bring is gone.
    Complete {
        keys: Arc<Vec<ObjectKey>>,
    },
    Changed(Vec<(ChangeKind, Arc<Object>)>),
    State(FeedState),
}

impl Cache {
    /// Rows of a table; the page is told as of any change.
    pub fn print(&mut self, resource: &Resource, event: PrintedEvent) {
        self.printed
            .entry(resource.clone())
            .or_default()
            .take(event);
    }

    pub fn version(&self) -> u64 {
        self.version
    }

    /// How many changes there were so far: where one who reads on begins.
    pub fn logged(&self) -> u64 {
        self.logged + self.log.len() as u64
    }

    /// The changes after the first `seen` ones; `None` where some of them are forgotten.
    pub fn logged_after(&self, seen: u64) -> Option<impl Iterator<Item = &Logged>> {
        let skip = usize::try_from(seen.checked_sub(self.logged)?).ok()?;
        Some(self.log.iter().skip(skip))
    }

    fn log(&mut self, key: &ObjectKey, uid: &Uid, before: Option<Arc<Object>>) {
        self.log.push_back(Logged {
            key: key.clone(),
            uid: uid.clone(),
            before,
        });
        if self.log.len() > CHANGES_MAX {
            self.log.pop_front();
            self.logged += 1;
        }
    }

    /// Notes that an object is in the cluster now, in the place of what was there.
    fn log_insert(&mut self, object: &Arc<Object>, previous: Option<Arc<Object>>) {
        match previous {
            Some(before) if before.uid != object.uid => {
                self.log(&before.key, &before.uid, Some(Arc::clone(&before)));
                self.log(&object.key, &object.uid, None);
            }
            Some(before) if !has_same_ties(&before, object) => {
                self.log(&object.key, &object.uid, Some(before));
            }
            _ => self.log(&object.key, &object.uid, None),
        }
    }

    pub fn feed(&self, resource: &Resource) -> Option<&FeedState> {
        self.feeds.get(resource)
    }

    pub fn feeds(&self) -> impl Iterator<Item = (&Resource, &FeedState)> {
        self.feeds.iter()
    }

    /// Whether all objects of a kind are here.
    pub fn is_complete(&self, resource: &Resource) -> bool {
        matches!(
            self.feeds.get(resource),
            Some(FeedState::Live { .. } | FeedState::Lost { .. })
        )
    }

    /// What is not wholly here yet of these kinds, and how much of it is. A kind that the server
    /// does not have or this user may not see is not waited for.
    pub fn still_loading(&self, resources: &[Resource]) -> Option<StillLoading> {
        let missing = resources.iter().find(|resource| {
            let settled = matches!(
                self.feeds.get(*resource),
                Some(FeedState::Forbidden { .. } | FeedState::Unknown)
            );
            let absent = !self.kinds.is_empty() && self.kind(resource).is_none();
            !self.is_complete(resource) && !settled && !absent
        })?;
        let (loaded, total) = match self.feeds.get(missing) {
            Some(FeedState::Loading { loaded, total }) => (*loaded, *total),
            _ => (0, None),
        };
        Some(StillLoading {
            resource: missing.clone(),
            loaded,
            total,
        })
    }

    /// Those of these kinds that this user may not see: what is said without them is said so.
    pub fn withheld<'a>(&self, resources: &'a [Resource]) -> Vec<&'a Resource> {
        resources
            .iter()
            .filter(|resource| {
                matches!(self.feeds.get(*resource), Some(FeedState::Forbidden { .. }))
            })
            .collect()
    }

    /// Whether an object changed within the last two seconds.
    pub fn is_fresh(&self, uid: &Uid, now: Timestamp) -> bool {
        self.changed
            .get(uid)
            .is_some_and(|at| now.duration_since(*at) < FRESH)
    }

    /// Whether anything is still marked as fresh: another frame is due when it ends.
    pub fn freshness_ends(&self) -> Option<Timestamp> {
        self.recent.back().map(|(at, _)| *at + FRESH)
    }

    pub fn kind(&self, resource: &Resource) -> Option<&KindInfo> {
        self.kinds.iter().find(|kind| kind.resource == *resource)
    }

    /// The kind that a word names: plural, singular, short name, kind, or `plural.group`.
    pub fn kind_named(&self, word: &str) -> Option<&KindInfo> {
        let word = word.to_ascii_lowercase();
        self.kinds.iter().find(|kind| {
            kind.resource.plural == word.as_str()
                || kind.resource.to_string() == word
                || kind.kind.to_ascii_lowercase() == word
                || kind.short_names.contains(&word)
        })
    }

    pub fn set_kinds(&mut self, kinds: Vec<KindInfo>) {
        self.kinds = kinds;
        self.version += 1;
    }

    /// Takes a batch in; whether there is anything in it that is not known. Only changes after the
    /// first list count as news.
    pub fn take(&mut self, resource: &Resource, event: FeedEvent, now: Timestamp) -> bool {
        let mut is_news = true;
        match event {
            FeedEvent::Listed { objects, total } => {
                for object in &objects {
                    if let Some(entry) = observe::of_listed(object) {
                        self.timeline.record(entry);
                    }
                    let previous = self.cluster.insert(object);
                    self.log_insert(object, previous);
                }
                let loaded = self.cluster.count(resource);
                let known = !matches!(
                    self.feeds.get(resource),
                    None | Some(FeedState::Loading { .. } | FeedState::Unknown)
                );
                if !known {
                    self.feeds
                        .insert(resource.clone(), FeedState::Loading { loaded, total });
                }
            }
            FeedEvent::Complete { keys } => self.retain(resource, &keys),
            FeedEvent::Changed(changes) => {
                is_news = false;
                for (kind, object) in changes {
                    if !self.is_heartbeat(kind, &object) {
                        self.change(kind, &object, now);
                        is_news = true;
                    }
                }
            }
            FeedEvent::State(state) => {
                self.feeds.insert(resource.clone(), state);
            }
        }
        self.forget_old(now);
        self.version += u64::from(is_news);
        is_news
    }

    /// A node's heartbeat is kept, for whoever looks at the node, and nothing is told of it.
    fn is_heartbeat(&mut self, kind: ChangeKind, object: &Arc<Object>) -> bool {
        let is_heartbeat = kind == ChangeKind::Modified
            && self
                .cluster
                .get(&object.key)
                .is_some_and(|before| heartbeat::is_heartbeat(before, object));
        if is_heartbeat {
            self.cluster.insert(object);
        }
        is_heartbeat
    }

    /// One that keeps changes for [`Self::take_news`]: somebody has to take them after each batch.
    pub fn with_news() -> Self {
        Self {
            news: Some(Vec::new()),
            ..Self::default()
        }
    }

    /// What changed since the last time.
    pub fn take_news(&mut self) -> Vec<Change> {
        self.news.as_mut().map(std::mem::take).unwrap_or_default()
    }

    fn change(&mut self, kind: ChangeKind, object: &Arc<Object>, now: Timestamp) {
        let previous = if kind == ChangeKind::Deleted {
            self.cluster.remove(&object.key)
        } else {
            self.cluster.insert(object)
        };
        if kind == ChangeKind::Deleted {
            let last = previous.clone().unwrap_or_else(|| Arc::clone(object));
            self.log(&object.key, &last.uid.clone(), Some(last));
        } else {
            self.log_insert(object, previous.clone());
        }
        let change = Change {
            kind,
            object: Arc::clone(object),
            previous,
        };
        for entry in observe::of_change(&change, now) {
            self.timeline.record(entry);
        }
        if let Some(news) = &mut self.news
            && is_read(&change.object.key.resource)
        {
            news.push(change);
        }
        if kind != ChangeKind::Deleted {
            self.changed.insert(object.uid.clone(), now);
            self.recent.push_back((now, object.uid.clone()));
        }
    }

    fn retain(&mut self, resource: &Resource, keys: &[ObjectKey]) {
        let kept: FxHashSet<&ObjectKey> = keys.iter().collect();
        let gone: Vec<ObjectKey> = self
            .cluster
            .list(resource)
            .filter(|object| !kept.contains(&object.key))
            .map(|object| object.key.clone())
            .collect();
        for key in gone {
            if let Some(last) = self.cluster.remove(&key) {
                self.log(&key, &last.uid.clone(), Some(last));
            }
        }
    }

    /// The cluster as the scheduler reads it, for all who have questions.
    pub fn scheduler(&self) -> Arc<Kept> {
        Arc::clone(&self.scheduler)
    }

    /// Drops change marks that are no longer shown, and the scheduler's snapshot once nobody asks.
    pub fn forget_old(&mut self, now: Timestamp) {
        let is_due = |at: Timestamp| now.duration_since(at) >= SCHEDULER_STAYS;
        if self.rested.is_none_or(is_due) {
            self.rested = Some(now);
            self.scheduler.rest();
        }
        while let Some((at, uid)) = self.recent.front() {
            if now.duration_since(*at) < FRESH && self.recent.len() <= CHANGES_MAX {
                break;
            }
            if self.changed.get(uid) == Some(at) {
                self.changed.remove(uid);
            }
            self.recent.pop_front();
        }
    }
}

/// Whether an object still belongs to the same owners, selectors and node.
fn has_same_ties(before: &Object, after: &Object) -> bool {
    let node = |object: &Object| object.pod().and_then(|pod| pod.node.clone());
    before.owners == after.owners && before.labels == after.labels && node(before) == node(after)
}
