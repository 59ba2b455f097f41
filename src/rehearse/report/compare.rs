//! Two outcomes side by side: what one plan costs, and what the other.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use super::{Form, Section, Table, as_count, loss_text, percent, seconds};
use crate::rehearse::outcome::{Outcome, Picture, WorkloadEffect};
use crate::stdx::humanize::milli;

/// The names that the two go by, and the outcomes.
pub type Pair<'a> = [(&'a str, &'a Outcome); 2];

const HEAD: &[&str] = &["", "first", "second"];

/// Both outcomes for people, ending in how they differ.
pub fn write(pair: Pair<'_>, form: Form) -> String {
    let [(first, left), (second, right)] = pair;
    let mark = if form == Form::Markdown { "# " } else { "" };
    let mut out = format!(
        "{mark}Two rehearsals side by side\n\nfirst: {first} ({})\nsecond: {second} ({})\n",
        left.source, right.source
    );
    for section in sections([left, right]) {
        if section.rows.is_empty() {
            continue;
        }
        out.push('\n');
        match form {
            Form::Text => super::text(&section, &mut out),
            Form::Markdown => super::markdown(&section, &mut out),
        }
    }
    out
}

/// The same as tables.
pub fn tables(pair: Pair<'_>) -> Vec<Table> {
    let [(_, left), (_, right)] = pair;
    super::filled(sections([left, right]))
}

fn sections(both: [&Outcome; 2]) -> Vec<Section> {
    let [left, right] = both;
    vec![
        super::section("Steps", HEAD, steps(left, right)),
        super::section("What came of them", HEAD, figures(left, right)),
        super::section(
            "Services below their target",
            &["service", "first", "second"],
            services(left, right),
        ),
        super::section("Capacity afterwards", HEAD, capacity(left, right)),
        super::section(
            "Worst loss of each level afterwards",
            &["level", "first", "second"],
            worst(left, right),
        ),
    ]
}

fn steps(left: &Outcome, right: &Outcome) -> Vec<Vec<String>> {
    let text = |outcome: &Outcome, place: usize| {
        let step = outcome.steps.get(place);
        step.map(|step| step.step.clone()).unwrap_or_default()
    };
    (0..left.steps.len().max(right.steps.len()))
        .map(|place| {
            vec![
                (place + 1).to_string(),
                text(left, place),
                text(right, place),
            ]
        })
        .collect()
}

/// Figures that are nothing in both say nothing.
fn figures(left: &Outcome, right: &Outcome) -> Vec<Vec<String>> {
    type Column = fn(&Outcome) -> usize;
    let counts: [(&str, Column); 10] = [
        ("pods moved", |outcome| outcome.total.moved.len()),
        ("pods created", |outcome| as_count(outcome.total.created)),
        ("pods deleted", |outcome| as_count(outcome.total.deleted)),
        ("pending at the end", |outcome| outcome.total.pending.len()),
        ("do not end", |outcome| as_count(outcome.total.stuck)),
        ("preempted", |outcome| outcome.total.preempted.len()),
        ("budgets broken", |outcome| outcome.total.budgets.len()),
        ("quorums broken", |outcome| outcome.total.quorums.len()),
        ("services below target", |outcome| {
            outcome.total.workloads.len()
        }),
        ("machines left empty", |outcome| outcome.emptied.len()),
    ];
    let verdicts = vec![
        "answer".to_owned(),
        super::verdict(left),
        super::verdict(right),
    ];
    let counted = counts.iter().filter_map(|(name, column)| {
        let (first, second) = (column(left), column(right));
        (first + second > 0)
            .then(|| vec![(*name).to_owned(), first.to_string(), second.to_string()])
    });
    let time = vec![
        "virtual time".to_owned(),
        seconds(left.seconds),
        seconds(right.seconds),
    ];
    std::iter::once(verdicts)
        .chain(counted)
        .chain([time])
        .collect()
}

fn services(left: &Outcome, right: &Outcome) -> Vec<Vec<String>> {
    let mut rows: BTreeMap<String, [String; 2]> = BTreeMap::new();
    for (place, outcome) in [left, right].into_iter().enumerate() {
        for effect in &outcome.total.workloads {
            let row = rows
                .entry(effect.workload.to_string())
                .or_insert_with(|| ["-".to_owned(), "-".to_owned()]);
            if let Some(cell) = row.get_mut(place) {
                *cell = fall(effect);
            }
        }
    }
    rows.into_iter()
        .map(|(name, [first, second])| vec![name, first, second])
        .collect()
}

fn fall(effect: &WorkloadEffect) -> String {
    let mut text = format!("{} of {}", effect.lowest_ready, effect.target);
    if effect.seconds_below > 0 {
        let _ = write!(text, ", {} below", seconds(effect.seconds_below));
    }
    if effect.short > 0 {
        let _ = write!(text, ", {} short", effect.short);
    }
    text
}

fn capacity(left: &Outcome, right: &Outcome) -> Vec<Vec<String>> {
    type Column = fn(&Picture) -> String;
    let rows: [(&str, Column); 4] = [
        ("nodes ready", |picture| {
            format!("{} of {}", picture.ready, picture.nodes)
        }),
        ("cordoned", |picture| picture.cordoned.to_string()),
        ("pods", |picture| {
            format!("{}, {} pending", picture.pods, picture.pending)
        }),
        ("cpu requested", |picture| {
            let (part, whole) = (picture.requested_cpu_milli, picture.allocatable_cpu_milli);
            format!(
                "{}/{} ({})",
                milli(part),
                milli(whole),
                percent(part, whole)
            )
        }),
    ];
    rows.iter()
        .map(|(name, column)| {
            vec![
                (*name).to_owned(),
                column(&left.after),
                column(&right.after),
            ]
        })
        .collect()
}

fn worst(left: &Outcome, right: &Outcome) -> Vec<Vec<String>> {
    let losses = [left, right].map(|outcome| &outcome.after.worst);
    let mut levels = Vec::new();
    for loss in losses.iter().copied().flatten() {
        if !levels.contains(&&loss.level) {
            levels.push(&loss.level);
        }
    }
    levels
        .into_iter()
        .map(|level| {
            let cell = |outcome: &Outcome| {
                let found = outcome.after.worst.iter().find(|loss| loss.level == *level);
                found.map(loss_text).unwrap_or_default()
            };
            vec![level.to_string(), cell(left), cell(right)]
        })
        .collect()
}
