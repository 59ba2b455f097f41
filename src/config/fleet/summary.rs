//! What `fleet check` prints of a fleet that is in order.

use std::collections::{BTreeMap, BTreeSet};

use super::Fleet;
use crate::k8s::Name;
use crate::k8s::resource_list::Quantities;
use crate::stdx::humanize::{counted, thousands};

#[derive(Default)]
struct Row {
    machines: u32,
    amounts: Quantities,
}

pub fn table(fleet: &Fleet) -> String {
    let mut rows: BTreeMap<Name, Row> = BTreeMap::new();
    let mut total = Row::default();
    let mut regions = BTreeSet::new();
    let mut zones: BTreeMap<&Name, (BTreeSet<&Name>, BTreeSet<&Name>, u32)> = BTreeMap::new();
    for pool in &fleet.pools {
        let spec = &pool.spec;
        regions.insert(&spec.region);
        let zone = zones.entry(&spec.zone).or_default();
        zone.0.insert(&spec.rack);
        if !spec.power.is_empty() {
            zone.1.insert(&spec.power);
        }
        zone.2 += spec.count;
        for row in [
            rows.entry(spec.machine_type.name.clone()).or_default(),
            &mut total,
        ] {
            row.add(spec.count, &spec.machine_type.capacity);
        }
    }
    let racks: usize = zones.values().map(|(racks, _, _)| racks.len()).sum();
    let mut lines = vec![
        format!(
            "{}, {}, {}, {}",
            counted(regions.len(), "region", "regions"),
            counted(zones.len(), "zone", "zones"),
            counted(racks, "rack", "racks"),
            counted(fleet.machines() as usize, "machine", "machines"),
        ),
        String::new(),
        format!(
            "{:<20} {:>6} {:>6} {:>9}",
            "ZONE", "RACKS", "FEEDS", "MACHINES"
        ),
    ];
    for (name, (racks, feeds, machines)) in &zones {
        lines.push(format!(
            "{name:<20} {:>6} {:>6} {machines:>9}",
            racks.len(),
            feeds.len()
        ));
    }
    lines.push(String::new());
    lines.push(format!(
        "{:<20} {:>9} {:>12} {:>12} {:>6}",
        "MACHINE TYPE", "MACHINES", "CPU", "MEMORY", "GPU"
    ));
    for (name, row) in &rows {
        lines.push(row.line(name));
    }
    lines.push(total.line("total"));
    lines.join("\n") + "\n"
}

impl Row {
    fn add(&mut self, count: u32, capacity: &Quantities) {
        self.machines += count;
        for (name, amount) in capacity {
            // Counted over a common unit: sums of quantities keep their exactness.
            let entry = self.amounts.entry(name.clone()).or_default();
            for _ in 0..count {
                *entry = entry.plus(*amount);
            }
        }
    }

    fn line(&self, name: &str) -> String {
        let amount = |wanted: &str| self.amounts.get(wanted).copied().unwrap_or_default();
        let cpu = u64::try_from(amount("cpu").value()).unwrap_or_default();
        let memory = u64::try_from(amount("memory").value() >> 30).unwrap_or_default();
        let gpus: i64 = self
            .amounts
            .iter()
            .filter(|(name, _)| name.ends_with("/gpu"))
            .map(|(_, amount)| amount.value())
            .sum();
        format!(
            "{name:<20} {:>9} {:>12} {:>12} {:>6}",
            self.machines,
            format!("{} cores", thousands(cpu)),
            format!("{} Gi", thousands(memory)),
            gpus
        )
    }
}
