//! What is to be packed, what a packing is, and the check that holds one against the other.
//!
//! [`check`] reads nothing but the instance and the packing: it shares no code with the search.

use thiserror::Error;

/// More dimensions than this are refused.
pub const DIMENSIONS_MAX: usize = 16;

/// Sizes and capacities stay below this, so that sums over a million items cannot overflow.
const SIZE_MAX: u64 = 1 << 42;

/// Items and the capacity of every bin.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Instance {
    capacity: Vec<u64>,
    items: Vec<Vec<u64>>,
}

#[derive(Clone, PartialEq, Eq, Debug, Error)]
pub enum InstanceError {
    #[error("{0} dimensions, at most {DIMENSIONS_MAX} can be packed")]
    TooManyDimensions(usize),
    #[error("item {item} has {found} sizes where bins have {wanted} capacities")]
    Dimensions {
        item: usize,
        found: usize,
        wanted: usize,
    },
    #[error("item {item} needs {size} in dimension {dimension}, a bin has {capacity}")]
    TooLarge {
        item: usize,
        dimension: usize,
        size: u64,
        capacity: u64,
    },
    #[error("capacity {0} is not below 2^42")]
    Capacity(u64),
}

impl Instance {
    /// Refuses items that fit no bin: no packing would hold them.
    pub fn new(capacity: Vec<u64>, items: Vec<Vec<u64>>) -> Result<Self, InstanceError> {
        if capacity.len() > DIMENSIONS_MAX {
            return Err(InstanceError::TooManyDimensions(capacity.len()));
        }
        if let Some(&large) = capacity.iter().find(|&&capacity| capacity >= SIZE_MAX) {
            return Err(InstanceError::Capacity(large));
        }
        for (item, sizes) in items.iter().enumerate() {
            if sizes.len() != capacity.len() {
                return Err(InstanceError::Dimensions {
                    item,
                    found: sizes.len(),
                    wanted: capacity.len(),
                });
            }
            let over = sizes.iter().zip(&capacity).enumerate();
            for (dimension, (&size, &capacity)) in over {
                if size > capacity {
                    return Err(InstanceError::TooLarge {
                        item,
                        dimension,
                        size,
                        capacity,
                    });
                }
            }
        }
        Ok(Self { capacity, items })
    }

    pub fn dimensions(&self) -> usize {
        self.capacity.len()
    }

    pub fn capacity(&self) -> &[u64] {
        &self.capacity
    }

    pub fn items(&self) -> &[Vec<u64>] {
        &self.items
    }
}

/// Bins as lists of item numbers.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Packing {
    pub bins: Vec<Vec<usize>>,
}

/// What is wrong with a packing.
#[derive(Clone, PartialEq, Eq, Debug, Error)]
pub enum PackingError {
    #[error("item {0} lies in {1} bins")]
    Times(usize, usize),
    #[error("bin {bin} holds {load} of {capacity} in dimension {dimension}")]
    Overfull {
        bin: usize,
        dimension: usize,
        load: u64,
        capacity: u64,
    },
    #[error("bin {0} holds an item that does not exist")]
    Unknown(usize),
}

/// Every item lies in exactly one bin, and no bin is overfull.
pub fn check(instance: &Instance, packing: &Packing) -> Result<(), PackingError> {
    let mut times = vec![0; instance.items.len()];
    for (number, bin) in packing.bins.iter().enumerate() {
        let mut loads = vec![0; instance.capacity.len()];
        for &item in bin {
            let (Some(times), Some(sizes)) = (times.get_mut(item), instance.items.get(item)) else {
                return Err(PackingError::Unknown(number));
            };
            *times += 1;
            for (load, size) in loads.iter_mut().zip(sizes) {
                *load += size;
            }
        }
        for (dimension, (&load, &capacity)) in loads.iter().zip(&instance.capacity).enumerate() {
            if load > capacity {
                return Err(PackingError::Overfull {
                    bin: number,
                    dimension,
                    load,
                    capacity,
                });
            }
        }
    }
    match times.iter().position(|&times| times != 1) {
        Some(item) => Err(PackingError::Times(
            item,
            times.get(item).copied().unwrap_or(0),
        )),
        None => Ok(()),
    }
}

/// The instance as the search reads it: rows of one fixed width, whole and as shares of a bin.
#[derive(Clone, Debug)]
pub(super) struct Grid<const WIDTH: usize> {
    pub capacity: [i64; WIDTH],
    pub sizes: Vec<[i64; WIDTH]>,
    pub shares: Vec<[f64; WIDTH]>,
    /// The mean share over the dimensions that are used at all, weighted by how scarce each is.
    pub volumes: Vec<f64>,
    /// The sum of all items' shares of a bin, by dimension.
    pub demand: [f64; WIDTH],
}

impl<const WIDTH: usize> Grid<WIDTH> {
    pub fn of(instance: &Instance) -> Self {
        let capacity = row(&instance.capacity);
        let sizes: Vec<[i64; WIDTH]> = instance.items.iter().map(|sizes| row(sizes)).collect();
        let shares: Vec<[f64; WIDTH]> = sizes.iter().map(|size| share(size, &capacity)).collect();
        let mut demand = [0.0; WIDTH];
        for shares in &shares {
            for (total, share) in demand.iter_mut().zip(shares) {
                *total += share;
            }
        }
        let scale = demand.iter().sum::<f64>().max(f64::MIN_POSITIVE);
        let volumes = shares
            .iter()
            .map(|shares| {
                let weighted = shares.iter().zip(&demand);
                weighted.map(|(share, total)| share * total).sum::<f64>() / scale
            })
            .collect();
        Self {
            capacity,
            sizes,
            shares,
            volumes,
            demand,
        }
    }
}

fn row<const WIDTH: usize>(values: &[u64]) -> [i64; WIDTH] {
    let mut row = [0; WIDTH];
    for (cell, &value) in row.iter_mut().zip(values) {
        *cell = i64::try_from(value).unwrap_or(i64::MAX);
    }
    row
}

pub(super) fn share<const WIDTH: usize>(
    size: &[i64; WIDTH],
    capacity: &[i64; WIDTH],
) -> [f64; WIDTH] {
    let mut shares = [0.0; WIDTH];
    for (share, (&size, &capacity)) in shares.iter_mut().zip(size.iter().zip(capacity)) {
        *share = size as f64 / capacity.max(1) as f64;
    }
    shares
}

/// Whether the size fits what is free, in every dimension.
#[inline]
pub(super) fn fits<const WIDTH: usize>(size: &[i64; WIDTH], free: &[i64; WIDTH]) -> bool {
    // Without a branch a dimension: the sign of any difference tells.
    let signs = size
        .iter()
        .zip(free)
        .fold(0, |signs, (size, free)| signs | (free - size));
    signs >= 0
}
