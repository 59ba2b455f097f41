//! Machine reassignment on the instances of set A of the ROADEF/EURO challenge 2012.
//!
//! Every answer is checked from scratch: hard constraints and cost. The gap is against the larger of
//! the published lower bound and our own. `-- reassignment 3000000` proposes so many moves instead
//! of the default.

use std::path::Path;

use bayplan::packing::reassignment::{Effort, Model, check, improve, lower_bound};
use bayplan::stdx::clock::instant;
use serde_json::json;

const INSTANCES: [&str; 10] = [
    "a1_1", "a1_2", "a1_3", "a1_4", "a1_5", "a2_1", "a2_2", "a2_3", "a2_4", "a2_5",
];

pub fn run(folder: &Path, arguments: &[String]) {
    let steps = arguments.first().and_then(|text| text.parse().ok());
    let effort = Effort {
        steps: steps.unwrap_or(Effort::default().steps),
        ..Effort::default()
    };
    let mut table = Vec::new();
    for name in INSTANCES {
        match solve(folder, name, effort) {
            Ok(row) => table.push(row),
            Err(message) => println!("reassignment {name}: {message}"),
        }
    }
    println!();
    println!("instance  initial cost          cost         bound  gap of initial       s");
    for row in table {
        println!("{row}");
    }
}

fn solve(folder: &Path, name: &str, effort: Effort) -> Result<String, String> {
    let read = |kind: &str| {
        let path = folder.join(format!("{kind}_{name}.txt"));
        std::fs::read_to_string(&path).map_err(|error| format!("{}: {error}", path.display()))
    };
    let number = |kind: &str| -> Result<i64, String> {
        read(kind)?
            .trim()
            .parse()
            .map_err(|error| format!("{kind}: {error}"))
    };
    let model = Model::parse(&read("model")?).map_err(|error| error.to_string())?;
    let initial: Vec<usize> = read("assignment")?
        .split_whitespace()
        .map(|word| word.parse().map_err(|error| format!("assignment: {error}")))
        .collect::<Result<_, _>>()?;
    let published = number("original_cost")?;
    let before = check(&model, &initial, &initial).map_err(|error| error.to_string())?;
    if before.total() != published {
        return Err(format!(
            "initial cost {} is not {published}",
            before.total()
        ));
    }
    let bound = number("lb")?.max(lower_bound(&model));
    let start = instant();
    let found =
        improve(&model, &initial, effort, &mut || true).map_err(|error| error.to_string())?;
    let seconds = start.elapsed().as_secs_f64();
    let cost = check(&model, &initial, &found.assignment)
        .map_err(|error| format!("BROKEN CONSTRAINT: {error}"))?
        .total();
    if cost != found.cost {
        return Err(format!("WRONG COST: {} is {cost}", found.cost));
    }
    let gap = (cost - bound) as f64 / bound.max(1) as f64;
    // The challenge's own score: the gap in shares of the initial cost, sound for a bound of 0.
    let of_initial = (cost - bound) as f64 / before.total().max(1) as f64;
    let line = json!({
        "case": format!("roadef {name}"), "machines": model.machines.len(),
        "processes": model.processes.len(), "cost_before": before.total(), "cost": cost,
        "bound": bound, "gap_to_bound": gap, "gap_of_initial": of_initial,
        "steps": found.steps, "seconds": seconds,
    });
    println!("{line}");
    Ok(format!(
        "{name:8} {:13} {cost:13} {bound:13} {:14.3}% {seconds:7.1}",
        before.total(),
        100.0 * of_initial
    ))
}
