//! An outcome for people: as text for a terminal, as Markdown for a change request. Both are made
//! from the same sections; JSON is the outcome itself.

pub mod compare;
mod need;

use std::collections::BTreeMap;
use std::fmt::Write as _;

use jiff::SignedDuration;

use super::outcome::{Breach, Effects, Outcome, Picture, StepOutcome, WorstLoss};
use super::step::duration_text;
use crate::k8s::Name;
use crate::stdx::humanize::{bytes_of, counted, milli, significant};

/// Rows of one table beyond which the rest is counted: JSON has all of them.
const ROWS_MAX: usize = 40;

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Form {
    Text,
    Markdown,
}

/// A headed list or table.
struct Section {
    title: &'static str,
    /// Empty: the rows are sentences.
    head: &'static [&'static str],
    rows: Vec<Vec<String>>,
    more: usize,
}

pub type Row = Vec<String>;

/// A table of the report for whoever draws it otherwise.
#[derive(Clone, PartialEq, Debug)]
pub struct Table {
    pub title: &'static str,
    /// Empty: the rows are sentences.
    pub head: Row,
    pub rows: Vec<Row>,
    /// Rows beyond those that are here.
    pub more: usize,
}

/// The tables that have anything in them.
pub fn tables(outcome: &Outcome) -> Vec<Table> {
    filled(sections(outcome))
}

fn filled(sections: Vec<Section>) -> Vec<Table> {
    sections
        .into_iter()
        .filter(|section| !section.rows.is_empty())
        .map(|section| Table {
            title: section.title,
            head: section.head.iter().map(|cell| (*cell).to_owned()).collect(),
            rows: section.rows,
            more: section.more,
        })
        .collect()
}

/// The whole outcome, ending in the verdict.
pub fn write(outcome: &Outcome, form: Form) -> String {
    let mut out = title(outcome, form);
    let need = outcome.need.as_ref().map(need::sections);
    for section in need.into_iter().flatten().chain(sections(outcome)) {
        if !section.rows.is_empty() {
            out.push('\n');
            match form {
                Form::Text => text(&section, &mut out),
                Form::Markdown => markdown(&section, &mut out),
            }
        }
    }
    out.push('\n');
    let verdict = verdict(outcome);
    let (open, close) = match form {
        Form::Text => ("", "\n"),
        Form::Markdown => ("**", "**\n"),
    };
    out.push_str(open);
    out.push_str(&verdict);
    out.push_str(close);
    out
}

/// One sentence: what decides the exit code.
pub fn verdict(outcome: &Outcome) -> String {
    let count = outcome.total.workloads.len();
    let short = outcome
        .total
        .workloads
        .iter()
        .filter(|effect| effect.short > 0)
        .count();
    let fall = counted(count, "service falls", "services fall");
    if !outcome.falls_below_target && count == 0 {
        return "nothing falls below its target".to_owned();
    }
    if !outcome.falls_below_target {
        return format!("{fall} below target, none for longer than is allowed");
    }
    if short > 0 {
        return format!("{fall} below target, {short} to the end");
    }
    format!("{fall} below target and recover")
}

/// What a step did, in one line.
pub fn sentence(effects: &Effects) -> String {
    let parts = [
        (effects.moved.len(), "pod moved", "pods moved"),
        (effects.pending.len(), "stays pending", "stay pending"),
        (as_count(effects.stuck), "does not end", "do not end"),
        (effects.preempted.len(), "preempted", "preempted"),
        (effects.budgets.len(), "budget broken", "budgets broken"),
        (effects.quorums.len(), "quorum broken", "quorums broken"),
        (
            effects.workloads.len(),
            "service below target",
            "services below target",
        ),
    ];
    let parts: Vec<String> = parts
        .iter()
        .filter(|(count, ..)| *count > 0)
        .map(|(count, one, many)| counted(*count, one, many))
        .collect();
    if parts.is_empty() {
        let created = as_count(effects.created);
        let deleted = as_count(effects.deleted);
        return match (created, deleted) {
            (0, 0) => "no pod is touched".to_owned(),
            (new, 0) => format!("{} created", counted(new, "pod", "pods")),
            (0, gone) => format!("{} deleted", counted(gone, "pod", "pods")),
            (new, gone) => format!("{} created, {gone} deleted", counted(new, "pod", "pods")),
        };
    }
    parts.join(", ")
}

fn as_count(number: u64) -> usize {
    usize::try_from(number).unwrap_or(usize::MAX)
}

