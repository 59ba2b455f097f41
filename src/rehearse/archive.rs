//! A rehearsal as a file: objects, steps and seed, so that a colleague takes the same steps and gets
//! the same outcome. Gzipped JSON.
//!
//! Secrets are not among the objects, and containers are written without their environment,
//! commands and arguments, which nothing in a rehearsal reads.

use std::io::{Read, Write};

use flate2::Compression;
use flate2::read::GzDecoder;
use flate2::write::GzEncoder;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::dump::Dump;
use super::fork::{Fork, Options};
use super::kinds;
use super::pseudonym::Pseudonyms;
use super::step::Step;
use crate::k8s::{Cluster, resources};

/// The name of the format, and its version.
const FORMAT: &str = "bayplan-rehearsal/1";
/// A file that unpacks to more than this is not one of ours.
const BYTES_MAX: u64 = 8 << 30;

/// A rehearsal that can be taken again.
#[derive(Clone, Debug)]
pub struct Archive {
    pub source: String,
    pub forked_at: Timestamp,
    pub seed: u64,
    pub cluster: Cluster,
    pub steps: Vec<Step>,
}

#[derive(Debug, thiserror::Error)]
pub enum ArchiveError {
    #[error("it is no rehearsal that was saved by bayplan")]
    Unreadable,
    #[error("it is of the format `{0}`, which this version does not know")]
    Format(String),
    #[error("a step in it cannot be read: {0}")]
    Step(#[from] super::StepError),
    #[error("an object in it cannot be read: {0}")]
    Object(#[from] super::dump::DumpError),
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Wire {
    format: String,
    source: String,
    forked_at: Timestamp,
    seed: u64,
    steps: Vec<StepWire>,
    objects: Vec<Value>,
}

#[derive(Serialize, Deserialize)]
struct StepWire {
    step: String,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    objects: Vec<Value>,
}

impl Archive {
    /// The bytes of the file. `pseudonymise`: names are replaced throughout, the same ones by the
    /// same ones.
    pub fn encode(&self, pseudonymise: bool) -> Result<Vec<u8>, std::io::Error> {
        let mut objects: Vec<Value> = self
            .cluster
            .resources()
            .filter(|resource| !kinds::is_left_behind(resource))
            // A pool would make machines of its own names again; its nodes stand without it.
            .filter(|resource| !(pseudonymise && **resource == resources::NODE_POOLS))
            .flat_map(|resource| self.cluster.list(resource))
            .map(|object| object.json())
            .collect();
        objects.iter_mut().for_each(without_environment);
        let mut steps: Vec<StepWire> = self.steps.iter().map(StepWire::of).collect();
        for step in &mut steps {
            step.objects.iter_mut().for_each(without_environment);
        }
        let mut source = self.source.clone();
        if pseudonymise {
            let names = Pseudonyms::of(&objects, self.seed);
            for object in &mut objects {
                names.rename(object);
            }
            for step in &mut steps {
                step.step = names.rename_step(&step.step);
                for object in &mut step.objects {
                    names.rename(object);
                }
            }
            "pseudonymised".clone_into(&mut source);
        }
        let wire = Wire {
            format: FORMAT.to_owned(),
            source,
            forked_at: self.forked_at,
            seed: self.seed,
            steps,
            objects,
        };
        let mut out = GzEncoder::new(Vec::new(), Compression::default());
        serde_json::to_writer(&mut out, &wire)?;
        out.flush()?;
        out.finish()
    }

    /// Takes the steps once more; the first that cannot be taken ends it.
    pub fn fork(&self) -> Result<Fork, String> {
        let options = Options {
            source: self.source.clone(),
            seed: self.seed,
            now: self.forked_at,
        };
        let mut fork = Fork::of(&self.cluster, options, Vec::new());
        for (place, step) in self.steps.iter().enumerate() {
            fork.take(step)
                .map_err(|why| format!("step {}, `{step}`, cannot be taken: {why}", place + 1))?;
        }
        Ok(fork)
    }

    pub fn decode(bytes: &[u8]) -> Result<Self, ArchiveError> {
        let mut text = String::new();
        GzDecoder::new(bytes)
            .take(BYTES_MAX)
            .read_to_string(&mut text)
            .map_err(|_error| ArchiveError::Unreadable)?;
        let wire: Wire = serde_json::from_str(&text).map_err(|_error| ArchiveError::Unreadable)?;
        if wire.format != FORMAT {
            return Err(ArchiveError::Format(wire.format));
        }
        let mut dump = Dump::default();
        for object in &wire.objects {
            dump.add_value(object, "objects")?;
        }
        let steps: Result<Vec<Step>, _> = wire.steps.into_iter().map(StepWire::into_step).collect();
        Ok(Self {
            source: wire.source,
            forked_at: wire.forked_at,
            seed: wire.seed,
            cluster: dump.cluster().clone(),
            steps: steps?,
        })
    }
}

impl StepWire {
    fn of(step: &Step) -> Self {
        let objects = match step {
            Step::Apply { objects, .. } => objects.clone(),
            _ => Vec::new(),
        };
        Self {
            step: step.to_string(),
            objects,
        }
    }

    fn into_step(self) -> Result<Step, super::StepError> {
        let mut step = Step::parse(&self.step, "default")?;
        if let Step::Apply { objects, .. } = &mut step {
            *objects = self.objects;
        }
        Ok(step)
    }
}

/// Takes what may hold credentials out of every container, in pods and in templates alike.
fn without_environment(value: &mut Value) {
    const LISTS: [&str; 3] = ["containers", "initContainers", "ephemeralContainers"];
    match value {
        Value::Object(fields) => {
            for (name, field) in fields.iter_mut() {
                if LISTS.contains(&name.as_str()) {
                    for container in field.as_array_mut().into_iter().flatten() {
                        if let Some(container) = container.as_object_mut() {
                            container.retain(|key, _| {
                                !matches!(key.as_str(), "env" | "envFrom" | "args" | "command")
                            });
                        }
                    }
                } else {
                    without_environment(field);
                }
            }
        }
        Value::Array(items) => items.iter_mut().for_each(without_environment),
        _ => {}
    }
}
