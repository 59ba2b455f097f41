//! Scores by hand, and what must hold whatever is placed.

use super::*;
use crate::stdx::rng::Stream;

fn share(cpu_milli: i64, gpu_milli: i64) -> Ask {
    Ask {
        cpu_milli,
        devices: 1,
        gpu_milli,
        ..Ask::default()
    }
}

fn whole(cpu_milli: i64, devices: usize) -> Ask {
    Ask {
        devices,
        ..share(cpu_milli, 1000)
    }
}

fn node(cpu_milli: i64, devices: &[i64]) -> Node {
    let mut node = Node::empty(cpu_milli, 1 << 20, 100, devices.len(), 1);
    for (place, free) in devices.iter().enumerate() {
        if *free < 1000 {
            node.take(&share(0, 1000 - free), &[place]);
        }
    }
    node
}

#[track_caller]
fn near(value: f64, expected: f64) {
    assert!((value - expected).abs() < 1e-9, "{value} is not {expected}");
}

#[track_caller]
fn check(policy: Policy, node: &Node, ask: &Ask, score: f64, devices: &[usize]) {
    let mix = Mix::typical(&[whole(1000, 1), share(1000, 500)]);
    let place = policy.place(&mix, node, ask).unwrap();
    near(place.score, score);
    assert_eq!(place.devices, devices);
}

#[test]
fn policies_score_as_published() {
    let half = node(64_000, &[1000, 500]);
    // 100 (1 - 0.5 * 63/128 - 0.5 * 1000/8000) = 69.14
    check(Policy::BestFit, &half, &share(1000, 500), 69.0, &[1]);
    // 100 (1 - (64/128 * 64/128 + 2/8 * 2/8) / 2) = 84.375
    check(
        Policy::DotProd,
        &node(64_000, &[1000; 2]),
        &whole(64_000, 2),
        84.0,
        &[0, 1],
    );
    check(
        Policy::GpuPacking,
        &node(64_000, &[1000; 2]),
        &whole(0, 1),
        31.0,
        &[0],
    );
    check(Policy::GpuPacking, &half, &whole(0, 1), 49.0, &[0]);
    // The taken device has 50 percent free: 100 - 50 / 10.
    check(Policy::GpuPacking, &half, &share(0, 300), 95.0, &[1]);
    // 75 in its own company, 25 * 6500 / 8000 = 20.3 for the rest.
    check(Policy::GpuClustering, &half, &share(0, 300), 95.0, &[1]);
    check(Policy::GpuClustering, &half, &whole(0, 1), 20.0, &[0]);
    check(
        Policy::GpuClustering,
        &node(1, &[1000; 2]),
        &whole(0, 1),
        43.0,
        &[0],
    );
    // F falls from 250 to 0 on the used device, and rises to 500 on the free one.
    check(Policy::Fgd, &half, &share(1000, 500), 56.0, &[1]);
}

#[test]
fn idle_gpu_is_fragmented_where_the_mix_cannot_use_it() {
    let mix = Mix::typical(&[whole(1000, 1), share(1000, 500)]);
    near(mix.fragmented(&node(2000, &[1000, 500])), 250.0);
    near(mix.fragmented(&node(500, &[1000, 500])), 1500.0);
    let stranded = mix.stranded(&[node(500, &[1000, 500]), node(2000, &[1000, 500])]);
    near(stranded.idle_milli, 3000.0);
    near(stranded.fragmented_milli, 1750.0);
    near(stranded.dead_milli, 1500.0);
}

#[test]
fn pods_bound_to_too_few_machines_are_named() {
    let bound = Ask {
        models: 1,
        ..whole(4000, 1)
    };
    let mut other = node(64_000, &[1000; 8]);
    other.model = 2;
    let nodes = [node(8000, &[1000; 4]), other];
    // Four devices, but cpu for two pods.
    let shortage = shortage::prove(&nodes, &vec![bound; 6]).unwrap();
    assert_eq!(shortage.models, 1);
    assert!((3999..=4000).contains(&shortage.missing_milli()));
    assert!(
        shortage
            .words(&["T4", "A10"])
            .contains("only T4 can hold ask for 6 GPUs")
    );
    assert_eq!(shortage::prove(&nodes, &vec![whole(1000, 1); 12]), None);
    let shortage = shortage::prove(&nodes, &vec![whole(1000, 1); 14]).unwrap();
    assert_eq!(shortage.missing_milli(), 2000);
    assert!(
        shortage
            .words(&["T4", "A10"])
            .ends_with("need 14 devices of 12: 1 of a device for each of 14 of 1000 milli")
    );
}

