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
#[derive(Clone, Debug)]
pub struct Counter {
    pub role: Role,
    /// Index of the column among the template's.
    pub dimension: usize,
    /// Position among the counters of a column whose values are unique.
    pub ordinal: usize,
    pub sums: Vec<i64>,
    /// Nodes whose pods count; `None`: all.
    pub included: Option<Vec<bool>>,
    /// For `DoNotSchedule` constraints.
    pub min: Option<Min>,
}

/// The smallest sum over the values in question, without looking at all of them.
#[derive(Clone, Debug, Default)]
pub struct Min {
    /// How many values have this sum.
    histogram: Vec<u32>,
    smallest: usize,
    /// How many counted nodes have each value; values without any are no domains.
    holders: Vec<u32>,
    pub domain_count: i64,
}

impl Counter {
    pub fn add(&mut self, value: u32, amount: i64) {
        let index = value as usize;
        if index >= self.sums.len() {
            self.sums.resize(index + 1, 0);
        }
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

    /// Whether the pods of a node count.
    pub fn includes(&self, node: usize) -> bool {
        self.included
            .as_ref()
            .is_none_or(|included| included.get(node) == Some(&true))
    }

    /// A node that is counted came to a value or left it.
    pub fn hold(&mut self, value: u32, comes: bool) {
        let sum = self.sums.get(value as usize).copied().unwrap_or(0);
        if let Some(min) = &mut self.min {
            min.hold(value as usize, sum, comes);
        }
    }
}

fn place(sum: i64) -> usize {
    usize::try_from(sum).unwrap_or(0)
}

impl Min {
    fn hold(&mut self, value: usize, sum: i64, comes: bool) {
        if value >= self.holders.len() {
            self.holders.resize(value + 1, 0);
        }
        let Some(holders) = self.holders.get_mut(value) else {
            return;
        };
        let was_domain = *holders > 0;
        *holders = if comes {
            holders.saturating_add(1)
        } else {
            holders.saturating_sub(1)
        };
        let is_domain = *holders > 0;
        if was_domain == is_domain {
            return;
        }
        if is_domain {
            self.domain_count += 1;
            self.enter(place(sum));
        } else {
            self.domain_count -= 1;
            self.leave(place(sum));
        }
        self.settle();
    }

    fn enter(&mut self, sum: usize) {
        if sum >= self.histogram.len() {
            self.histogram.resize(sum + 1, 0);
        }
        if let Some(count) = self.histogram.get_mut(sum) {
            *count += 1;
        }
        if sum < self.smallest {
            self.smallest = sum;
        }
    }

    fn leave(&mut self, sum: usize) {
        if let Some(count) = self.histogram.get_mut(sum) {
            *count = count.saturating_sub(1);
        }
    }

    fn settle(&mut self) {
        if self.domain_count == 0 {
            // Whatever comes next is the smallest.
            self.smallest = usize::MAX;
        }
        while self.domain_count > 0 && self.histogram.get(self.smallest) == Some(&0) {
            self.smallest += 1;
        }
    }

    fn change(&mut self, value: usize, before: i64, after: i64) {
        if self.holders.get(value).is_none_or(|holders| *holders == 0) {
            return;
        }
        self.leave(place(before));
        self.enter(place(after));
        self.settle();
    }

    pub fn smallest(&self) -> i64 {
        if self.domain_count == 0 {
            return 0;
        }
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
            min: Some(Min::default()),
        };
        for value in [0, 1, 3] {
            counter.hold(value, true);
        }
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
        counter.hold(2, true);
        assert_eq!(smallest(&counter), 0);
        for value in [1, 2] {
            counter.hold(value, false);
        }
        assert_eq!(smallest(&counter), 3);
        for value in [0, 3] {
            counter.hold(value, false);
        }
        assert_eq!(smallest(&counter), 0);
        counter.hold(3, true);
        assert_eq!(smallest(&counter), 5);
    }
}
