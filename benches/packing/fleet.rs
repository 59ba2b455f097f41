//! What operators ask of a fleet: how few machines its workload needs, which moves free machines,
//! and which heal the spread over zones.
//!
//! The fleet is drawn from a seed: 300 machines of two kinds in three zones, some of them tainted,
//! and about ten pods on each, of forty services with spread constraints, anti-affinity and budgets.
//! It was filled at random rather than by a scheduler, as fleets are after a year of churn.

use std::path::Path;

use bayplan::k8s::Cluster;
use bayplan::k8s::build::{Draft, budget, cluster, node, pod};
use bayplan::sched::Snapshot;
use bayplan::sched::compaction::{TRIALS, compact};
use bayplan::sched::rebalance::{Gain, Goal, Options, Rebalance, rebalance};
use bayplan::stdx::clock::instant;
use bayplan::stdx::rng::Stream;
use serde_json::json;

const ZONE: &str = "topology.kubernetes.io/zone";

pub fn run(_: &Path, arguments: &[String]) {
    let machines = arguments.first().and_then(|text| text.parse().ok());
    let snapshot = Snapshot::of(&fleet(machines.unwrap_or(300)));
    let start = instant();
    let found = compact(&snapshot, TRIALS, 1, &mut || true);
    let line = json!({
        "case": "compaction", "machines": found.machines, "pods": found.pods,
        "homeless": found.homeless, "needed_p90": found.percentile_90(),
        "trials": found.needed, "seconds": start.elapsed().as_secs_f64(),
    });
    println!("{line}");
    if let Some(needed) = found.percentile_90() {
        println!(
            "this workload needs {needed} of your {} machines",
            found.machines
        );
    }
    let free = Goal::FreeMachines;
    let heal = Goal::HealSpread { key: ZONE.into() };
    for (case, goal) in [("free machines", free), ("heal zones", heal)] {
        let start = instant();
        let found = rebalance(&snapshot, &goal, Options::default(), &mut || true);
        report(case, &found, start.elapsed().as_secs_f64());
    }
}

fn report(case: &str, found: &Rebalance, seconds: f64) {
    let Gain {
        machines_before,
        machines_after,
        freed,
        stranded_before,
        stranded_after,
        skew_before,
        skew_after,
    } = &found.gain;
    let line = json!({
        "case": case, "waves": found.waves.len(), "moves": found.waves.concat().len(),
        "fixed_pods": found.fixed.len(), "machines_before": machines_before,
        "machines_after": machines_after, "freed": freed.len(),
        "stranded_before": stranded_before, "stranded_after": stranded_after,
        "skew_before": skew_before.as_ref().map(|worst| worst.skew),
        "skew_after": skew_after.as_ref().map(|worst| worst.skew), "seconds": seconds,
    });
    println!("{line}");
}

fn fleet(machines: u64) -> Cluster {
    let mut stream = Stream::new(1, "fleet");
    let mut drafts: Vec<Draft> = Vec::new();
    let mut free: Vec<(u64, u64)> = Vec::new();
    for n in 0..machines {
        let zone = ["a", "b", "c"][usize::try_from(n % 3).unwrap_or(0)];
        let large = n % 4 == 0;
        let mut draft = node(&format!("n{n:04}")).zone(zone);
        if large {
            draft = draft.cpu("32").memory("128Gi");
        }
        if n % 25 == 7 {
            draft = draft.taint("dedicated", "batch", "NoSchedule");
        }
        drafts.push(draft);
        let daemon = pod(&format!("logs-{n}")).owner("DaemonSet", "logs");
        drafts.push(daemon.cpu("250m").memory("512Mi").node(&format!("n{n:04}")));
        let (cpu, memory) = if large {
            (32_000, 131_072)
        } else {
            (16_000, 65_536)
        };
        free.push((cpu - 250, memory - 512));
    }
    for service in 0..40_u64 {
        let app = format!("s{service}");
        if service % 2 == 0 {
            let allowed = 1 + service % 5;
            let budget = budget(&app).max_unavailable(&allowed.to_string());
            drafts.push(budget.with(&json!({"status": {"disruptionsAllowed": allowed}})));
        }
        let cpu = 250 * (1 + stream.below(8));
        let memory = 512 * (1 + stream.below(16));
        for n in 0..machines / 5 + stream.below(machines / 8) {
            let Some(place) = free_place(&mut free, &mut stream, cpu, memory) else {
                continue;
            };
            let mut draft = pod(&format!("{app}-{n}"))
                .label("app", &app)
                .owner("ReplicaSet", &app)
                .cpu(&format!("{cpu}m"))
                .memory(&format!("{memory}Mi"))
                .node(&format!("n{place:04}"));
            if service % 5 == 0 {
                draft = draft.spread(ZONE, 5, &app);
            }
            if service % 7 == 0 {
                draft = draft.toleration("dedicated", "batch", "NoSchedule");
            }
            if n % 40 == 39 {
                draft = draft.with(&json!({"spec": {"volumes": [{"name": "d", "hostPath": {}}]}}));
            }
            drafts.push(draft);
        }
    }
    cluster(&drafts)
}

/// A random machine with room; `None` after a few that have none.
fn free_place(
    free: &mut [(u64, u64)],
    stream: &mut Stream,
    cpu: u64,
    memory: u64,
) -> Option<usize> {
    for _ in 0..20 {
        let place = usize::try_from(stream.below(free.len() as u64)).ok()?;
        let room = free.get_mut(place)?;
        if room.0 >= cpu && room.1 >= memory {
            *room = (room.0 - cpu, room.1 - memory);
            return Some(place);
        }
    }
    None
}
