//! How well the embedded scheduler foretells the real one: bindings that are seen are decided anew
//! on the cluster as it was just before, and compared with where the pods went.
//!
//! ```text
//! a binding is seen ─► Meter: the cluster before it, and the changes of one second
//!                        ▲            └─► away from the screen: Look
//!                      tally ◄───────────  the kept snapshot ─ decide ─ observe ─ decide …
//! ```
//!
//! It looks at samples: between two of them it rests for a multiple of what the last one took, and
//! holds nothing. What was not decided here is told and not counted: pods of other schedulers, pods
//! with claims of volumes or devices, pods that only one node may take. Extenders and another
//! configuration cannot be seen; they show as misses.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};

use crate::k8s::{Change, ChangeKind, Cluster, Name, Object, Resource, resources};
use crate::sched::Snapshot;
use crate::sched::explain::{Explanation, Verdict};
use crate::sched::kept::Kept;
use crate::sched::surroundings::WATCHED;
use crate::stdx::clock;
use crate::stdx::humanize::{counted, thousands};

/// Bindings that the figure is of.
pub const LAST: usize = 100;
/// A sample ends after so long,
const WINDOW: SignedDuration = SignedDuration::from_secs(1);
/// or after so many changes.
const CHANGES_MAX: usize = 2_000;
/// The next sample begins so long after the last at the soonest,
const PAUSE: SignedDuration = SignedDuration::from_secs(1);
/// and so that all of them take at most one part in so many of the time.
const REST: f64 = 50.0;
/// The decisions of one sample end after so long.
const BUDGET: std::time::Duration = std::time::Duration::from_millis(200);

/// What nothing in the API tells.
const UNSEEN: &str = "Not to be seen from outside: scheduler extenders, plugins, and profiles other \
    than kube-scheduler's defaults. Where it has them, misses tell.";

/// How a real binding compares with what was foretold.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Match {
    /// The node was among the best.
    Best,
    /// Others were better, but kube-scheduler scores only a part of so many nodes, and this one can
    /// have been the best of such a part.
    Possible,
    Missed,
}

/// What came of the comparison so far.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Tally {
    /// The last ones, the newest last.
    pub last: VecDeque<Match>,
    /// The newest that was not foretold.
    pub missed: Option<Miss>,
    /// Bindings that were not compared, by reason.
    pub left_out: BTreeMap<&'static str, u64>,
}

/// A binding that was not foretold.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Miss {
    pub pod: String,
    pub went_to: Name,
    /// One of those where it would have gone here; why nowhere, where that is the answer.
    pub foretold: String,
}

impl Tally {
    fn count(&self, wanted: Match) -> usize {
        self.last.iter().filter(|one| **one == wanted).count()
    }

    /// `98 of the last 100 bindings as foretold`; empty before any.
    pub fn words(&self) -> String {
        let hits = self.count(Match::Best);
        let words = match self.last.len() {
            0 => return String::new(),
            1 => format!("{hits} of 1 binding as foretold"),
            count => format!("{hits} of the last {count} bindings as foretold"),
        };
        match self.count(Match::Possible) {
            0 => words,
            possible => format!("{words}, {possible} possibly"),
        }
    }

    /// What was not compared: `12 of other schedulers, 3 with volume claims`.
    pub fn gaps(&self) -> String {
        let parts: Vec<String> = self
            .left_out
            .iter()
            .map(|(why, count)| format!("{} {why}", thousands(*count)))
            .collect();
        parts.join(", ")
    }

    /// All of it in sentences.
    pub fn sentences(&self) -> Vec<String> {
        let mut texts = vec![
            "Each binding of a sample is decided once more by the embedded scheduler, on the cluster \
             as it was seen just before, and compared with the node that the pod was given."
                .to_owned(),
        ];
        if self.last.is_empty() {
            texts.push("No binding was compared yet.".to_owned());
        } else {
            let (best, possible) = (self.count(Match::Best), self.count(Match::Possible));
            texts.push(format!(
                "Of the last {}, {best} went to one of the nodes that were best here, {} to another.",
                counted(self.last.len(), "binding", "bindings"),
                self.last.len() - best
            ));
            if possible > 0 {
                texts.push(format!(
                    "{possible} of these others can be: of more than 100 nodes kube-scheduler scores \
                     only a part, and takes the best of that part."
                ));
            }
        }
        if let Some(miss) = &self.missed {
            texts.push(format!(
                "The last one that was not foretold: {} went to {}, here it would have been {}.",
                miss.pod, miss.went_to, miss.foretold
            ));
        }
        if !self.left_out.is_empty() {
            texts.push(format!("Bindings that were not compared: {}.", self.gaps()));
        }
        texts.push(UNSEEN.to_owned());
        texts
    }