fn title(outcome: &Outcome, form: Form) -> String {
    let mark = match form {
        Form::Text => "",
        Form::Markdown => "# ",
    };
    format!(
        "{mark}Rehearsal of {}\n\n{}, {}, forked {}, seed {}; {} of virtual time\n",
        outcome.source,
        counted(as_usize(outcome.before.nodes), "node", "nodes"),
        counted(as_usize(outcome.before.pods), "pod", "pods"),
        outcome.forked_at.strftime("%Y-%m-%d %H:%M:%S UTC"),
        outcome.seed,
        seconds(outcome.seconds),
    )
}

fn as_usize(number: u32) -> usize {
    usize::try_from(number).unwrap_or(usize::MAX)
}

fn seconds(count: u64) -> String {
    duration_text(SignedDuration::from_secs(
        i64::try_from(count).unwrap_or(i64::MAX),
    ))
}

fn sections(outcome: &Outcome) -> Vec<Section> {
    let total = &outcome.total;
    vec![
        section(
            "Steps",
            &["", "step", "after", "settled in", "what came of it"],
            outcome.steps.iter().enumerate().map(step_row).collect(),
        ),
        section("Notes", &[], notes(&outcome.steps)),
        section(
            "Services below their target",
            &[
                "service",
                "target",
                "lowest",
                "depth",
                "below for",
                "at the end",
            ],
            total
                .workloads
                .iter()
                .map(|effect| {
                    let below = if effect.seconds_below > 0 {
                        seconds(effect.seconds_below)
                    } else {
                        "-".to_owned()
                    };
                    let end = if effect.short > 0 {
                        format!("{}, {} short", effect.ready_after, effect.short)
                    } else {
                        effect.ready_after.to_string()
                    };
                    vec![
                        effect.workload.to_string(),
                        effect.target.to_string(),
                        effect.lowest_ready.to_string(),
                        effect.depth.to_string(),
                        below,
                        end,
                    ]
                })
                .collect(),
        ),
        section("Budgets broken", BREACH, breaches(&total.budgets)),
        section("Quorums broken", BREACH, breaches(&total.quorums)),
        section("Pending", &["pods", "of", "why"], pending(total)),
        section(
            "Preempted",
            &["pod", "of", "on"],
            total
                .preempted
                .iter()
                .map(|pod| {
                    vec![
                        pod.pod.to_string(),
                        pod.workload.to_string(),
                        pod.from.to_string(),
                    ]
                })
                .collect(),
        ),
        section(
            "Moved",
            &["of", "pod", "from", "to", "replaced by"],
            total
                .moved
                .iter()
                .map(|moved| {
                    vec![
                        moved.workload.to_string(),
                        moved.pod.to_string(),
                        moved.from.to_string(),
                        moved.to.to_string(),
                        moved.replacement.to_string(),
                    ]
                })
                .collect(),
        ),
        section(
            "Capacity",
            &["", "before", "after"],
            capacity(&outcome.before, &outcome.after),
        ),
        section(
            "Worst loss of each level",
            &["level", "before", "after"],
            worst(&outcome.before.worst, &outcome.after.worst),
        ),
        section("Machines left empty", &[], names(&outcome.emptied)),
        section(
            "Not taken into account",
            &[],
            outcome
                .not_modelled
                .iter()
                .map(|gap| vec![gap.clone()])
                .collect(),
        ),
    ]
}

const BREACH: &[&str] = &["name", "needs", "lowest", "from", "until"];

fn section(
    title: &'static str,
    head: &'static [&'static str],
    mut rows: Vec<Vec<String>>,
) -> Section {
    let more = rows.len().saturating_sub(ROWS_MAX);
    rows.truncate(ROWS_MAX);
    Section {
        title,
        head,
        rows,
        more,
    }
}

fn step_row((place, step): (usize, &StepOutcome)) -> Vec<String> {
    let settled = if step.settled {
        seconds(step.took_s)
    } else {
        "not settled".to_owned()
    };
    vec![
        (place + 1).to_string(),
        step.step.clone(),
        seconds(step.began_s),
        settled,
        sentence(&step.effects),
    ]
}

fn notes(steps: &[StepOutcome]) -> Vec<Vec<String>> {
    steps
        .iter()
        .flat_map(|step| step.notes.iter().map(move |note| (step, note)))
        .map(|(step, note)| vec![format!("{}: {note}", step.step)])
        .collect()
}

fn breaches(list: &[Breach]) -> Vec<Vec<String>> {
    list.iter()
        .map(|breach| {
            vec![
                format!("{}/{}", breach.namespace, breach.name),
                breach.needs.to_string(),
                breach.lowest.to_string(),
                format!("+{}", seconds(breach.from_s)),
                breach
                    .until_s
                    .map_or_else(|| "the end".to_owned(), |at| format!("+{}", seconds(at))),
            ]
        })
        .collect()
}

