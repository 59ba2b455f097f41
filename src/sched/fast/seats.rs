//! Where an index keeps its nodes: refused ones by reason, the others in buckets by local score.
//!
//! A node's place is sixteen bytes, so that looking at fifty changed nodes touches fifty cache lines
//! and not hundreds: most changes leave a node's level as it is and end there.

use rustc_hash::FxHashMap;

use super::local::Out;
use crate::sched::snapshot::NodeId;

/// No bucket: the node is refused, or not there.
const NOWHERE: u32 = u32::MAX;

/// Where a node is kept.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Standing {
    /// Refused by a filter of its own.
    Out(Out),
    In {
        bucket: u32,
    },
    /// No such node, or not looked at yet.
    Absent,
}

/// The same in small.
#[derive(Clone, Copy, Debug)]
struct Seat {
    bucket: u32,
    /// Local score; of a refused node the number of its reason, -1 for an absent one.
    level: i32,
    /// Position within its level.
    place: u32,
    /// Number of its facts, for the owner of the seats.
    facts: u32,
}

const ABSENT: i32 = -1;

/// Nodes alike in all but their local score.
#[derive(Clone, Debug)]
pub struct Bucket {
    pub signature: Box<[i64]>,
    /// Sorted; none is empty.
    levels: Vec<Level>,
    pub len: usize,
    is_spare: bool,
}

#[derive(Clone, Debug)]
struct Level {
    score: i32,
    nodes: Vec<NodeId>,
}

impl Bucket {
    /// The highest local score and the nodes that have it; `None` when nobody is here.
    pub fn top(&self) -> Option<(i64, &[NodeId])> {
        let level = self.levels.last()?;
        Some((i64::from(level.score), &level.nodes))
    }
}

#[derive(Clone, Debug, Default)]
pub struct Seats {
    by_node: Vec<Seat>,
    pub buckets: Vec<Bucket>,
    by_signature: FxHashMap<Box<[i64]>, u32>,
    /// Buckets that were empty at some time and may be reused.
    spare_buckets: Vec<u32>,
    spare_lists: Vec<Vec<NodeId>>,
    /// Reasons with the number of nodes that are out for them.
    outs: Vec<(Out, usize)>,
}

impl Seats {
    /// Makes room for a node and remembers its facts.
    pub fn set_facts(&mut self, node: NodeId, facts: u32) {
        if self.by_node.len() <= node.index() {
            let absent = Seat {
                bucket: NOWHERE,
                level: ABSENT,
                place: 0,
                facts: 0,
            };
            self.by_node.resize(node.index() + 1, absent);
        }
        if let Some(seat) = self.by_node.get_mut(node.index()) {
            seat.facts = facts;
        }
    }

    pub fn facts(&self, node: NodeId) -> Option<u32> {
        self.by_node.get(node.index()).map(|seat| seat.facts)
    }

    pub fn bucket_of(&self, node: NodeId) -> Option<u32> {
        let seat = self.by_node.get(node.index())?;
        (seat.bucket != NOWHERE).then_some(seat.bucket)
    }

    pub fn standing(&self, node: NodeId) -> Standing {
        self.by_node
            .get(node.index())
            .map_or(Standing::Absent, |seat| self.shown(seat))
    }

    fn shown(&self, seat: &Seat) -> Standing {
        if seat.bucket != NOWHERE {
            return Standing::In {
                bucket: seat.bucket,
            };
        }
        let out = usize::try_from(seat.level).ok();
        match out.and_then(|number| self.outs.get(number)) {
            Some((out, _)) => Standing::Out(*out),
            None => Standing::Absent,
        }
    }

    /// All nodes in the order of their ids.
    pub fn standings(&self) -> impl Iterator<Item = (NodeId, Standing)> {
        let ids = (0..).map(NodeId);
        ids.zip(self.by_node.iter().map(|seat| self.shown(seat)))
    }

