//! Rows in their order, by number of their slot.
//!
//! A sorted sequence that is repaired instead of sorted again: putting a row in, taking one out and
//! finding its place cost a search, whatever the number of rows. It is kept in short runs, so that
//! an insertion moves a few hundred numbers and not a hundred thousand. It knows nothing of what it
//! orders: whoever asks says what comes before.

use std::cmp::Ordering;

/// Numbers in one run at most; a full run is cut in two.
const RUN_MAX: usize = 512;

#[derive(Clone, Debug, Default)]
pub struct Sequence {
    /// None of them is empty.
    runs: Vec<Vec<u32>>,
    len: usize,
}

impl FromIterator<u32> for Sequence {
    /// Takes slots that are in order already.
    fn from_iter<I: IntoIterator<Item = u32>>(slots: I) -> Self {
        let mut sequence = Self::default();
        for slot in slots {
            sequence.len += 1;
            match sequence.runs.last_mut() {
                // Half-full runs have room for what comes later.
                Some(run) if run.len() < RUN_MAX / 2 => run.push(slot),
                _ => sequence.runs.push(vec![slot]),
            }
        }
        sequence
    }
}

impl Sequence {
    pub fn len(&self) -> usize {
        self.len
    }

    pub fn iter(&self) -> impl Iterator<Item = u32> {
        self.runs.iter().flatten().copied()
    }

    /// Everything from a place on.
    pub fn from(&self, index: usize) -> impl Iterator<Item = u32> {
        let (mut run, mut left) = (0, index);
        while let Some(length) = self.runs.get(run).map(Vec::len)
            && left >= length
        {
            left -= length;
            run += 1;
        }
        let rest = self.runs.get(run..).unwrap_or_default();
        rest.iter().flatten().copied().skip(left)
    }

    /// How a slot stands to a row is given as its order before or after that row.
    pub fn insert(&mut self, slot: u32, to_row: impl Fn(u32) -> Ordering) {
        self.len += 1;
        let (place, index) = self.place(&to_row);
        // Behind everything: at the end of the last run.
        let place = place.min(self.runs.len().saturating_sub(1));
        let Some(run) = self.runs.get_mut(place) else {
            self.runs.push(vec![slot]);
            return;
        };
        let index = if to_row_is_behind(run, &to_row) {
            run.len()
        } else {
            index
        };
        run.insert(index, slot);
        if run.len() > RUN_MAX {
            let second = run.split_off(RUN_MAX / 2);
            self.runs.insert(place + 1, second);
        }
    }

    /// Takes a slot out; `false` where it was not in its place.
    pub fn remove(&mut self, slot: u32, to_row: impl Fn(u32) -> Ordering) -> bool {
        let (place, index) = self.place(&to_row);
        let Some(run) = self.runs.get_mut(place) else {
            return false;
        };
        if run.get(index) != Some(&slot) {
            return false;
        }
        run.remove(index);
        if run.is_empty() {
            self.runs.remove(place);
        }
        self.len -= 1;
        true
    }

    /// How many come before the row, which is its place where it is here.
    pub fn position(&self, to_row: impl Fn(u32) -> Ordering) -> usize {
        let (place, index) = self.place(&to_row);
        let before: usize = self.runs.iter().take(place).map(Vec::len).sum();
        before + index
    }

    /// The run that the row belongs to, and its place there.
    fn place(&self, to_row: &impl Fn(u32) -> Ordering) -> (usize, usize) {
        let place = self
            .runs
            .partition_point(|run| to_row_is_behind(run, to_row));
        let index = self
            .runs
            .get(place)
            .map_or(0, |run| run.partition_point(|slot| to_row(*slot).is_lt()));
        (place, index)
    }
}

/// Whether all of a run come before the row.
fn to_row_is_behind(run: &[u32], to_row: &impl Fn(u32) -> Ordering) -> bool {
    run.last().is_some_and(|last| to_row(*last).is_lt())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stdx::rng::Stream;

    #[test]
    fn it_stays_in_order_whatever_comes_and_goes() {
        let mut random = Stream::new(7, "sequence");
        let mut sequence: Sequence = (0..3_000).map(|number| number * 2).collect();
        let mut expected: Vec<u32> = (0..3_000).map(|number| number * 2).collect();
        for _ in 0..5_000 {
            let slot = u32::try_from(random.below(8_000)).unwrap();
            match expected.binary_search(&slot) {
                Ok(index) => {
                    assert_eq!(sequence.position(|other| other.cmp(&slot)), index);
                    assert_eq!(sequence.from(index).next(), Some(slot));
                    assert!(sequence.remove(slot, |other| other.cmp(&slot)));
                    expected.remove(index);
                }
                Err(index) => {
                    assert!(!sequence.remove(slot, |other| other.cmp(&slot)));
                    sequence.insert(slot, |other| other.cmp(&slot));
                    expected.insert(index, slot);
                }
            }
        }
        assert_eq!(sequence.iter().collect::<Vec<_>>(), expected);
        assert_eq!(sequence.len(), expected.len());
        let tail: Vec<u32> = sequence.from(1_234).take(3).collect();
        assert_eq!(tail, expected[1_234..1_237]);
        assert_eq!(sequence.from(expected.len()).next(), None);
    }

    #[test]
    fn it_can_be_emptied_and_filled_again() {
        let mut sequence: Sequence = [3, 5].into_iter().collect();
        for slot in [3, 5] {
            assert!(sequence.remove(slot, |other| other.cmp(&slot)));
        }
        assert_eq!((sequence.len(), sequence.from(0).next()), (0, None));
        for slot in [9, 1, 4] {
            sequence.insert(slot, |other: u32| other.cmp(&slot));
        }
        assert_eq!(sequence.iter().collect::<Vec<_>>(), [1, 4, 9]);
    }
}
