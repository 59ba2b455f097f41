//! Searching: a snapshot of the store, read block by block.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};
use std::fs::File;
use std::ops::ControlFlow;
use std::sync::Arc;

use super::block;
use super::grep::Grep;
use super::line::{Labels, Line};
use super::segment::{Block, Segment};
use crate::k8s::LabelSelector;

/// Lines that wait for their turn in time; more than that come as they were taken in.
const ORDERED_MAX: usize = 65_536;

/// Which lines; what is not said holds for all.
#[derive(Clone, Debug, Default)]
pub struct Query {
    pub namespace: Option<String>,
    /// Names of pods; none: all.
    pub pods: Vec<String>,
    pub container: Option<String>,
    pub node: Option<String>,
    pub selector: Option<LabelSelector>,
    /// Nanoseconds since the epoch, inclusive.
    pub since: Option<i64>,
    /// Exclusive.
    pub until: Option<i64>,
    pub grep: Option<Grep>,
    /// Only lines with this number or a higher one.
    pub from_number: u64,
}

impl Query {
    fn wants(&self, labels: &Labels) -> bool {
        let is = |wanted: &Option<String>, value: &str| {
            wanted.as_ref().is_none_or(|wanted| wanted == value)
        };
        is(&self.namespace, &labels.namespace)
            && is(&self.container, &labels.container)
            && is(&self.node, &labels.node)
            && (self.pods.is_empty() || self.pods.contains(&labels.pod))
            && self.selector.as_ref().is_none_or(|selector| {
                let pairs = labels.labels.iter();
                selector.matches(
                    &pairs
                        .map(|(key, value)| (key.into(), value.into()))
                        .collect(),
                )
            })
    }

    fn overlaps(&self, from: i64, to: i64) -> bool {
        self.since.is_none_or(|since| to >= since) && self.until.is_none_or(|until| from < until)
    }

    fn holds(&self, at: i64) -> bool {
        self.since.is_none_or(|since| at >= since) && self.until.is_none_or(|until| at < until)
    }
}

/// What a search says beside the lines.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Answer {
    pub lines: u64,
    /// Lines that are damaged on disk and were left out, by file.
    pub problems: Vec<String>,
}

/// Lines that are not on disk yet.
#[derive(Clone, Debug)]
pub(super) struct Pending {
    pub raw: Arc<Vec<u8>>,
    pub first: u64,
    pub streams: BTreeMap<u32, Arc<Labels>>,
}

/// The store as it was at one moment. A segment that is dropped meanwhile is not found any more.
#[derive(Clone, Debug)]
pub struct Reader {
    pub(super) segments: Vec<Segment>,
    pub(super) pending: Pending,
    pub(super) next: u64,
    pub(super) durable: u64,
}

/// Lines by time; those of one time in the order in which they came.
#[derive(PartialEq, Eq)]
struct Timed(Line);

impl Ord for Timed {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        (self.0.at, self.0.number).cmp(&(other.0.at, other.0.number))
    }
}

impl PartialOrd for Timed {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

/// One place to look into, with what is known of it.
struct Place<'a> {
    block: Option<(&'a Segment, &'a Block)>,
    from: i64,
    to: i64,
}

impl Reader {
    /// The number that the next line will have.
    pub fn next_number(&self) -> u64 {
        self.next
    }

    /// The number of the oldest line that is kept.
    pub fn first_number(&self) -> u64 {
        let mut blocks = self.segments.iter().flat_map(|segment| &segment.blocks);
        blocks
            .next()
            .map_or(self.pending.first, |block| block.first)
    }

    /// Every line that the query wants, the oldest first, until `take` breaks off.
    pub fn search(&self, query: &Query, take: &mut dyn FnMut(Line) -> ControlFlow<()>) -> Answer {
        let places = self.places(query);
        // What comes after a place may be older than what is in it.
        let mut from_on: Vec<i64> = Vec::with_capacity(places.len());
        for place in places.iter().rev() {
            let later = from_on.last().copied().unwrap_or(i64::MAX);
            from_on.push(later.min(place.from));
        }
        from_on.reverse();
        let mut answer = Answer::default();
        let mut waiting: BinaryHeap<Reverse<Timed>> = BinaryHeap::new();
        for (index, place) in places.iter().enumerate() {
            self.look(place, query, &mut answer, &mut |line| {
                waiting.push(Reverse(Timed(line)));
            });
            let until = from_on.get(index + 1).copied().unwrap_or(i64::MAX);
            let is_last = index + 1 == places.len();
            while let Some(Reverse(first)) = waiting.peek() {
                let is_due = is_last || first.0.at < until || waiting.len() > ORDERED_MAX;
                if !is_due {
                    break;
                }
                let Some(Reverse(Timed(line))) = waiting.pop() else {
                    break;
                };
                answer.lines += 1;
                if take(line).is_break() {
                    return answer;
                }
            }
        }
        answer
    }

