//! Sums over the pods of a place, kept up to date pod by pod.

/// What a counter is for. Indexes are positions in the template's own lists.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Role {
    /// A `DoNotSchedule` constraint.
    Hard(usize),
    /// A `ScheduleAnyway` constraint.
    Soft(usize),
    /// A required affinity term.
    Affinity(usize),
    AntiAffinity(usize),
    /// Other pods' required anti-affinity against this template.
    Existing,
    /// Weights of preferred terms, both ways.
    Preference,
}

impl Role {
    /// Whether it decides where the pod may go, not only where it likes to.
    pub fn filters(self) -> bool {
        !matches!(self, Self::Soft(_) | Self::Preference)
    }
}

/// Sums by value of one column.
#[derive(Debug)]
pub struct Counter {
    pub role: Role,
    /// Index of the column among the template's.
    pub dimension: usize,
    /// Position among the counters of a column whose values are unique.
    pub ordinal: usize,
    pub sums: Vec<i64>,
    /// Nodes whose pods count; `None`: all.
    pub included: Option<Box<[bool]>>,
    /// For `DoNotSchedule` constraints.
    pub min: Option<Min>,
}

/// The smallest sum over the values in question, without looking at all of them.
#[derive(Debug, Default)]
pub struct Min {
    /// How many values have this sum.
    histogram: Vec<u32>,
    smallest: usize,
    /// Values that at least one counted node has.
    present: Vec<bool>,
    pub domain_count: i64,
}

impl Counter {
    pub fn add(&mut self, value: u32, amount: i64) {
        let index = value as usize;
        let Some(sum) = self.sums.get_mut(index) else {
            return;
        };
        let before = *sum;
        *sum += amount;
        let after = *sum;
        if let Some(min) = &mut self.min {
            min.change(index, before, after);
        }
    }
}

fn place(sum: i64) -> usize {
    usize::try_from(sum).unwrap_or(0)
}

impl Min {
    /// All sums are zero at first.
    pub fn new(present: Vec<bool>) -> Self {
        let domains = present.iter().filter(|present| **present).count();
        Self {
            histogram: vec![u32::try_from(domains).unwrap_or(u32::MAX)],
            smallest: 0,
            present,
            domain_count: i64::try_from(domains).unwrap_or(i64::MAX),
        }
    }

    fn change(&mut self, value: usize, before: i64, after: i64) {
        if self.present.get(value) != Some(&true) {
            return;
        }
        let (before, after) = (place(before), place(after));
        if let Some(count) = self.histogram.get_mut(before) {
            *count = count.saturating_sub(1);
        }
        if after >= self.histogram.len() {
            self.histogram.resize(after + 1, 0);
        }
        if let Some(count) = self.histogram.get_mut(after) {
            *count += 1;
        }
        if after < self.smallest {
            self.smallest = after;
        }
        while self.domain_count > 0 && self.histogram.get(self.smallest) == Some(&0) {
            self.smallest += 1;
        }
    }

    pub fn smallest(&self) -> i64 {
        i64::try_from(self.smallest).unwrap_or(i64::MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_smallest_follows_every_change() {
        let mut counter = Counter {
            role: Role::Hard(0),
            dimension: 0,
            ordinal: 0,
            sums: vec![0; 4],
            included: None,
            min: Some(Min::new(vec![true, true, false, true])),
        };
        let smallest = |counter: &Counter| counter.min.as_ref().unwrap().smallest();
        for value in [0, 1, 3, 0, 0] {
            counter.add(value, 1);
        }
        assert_eq!(smallest(&counter), 1);
        counter.add(3, -1);
        assert_eq!(smallest(&counter), 0);
        counter.add(3, 5);
        counter.add(1, 1);
        // Value 2 is no domain and stays at zero.
        assert_eq!(smallest(&counter), 2);
    }
}
