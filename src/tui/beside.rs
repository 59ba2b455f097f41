//! Other clusters that are shown beside the one that the console works in.
//!
//! Of each only that is kept which pulse and domains tell of it: machines, pods, workloads, budgets,
//! services and claims. No row of another cluster is ever the target of a change, and its session is
//! read-only whatever the settings say. A cluster that does not answer keeps its last picture.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};

use crate::config::settings::ContextColor;
use crate::k8s::{ChangeKind, Cluster, Name, ObjectKey, Resource, resources};
use crate::stdx::humanize::{age, thousands};
use crate::topology::{Share, Survey};

use super::cache::{Cache, FeedEvent, FeedState, heartbeat};
use super::effect::{Computation, Effect};
use super::msg::Msg;
use super::summary::Summary;
use super::text::Role;

/// What is followed, with version and kind: types that no server has under another version.
pub const KINDS: [(Resource, &str, &str); 12] = [
    (resources::NODES, "v1", "Node"),
    (resources::PODS, "v1", "Pod"),
    (
        resources::REPLICATION_CONTROLLERS,
        "v1",
        "ReplicationController",
    ),
    (resources::SERVICES, "v1", "Service"),
    (
        resources::PERSISTENT_VOLUME_CLAIMS,
        "v1",
        "PersistentVolumeClaim",
    ),
    (resources::DEPLOYMENTS, "v1", "Deployment"),
    (resources::REPLICA_SETS, "v1", "ReplicaSet"),
    (resources::STATEFUL_SETS, "v1", "StatefulSet"),
    (resources::DAEMON_SETS, "v1", "DaemonSet"),
    (resources::JOBS, "v1", "Job"),
    (resources::CRON_JOBS, "v1", "CronJob"),
    (
        resources::POD_DISRUPTION_BUDGETS,
        "v1",
        "PodDisruptionBudget",
    ),
];

/// What is told of another cluster is made anew at most this often after changes, and this often
/// without any: waiting grows into trouble by itself.
const LOOK_EVERY: SignedDuration = SignedDuration::from_secs(2);
const LOOK_AGAIN: SignedDuration = SignedDuration::from_secs(60);

/// One of them.
#[derive(Debug)]
pub struct Beside {
    pub name: Name,
    pub user: String,
    pub colour: Option<ContextColor>,
    pub look: Look,
    cluster: Cluster,
    feeds: BTreeMap<Resource, FeedState>,
    /// Kinds whose first list came to its end.
    listed: BTreeSet<Resource>,
    /// Why there is no session to follow it with.
    failure: Option<String>,
    version: u64,
    asked: Option<(u64, Timestamp)>,
    under_way: bool,
}

/// What is told of it, made away from the screen's thread.
#[derive(Clone, Debug, Default)]
pub struct Look {
    pub summary: Summary,
    pub share: Arc<Share>,
}

/// What came from it.
#[derive(Debug)]
pub enum BesideEvent {
    Opened {
        user: String,
    },
    /// There is no session, and why; it is tried again.
    Failed {
        why: String,
    },
    Fed(Resource, FeedEvent),
    Looked(Box<Look>),
}

/// How it stands with its picture.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Standing {
    Loading {
        loaded: usize,
        total: usize,
    },
    Live,
    /// It does not answer. The picture is as old as `since`; none: there never was one.
    Lost {
        since: Option<Timestamp>,
        why: String,
    },
    /// This user may not list its nodes or pods.
    Refused {
        why: String,
    },
}

/// The clusters that are shown at once.
#[derive(Clone, Copy, Debug)]
pub struct Around<'a> {
    /// The one that the console works in.
    pub here: &'a str,
    pub user: &'a str,
    pub colour: Option<ContextColor>,
    pub others: &'a [Beside],
}

/// The role of a cluster's name.
pub fn mark(colour: Option<ContextColor>) -> Role {
    colour.map_or(Role::Strong, Role::Context)
}