    /// The newest lines that the query wants, the oldest of them first.
    pub fn last(&self, query: &Query, count: usize) -> (Vec<Line>, Answer) {
        let mut places = self.places(query);
        places.sort_by_key(|place| place.to);
        let mut answer = Answer::default();
        let mut kept: BinaryHeap<Reverse<Timed>> = BinaryHeap::new();
        for place in places.iter().rev() {
            let is_enough = kept.len() >= count
                && kept
                    .peek()
                    .is_none_or(|Reverse(oldest)| place.to < oldest.0.at);
            if is_enough {
                break;
            }
            self.look(place, query, &mut answer, &mut |line| {
                kept.push(Reverse(Timed(line)));
                if kept.len() > count {
                    kept.pop();
                }
            });
        }
        let mut lines = kept.into_vec();
        lines.sort_by(|one, other| other.cmp(one));
        answer.lines = lines.len() as u64;
        (
            lines.into_iter().map(|Reverse(Timed(line))| line).collect(),
            answer,
        )
    }

    /// Lines on disk, in the order of their numbers, from one on: for those who pass them on. Stops
    /// after the block in which `bytes` are reached, and says from where to go on.
    pub fn durable_from(&self, from: u64, bytes: usize) -> (Vec<Line>, u64) {
        let query = Query {
            from_number: from,
            ..Query::default()
        };
        let (mut lines, mut size, mut next) = (Vec::new(), 0, from);
        let mut ignored = Answer::default();
        for place in self.places(&query) {
            let Some((_, block)) = place.block else { break };
            if block.end() > self.durable || size >= bytes {
                break;
            }
            self.look(&place, &query, &mut ignored, &mut |line| {
                size += line.text.len();
                lines.push(line);
            });
            next = block.end();
        }
        (lines, next)
    }

    /// The places that may hold what is wanted, in the order in which they were written.
    fn places(&self, query: &Query) -> Vec<Place<'_>> {
        let mut places = Vec::new();
        for segment in &self.segments {
            let wanted: Vec<u32> = segment
                .streams
                .iter()
                .filter(|(_, labels)| query.wants(labels))
                .map(|(id, _)| *id)
                .collect();
            let blocks = segment.blocks.iter().filter(|block| {
                block.end() > query.from_number
                    && query.overlaps(block.from, block.to)
                    && block.streams.iter().any(|id| wanted.contains(id))
            });
            places.extend(blocks.map(|block| Place {
                block: Some((segment, block)),
                from: block.from,
                to: block.to,
            }));
        }
        let times = || block::entries(&self.pending.raw).map(|entry| entry.at);
        if let (Some(from), Some(to)) = (times().min(), times().max()) {
            places.push(Place {
                block: None,
                from,
                to,
            });
        }
        places
    }

    fn look(&self, place: &Place, query: &Query, answer: &mut Answer, take: &mut dyn FnMut(Line)) {
        let Some((segment, block)) = place.block else {
            let find = |id: u32| self.pending.streams.get(&id).cloned();
            return pick(&self.pending.raw, self.pending.first, query, &find, take);
        };
        let raw = match File::open(&segment.path) {
            Ok(mut file) => Segment::expand(&mut file, block),
            // Dropped meanwhile: it is too old now.
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return,
            Err(_unreadable) => None,
        };
        let Some(raw) = raw else {
            answer.problems.push(format!(
                "{} lines in `{}` are damaged and were left out",
                block.count,
                segment.path.display()
            ));
            return;
        };
        let find = |id: u32| segment.streams.get(&id).cloned();
        pick(&raw, block.first, query, &find, take);
    }
}

/// The wanted lines of an expanded block.
fn pick(
    raw: &[u8],
    first: u64,
    query: &Query,
    find: &dyn Fn(u32) -> Option<Arc<Labels>>,
    take: &mut dyn FnMut(Line),
) {
    if let Some(grep) = &query.grep
        && !block::texts(raw).is_some_and(|texts| grep.may_match(texts))
    {
        return;
    }
    let mut known: BTreeMap<u32, Option<Arc<Labels>>> = BTreeMap::new();
    for (number, entry) in (first..).zip(block::entries(raw)) {
        let labels = known
            .entry(entry.stream)
            .or_insert_with(|| find(entry.stream).filter(|labels| query.wants(labels)));
        let Some(labels) = labels else { continue };
        let is_wanted = number >= query.from_number
            && query.holds(entry.at)
            && query
                .grep
                .as_ref()
                .is_none_or(|grep| grep.is_match(entry.text));
        if is_wanted {
            take(Line {
                number,
                at: entry.at,
                labels: Arc::clone(labels),
                is_error: entry.is_error,
                text: entry.text.to_vec(),
            });
        }
    }
}
