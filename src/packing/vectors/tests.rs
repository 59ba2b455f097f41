//! Packings hold against the check, and against the optimum where it can be enumerated.

use super::{Effort, Instance, InstanceError, Packing, bounds, check, construct, fewest};
use crate::stdx::rng::Stream;

fn random(seed: u64, dimensions: usize, count: usize, largest: u64) -> Instance {
    let mut stream = Stream::new(seed, "instance");
    let items = (0..count)
        .map(|_| (0..dimensions).map(|_| stream.below(largest + 1)).collect())
        .collect();
    Instance::new(vec![100; dimensions], items).unwrap()
}

/// The optimum, by trying every bin for every item.
fn optimum(instance: &Instance) -> usize {
    fn put(instance: &Instance, item: usize, free: &mut Vec<Vec<u64>>, best: &mut usize) {
        if free.len() >= *best {
            return;
        }
        let Some(sizes) = instance.items().get(item) else {
            *best = free.len();
            return;
        };
        for bin in 0..free.len() {
            if sizes
                .iter()
                .zip(&free[bin])
                .all(|(size, free)| size <= free)
            {
                let before = free[bin].clone();
                free[bin] = before
                    .iter()
                    .zip(sizes)
                    .map(|(free, size)| free - size)
                    .collect();
                put(instance, item + 1, free, best);
                free[bin] = before;
            }
        }
        let capacity = instance.capacity().iter();
        free.push(capacity.zip(sizes).map(|(all, size)| all - size).collect());
        put(instance, item + 1, free, best);
        free.pop();
    }
    let mut best = instance.items().len() + 1;
    put(instance, 0, &mut Vec::new(), &mut best);
    best
}

#[test]
fn small_instances_are_packed_in_the_fewest_bins() {
    for seed in 0..60 {
        let dimensions = 1 + usize::try_from(seed % 4).unwrap();
        let largest = [40, 55, 70, 100][usize::try_from(seed % 3).unwrap()];
        let instance = random(seed, dimensions, 9, largest);
        let found = fewest(&instance, Effort { seed, steps: 2_000 }, &mut || true);
        check(&instance, &found.packing).unwrap();
        let optimum = optimum(&instance);
        assert_eq!(found.packing.bins.len(), optimum, "seed {seed}");
        assert!(found.bound <= optimum, "seed {seed}: bound {}", found.bound);
        assert!(bounds::continuous(&instance) <= found.bound, "seed {seed}");
    }
}

#[test]
fn every_width_of_row_packs_alike() {
    for dimensions in [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 16] {
        let instance = random(7, dimensions, 60, 45);
        let found = fewest(
            &instance,
            Effort {
                seed: 7,
                steps: 200,
            },
            &mut || true,
        );
        check(&instance, &found.packing).unwrap();
        let yardstick = construct::first_fit_decreasing(&instance);
        check(&instance, &yardstick).unwrap();
        assert!(found.packing.bins.len() <= yardstick.bins.len());
        assert!(found.packing.bins.len() >= found.bound);
    }
}

#[test]
fn the_same_seed_gives_the_same_packing() {
    let instance = random(3, 3, 80, 60);
    let effort = Effort {
        seed: 9,
        steps: 300,
    };
    let one = fewest(&instance, effort, &mut || true);
    let other = fewest(&instance, effort, &mut || true);
    assert_eq!(one, other);
}

#[test]
fn a_search_that_is_stopped_answers_with_its_best() {
    let instance = random(3, 3, 80, 60);
    let found = fewest(&instance, Effort::default(), &mut || false);
    check(&instance, &found.packing).unwrap();
    assert_eq!(found.packing.bins.len(), found.greedy);
    assert_eq!(found.steps, 0);
}

#[test]
fn odd_instances_have_packings() {
    let rows: [(Vec<u64>, Vec<Vec<u64>>, usize); 5] = [
        (vec![10], vec![], 0),
        (vec![], vec![vec![], vec![]], 1),
        (vec![0, 5], vec![vec![0, 5], vec![0, 0]], 1),
        (vec![10], vec![vec![0]; 30], 1),
        (vec![10], vec![vec![10]; 30], 30),
    ];
    for (capacity, items, bins) in rows {
        let instance = Instance::new(capacity, items).unwrap();
        let found = fewest(&instance, Effort::default(), &mut || true);
        check(&instance, &found.packing).unwrap();
        assert_eq!(found.packing.bins.len(), bins, "{instance:?}");
    }
}

#[test]
fn what_cannot_be_packed_is_refused_by_name() {
    let rows = [
        (
            Instance::new(vec![5, 5], vec![vec![1, 1], vec![1, 6]]),
            "item 1 needs 6 in dimension 1, a bin has 5",
        ),
        (
            Instance::new(vec![5], vec![vec![1, 1]]),
            "item 0 has 2 sizes where bins have 1 capacities",
        ),
        (
            Instance::new(vec![1; 17], vec![]),
            "17 dimensions, at most 16 can be packed",
        ),
        (
            Instance::new(vec![u64::MAX], vec![]),
            "capacity 18446744073709551615 is not below 2^42",
        ),
    ];
    for (result, message) in rows {
        let error: InstanceError = result.unwrap_err();
        assert_eq!(error.to_string(), message);
    }
}

#[test]
fn the_check_finds_what_is_wrong() {
    let instance = Instance::new(vec![5], vec![vec![3], vec![3]]).unwrap();
    let rows = [
        (vec![vec![0], vec![1]], None),
        (vec![vec![0, 1]], Some("bin 0 holds 6 of 5 in dimension 0")),
        (vec![vec![0]], Some("item 1 lies in 0 bins")),
        (
            vec![vec![0], vec![1], vec![0]],
            Some("item 0 lies in 2 bins"),
        ),
        (
            vec![vec![2]],
            Some("bin 0 holds an item that does not exist"),
        ),
    ];
    for (bins, message) in rows {
        let found = check(&instance, &Packing { bins }).err();
        assert_eq!(found.map(|error| error.to_string()).as_deref(), message);
    }
}
