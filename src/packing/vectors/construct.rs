//! Greedy packings: many orders and measures of size, the best of them is where the search starts.
//!
//! The families are those of Panigrahy, Talwar, Uyeda and Wieder, "Heuristics for vector bin packing"
//! (2011): item-centric (first and best fit in an order of falling size) and bin-centric (fill one
//! bin after the other with the item that suits what is left of it best).

use super::instance::{Grid, Packing, fits};

/// How large an item is, of the shares of a bin that it takes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Measure {
    Sum,
    Max,
    Square,
    Product,
    /// Shares weighted by the demand for the dimension: scarce dimensions count more.
    Scarce,
    /// The same, the weights falling off exponentially.
    ScarceExponential,
}

pub const MEASURES: [Measure; 6] = [
    Measure::Sum,
    Measure::Max,
    Measure::Square,
    Measure::Product,
    Measure::Scarce,
    Measure::ScarceExponential,
];

/// Which item or bin is the best match.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Match {
    /// The first that fits.
    First,
    /// The least left over after it.
    Tight,
    /// The largest weighted product of size and what is free.
    DotProduct,
    /// The same, as the cosine of the angle between them.
    Cosine,
    /// The smallest weighted distance between size and what is free.
    Distance,
}

/// First Fit Decreasing by the sum of the shares: the yardstick.
pub fn first_fit_decreasing(instance: &super::Instance) -> Packing {
    let grid = Grid::<{ super::instance::DIMENSIONS_MAX }>::of(instance);
    item_centric(
        &grid,
        &order(&grid, Measure::Sum),
        Match::First,
        &grid.demand,
    )
}

/// The best of all greedy packings; stops early at the bound.
pub(super) fn best<const WIDTH: usize>(grid: &Grid<WIDTH>, bound: usize) -> Packing {
    let mut best: Option<Packing> = None;
    let ones = [1.0; WIDTH];
    for weights in [&grid.demand, &ones] {
        for matching in [Match::DotProduct, Match::Distance, Match::Cosine] {
            keep(&mut best, bin_centric(grid, matching, weights));
            if best.as_ref().is_some_and(|best| best.bins.len() <= bound) {
                return best.unwrap_or_default();
            }
        }
    }
    for measure in MEASURES {
        let order = order(grid, measure);
        for matching in [
            Match::First,
            Match::Tight,
            Match::DotProduct,
            Match::Distance,
        ] {
            keep(
                &mut best,
                item_centric(grid, &order, matching, &grid.demand),
            );
            if best.as_ref().is_some_and(|best| best.bins.len() <= bound) {
                return best.unwrap_or_default();
            }
        }
    }
    best.unwrap_or_default()
}

fn keep(best: &mut Option<Packing>, found: Packing) {
    let is_better = |best: &Packing| found.bins.len() < best.bins.len();
    if best.as_ref().is_none_or(is_better) {
        *best = Some(found);
    }
}

/// Item numbers by falling measure.
fn order<const WIDTH: usize>(grid: &Grid<WIDTH>, measure: Measure) -> Vec<usize> {
    let top = grid
        .demand
        .iter()
        .copied()
        .fold(0.0, f64::max)
        .max(f64::MIN_POSITIVE);
    let size = |shares: &[f64; WIDTH]| -> f64 {
        let weighted = shares.iter().zip(&grid.demand);
        match measure {
            Measure::Sum => shares.iter().sum(),
            Measure::Max => shares.iter().copied().fold(0.0, f64::max),
            Measure::Square => shares.iter().map(|share| share * share).sum(),
            Measure::Product => shares.iter().map(|share| share.max(1e-6).ln()).sum(),
            Measure::Scarce => weighted.map(|(share, demand)| share * demand).sum(),
            Measure::ScarceExponential => weighted
                .map(|(share, demand)| share * (4.0 * (demand / top - 1.0)).exp())
                .sum(),
        }
    };
    let mut order: Vec<(f64, usize)> = grid.shares.iter().map(size).zip(0..).collect();
    order.sort_by(|one, other| other.0.total_cmp(&one.0).then(one.1.cmp(&other.1)));
    order.into_iter().map(|(_, item)| item).collect()
}