#[track_caller]
fn check_devices(shares: &[(i64, i64)], needed: i64) {
    let found = devices::needed(&shares.iter().copied().collect());
    assert_eq!(found.needed, needed, "{found:?}");
    let total: f64 = found
        .prices
        .iter()
        .map(|price| price.count as f64 * price.price)
        .sum();
    near(total.ceil(), needed as f64);
}

#[test]
fn shares_that_do_not_go_together_need_more_devices_than_they_fill() {
    check_devices(&[], 0);
    check_devices(&[(1000, 3)], 3);
    // 8.1 devices filled, but nothing goes beside 810 milli.
    check_devices(&[(810, 10)], 10);
    check_devices(&[(810, 10), (190, 10)], 10);
    check_devices(&[(810, 10), (200, 10)], 12);
    check_devices(&[(470, 7)], 4);
    // 650 and 320 share a device, three of 320 too: 4 + 8 / 3.
    check_devices(&[(650, 4), (320, 12)], 7);
    check_devices(&[(500, 1), (1, 500), (0, 9), (2000, 9)], 1);
}

#[test]
fn the_bound_on_devices_never_exceeds_what_first_fit_needs() {
    for seed in 0..40 {
        let mut random = Stream::new(seed, "shares");
        let mut counts = std::collections::BTreeMap::new();
        let mut free: Vec<i64> = Vec::new();
        for _ in 0..60 {
            let size = i64::try_from(random.below(100) * 10).unwrap() + 10;
            *counts.entry(size).or_default() += 1;
            match free.iter_mut().find(|free| **free >= size) {
                Some(free) => *free -= size,
                None => free.push(1000 - size),
            }
        }
        let filled: i64 = counts.iter().map(|(size, count)| size * count).sum();
        let needed = devices::needed(&counts).needed;
        assert!(needed * 1000 >= filled, "at least what is filled");
        assert!(needed <= i64::try_from(free.len()).unwrap());
    }
}

#[test]
fn what_is_placed_never_exceeds_what_there_is_and_can_be_given_back() {
    for policy in Policy::ALL {
        for seed in 0..8 {
            let mut random = Stream::new(seed, "asks");
            let empty: Vec<Node> = (0..12).map(|_| node(16_000, &[1000; 4])).collect();
            let mix = Mix::typical(&[whole(4000, 1), share(2000, 300), whole(8000, 2)]);
            let mut fleet = Fleet::new(policy, mix, empty.clone());
            let mut placed = Vec::new();
            for _ in 0..120 {
                let cpu = i64::try_from(random.below(6000)).unwrap();
                let ask = match random.below(3) {
                    0 => whole(cpu, usize::try_from(random.below(4)).unwrap() + 1),
                    1 => Ask {
                        cpu_milli: cpu,
                        ..Ask::default()
                    },
                    _ => share(cpu, i64::try_from(random.below(999)).unwrap() + 1),
                };
                let fits = fleet.nodes().iter().any(|node| node.fits(&ask));
                let place = fleet.place(&ask, &mut random);
                assert_eq!(place.is_some(), fits, "a pod that fits is placed");
                placed.extend(place.map(|place| (place, ask)));
            }
            let mut rebuilt = empty.clone();
            for ((number, devices), ask) in &placed {
                rebuilt[*number].take(ask, devices);
            }
            assert_eq!(
                rebuilt,
                fleet.nodes(),
                "state follows from what is recorded"
            );
            for node in &rebuilt {
                assert!(node.cpu_milli >= 0 && node.memory_mib >= 0 && node.pods >= 0);
                assert!(node.devices.iter().all(|free| (0..=1000).contains(free)));
            }
            for ((number, devices), ask) in &placed {
                rebuilt[*number].give_back(ask, devices);
            }
            assert_eq!(rebuilt, empty);
        }
    }
}
