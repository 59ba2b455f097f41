//! A node's devices, and what its pods leave free of each.

use std::fmt;

use super::{MODEL_LABELS, RESOURCES};
use crate::k8s::Name;
use crate::k8s::object::Labels;
use crate::k8s::resource_list::ResourceList;
use crate::packing::gpu::node::DEVICE_MILLI;
use crate::sched::node_info::PodEntry;

/// Devices of one node that are told apart; those beyond are not used.
pub const DEVICES_MAX: usize = 16;

/// Some devices of one node, a bit each: small enough to fit where a pod entry has room to spare.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub struct DeviceSet(u16);

impl DeviceSet {
    /// Reads `2-3`; what is no number of a device is left out.
    pub fn parse(text: &str) -> Self {
        let numbers = text.split('-').filter_map(|part| part.trim().parse().ok());
        numbers.collect()
    }

    pub fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// In ascending order.
    pub fn iter(self) -> impl Iterator<Item = usize> {
        (0..DEVICES_MAX).filter(move |number| self.0 >> number & 1 != 0)
    }
}

impl FromIterator<usize> for DeviceSet {
    fn from_iter<Numbers: IntoIterator<Item = usize>>(numbers: Numbers) -> Self {
        let known = numbers.into_iter().filter(|number| *number < DEVICES_MAX);
        Self(known.fold(0, |all, number| all | 1 << number))
    }
}

/// As the annotation is written.
impl fmt::Display for DeviceSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (place, number) in self.iter().enumerate() {
            let separator = if place == 0 { "" } else { "-" };
            write!(f, "{separator}{number}")?;
        }
        Ok(())
    }
}

/// How many GPUs a node offers.
pub fn device_count(allocatable: &ResourceList) -> usize {
    let mut counts = RESOURCES.iter().map(|name| allocatable.scalar(name));
    let count = counts.find(|count| *count > 0).unwrap_or(0);
    usize::try_from(count).unwrap_or(0).min(DEVICES_MAX)
}

/// The model of a node's GPUs, if it says so.
pub fn card_model(labels: &Labels) -> Option<&Name> {
    MODEL_LABELS.iter().find_map(|label| labels.get(label))
}

/// Free milli of each of so many devices. It follows from the pods alone and not from the order in
/// which they came: those that name their devices take them; then those that run without having
/// been given any, in the order of their names, each the fullest that suffice or, where none do,
/// the emptiest. Below zero a device is promised twice.
pub fn settle(count: usize, pods: &[PodEntry]) -> Vec<i64> {
    let mut free = vec![DEVICE_MILLI; count];
    if count == 0 {
        return free;
    }
    let mut homeless: Vec<&PodEntry> = Vec::new();
    for entry in pods {
        let Some(wish) = &entry.template.spec.gpu else {
            continue;
        };
        let mut held = entry
            .devices
            .iter()
            .filter(|number| *number < count)
            .peekable();
        if held.peek().is_none() {
            homeless.push(entry);
        }
        for number in held {
            if let Some(free) = free.get_mut(number) {
                *free -= wish.milli;
            }
        }
    }
    homeless.sort_by(|one, other| {
        let place = |entry: &PodEntry| {
            (
                entry.object.key.namespace.clone(),
                entry.object.key.name.clone(),
            )
        };
        place(one).cmp(&place(other))
    });
    for entry in homeless {
        let Some(wish) = &entry.template.spec.gpu else {
            continue;
        };
        let mut order: Vec<(bool, i64, usize)> = free
            .iter()
            .enumerate()
            .map(|(number, free)| {
                let is_short = *free < wish.milli;
                (is_short, if is_short { -free } else { *free }, number)
            })
            .collect();
        order.sort_unstable();
        for (_, _, number) in order.into_iter().take(wish.devices) {
            if let Some(free) = free.get_mut(number) {
                *free -= wish.milli;
            }
        }
    }
    free
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, numbers: &[usize], written: &str) {
        let set = DeviceSet::parse(text);
        assert_eq!(set.iter().collect::<Vec<_>>(), numbers);
        assert_eq!(set.to_string(), written);
    }

    #[test]
    fn sets_are_written_as_they_are_read() {
        check("0", &[0], "0");
        check("2-3-4", &[2, 3, 4], "2-3-4");
        check("3-1", &[1, 3], "1-3");
        check("", &[], "");
        check("x-99-7", &[7], "7");
    }
}
