//! How many devices a list of shares needs at least: the linear programme of cutting stock.
//!
//! Every pattern of shares that one device can hold is a column; columns are generated as Gilmore
//! and Gomory did ("A Linear Programming Approach to the Cutting-Stock Problem", 1961). What is told
//! in the end does not rest on floating point: the dual prices become whole numbers, a knapsack in
//! whole numbers says what the dearest device costs, and no device can hold more than that.

use std::collections::BTreeMap;

use super::node::DEVICE_MILLI;

/// Pivots tried at most; the bound holds after any number of them, it only grows.
const PIVOTS_MAX: usize = 2000;
/// Whole prices are parts of this.
const SCALE: f64 = 1_000_000.0;
const EPSILON: f64 = 1e-9;

/// What shares of one size cost of a device, at least.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Price {
    pub gpu_milli: i64,
    pub count: i64,
    /// Of a device: 1 means that nothing else that costs anything goes beside it.
    pub price: f64,
}

/// The proof: prices of which no device can hold more than one.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct Devices {
    pub needed: i64,
    /// By size.
    pub prices: Vec<Price>,
}

/// The least number of devices for so many shares of each size.
pub fn needed(counts: &BTreeMap<i64, i64>) -> Devices {
    let sizes: Vec<(i64, i64)> = counts
        .iter()
        .filter(|(size, count)| (1..=DEVICE_MILLI).contains(*size) && **count > 0)
        .map(|(size, count)| (*size, *count))
        .collect();
    let mut basis = Basis::of(&sizes);
    let mut best = Devices::default();
    for _ in 0..PIVOTS_MAX {
        let prices = basis.prices();
        let found = proven(&sizes, &prices);
        if found.needed > best.needed || best.prices.is_empty() {
            best = found;
        }
        let (value, pattern) = knapsack(&sizes, &prices);
        if value <= 1.0 + EPSILON || !basis.enter(&pattern) {
            break;
        }
    }
    best
}

/// What these prices prove.
fn proven(sizes: &[(i64, i64)], prices: &[f64]) -> Devices {
    let whole: Vec<f64> = prices
        .iter()
        .map(|price| (price.max(0.0) * SCALE).floor())
        .collect();
    let (dearest, _) = knapsack(sizes, &whole);
    let counted = sizes.iter().zip(&whole);
    let total: f64 = counted
        .map(|((_, count), price)| *count as f64 * price)
        .sum();
    let dearest = dearest.max(1.0);
    // Both are whole numbers below 2^53, so that only the quotient is rounded; one part in a
    // thousand millions less never proves too much.
    let needed = (total / dearest - EPSILON).ceil();
    #[expect(
        clippy::cast_possible_truncation,
        reason = "a count of devices, at most that of the shares"
    )]
    Devices {
        needed: needed as i64,
        prices: sizes
            .iter()
            .zip(&whole)
            .map(|((gpu_milli, count), price)| Price {
                gpu_milli: *gpu_milli,
                count: *count,
                price: price / dearest,
            })
            .collect(),
    }
}

/// The dearest pattern that one device holds, and how often each size is in it.
fn knapsack(sizes: &[(i64, i64)], prices: &[f64]) -> (f64, Vec<f64>) {
    let capacity = usize::try_from(DEVICE_MILLI).unwrap_or(0);
    // By capacity: the value, and which size was taken last; none where a unit stays free.
    let mut table: Vec<(f64, Option<usize>)> = vec![(0.0, None); capacity + 1];
    let sized: Vec<(usize, f64)> = sizes
        .iter()
        .zip(prices)
        .map(|((size, _), price)| (usize::try_from(*size).unwrap_or(usize::MAX), *price))
        .collect();
    for room in 1..=capacity {
        let mut entry = (value_at(&table, room - 1), None);
        for (number, (size, price)) in sized.iter().enumerate() {
            if *size <= room && value_at(&table, room - size) + price > entry.0 + EPSILON {
                entry = (value_at(&table, room - size) + price, Some(number));
            }
        }
        if let Some(place) = table.get_mut(room) {
            *place = entry;
        }
    }
    let mut pattern = vec![0.0; sizes.len()];
    let mut room = capacity;
    while room > 0 {
        let taken = table.get(room).and_then(|entry| entry.1);
        let size = taken
            .and_then(|number| sized.get(number))
            .map_or(1, |entry| entry.0);
        if let Some(count) = taken.and_then(|number| pattern.get_mut(number)) {
            *count += 1.0;
        }
        room = room.saturating_sub(size.max(1));
    }
    (value_at(&table, capacity), pattern)
}

fn value_at(table: &[(f64, Option<usize>)], room: usize) -> f64 {
    table.get(room).map_or(0.0, |entry| entry.0)
}

/// As many patterns as sizes, by the inverse of their matrix.
struct Basis {
    inverse: Vec<Vec<f64>>,
    /// How many devices of each pattern.
    amounts: Vec<f64>,
}

impl Basis {
    /// Every device holds shares of one size.
    fn of(sizes: &[(i64, i64)]) -> Self {
        let row = |number: usize, size: i64| {
            let mut row = vec![0.0; sizes.len()];
            if let Some(place) = row.get_mut(number) {
                *place = 1.0 / (DEVICE_MILLI / size) as f64;
            }
            row
        };
        let numbered = sizes.iter().enumerate();
        Self {
            inverse: numbered
                .map(|(number, (size, _))| row(number, *size))
                .collect(),
            amounts: sizes
                .iter()
                .map(|(size, count)| *count as f64 / (DEVICE_MILLI / size) as f64)
                .collect(),
        }
    }

    /// The dual prices: every pattern costs one device.
    fn prices(&self) -> Vec<f64> {
        let mut prices = vec![0.0; self.amounts.len()];
        for row in &self.inverse {
            for (price, part) in prices.iter_mut().zip(row) {
                *price += part;
            }
        }
        prices
    }

    /// Takes a pattern in and another out; `false` when none can leave.
    fn enter(&mut self, pattern: &[f64]) -> bool {
        let dot = |row: &Vec<f64>| -> f64 {
            row.iter()
                .zip(pattern)
                .map(|(part, count)| part * count)
                .sum()
        };
        let change: Vec<f64> = self.inverse.iter().map(dot).collect();
        let leaving = change
            .iter()
            .zip(&self.amounts)
            .enumerate()
            .filter(|(_, (change, _))| **change > EPSILON)
            .map(|(number, (change, amount))| (amount / change, number))
            .min_by(|one, other| one.0.total_cmp(&other.0).then(one.1.cmp(&other.1)));
        let Some((amount, number)) = leaving else {
            return false;
        };
        let Some(pivot) = change.get(number).copied() else {
            return false;
        };
        let Some(row) = self.inverse.get(number) else {
            return false;
        };
        let entering: Vec<f64> = row.iter().map(|part| part / pivot).collect();
        let rows = self.inverse.iter_mut().zip(&mut self.amounts);
        for (place, ((row, held), change)) in rows.zip(&change).enumerate() {
            if place == number {
                row.clone_from(&entering);
                *held = amount;
                continue;
            }
            *held -= amount * change;
            for (part, entering) in row.iter_mut().zip(&entering) {
                *part -= change * entering;
            }
        }
        true
    }
}