impl Beside {
    pub fn new(name: &str, colour: Option<ContextColor>) -> Self {
        Self {
            name: Name::new(name),
            user: String::new(),
            colour,
            look: Look::default(),
            cluster: Cluster::default(),
            feeds: BTreeMap::new(),
            listed: BTreeSet::new(),
            failure: None,
            version: 0,
            asked: None,
            under_way: false,
        }
    }

    /// Takes in what came; whether it shows at once.
    pub fn take(&mut self, event: BesideEvent) -> bool {
        match event {
            BesideEvent::Opened { user } => {
                self.failure = None;
                self.user = user;
            }
            BesideEvent::Failed { why } => self.failure = Some(why),
            BesideEvent::Fed(resource, event) => return self.feed(&resource, event),
            BesideEvent::Looked(look) => {
                self.under_way = false;
                self.look = *look;
            }
        }
        true
    }

    /// Changes show with the next look; how it stands shows at once.
    fn feed(&mut self, resource: &Resource, event: FeedEvent) -> bool {
        match event {
            FeedEvent::Listed { objects, total } => {
                for object in &objects {
                    self.cluster.insert(object);
                }
                if !self.listed.contains(resource) {
                    let loaded = self.cluster.count(resource);
                    let state = FeedState::Loading { loaded, total };
                    self.feeds.insert(resource.clone(), state);
                    return true;
                }
            }
            FeedEvent::Complete { keys } => {
                self.retain(resource, &keys);
                self.listed.insert(resource.clone());
                self.version += 1;
            }
            FeedEvent::Changed(changes) => {
                for (kind, object) in changes {
                    let before = if kind == ChangeKind::Deleted {
                        self.cluster.remove(&object.key)
                    } else {
                        self.cluster.insert(&object)
                    };
                    let beats = kind == ChangeKind::Modified
                        && before.is_some_and(|before| heartbeat::is_heartbeat(&before, &object));
                    self.version += u64::from(!beats);
                }
            }
            FeedEvent::State(state) => {
                self.feeds.insert(resource.clone(), state);
                return true;
            }
        }
        false
    }

    fn retain(&mut self, resource: &Resource, keys: &[ObjectKey]) {
        let kept: rustc_hash::FxHashSet<&ObjectKey> = keys.iter().collect();
        let listed = self.cluster.list(resource).map(|object| &object.key);
        let gone: Vec<ObjectKey> = listed.filter(|key| !kept.contains(key)).cloned().collect();
        for key in gone {
            self.cluster.remove(&key);
        }
    }

    /// Whether all is here that this user may see of it, be it as of before.
    pub fn is_complete(&self) -> bool {
        KINDS.iter().all(|(resource, ..)| {
            self.listed.contains(resource)
                || matches!(
                    self.feeds.get(resource),
                    Some(FeedState::Forbidden { .. } | FeedState::Unknown)
                )
        })
    }

    pub fn standing(&self) -> Standing {
        let lost = self.feeds.values().filter_map(|state| match state {
            FeedState::Lost { since, why } => Some((*since, why)),
            _ => None,
        });
        let lost = lost.min();
        if let Some(why) = self.failure.as_ref().or(lost.map(|(_, why)| why)) {
            let since = lost.map(|(since, _)| since).or(self.look.summary.at);
            return Standing::Lost {
                since: since.filter(|_| self.is_complete()),
                why: why.clone(),
            };
        }
        for resource in [resources::NODES, resources::PODS] {
            if let Some(FeedState::Forbidden { why }) = self.feeds.get(&resource) {
                return Standing::Refused { why: why.clone() };
            }
        }
        if self.is_complete() {
            return Standing::Live;
        }
        let (mut loaded, mut total) = (0, 0);
        for state in self.feeds.values() {
            if let FeedState::Loading {
                loaded: here,
                total: all,
            } = state
            {
                loaded += here;
                total += all.unwrap_or(*here);
            }
        }
        Standing::Loading { loaded, total }
    }

