//! From the file to node pools, with everything checked that only shows when names meet.

use std::collections::BTreeSet;

use super::super::position::{Step, field, item};
use super::Pool;
use super::pattern;
use super::read::{File, Labels, MachineType, Machines, Rack, Region, Zone};
use crate::k8s::lab::{self, NodePoolSpec};
use crate::k8s::quantity::Quantity;
use crate::k8s::resource_list::Quantities;

/// What is wrong, and where in the file.
pub struct Problem {
    pub path: Vec<Step>,
    pub message: String,
}

/// The largest fleet that is meant to be written down by hand.
const MACHINES_MAX: u32 = 100_000;

struct Expansion<'a> {
    file: &'a File,
    pools: Vec<Pool>,
    racks: BTreeSet<String>,
    machines: u32,
}

pub fn pools(file: &File) -> Result<Vec<Pool>, Problem> {
    check_types(file)?;
    let mut expansion = Expansion {
        file,
        pools: Vec::new(),
        racks: BTreeSet::new(),
        machines: 0,
    };
    let regions = field(&[], "regions");
    if file.regions.is_empty() {
        return Err(problem(&regions, "at least one region is needed"));
    }
    for (i, region) in file.regions.iter().enumerate() {
        let path = item(&regions, i);
        check_name(&region.name, &field(&path, "name"))?;
        let zones = field(&path, "zones");
        for (n, zone) in region.zones.iter().enumerate() {
            expansion.zone(region, zone, &item(&zones, n))?;
        }
    }
    if expansion.machines == 0 {
        return Err(problem(
            &regions,
            "no machines: `machines` of a zone or a rack says which and how many",
        ));
    }
    Ok(expansion.pools)
}

impl Expansion<'_> {
    fn zone(&mut self, region: &Region, zone: &Zone, path: &[Step]) -> Result<(), Problem> {
        check_name(&zone.name, &field(path, "name"))?;
        let defaults = field(path, "machines");
        self.check_machines(&zone.machines, &defaults)?;
        let racks = field(path, "racks");
        let mut turn = 0;
        for (i, rack) in zone.racks.0.iter().enumerate() {
            // A single pattern is written without a list.
            let path = match rack.machines {
                None if zone.racks.0.len() == 1 => racks.clone(),
                _ => item(&racks, i),
            };
            if let Some(machines) = &rack.machines {
                self.check_machines(machines, &field(&path, "machines"))?;
            }
            let names = pattern::expand(&rack.name).map_err(|message| problem(&path, &message))?;
            for name in names {
                check_name(&name, &path)?;
                if !self.racks.insert(name.clone()) {
                    let message = format!("there is a rack `{name}` already");
                    return Err(problem(&path, &message));
                }
                self.rack(
                    &Place {
                        region,
                        zone,
                        rack,
                        name: &name,
                        turn,
                    },
                    &path,
                )?;
                turn += 1;
            }
        }
        Ok(())
    }

    fn rack(&mut self, place: &Place<'_>, path: &[Step]) -> Result<(), Problem> {
        let machines = place.rack.machines.as_ref().unwrap_or(&place.zone.machines);
        let is_only = machines.len() == 1;
        for (name, count) in machines {
            let Some(machine_type) = self.file.machine_types.get(name) else {
                continue;
            };
            self.machines += count;
            if self.machines > MACHINES_MAX {
                return Err(problem(path, "more than 100,000 machines in all"));
            }
            let pool = format!("{}-{name}", place.name);
            let mut spec = place.spec(name, machine_type, *count);
            spec.name_prefix = if is_only {
                place.name.into()
            } else {
                pool.as_str().into()
            };
            self.pools.push(Pool {
                name: pool.into(),
                spec,
            });
        }
        Ok(())
    }

    fn check_machines(&self, machines: &Machines, path: &[Step]) -> Result<(), Problem> {
        let known = &self.file.machine_types;
        for name in machines.keys() {
            if !known.contains_key(name) {
                let names: Vec<&str> = known.keys().map(String::as_str).collect();
                let message = format!(
                    "there is no machine type `{name}`; allowed: {}",
                    names.join(", ")
                );
                return Err(problem(&field(path, name), &message));
            }
        }
        Ok(())
    }
}

