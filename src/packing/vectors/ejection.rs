//! Guided ejection search: one bin is taken away and its items are put into the others, throwing out
//! items that proved easy to place for items that proved hard.
//!
//! After Nagata and Bräysy, "A powerful route minimization heuristic for the vehicle routing problem
//! with time windows" (2009): every item has a count of how often it could not be placed, the set
//! thrown out is the one with the smallest sum of counts, and between two ejections the packing is
//! shaken by random moves that keep it feasible.

#![expect(
    clippy::indexing_slicing,
    reason = "dense rows indexed by item and bin numbers that this module hands out itself"
)]

use super::instance::{Grid, Packing, fits};
use crate::stdx::rng::Stream;

/// Random moves tried between two ejections.
const SHAKES: usize = 200;
/// Items thrown out of a bin at once.
const EJECTED_MAX: usize = 3;
/// The caller's deadline is asked for every so many ejections.
const ASK_EVERY: u64 = 64;

pub struct Budget<'a> {
    /// Ejections that may still be tried.
    pub steps: u64,
    pub go_on: &'a mut dyn FnMut() -> bool,
}

impl Budget<'_> {
    fn take(&mut self) -> bool {
        if self.steps == 0 || (self.steps.is_multiple_of(ASK_EVERY) && !(self.go_on)()) {
            return false;
        }
        self.steps -= 1;
        true
    }
}

/// The packing in one bin fewer, if the search finds it within the budget.
pub(super) fn without_one_bin<const WIDTH: usize>(
    grid: &Grid<WIDTH>,
    packing: &Packing,
    budget: &mut Budget<'_>,
    stream: &mut Stream,
) -> Option<Packing> {
    let mut search = Search::new(grid, packing, stream);
    loop {
        search.insert_what_fits();
        let Some(item) = search.outside.pop() else {
            return Some(Packing { bins: search.bins });
        };
        if search.bins.is_empty() || !budget.take() {
            return None;
        }
        search.counts[item] += 1;
        search.force(item);
        search.shake();
    }
}

/// A set of items to throw out of a bin.
#[derive(Clone, Copy, Debug)]
struct Ejection {
    bin: usize,
    items: [usize; EJECTED_MAX],
    length: usize,
    count: u32,
    volume: f64,
}

struct Search<'a, const WIDTH: usize> {
    grid: &'a Grid<WIDTH>,
    bins: Vec<Vec<usize>>,
    free: Vec<[i64; WIDTH]>,
    /// The bin of an item that has one.
    place: Vec<usize>,
    /// Items without a bin; the last one is next.
    outside: Vec<usize>,
    /// How often an item could not be placed.
    counts: Vec<u32>,
    stream: &'a mut Stream,
}

impl<'a, const WIDTH: usize> Search<'a, WIDTH> {
    /// Takes the bin away whose items are the smallest together.
    fn new(grid: &'a Grid<WIDTH>, packing: &Packing, stream: &'a mut Stream) -> Self {
        let mut bins = packing.bins.clone();
        let volume = |bin: &Vec<usize>| bin.iter().map(|&item| grid.volumes[item]).sum::<f64>();
        let least = bins
            .iter()
            .map(volume)
            .zip(0..)
            .min_by(|one, other| one.0.total_cmp(&other.0));
        let mut outside =
            least.map_or_else(Vec::new, |(_, bin): (f64, usize)| bins.swap_remove(bin));
        outside.sort_by(|&one, &other| grid.volumes[one].total_cmp(&grid.volumes[other]));
        let mut search = Self {
            grid,
            free: vec![grid.capacity; bins.len()],
            place: vec![usize::MAX; grid.sizes.len()],
            counts: vec![1; grid.sizes.len()],
            bins: vec![Vec::new(); bins.len()],
            outside,
            stream,
        };
        for (number, bin) in bins.iter().enumerate() {
            for &item in bin {
                search.put(item, number);
            }
        }
        search
    }

    fn put(&mut self, item: usize, bin: usize) {
        for (free, size) in self.free[bin].iter_mut().zip(&self.grid.sizes[item]) {
            *free -= size;
        }
        self.bins[bin].push(item);
        self.place[item] = bin;
    }

    fn take(&mut self, item: usize) {
        let bin = self.place[item];
        for (free, size) in self.free[bin].iter_mut().zip(&self.grid.sizes[item]) {
            *free += size;
        }
        if let Some(slot) = self.bins[bin].iter().position(|&other| other == item) {
            self.bins[bin].swap_remove(slot);
        }
        self.place[item] = usize::MAX;
    }