    /// Whether something of what is told of it is known.
    pub fn is_known(&self) -> bool {
        self.look.summary.at.is_some()
    }

    pub fn counts(&self) -> (usize, usize) {
        let count = |resource| self.cluster.count(&resource);
        (count(resources::NODES), count(resources::PODS))
    }

    /// What is told of it now.
    pub fn looked(cluster: &Cluster, version: u64, now: Timestamp) -> Look {
        Look {
            summary: Summary::of(cluster, version, now),
            share: Arc::new(Share::of(&Survey::of(cluster))),
        }
    }

    /// Looks at once, for a still picture.
    pub fn look_now(&mut self, now: Timestamp) {
        if self.is_complete() {
            self.look = Self::looked(&self.cluster, self.version, now);
        }
    }

    /// The next look, where one is due.
    pub fn ask(&mut self, now: Timestamp) -> Option<Effect> {
        if self.under_way || !self.is_complete() || self.due().is_some_and(|due| now < due) {
            return None;
        }
        self.under_way = true;
        self.asked = Some((self.version, now));
        let (name, cluster, version) = (self.name.clone(), self.cluster.clone(), self.version);
        Some(Effect::Compute(Computation::of(move || Msg::Beside {
            cluster: name,
            event: BesideEvent::Looked(Box::new(Self::looked(&cluster, version, now))),
        })))
    }

    /// When the next look is due; none: at once.
    fn due(&self) -> Option<Timestamp> {
        let (seen, at) = self.asked?;
        let wait = if seen == self.version {
            LOOK_AGAIN
        } else {
            LOOK_EVERY
        };
        Some(at + wait)
    }

    pub fn next_wake(&self, now: Timestamp) -> Option<Timestamp> {
        (self.is_complete() && !self.under_way).then(|| self.due().unwrap_or(now))
    }
}

impl Standing {
    /// Of the cluster that the console works in, by its nodes and pods.
    pub fn of(cache: &Cache) -> Self {
        for resource in [resources::NODES, resources::PODS] {
            let count = cache.cluster.count(&resource);
            match cache.feed(&resource) {
                Some(FeedState::Live { .. }) => {}
                Some(FeedState::Lost { since, why }) => {
                    return Self::Lost {
                        since: (count > 0).then_some(*since),
                        why: why.clone(),
                    };
                }
                Some(FeedState::Forbidden { why }) => return Self::Refused { why: why.clone() },
                Some(FeedState::Loading { loaded, total }) => {
                    return Self::Loading {
                        loaded: *loaded,
                        total: total.unwrap_or(*loaded),
                    };
                }
                Some(FeedState::Unknown) | None => {
                    return Self::Loading {
                        loaded: count,
                        total: count,
                    };
                }
            }
        }
        Self::Live
    }

    /// `loading 500 of 4,000`, `not reached, as of 3m ago: connection refused`; empty while live.
    pub fn words(&self, now: Timestamp) -> String {
        match self {
            Self::Live => String::new(),
            Self::Loading { total: 0, .. } => "connecting".to_owned(),
            Self::Loading { loaded, total } => format!(
                "loading {} of {}",
                thousands(*loaded as u64),
                thousands(*total as u64)
            ),
            Self::Lost { since, why } => {
                let why = why
                    .strip_prefix("the server cannot be reached: ")
                    .unwrap_or(why);
                match since {
                    Some(since) => {
                        let time = since.strftime("%H:%M:%S");
                        format!("not reached: as of {time}, {} ago: {why}", age(*since, now))
                    }
                    None => format!("not reached: {why}"),
                }
            }
            Self::Refused { why } => format!("not allowed: {why}"),
        }
    }

