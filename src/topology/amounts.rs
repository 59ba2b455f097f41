//! Cpu, memory and pod slots: the three dimensions that every picture of packing shows.
//!
//! Extended resources stay with the scheduler; a picture of them reads the node's own columns.

use std::ops::{Add, AddAssign, Sub};

use crate::k8s::resource_list::ResourceList;

#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub struct Amounts {
    pub cpu_milli: i64,
    pub memory_bytes: i64,
    pub pods: i64,
}

impl Amounts {
    pub fn of(resources: &ResourceList, pods: i64) -> Self {
        Self {
            cpu_milli: resources.cpu_milli,
            memory_bytes: resources.memory_bytes,
            pods,
        }
    }

    /// Negative dimensions become zero: an over-committed node has nothing free.
    #[must_use]
    pub fn at_least_zero(self) -> Self {
        Self {
            cpu_milli: self.cpu_milli.max(0),
            memory_bytes: self.memory_bytes.max(0),
            pods: self.pods.max(0),
        }
    }

    /// How many of `shape` fit into this much room; a dimension that `shape` does not ask for
    /// does not limit. A pod always takes one slot.
    pub fn fits(self, shape: Self) -> u64 {
        let times = |room: i64, each: i64| {
            if each > 0 {
                room.max(0) / each
            } else {
                i64::MAX
            }
        };
        let count = times(self.cpu_milli, shape.cpu_milli)
            .min(times(self.memory_bytes, shape.memory_bytes))
            .min(times(self.pods, shape.pods.max(1)));
        u64::try_from(count).unwrap_or(0)
    }

    /// `self` as shares of `whole`: cpu, memory. Nothing of nothing is 0.
    pub fn shares_of(self, whole: Self) -> (f64, f64) {
        (
            share(self.cpu_milli, whole.cpu_milli),
            share(self.memory_bytes, whole.memory_bytes),
        )
    }

    /// The share of the dimension that is fullest, pod slots included.
    pub fn fullest_of(self, whole: Self) -> f64 {
        let (cpu, memory) = self.shares_of(whole);
        cpu.max(memory).max(share(self.pods, whole.pods))
    }
}

/// A part of a whole between 0 and, when over-committed, more than 1.
pub fn share(part: i64, whole: i64) -> f64 {
    if whole > 0 {
        part as f64 / whole as f64
    } else {
        0.0
    }
}

impl Add for Amounts {
    type Output = Self;
    fn add(self, other: Self) -> Self {
        Self {
            cpu_milli: self.cpu_milli.saturating_add(other.cpu_milli),
            memory_bytes: self.memory_bytes.saturating_add(other.memory_bytes),
            pods: self.pods.saturating_add(other.pods),
        }
    }
}

impl Sub for Amounts {
    type Output = Self;
    fn sub(self, other: Self) -> Self {
        Self {
            cpu_milli: self.cpu_milli.saturating_sub(other.cpu_milli),
            memory_bytes: self.memory_bytes.saturating_sub(other.memory_bytes),
            pods: self.pods.saturating_sub(other.pods),
        }
    }
}

impl AddAssign for Amounts {
    fn add_assign(&mut self, other: Self) {
        *self = *self + other;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(room: (i64, i64, i64), shape: (i64, i64), expected: u64) {
        let room = Amounts {
            cpu_milli: room.0,
            memory_bytes: room.1,
            pods: room.2,
        };
        let shape = Amounts {
            cpu_milli: shape.0,
            memory_bytes: shape.1,
            pods: 1,
        };
        assert_eq!(room.fits(shape), expected);
    }

    #[test]
    fn the_scarcest_dimension_decides_how_many_fit() {
        check((4000, 100, 50), (500, 10), 8);
        check((4000, 100, 50), (500, 30), 3);
        check((4000, 100, 2), (500, 10), 2);
        check((4000, 100, 50), (0, 0), 50);
        check((-1, 100, 50), (500, 10), 0);
    }
}