    /// Reasons of refused nodes, with how many nodes each.
    pub fn outs(&self) -> impl Iterator<Item = (Out, usize)> + '_ {
        self.outs.iter().copied().filter(|(_, count)| *count > 0)
    }

    /// The bucket of this signature, opened if there is none.
    pub fn bucket(&mut self, signature: &[i64]) -> u32 {
        if let Some(known) = self.by_signature.get(signature) {
            return *known;
        }
        let bucket = Bucket {
            signature: signature.into(),
            levels: Vec::new(),
            len: 0,
            is_spare: false,
        };
        let number = if let Some(number) = self.spare_bucket() {
            if let Some(place) = self.buckets.get_mut(number as usize) {
                self.by_signature.remove(&place.signature);
                *place = bucket;
            }
            number
        } else {
            self.buckets.push(bucket);
            u32::try_from(self.buckets.len() - 1).unwrap_or(NOWHERE)
        };
        self.by_signature.insert(signature.into(), number);
        number
    }

    fn spare_bucket(&mut self) -> Option<u32> {
        while let Some(number) = self.spare_buckets.pop() {
            let bucket = self.buckets.get_mut(number as usize)?;
            bucket.is_spare = false;
            if bucket.len == 0 {
                return Some(number);
            }
        }
        None
    }

    /// Seats a node that passes its own filters.
    pub fn put(&mut self, node: NodeId, bucket: u32, score: i32) {
        let Some(seat) = self.by_node.get(node.index()).copied() else {
            return;
        };
        if seat.bucket == bucket && seat.level == score {
            return;
        }
        self.leave(seat);
        let Some(owner) = self.buckets.get_mut(bucket as usize) else {
            return;
        };
        owner.len += 1;
        let at = match owner
            .levels
            .binary_search_by_key(&score, |level| level.score)
        {
            Ok(at) => at,
            Err(at) => {
                let nodes = self.spare_lists.pop().unwrap_or_default();
                owner.levels.insert(at, Level { score, nodes });
                at
            }
        };
        let Some(level) = owner.levels.get_mut(at) else {
            return;
        };
        level.nodes.push(node);
        let place = u32::try_from(level.nodes.len() - 1).unwrap_or(u32::MAX);
        if let Some(seat) = self.by_node.get_mut(node.index()) {
            seat.bucket = bucket;
            seat.level = score;
            seat.place = place;
        }
    }

    /// Seats a node that one of its own filters refuses.
    pub fn refuse(&mut self, node: NodeId, out: Out) {
        let Some(seat) = self.by_node.get(node.index()).copied() else {
            return;
        };
        if seat.bucket == NOWHERE && self.shown(&seat) == Standing::Out(out) {
            return;
        }
        self.leave(seat);
        let known = self.outs.iter().position(|(known, _)| *known == out);
        let number = known
            .or_else(|| self.outs.iter().position(|(_, count)| *count == 0))
            .unwrap_or(self.outs.len());
        match self.outs.get_mut(number) {
            Some((place, count)) => {
                *place = out;
                *count += 1;
            }
            None => self.outs.push((out, 1)),
        }
        if let Some(seat) = self.by_node.get_mut(node.index()) {
            seat.bucket = NOWHERE;
            seat.level = i32::try_from(number).unwrap_or(ABSENT);
        }
    }

    /// The node is gone.
    pub fn clear(&mut self, node: NodeId) {
        let Some(seat) = self.by_node.get(node.index()).copied() else {
            return;
        };
        self.leave(seat);
        if let Some(seat) = self.by_node.get_mut(node.index()) {
            seat.bucket = NOWHERE;
            seat.level = ABSENT;
        }
    }

    /// Takes a seat's node out of where it is.
    fn leave(&mut self, seat: Seat) {
        if seat.bucket == NOWHERE {
            let number = usize::try_from(seat.level).ok();
            if let Some((_, count)) = number.and_then(|number| self.outs.get_mut(number)) {
                *count -= 1;
            }
            return;
        }
        let Some(bucket) = self.buckets.get_mut(seat.bucket as usize) else {
            return;
        };
        bucket.len -= 1;
        if bucket.len == 0 && !bucket.is_spare {
            bucket.is_spare = true;
            self.spare_buckets.push(seat.bucket);
        }
        let at = bucket
            .levels
            .binary_search_by_key(&seat.level, |level| level.score);
        let Ok(at) = at else {
            return;
        };
        let Some(level) = bucket.levels.get_mut(at) else {
            return;
        };
        level.nodes.swap_remove(seat.place as usize);
        if let Some(moved) = level.nodes.get(seat.place as usize)
            && let Some(other) = self.by_node.get_mut(moved.index())
        {
            other.place = seat.place;
        }
        if level.nodes.is_empty() {
            self.spare_lists.push(bucket.levels.remove(at).nodes);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_top_follows_every_move() {
        let mut seats = Seats::default();
        let bucket = seats.bucket(&[0, 1]);
        for node in 0..4 {
            seats.set_facts(NodeId(node), 0);
            seats.put(NodeId(node), bucket, 10);
        }
        let top = |seats: &Seats| {
            let (score, nodes) = seats.buckets[bucket as usize].top().unwrap();
            let mut nodes: Vec<u32> = nodes.iter().map(|node| node.0).collect();
            nodes.sort_unstable();
            (score, nodes)
        };
        seats.put(NodeId(1), bucket, 12);
        assert_eq!(top(&seats), (12, vec![1]));
        seats.put(NodeId(1), bucket, 9);
        seats.clear(NodeId(0));
        assert_eq!(top(&seats), (10, vec![2, 3]));
        assert_eq!(seats.standing(NodeId(0)), Standing::Absent);
        assert_eq!(seats.buckets[bucket as usize].len, 3);
    }

    #[test]
    fn emptied_buckets_are_used_again() {
        let mut seats = Seats::default();
        seats.set_facts(NodeId(0), 0);
        for round in 0..100 {
            let bucket = seats.bucket(&[round]);
            seats.put(NodeId(0), bucket, 1);
        }
        assert!(seats.buckets.len() <= 2, "{}", seats.buckets.len());
        assert_eq!(seats.bucket_of(NodeId(0)), Some(seats.bucket(&[99])));
    }
}
