//! Packing, measured on published traces and instances.
//!
//! One JSON line a case, then a readable table. `cargo bench --bench packing -- vectors` runs one
//! group; further arguments are the group's own. The traces are not part of the project:
//! `BAYPLAN_TRACES_DIR` names their directory, `../shared/traces` beside the checkout otherwise. A
//! group whose traces are missing says so and is left out.

#![expect(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "the lines are the result"
)]
#![expect(clippy::indexing_slicing, reason = "a benchmark")]
#![expect(
    clippy::disallowed_methods,
    reason = "the directory comes from the environment"
)]

use std::path::{Path, PathBuf};

#[path = "packing/fleet.rs"]
mod fleet;
#[path = "packing/openb.rs"]
mod openb;
#[path = "packing/reassignment.rs"]
mod reassignment;
#[path = "packing/vectors.rs"]
mod vectors;

/// A group's name, its directory among the traces, and what runs it with the remaining arguments.
type Group = (&'static str, &'static str, fn(&Path, &[String]));

const GROUPS: &[Group] = &[
    ("openb", "openb", openb::run),
    ("vectors", "vbp", vectors::run),
    ("reassignment", "roadef2012", reassignment::run),
    ("fleet", "", fleet::run),
];

fn main() {
    let arguments: Vec<String> = std::env::args()
        .skip(1)
        .filter(|argument| !argument.starts_with('-'))
        .collect();
    let (wanted, rest) = match arguments.split_first() {
        Some((name, rest)) => (Some(name.as_str()), rest),
        None => (None, [].as_slice()),
    };
    if let Some(name) = wanted.filter(|name| !GROUPS.iter().any(|group| group.0 == *name)) {
        let names: Vec<&str> = GROUPS.iter().map(|group| group.0).collect();
        eprintln!("no group `{name}`: there are {}", names.join(", "));
        std::process::exit(2);
    }
    let traces = traces();
    for (name, folder, run) in GROUPS {
        if wanted.is_some_and(|wanted| wanted != *name) {
            continue;
        }
        let folder = traces.join(folder);
        if folder.is_dir() {
            run(&folder, rest);
        } else {
            println!(
                "{name}: skipped, there is no directory {}; BAYPLAN_TRACES_DIR names another place",
                folder.display()
            );
        }
    }
}

fn traces() -> PathBuf {
    std::env::var_os("BAYPLAN_TRACES_DIR").map_or_else(
        || Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/traces"),
        PathBuf::from,
    )
}