/// One rack in its zone.
struct Place<'a> {
    region: &'a Region,
    zone: &'a Zone,
    rack: &'a Rack,
    name: &'a str,
    /// Which rack of its zone.
    turn: usize,
}

impl Place<'_> {
    fn spec(&self, name: &str, machine_type: &MachineType, count: u32) -> NodePoolSpec {
        let Self {
            region,
            zone,
            rack,
            turn,
            ..
        } = self;
        let mut labels = Labels::new();
        for more in [
            &region.labels,
            &zone.labels,
            &rack.labels,
            &machine_type.labels,
        ] {
            labels.extend(more.clone());
        }
        let feeds = zone.power.len().max(1);
        let feed = zone.power.get(turn % feeds).cloned();
        NodePoolSpec {
            count,
            name_prefix: crate::k8s::Name::default(),
            machine_type: shape(name, machine_type),
            labels,
            taints: machine_type.taints.clone(),
            region: region.name.clone(),
            zone: zone.name.clone(),
            rack: self.name.into(),
            power: rack.power.clone().or(feed).unwrap_or_default(),
        }
    }
}

fn shape(name: &str, machine_type: &MachineType) -> lab::MachineType {
    let mut capacity: Quantities = machine_type.resources.clone();
    capacity.insert("cpu".into(), machine_type.cpu);
    capacity.insert("memory".into(), machine_type.memory);
    capacity.insert("ephemeral-storage".into(), machine_type.ephemeral_storage);
    capacity.insert(
        "pods".into(),
        Quantity::from_units(machine_type.pods.into()),
    );
    lab::MachineType {
        name: name.into(),
        capacity,
        reserved: machine_type.reserved.clone(),
        architecture: machine_type.architecture.clone(),
    }
}

fn check_types(file: &File) -> Result<(), Problem> {
    let types = field(&[], "machineTypes");
    for (name, machine_type) in &file.machine_types {
        let path = field(&types, name);
        check_name(name, &path)?;
        for (what, amount) in [("cpu", machine_type.cpu), ("memory", machine_type.memory)] {
            if amount.is_zero() || amount.is_negative() {
                return Err(problem(&field(&path, what), "must be more than 0"));
            }
        }
        for (what, kept) in &machine_type.reserved {
            let had = match what.as_str() {
                "cpu" => Some(machine_type.cpu),
                "memory" => Some(machine_type.memory),
                "ephemeral-storage" => Some(machine_type.ephemeral_storage),
                other => machine_type.resources.get(other).copied(),
            };
            let path = field(&field(&path, "reserved"), what);
            match had {
                None => return Err(problem(&path, "the machine has no such resource")),
                Some(had) if *kept > had => {
                    return Err(problem(&path, "more than the machine has"));
                }
                Some(_) => {}
            }
        }
    }
    Ok(())
}

/// Names become parts of node names and label values.
fn check_name(name: &str, path: &[Step]) -> Result<(), Problem> {
    let is_edge = |letter: char| letter.is_ascii_lowercase() || letter.is_ascii_digit();
    let is_valid = name.len() <= 50
        && name.starts_with(is_edge)
        && name.ends_with(is_edge)
        && name
            .chars()
            .all(|letter| is_edge(letter) || letter == '-' || letter == '.');
    if is_valid {
        return Ok(());
    }
    let message = format!(
        "`{name}` is no name: allowed are up to 50 lower-case letters, digits, `-` and `.`, with a letter or digit at both ends"
    );
    Err(problem(path, &message))
}

fn problem(path: &[Step], message: &str) -> Problem {
    Problem {
        path: path.to_vec(),
        message: message.to_owned(),
    }
}