/// Lower is better.
fn cost<const WIDTH: usize>(
    matching: Match,
    share: &[f64; WIDTH],
    free: &[f64; WIDTH],
    weights: &[f64; WIDTH],
) -> f64 {
    let pairs = || share.iter().zip(free).zip(weights);
    match matching {
        Match::First => 0.0,
        Match::Tight => pairs()
            .map(|((share, free), weight)| weight * (free - share))
            .sum(),
        Match::DotProduct => -pairs()
            .map(|((share, free), weight)| weight * share * free)
            .sum::<f64>(),
        Match::Cosine => {
            let dot: f64 = pairs()
                .map(|((share, free), weight)| weight * share * free)
                .sum();
            let length: f64 = share.iter().map(|share| share * share).sum();
            // The cosine alone would take the smallest of parallel items.
            -dot / length.sqrt().max(1e-9).sqrt()
        }
        Match::Distance => pairs()
            .map(|((share, free), weight)| weight * (free - share) * (free - share))
            .sum(),
    }
}

struct Open<const WIDTH: usize> {
    free: [i64; WIDTH],
    free_share: [f64; WIDTH],
    items: Vec<usize>,
}

impl<const WIDTH: usize> Open<WIDTH> {
    fn new(grid: &Grid<WIDTH>) -> Self {
        Self {
            free: grid.capacity,
            free_share: [1.0; WIDTH],
            items: Vec::new(),
        }
    }

    fn put(&mut self, item: usize, size: &[i64; WIDTH], share: &[f64; WIDTH]) {
        for (free, size) in self.free.iter_mut().zip(size) {
            *free -= size;
        }
        for (free, share) in self.free_share.iter_mut().zip(share) {
            *free -= share;
        }
        self.items.push(item);
    }
}

fn item_centric<const WIDTH: usize>(
    grid: &Grid<WIDTH>,
    order: &[usize],
    matching: Match,
    weights: &[f64; WIDTH],
) -> Packing {
    let mut bins: Vec<Open<WIDTH>> = Vec::new();
    for &item in order {
        let (Some(size), Some(share)) = (grid.sizes.get(item), grid.shares.get(item)) else {
            continue;
        };
        let mut best: Option<(f64, usize)> = None;
        for (number, bin) in bins.iter().enumerate() {
            if !fits(size, &bin.free) {
                continue;
            }
            let cost = cost(matching, share, &bin.free_share, weights);
            if best.is_none_or(|(least, _)| cost < least) {
                best = Some((cost, number));
            }
            if matching == Match::First {
                break;
            }
        }
        let number = best.map_or(bins.len(), |(_, number)| number);
        if number == bins.len() {
            bins.push(Open::new(grid));
        }
        if let Some(bin) = bins.get_mut(number) {
            bin.put(item, size, share);
        }
    }
    packing(bins)
}

fn bin_centric<const WIDTH: usize>(
    grid: &Grid<WIDTH>,
    matching: Match,
    weights: &[f64; WIDTH],
) -> Packing {
    let mut left = order(grid, Measure::Scarce);
    let mut bins: Vec<Open<WIDTH>> = Vec::new();
    while !left.is_empty() {
        let mut bin = Open::new(grid);
        loop {
            let mut best: Option<(f64, usize)> = None;
            for (place, &item) in left.iter().enumerate() {
                let (Some(size), Some(share)) = (grid.sizes.get(item), grid.shares.get(item))
                else {
                    continue;
                };
                if fits(size, &bin.free) {
                    let cost = cost(matching, share, &bin.free_share, weights);
                    if best.is_none_or(|(least, _)| cost < least) {
                        best = Some((cost, place));
                    }
                }
            }
            let Some((_, place)) = best else { break };
            let item = left.remove(place);
            if let (Some(size), Some(share)) = (grid.sizes.get(item), grid.shares.get(item)) {
                bin.put(item, size, share);
            }
        }
        bins.push(bin);
    }
    packing(bins)
}

fn packing<const WIDTH: usize>(bins: Vec<Open<WIDTH>>) -> Packing {
    Packing {
        bins: bins.into_iter().map(|bin| bin.items).collect(),
    }
}