    pub fn sign(&self) -> (&'static str, Role) {
        match self {
            Self::Live => ("●", Role::Good),
            Self::Loading { .. } => ("◐", Role::Warning),
            Self::Lost { .. } => ("✕", Role::Bad),
            Self::Refused { .. } => ("⊘", Role::Warning),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::k8s::build::{node, pod};

    fn listed(beside: &mut Beside, objects: &[Arc<crate::k8s::Object>]) {
        for (resource, ..) in &KINDS {
            let own = objects
                .iter()
                .filter(|object| object.key.resource == *resource);
            let own: Vec<_> = own.cloned().collect();
            let keys = Arc::new(own.iter().map(|object| object.key.clone()).collect());
            let total = None;
            for event in [
                FeedEvent::Listed {
                    objects: own,
                    total,
                },
                FeedEvent::Complete { keys },
                FeedEvent::State(FeedState::Live { since: now() }),
            ] {
                beside.take(BesideEvent::Fed(resource.clone(), event));
            }
        }
    }

    fn now() -> Timestamp {
        "2026-01-01T00:10:00Z".parse().unwrap()
    }

    fn look(beside: &mut Beside, now: Timestamp) {
        let Some(Effect::Compute(work)) = beside.ask(now) else {
            panic!("no look is due");
        };
        let Msg::Beside { event, .. } = (work.0)() else {
            panic!("not about a cluster");
        };
        beside.take(event);
    }

    #[test]
    fn a_lost_cluster_keeps_its_last_picture_and_its_date() {
        let mut beside = Beside::new("west", None);
        assert_eq!(beside.standing().words(now()), "connecting");
        assert!(beside.ask(now()).is_none(), "nothing to look at yet");
        listed(
            &mut beside,
            &[
                node("n1").not_ready().build(),
                pod("a").node("n1").running().build(),
            ],
        );
        assert_eq!(beside.standing(), Standing::Live);
        look(&mut beside, now());
        assert_eq!(beside.look.summary.problems, 1);
        assert_eq!(beside.look.share.whole.nodes, 1);
        let why = "connection refused".to_owned();
        let state = FeedState::Lost { since: now(), why };
        beside.take(BesideEvent::Fed(resources::PODS, FeedEvent::State(state)));
        let later = now() + SignedDuration::from_mins(3);
        assert_eq!(
            beside.standing().words(later),
            "not reached: as of 00:10:00, 3m ago: connection refused"
        );
        assert_eq!(beside.look.summary.problems, 1, "the picture stays");
    }

    #[test]
    fn one_that_never_answered_says_why_and_has_no_picture() {
        let mut beside = Beside::new("west", None);
        let state = FeedState::Lost {
            since: now(),
            why: "no route to host".to_owned(),
        };
        beside.take(BesideEvent::Fed(resources::NODES, FeedEvent::State(state)));
        assert_eq!(
            beside.standing().words(now()),
            "not reached: no route to host"
        );
        let why = "context `west` is not in the kubeconfig".to_owned();
        beside.take(BesideEvent::Failed { why });
        assert!(
            beside
                .standing()
                .words(now())
                .contains("not in the kubeconfig")
        );
        assert!(!beside.is_known());
    }

    #[test]
    fn looks_follow_changes_at_their_own_pace() {
        let mut beside = Beside::new("west", None);
        listed(&mut beside, &[node("n1").build()]);
        look(&mut beside, now());
        assert!(beside.ask(now()).is_none());
        let gone = FeedEvent::Changed(vec![(ChangeKind::Deleted, node("n1").build())]);
        let shows = beside.take(BesideEvent::Fed(resources::NODES, gone));
        assert!(!shows, "it shows with the next look");
        let due = now() + LOOK_EVERY;
        assert_eq!(beside.next_wake(now()), Some(due));
        look(&mut beside, due);
        assert_eq!(beside.look.share.whole.nodes, 0);
        assert_eq!(beside.next_wake(due), Some(due + LOOK_AGAIN));
    }
}
