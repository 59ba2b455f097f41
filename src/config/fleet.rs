//! The fleet file: regions, zones, racks, power feeds and machines, compact to write for ten
//! machines and for five thousand.
//!
//! ```yaml
//! machineTypes:
//!   std: {cpu: 16, memory: 64Gi}
//!   gpu: {cpu: 32, memory: 128Gi, resources: {nvidia.com/gpu: 4},
//!         taints: [{key: nvidia.com/gpu, value: present, effect: NoSchedule}]}
//! regions:
//! - name: eu-west-1
//!   zones:
//!   - name: eu-west-1a
//!     power: [a-p1, a-p2]          # feeds; racks take them in turn
//!     machines: {std: 4}           # in every rack of the zone
//!     racks:
//!     - a[01-03]                   # a01, a02, a03
//!     - {name: a04, machines: {std: 2, gpu: 2}, labels: {example.com/row: r1}}
//! workloads: [shop/]               # manifests to apply, relative to this file
//! ```
//!
//! A fleet expands into `NodePool` objects, one for each machine type in each rack. Any label may be
//! put on a region, a zone, a rack or a machine type; the console can group by all of them.

mod expand;
mod pattern;
mod read;
mod summary;

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use super::manifest::{self, Manifests};
use crate::k8s::Name;
use crate::k8s::lab::{self, NodePoolSpec};

/// Machines of a cluster, and what to run on them at first.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Fleet {
    pub pools: Vec<Pool>,
    /// Manifest files and directories, resolved against the fleet file's place.
    pub workloads: Vec<PathBuf>,
}

/// A `NodePool` to be.
#[derive(Clone, Debug, PartialEq)]
pub struct Pool {
    pub name: Name,
    pub spec: NodePoolSpec,
}

/// Why a fleet file is not usable.
#[derive(Debug, thiserror::Error)]
pub enum FleetError {
    #[error("cannot read `{path}`")]
    Read {
        path: PathBuf,
        #[source]
        source: io::Error,
    },
    /// The path of the field is part of the message.
    #[error("{file}:{line}:{column}: {message}")]
    Invalid {
        file: String,
        line: usize,
        column: usize,
        message: String,
    },
}

impl Fleet {
    /// One region, three zones, twelve racks, machines of four shapes.
    pub fn standard() -> Self {
        // A test holds the embedded file valid; an empty fleet would be seen at once.
        Self::parse(STANDARD, "standard.yaml", Path::new("")).unwrap_or_default()
    }

    /// Reads a fleet file.
    pub fn load(path: &Path) -> Result<Self, FleetError> {
        let text = fs::read_to_string(path).map_err(|source| FleetError::Read {
            path: path.to_owned(),
            source,
        })?;
        let place = path.parent().unwrap_or(Path::new(""));
        Self::parse(&text, &path.display().to_string(), place)
    }

    /// Reads a fleet. `file` is what positions are given in, `place` what paths are relative to.
    pub fn parse(text: &str, file: &str, place: &Path) -> Result<Self, FleetError> {
        let read = read::read(text).map_err(|(position, message)| FleetError::Invalid {
            file: file.to_owned(),
            line: position.line,
            column: position.column,
            message,
        })?;
        let pools = expand::pools(&read).map_err(|problem| {
            let position = super::position::locate(text, &problem.path);
            FleetError::Invalid {
                file: file.to_owned(),
                line: position.line,
                column: position.column,
                message: format!(
                    "{}: {}",
                    super::position::path_text(&problem.path),
                    problem.message
                ),
            }
        })?;
        let workloads = read.workloads.iter().map(|path| place.join(path)).collect();
        Ok(Self { pools, workloads })
    }

    /// How many machines.
    pub fn machines(&self) -> u32 {
        self.pools.iter().map(|pool| pool.spec.count).sum()
    }

    /// The `NodePool` objects.
    pub fn objects(&self) -> Vec<Value> {
        self.pools.iter().map(Pool::object).collect()
    }

    /// Regions, zones, racks, machines by kind, and what they sum up to, as lines of text.
    pub fn summary(&self) -> String {
        summary::table(self)
    }
}

impl Pool {
    fn object(&self) -> Value {
        json!({
            "apiVersion": lab::API_VERSION,
            "kind": lab::NODE_POOL,
            "metadata": {"name": self.name},
            "spec": self.spec,
        })
    }
}

/// The application of a first cluster: services with sidecars, stateful sets, jobs, and a few that
/// are in trouble on purpose (one badly spread, one that fits nowhere, one that crashes, one that is
/// slow to roll out).
pub fn sample() -> Manifests {
    let mut all = Manifests::default();
    for (file, text) in SAMPLE {
        let read = manifest::parse(text, file);
        all.documents.extend(read.documents);
        all.problems.extend(read.problems);
    }
    all
}

/// The part of the application that really runs: for clusters that have a node of real containers.
/// `image` is the image that holds this program.
pub fn kiosk(image: &str) -> Manifests {
    let text = KIOSK.replace(KIOSK_IMAGE, image);
    manifest::parse(&text, "sample/90-kiosk.yaml")
}

const STANDARD: &str = include_str!("fleet/standard.yaml");

const KIOSK: &str = include_str!("sample/90-kiosk.yaml");
const KIOSK_IMAGE: &str = "bayplan.local/sample:VERSION";

/// Those that few machines can hold come first: on a slow computer they would find them taken.
const SAMPLE: [(&str, &str); 7] = [
    (
        "sample/00-platform.yaml",
        include_str!("sample/00-platform.yaml"),
    ),
    (
        "sample/10-payments.yaml",
        include_str!("sample/10-payments.yaml"),
    ),
    (
        "sample/20-search.yaml",
        include_str!("sample/20-search.yaml"),
    ),
    ("sample/30-data.yaml", include_str!("sample/30-data.yaml")),
    ("sample/40-ml.yaml", include_str!("sample/40-ml.yaml")),
    ("sample/50-ops.yaml", include_str!("sample/50-ops.yaml")),
    ("sample/60-shop.yaml", include_str!("sample/60-shop.yaml")),
];

#[cfg(test)]
mod tests;