    fn below(&mut self, bound: usize) -> usize {
        usize::try_from(self.stream.below(bound as u64)).unwrap_or(0)
    }

    fn insert_what_fits(&mut self) {
        let mut next = self.outside.len();
        while next > 0 {
            next -= 1;
            let item = self.outside[next];
            let size = &self.grid.sizes[item];
            if let Some(bin) = self.free.iter().position(|free| fits(size, free)) {
                self.outside.remove(next);
                self.put(item, bin);
            }
        }
    }

    /// Puts the item into the bin where the least has to leave for it.
    fn force(&mut self, item: usize) {
        let start = self.below(self.bins.len());
        let mut best: Option<Ejection> = None;
        for offset in 0..self.bins.len() {
            let bin = (start + offset) % self.bins.len();
            self.cheapest(item, bin, &mut best);
        }
        let Some(ejection) = best else {
            // Only after a larger set than is tried would it fit: it waits at the bottom.
            self.outside.insert(0, item);
            return;
        };
        for &ejected in &ejection.items[..ejection.length] {
            self.take(ejected);
            self.outside.push(ejected);
        }
        self.put(item, ejection.bin);
    }

    /// Improves `best` with the sets of this bin's items that make room for the item.
    fn cheapest(&self, item: usize, bin: usize, best: &mut Option<Ejection>) {
        let members = &self.bins[bin];
        let size = &self.grid.sizes[item];
        let room = self.free[bin];
        let mut chosen = [0; EJECTED_MAX];
        self.extend(
            Extension { members, size, bin },
            (0, 0),
            (room, 0, 0.0),
            &mut chosen,
            best,
        );
    }

    fn extend(
        &self,
        extension: Extension<'_, WIDTH>,
        (from, length): (usize, usize),
        (room, count, volume): ([i64; WIDTH], u32, f64),
        chosen: &mut [usize; EJECTED_MAX],
        best: &mut Option<Ejection>,
    ) {
        for (index, &member) in extension.members.iter().enumerate().skip(from) {
            let count = count + self.counts[member];
            let volume = volume + self.grid.volumes[member];
            let is_worse = best.as_ref().is_some_and(|best| {
                count > best.count || (count == best.count && volume >= best.volume)
            });
            if is_worse {
                continue;
            }
            let mut room = room;
            for (room, size) in room.iter_mut().zip(&self.grid.sizes[member]) {
                *room += size;
            }
            chosen[length] = member;
            if fits(extension.size, &room) {
                *best = Some(Ejection {
                    bin: extension.bin,
                    items: *chosen,
                    length: length + 1,
                    count,
                    volume,
                });
            } else if length + 1 < EJECTED_MAX {
                self.extend(
                    extension,
                    (index + 1, length + 1),
                    (room, count, volume),
                    chosen,
                    best,
                );
            }
        }
    }

    /// Moves and swaps at random that keep every bin within its capacity.
    fn shake(&mut self) {
        for _ in 0..SHAKES {
            let item = self.below(self.place.len());
            let from = self.place[item];
            let to = self.below(self.bins.len());
            if from == usize::MAX || from == to {
                continue;
            }
            if self.bins[to].is_empty() || fits(&self.grid.sizes[item], &self.free[to]) {
                self.take(item);
                self.put(item, to);
                continue;
            }
            let index = self.below(self.bins[to].len());
            let other = self.bins[to][index];
            if self.may_swap(item, from, other, to) {
                self.take(item);
                self.take(other);
                self.put(item, to);
                self.put(other, from);
            }
        }
    }

    fn may_swap(&self, item: usize, from: usize, other: usize, to: usize) -> bool {
        let (size, against) = (&self.grid.sizes[item], &self.grid.sizes[other]);
        let rows = size.iter().zip(against);
        let rows = rows.zip(self.free[from].iter().zip(&self.free[to]));
        let signs = rows.fold(0, |signs, ((size, against), (from, to))| {
            let difference = size - against;
            signs | (from + difference) | (to - difference)
        });
        signs >= 0
    }
}

#[derive(Clone, Copy)]
struct Extension<'a, const WIDTH: usize> {
    members: &'a [usize],
    size: &'a [i64; WIDTH],
    bin: usize,
}