    fn record(&mut self, one: Match) {
        self.last.push_back(one);
        if self.last.len() > LAST {
            self.last.pop_front();
        }
    }

    fn leave_out(&mut self, why: &'static str) {
        *self.left_out.entry(why).or_default() += 1;
    }
}

/// Takes samples, and says when they are to be looked at.
#[derive(Debug, Default)]
pub struct Meter {
    pub tally: Tally,
    sample: Option<Sample>,
    /// The sample that is looked at now.
    at_work: Option<Timestamp>,
    /// No sample begins before.
    rests_until: Option<Timestamp>,
}

#[derive(Debug)]
struct Sample {
    began: Timestamp,
    /// The cluster before the first of the changes.
    before: Cluster,
    changes: Vec<Change>,
}

impl Sample {
    fn closes(&self) -> Timestamp {
        self.began + WINDOW
    }

    fn takes_more(&self, now: Timestamp) -> bool {
        self.changes.len() < CHANGES_MAX && now < self.closes()
    }
}

impl Meter {
    /// Whether a binding that is about to be seen may begin a sample.
    pub fn may_begin(&self, now: Timestamp) -> bool {
        let rests = self.rests_until.is_some_and(|until| now < until);
        self.sample.is_none() && self.at_work.is_none() && !rests
    }

    /// Begins a sample with the cluster as it is before the changes that are to come.
    pub fn begin(&mut self, before: &Cluster, now: Timestamp) {
        self.sample = Some(Sample {
            began: now,
            before: before.clone(),
            changes: Vec::new(),
        });
    }

    /// One change of the cluster, in the order in which they came.
    pub fn observe(&mut self, change: Change, now: Timestamp) {
        match &mut self.sample {
            Some(sample) if sample.takes_more(now) => sample.changes.push(change),
            // Nothing comes after what was missed.
            Some(sample) => {
                sample.began = sample.began.min(now - WINDOW);
                self.pass_by(&change);
            }
            None => self.pass_by(&change),
        }
    }

    fn pass_by(&mut self, change: &Change) {
        if binding(change).is_some() {
            self.tally.leave_out("outside the samples");
        }
    }

    /// A list came anew: what happened between is not known.
    pub fn lose(&mut self) {
        self.sample = None;
    }

    /// What to do away from the screen, if it is time; the answer goes to [`Self::take`].
    pub fn ask(&mut self, scheduler: &Arc<Kept>, now: Timestamp) -> Option<Look> {
        let sample = self.sample.take_if(|sample| !sample.takes_more(now))?;
        self.at_work = Some(sample.began);
        Some(Look {
            sample,
            scheduler: Arc::clone(scheduler),
        })
    }

    pub fn take(&mut self, looked: Looked, now: Timestamp) {
        // It may be of the cluster that was shown before.
        if self.at_work != Some(looked.began) {
            return;
        }
        self.at_work = None;
        #[expect(clippy::cast_possible_truncation, reason = "seconds are few")]
        let rest = SignedDuration::from_millis((looked.seconds * 1000.0 * REST) as i64);
        self.rests_until = Some(now + rest.max(PAUSE));
        for one in looked.matches {
            self.tally.record(one);
        }
        if looked.missed.is_some() {
            self.tally.missed = looked.missed;
        }
        for (why, count) in looked.left_out {
            *self.tally.left_out.entry(why).or_default() += count;
        }
    }

    /// When a sample is to be looked at.
    pub fn next_wake(&self) -> Option<Timestamp> {
        self.sample.as_ref().map(Sample::closes)
    }
}

/// A portion of work.
#[derive(Debug)]
pub struct Look {
    sample: Sample,
    scheduler: Arc<Kept>,
}

/// What came of it.
#[derive(Debug)]
pub struct Looked {
    began: Timestamp,
    matches: Vec<Match>,
    missed: Option<Miss>,
    left_out: BTreeMap<&'static str, u64>,
    seconds: f64,
}

impl Look {
    pub fn run(self) -> Looked {
        let started = clock::instant();
        let mut looked = Looked {
            began: self.sample.began,
            matches: Vec::new(),
            missed: None,
            left_out: BTreeMap::new(),
            seconds: 0.0,
        };
        // Reading a large cluster for the first time is not the decisions' time.
        let mut snapshot = self.scheduler.snapshot(&self.sample.before);
        let decisions = clock::instant();
        for change in &self.sample.changes {
            looked.compare(&snapshot, change, decisions.elapsed() < BUDGET);
            snapshot.observe(change);
        }
        looked.seconds = started.elapsed().as_secs_f64();
        looked
    }
}

