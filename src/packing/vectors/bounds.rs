//! Lower bounds: how many bins every packing needs.
//!
//! Per dimension the sum of the sizes, and the same under dual feasible functions (Fekete and
//! Schepers, "New classes of fast lower bounds for bin packing problems", 2001), which is at least
//! Martello and Toth's L2. Across dimensions a set of items of which no two fit together.

use std::collections::BTreeSet;

use super::instance::Instance;

/// Cliques are grown from this many items at most.
const CLIQUE_STARTS: usize = 64;

/// The best of the bounds.
pub fn lower(instance: &Instance) -> usize {
    let by_sums = (0..instance.dimensions()).map(|dimension| {
        let sizes = sizes_in(instance, dimension);
        let capacity = instance.capacity().get(dimension).copied().unwrap_or(0);
        one_dimension(&sizes, capacity)
    });
    let least = usize::from(!instance.items().is_empty());
    by_sums.max().unwrap_or(0).max(least).max(clique(instance))
}

/// Sums of sizes alone, the largest over the dimensions.
pub fn continuous(instance: &Instance) -> usize {
    let sums = (0..instance.dimensions()).map(|dimension| {
        let total: u64 = sizes_in(instance, dimension).iter().sum();
        let capacity = instance.capacity().get(dimension).copied().unwrap_or(0);
        bins(u128::from(total), u128::from(capacity))
    });
    sums.max().unwrap_or(0)
}

fn sizes_in(instance: &Instance, dimension: usize) -> Vec<u64> {
    let items = instance.items().iter();
    items
        .map(|sizes| sizes.get(dimension).copied().unwrap_or(0))
        .collect()
}

fn bins(total: u128, capacity: u128) -> usize {
    if capacity == 0 {
        return 0;
    }
    usize::try_from(total.div_ceil(capacity)).unwrap_or(usize::MAX)
}

fn one_dimension(sizes: &[u64], capacity: u64) -> usize {
    let plain = bins(
        sizes.iter().map(|&size| u128::from(size)).sum(),
        u128::from(capacity),
    );
    let thresholds: BTreeSet<u64> = sizes
        .iter()
        .map(|&size| size.min(capacity - size))
        .chain([0])
        .collect();
    let mut best = plain;
    for &threshold in &thresholds {
        best = best.max(large_and_small(sizes, capacity, threshold));
        best = best.max(by_halves(sizes, capacity, threshold));
    }
    for parts in 2..=20 {
        best = best.max(by_parts(sizes, capacity, parts));
    }
    best
}

/// Sizes above `capacity - threshold` fill a bin, those below `threshold` count for nothing.
fn large_and_small(sizes: &[u64], capacity: u64, threshold: u64) -> usize {
    let rounded = sizes.iter().map(|&size| {
        if size > capacity - threshold {
            u128::from(capacity)
        } else if size < threshold {
            0
        } else {
            u128::from(size)
        }
    });
    bins(rounded.sum(), u128::from(capacity))
}

/// Counts in how many items of at least `threshold` a bin could hold: what is above half a bin
/// takes all that the rest of it could not (Martello and Toth's L3 function).
fn by_halves(sizes: &[u64], capacity: u64, threshold: u64) -> usize {
    if threshold == 0 {
        return 0;
    }
    let whole = u128::from(capacity / threshold);
    let rounded = sizes.iter().map(|&size| {
        if 2 * size > capacity {
            2 * (whole - u128::from((capacity - size) / threshold))
        } else if 2 * size == capacity {
            whole
        } else if size >= threshold {
            2 * u128::from(size / threshold)
        } else {
            0
        }
    });
    // With an odd number a half counts more than its share; that function is dual feasible too.
    bins(rounded.sum(), 2 * whole)
}

/// Rounds sizes up to multiples of a `parts + 1`-th of a bin, save those that are multiples.
fn by_parts(sizes: &[u64], capacity: u64, parts: u64) -> usize {
    let rounded = sizes.iter().map(|&size| {
        let scaled = u128::from(size) * u128::from(parts + 1);
        if scaled.is_multiple_of(u128::from(capacity.max(1))) {
            u128::from(size) * u128::from(parts)
        } else {
            scaled / u128::from(capacity.max(1)) * u128::from(capacity)
        }
    });
    bins(rounded.sum(), u128::from(capacity) * u128::from(parts))
}

/// Items of which no two fit in one bin, grown greedily from the largest conflicts.
fn clique(instance: &Instance) -> usize {
    let items = instance.items();
    let conflicts = |one: &[u64], other: &[u64]| {
        one.iter()
            .zip(other)
            .zip(instance.capacity())
            .any(|((one, other), &capacity)| one + other > capacity)
    };
    let mut order: Vec<(usize, &[u64])> = items
        .iter()
        .map(|item| {
            let degree = items.iter().filter(|other| conflicts(item, other)).count();
            (degree, item.as_slice())
        })
        .collect();
    order.sort_by_key(|(degree, _)| std::cmp::Reverse(*degree));
    let mut best = 0;
    for (_, start) in order.iter().take(CLIQUE_STARTS) {
        let mut members = vec![*start];
        for (_, item) in &order {
            let is_new = !std::ptr::eq(*item, *start);
            if is_new && members.iter().all(|member| conflicts(member, item)) {
                members.push(item);
            }
        }
        best = best.max(members.len());
    }
    best
}
