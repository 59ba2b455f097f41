//! A line and what is known about where it comes from.

use std::collections::BTreeMap;
use std::sync::Arc;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// Where lines come from: one container of one pod, with the pod's labels.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Labels {
    pub namespace: String,
    pub pod: String,
    /// The pod's uid: a pod of the same name that comes later is another one.
    pub uid: String,
    pub container: String,
    pub node: String,
    /// The pod's own labels.
    #[serde(default)]
    pub labels: BTreeMap<String, String>,
}

impl Labels {
    /// What the pod is an instance of, by the labels that people use for it.
    ///
    /// Source: Kubernetes' recommended labels, then the older habits.
    pub fn app(&self) -> &str {
        ["app.kubernetes.io/name", "app", "k8s-app"]
            .iter()
            .find_map(|key| self.labels.get(*key))
            .map_or("", String::as_str)
    }
}

/// One line that was found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Line {
    /// Its number in the store; later ones are higher.
    pub number: u64,
    /// Nanoseconds since the epoch.
    pub at: i64,
    pub labels: Arc<Labels>,
    /// From the standard error.
    pub is_error: bool,
    /// Without its end; whatever bytes the container wrote.
    pub text: Vec<u8>,
}

/// A time as the store keeps it: nanoseconds since the epoch, until the year 2262.
pub fn nanos(at: Timestamp) -> i64 {
    let held = at.as_nanosecond().clamp(i64::MIN.into(), i64::MAX.into());
    i64::try_from(held).unwrap_or(i64::MAX)
}

/// The same backwards.
pub fn timestamp(at: i64) -> Timestamp {
    Timestamp::from_nanosecond(at.into()).unwrap_or(Timestamp::UNIX_EPOCH)
}