impl Looked {
    fn compare(&mut self, snapshot: &Snapshot, change: &Change, in_time: bool) {
        let Some((pod, node)) = binding(change) else {
            return;
        };
        let why_not = not_modelled(pod).or((!in_time).then_some("outside the samples"));
        if let Some(why) = why_not {
            *self.left_out.entry(why).or_default() += 1;
            return;
        }
        let Ok(explanation) = snapshot.explain(pod) else {
            *self.left_out.entry("unreadable").or_default() += 1;
            return;
        };
        let Some(found) = judge(&explanation, node) else {
            *self
                .left_out
                .entry("with one node to choose from")
                .or_default() += 1;
            return;
        };
        self.matches.push(found);
        if found == Match::Missed {
            let foretold = match explanation.best.first() {
                Some(best) => best.to_string(),
                None => explanation.fit_message.clone(),
            };
            self.missed = Some(Miss {
                pod: format!("{}/{}", pod.namespace(), pod.name()),
                went_to: node.clone(),
                foretold,
            });
        }
    }
}

/// How a choice compares; `None` where there was none.
fn judge(explanation: &Explanation, node: &Name) -> Option<Match> {
    let totals: Vec<(&Name, i64)> = explanation
        .nodes
        .iter()
        .filter_map(|row| match row.verdict {
            Verdict::Feasible { total, .. } => Some((&row.node, total)),
            Verdict::Refused { .. } => None,
        })
        .collect();
    if explanation.best.contains(node) {
        return (totals.len() > 1).then_some(Match::Best);
    }
    let Some((_, own)) = totals.iter().find(|(name, _)| *name == node) else {
        return Some(Match::Missed);
    };
    let better = totals.iter().filter(|(_, total)| total > own).count();
    // The best of a part is no better than all that are outside of it.
    let outside = totals.len().saturating_sub(scored(explanation.nodes.len()));
    Some(if better <= outside {
        Match::Possible
    } else {
        Match::Missed
    })
}

/// Of how many nodes kube-scheduler finds enough to choose among, as `numFeasibleNodesToFind` has it
/// when `percentageOfNodesToScore` is not set.
fn scored(nodes: usize) -> usize {
    let percent = 50_usize.saturating_sub(nodes / 125).max(5);
    (nodes * percent / 100).max(100).min(nodes)
}

/// The pod as it waited, and the node that it was given.
fn binding(change: &Change) -> Option<(&Arc<Object>, &Name)> {
    if change.kind == ChangeKind::Deleted {
        return None;
    }
    let before = change.previous.as_ref()?;
    let node = bound(before, &change.object)?;
    Some((before, node))
}

/// The node that a pod was given between the one and the other.
pub fn bound<'a>(before: &Object, after: &'a Object) -> Option<&'a Name> {
    let node = after.pod()?.node.as_ref()?;
    let waited = before.pod()?.node.is_none() && before.uid == after.uid;
    waited.then_some(node)
}

fn not_modelled(pod: &Object) -> Option<&'static str> {
    let columns = pod.pod()?;
    if columns.scheduler != "default-scheduler" {
        return Some("of other schedulers");
    }
    if columns.nominated_node.is_some() {
        return Some("after preemption");
    }
    let bytes = pod.bytes();
    if contains(&bytes, b"\"resourceClaims\"") {
        return Some("with device claims");
    }
    contains(&bytes, b"\"persistentVolumeClaim\"").then_some("with volume claims")
}

fn contains(bytes: &[u8], part: &[u8]) -> bool {
    bytes.windows(part.len()).any(|window| window == part)
}