/// Pods that wait for the same reason are one row.
fn pending(total: &Effects) -> Vec<Vec<String>> {
    let mut groups: BTreeMap<(String, &str), usize> = BTreeMap::new();
    for pod in &total.pending {
        let key = (pod.workload.to_string(), pod.why.as_str());
        *groups.entry(key).or_default() += 1;
    }
    groups
        .into_iter()
        .map(|((workload, why), count)| vec![count.to_string(), workload, why.to_owned()])
        .collect()
}

fn names(list: &[Name]) -> Vec<Vec<String>> {
    list.iter().map(|name| vec![name.to_string()]).collect()
}

fn capacity(before: &Picture, after: &Picture) -> Vec<Vec<String>> {
    type Column = fn(&Picture) -> String;
    let rows: [(&str, Column); 5] = [
        ("nodes ready", |picture| {
            format!("{} of {}", picture.ready, picture.nodes)
        }),
        ("cordoned", |picture| picture.cordoned.to_string()),
        ("pods", |picture| {
            if picture.pending > 0 {
                format!("{}, {} pending", picture.pods, picture.pending)
            } else {
                picture.pods.to_string()
            }
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
        ("memory requested", |picture| {
            let (part, whole) = (
                picture.requested_memory_bytes,
                picture.allocatable_memory_bytes,
            );
            format!("{} ({})", bytes_of(part, whole), percent(part, whole))
        }),
    ];
    rows.iter()
        .map(|(name, column)| vec![(*name).to_owned(), column(before), column(after)])
        .collect()
}

fn percent(part: i64, whole: i64) -> String {
    if whole == 0 {
        return "-".to_owned();
    }
    format!("{}%", significant(100.0 * part as f64 / whole as f64))
}

fn worst(before: &[WorstLoss], after: &[WorstLoss]) -> Vec<Vec<String>> {
    before
        .iter()
        .map(|loss| {
            let then = after.iter().find(|other| other.level == loss.level);
            vec![
                loss.level.to_string(),
                loss_text(loss),
                then.map(loss_text).unwrap_or_default(),
            ]
        })
        .collect()
}

fn loss_text(loss: &WorstLoss) -> String {
    let mut text = format!(
        "{}: {}",
        loss.domain,
        counted(as_usize(loss.pods), "pod", "pods")
    );
    for (count, one, many) in [
        (loss.services_lost, "service lost", "services lost"),
        (
            loss.services_halved.saturating_sub(loss.services_lost),
            "service halved",
            "services halved",
        ),
        (loss.budgets_broken, "budget", "budgets"),
        (loss.quorums_broken, "quorum", "quorums"),
    ] {
        if count > 0 {
            text.push_str(", ");
            text.push_str(&counted(as_usize(count), one, many));
        }
    }
    text
}

fn text(section: &Section, out: &mut String) {
    out.push_str(&section.title.to_uppercase());
    out.push('\n');
    let widths: Vec<usize> = (0..section.head.len())
        .map(|column| {
            let cells = section.rows.iter().filter_map(|row| row.get(column));
            let head = section.head.get(column).map_or(0, |head| head.len());
            cells
                .map(|cell| cell.chars().count())
                .max()
                .unwrap_or(0)
                .max(head)
        })
        .collect();
    if !section.head.is_empty() {
        let head: Vec<String> = section.head.iter().map(|cell| (*cell).to_owned()).collect();
        line(&head, &widths, out);
    }
    for row in &section.rows {
        line(row, &widths, out);
    }
    if section.more > 0 {
        let more = section.more;
        let _ = writeln!(out, "  and {more} more (all of them with -o json)");
    }
}

fn line(cells: &[String], widths: &[usize], out: &mut String) {
    let mut line = String::new();
    for (column, cell) in cells.iter().enumerate() {
        let width = widths.get(column).copied().unwrap_or_default();
        line.push_str("  ");
        line.push_str(cell);
        for _ in cell.chars().count()..width {
            line.push(' ');
        }
    }
    out.push_str(line.trim_end());
    out.push('\n');
}

fn markdown(section: &Section, out: &mut String) {
    let escaped = |cell: &String| cell.replace('|', "\\|");
    out.push_str("## ");
    out.push_str(section.title);
    out.push_str("\n\n");
    if section.head.is_empty() {
        for row in &section.rows {
            out.push_str("- ");
            out.push_str(&row.join(" "));
            out.push('\n');
        }
    } else {
        let rule = "|---".repeat(section.head.len());
        let _ = writeln!(out, "| {} |\n{rule}|", section.head.join(" | "));
        for row in &section.rows {
            let cells: Vec<String> = row.iter().map(escaped).collect();
            let _ = writeln!(out, "| {} |", cells.join(" | "));
        }
    }
    if section.more > 0 {
        let more = section.more;
        let _ = writeln!(out, "\nand {more} more (all of them with `-o json`)");
    }
}
