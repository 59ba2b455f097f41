//! One machine's free capacity with its devices one by one, and what a pod asks of it.

/// A fully free device.
pub const DEVICE_MILLI: i64 = 1000;

/// What one pod asks for.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Debug, Default)]
pub struct Ask {
    pub cpu_milli: i64,
    pub memory_mib: i64,
    pub devices: usize,
    /// Of each device: 1 to 1000; a share only with one device. Zero without devices.
    pub gpu_milli: i64,
    /// One bit a model; zero means any.
    pub models: u32,
}

impl Ask {
    pub fn gpu_total(&self) -> i64 {
        i64::try_from(self.devices)
            .unwrap_or(i64::MAX)
            .saturating_mul(self.gpu_milli)
    }

    pub fn is_share(&self) -> bool {
        self.devices == 1 && self.gpu_milli < DEVICE_MILLI
    }

    pub fn allows(&self, models: u32) -> bool {
        self.devices == 0 || self.models == 0 || self.models & models != 0
    }
}

/// How many kinds of pods a node tells apart: shares, then whole devices by number.
const KINDS: usize = 10;

/// What is free on a machine. A share never spans two devices, so they are a list and not a sum.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Node {
    pub cpu_milli: i64,
    pub memory_mib: i64,
    pub pods: i64,
    /// Free milli of each device.
    pub devices: Vec<i64>,
    /// The bit of its model.
    pub model: u32,
    kinds: [u32; KINDS],
}

impl Node {
    pub fn empty(cpu_milli: i64, memory_mib: i64, pods: i64, devices: usize, model: u32) -> Self {
        Self {
            cpu_milli,
            memory_mib,
            pods,
            devices: vec![DEVICE_MILLI; devices],
            model,
            kinds: [0; KINDS],
        }
    }

    pub fn gpu_free(&self) -> i64 {
        self.devices.iter().sum()
    }

    pub fn whole_free(&self) -> usize {
        let whole = self.devices.iter().filter(|free| **free == DEVICE_MILLI);
        whole.count()
    }

    pub fn fits(&self, ask: &Ask) -> bool {
        self.pods > 0 && ask.memory_mib <= self.memory_mib && self.fits_shape(ask)
    }

    /// The same for a typical pod, of which memory is not known.
    pub(super) fn fits_shape(&self, ask: &Ask) -> bool {
        ask.cpu_milli <= self.cpu_milli
            && ask.allows(self.model)
            && self
                .devices
                .iter()
                .filter(|free| **free >= ask.gpu_milli)
                .count()
                >= ask.devices
    }

    /// The devices that the pod would get when the fullest that fit are taken first.
    pub fn fullest(&self, ask: &Ask) -> Option<Vec<usize>> {
        let mut fitting: Vec<(i64, usize)> = self
            .devices
            .iter()
            .enumerate()
            .filter(|(_, free)| **free >= ask.gpu_milli)
            .map(|(place, free)| (*free, place))
            .collect();
        fitting.sort_unstable();
        fitting.truncate(ask.devices);
        (fitting.len() == ask.devices)
            .then(|| fitting.into_iter().map(|(_, place)| place).collect())
    }

    /// Takes what the pod asks for; its devices are named.
    pub fn take(&mut self, ask: &Ask, devices: &[usize]) {
        self.change(ask, devices, -1);
        let kind = kind(ask);
        if let Some(count) = self.kinds.get_mut(kind).filter(|_| ask.devices > 0) {
            *count += 1;
        }
    }

    /// Gives back what [`Self::take`] took.
    pub fn give_back(&mut self, ask: &Ask, devices: &[usize]) {
        self.change(ask, devices, 1);
        let kind = kind(ask);
        if let Some(count) = self.kinds.get_mut(kind).filter(|_| ask.devices > 0) {
            *count = count.saturating_sub(1);
        }
    }

    fn change(&mut self, ask: &Ask, devices: &[usize], sign: i64) {
        self.cpu_milli += sign * ask.cpu_milli;
        self.memory_mib += sign * ask.memory_mib;
        self.pods += sign;
        for place in devices {
            if let Some(free) = self.devices.get_mut(*place) {
                *free += sign * ask.gpu_milli;
            }
        }
    }

    /// Which company a pod of this size would find here.
    pub(super) fn company(&self, ask: &Ask) -> Company {
        let all: u32 = self.kinds.iter().sum();
        match self.kinds.get(kind(ask)).copied().unwrap_or(0) {
            0 if all == 0 => Company::Nobody,
            0 => Company::Others,
            same if same == all => Company::Same,
            _ => Company::Mixed,
        }
    }
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Company {
    Nobody,
    Same,
    Mixed,
    Others,
}

fn kind(ask: &Ask) -> usize {
    if ask.is_share() {
        0
    } else {
        ask.devices.min(KINDS - 1)
    }
}