/// Whether a change of this kind is one that the scheduler reads.
pub fn is_read(resource: &Resource) -> bool {
    [resources::PODS, resources::NODES].contains(resource) || WATCHED.contains(resource)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::k8s::build::{Draft, cluster, node, pod};

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(1_000_000 + second).unwrap()
    }

    fn change(previous: Option<&Draft>, object: &Draft) -> Change {
        Change {
            kind: match previous {
                Some(_) => ChangeKind::Modified,
                None => ChangeKind::Added,
            },
            object: object.build(),
            previous: previous.map(Draft::build),
        }
    }

    fn waits(name: &str) -> Draft {
        pod(name).cpu("500m").memory("1Gi")
    }

    fn bind(pod: &Draft, node: &str) -> Change {
        change(Some(pod), &pod.clone().node(node))
    }

    /// One sample of these changes.
    fn sample(meter: &mut Meter, start: &Cluster, second: i64, changes: Vec<Change>) {
        assert!(meter.may_begin(at(second)));
        meter.begin(start, at(second));
        for change in changes {
            meter.observe(change, at(second));
        }
        let kept = Arc::new(Kept::default());
        assert!(meter.ask(&kept, at(second)).is_none(), "it goes on");
        assert_eq!(meter.next_wake(), Some(at(second + 1)));
        let looked = meter.ask(&kept, at(second + 1)).unwrap().run();
        meter.take(looked, at(second + 1));
        assert_eq!(meter.next_wake(), None);
    }

    #[test]
    fn a_binding_is_compared_with_the_cluster_before_it() {
        let start = cluster(&[
            node("full").cpu("4").memory("8Gi"),
            node("empty").cpu("4").memory("8Gi"),
            pod("old").cpu("3").memory("4Gi").node("full"),
        ]);
        let mut meter = Meter::default();
        let changes = vec![
            change(None, &waits("good")),
            bind(&waits("good"), "empty"),
            change(None, &waits("odd")),
            bind(&waits("odd"), "full"),
        ];
        sample(&mut meter, &start, 0, changes);
        assert_eq!(meter.tally.words(), "1 of the last 2 bindings as foretold");
        let miss = meter.tally.missed.clone().unwrap();
        assert_eq!(
            (miss.went_to.as_str(), miss.foretold.as_str()),
            ("full", "empty")
        );
    }

    #[test]
    fn each_binding_of_a_sample_is_decided_on_what_the_ones_before_it_left() {
        let start = cluster(&[
            node("a").cpu("4").memory("8Gi"),
            node("b").cpu("4").memory("8Gi"),
        ]);
        let mut meter = Meter::default();
        let changes = vec![bind(&waits("one"), "a"), bind(&waits("two"), "a")];
        sample(&mut meter, &start, 0, changes);
        assert_eq!(meter.tally.words(), "1 of the last 2 bindings as foretold");
        assert_eq!(meter.tally.missed.clone().unwrap().foretold, "b");
    }

    #[test]
    fn what_is_not_modelled_is_named_and_not_counted() {
        let start = cluster(&[node("a"), node("b")]);
        let mut meter = Meter::default();
        let other = pod("x").with(&serde_json::json!({"spec": {"schedulerName": "volcano"}}));
        sample(&mut meter, &start, 0, vec![bind(&other, "a")]);
        assert_eq!(meter.tally.words(), "");
        assert_eq!(meter.tally.gaps(), "1 of other schedulers");
    }

    #[test]
    fn it_rests_between_samples_and_counts_what_it_passes_by() {
        let start = cluster(&[node("a"), node("b")]);
        let mut meter = Meter::default();
        sample(&mut meter, &start, 0, vec![bind(&waits("one"), "a")]);
        assert!(!meter.may_begin(at(1)));
        meter.observe(bind(&waits("two"), "b"), at(1));
        assert_eq!(meter.tally.gaps(), "1 outside the samples");
        // Even where its look took long, it goes on at last.
        assert!(meter.may_begin(at(3_600)));
    }

    #[test]
    fn a_sample_holds_no_more_than_its_bound_and_none_after_a_list_that_came_anew() {
        let start = cluster(&[node("a"), node("b")]);
        let mut meter = Meter::default();
        meter.begin(&start, at(0));
        for _ in 0..CHANGES_MAX + 5 {
            meter.observe(change(None, &waits("one")), at(0));
        }
        assert_eq!(meter.sample.as_ref().unwrap().changes.len(), CHANGES_MAX);
        meter.lose();
        assert!(meter.ask(&Arc::new(Kept::default()), at(9)).is_none());
        assert!(meter.may_begin(at(9)));
    }

    #[test]
    fn what_is_left_of_another_cluster_is_not_counted() {
        let start = cluster(&[node("a"), node("b")]);
        let mut old = Meter::default();
        old.begin(&start, at(0));
        old.observe(bind(&waits("one"), "a"), at(0));
        let looked = old.ask(&Arc::new(Kept::default()), at(1)).unwrap().run();
        let mut meter = Meter::default();
        meter.take(looked, at(2));
        assert_eq!(meter.tally, Tally::default());
    }

    #[test]
    fn of_many_nodes_a_part_is_scored() {
        let expected = [(60, 60), (100, 100), (150, 100), (1_000, 420), (5_000, 500)];
        for (nodes, part) in expected {
            assert_eq!(scored(nodes), part, "{nodes}");
        }
    }
}
