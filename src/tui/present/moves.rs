//! The rebalancer's proposal as a panel: what it saves, then the moves, wave by wave.

use crate::k8s::Name;
use crate::sched::compaction::Compaction;
use crate::sched::rebalance::{Move, Rebalance, Skew};
use crate::stdx::humanize::{counted, significant};
use crate::tui::forecast::moves::{Moves, MovesGoal};
use crate::tui::forecast::need::PODS_MAX;
use crate::tui::model::{Model, MovesAnswer, MovesState};
use crate::tui::screen::TextPanel;
use crate::tui::text::{Line, Role, cut_middle, width, wrap};

pub fn panel(state: &MovesState, model: &Model) -> TextPanel {
    let what = match &state.question.goal {
        MovesGoal::Machines => "how few machines are needed".to_owned(),
        MovesGoal::Spread(level) => format!("replicas evened out by {level}"),
    };
    let others = match (&state.question.goal, state.question.empty_dirs) {
        (MovesGoal::Machines, false) => "tab spread  e with emptyDir pods  j k  esc",
        (MovesGoal::Machines, true) => "tab spread  e without emptyDir pods  j k  esc",
        (MovesGoal::Spread(_), false) => "tab machines  e with emptyDir pods  j k  esc",
        (MovesGoal::Spread(_), true) => "tab machines  e without emptyDir pods  j k  esc",
    };
    TextPanel {
        title: Line::of(what, Role::Title).with(format!("   {others}"), Role::Dim),
        lines: lines(state, model),
        scroll: state.scroll,
    }
}

pub fn lines(state: &MovesState, model: &Model) -> Vec<Line> {
    let room = usize::from(model.size.0.saturating_sub(8)).max(20);
    let waits = |text: String| vec![Line::of("◐ ", Role::Warning).with(text, Role::Dim)];
    match &state.answer {
        MovesAnswer::Loading => {
            let loading = model.cache.still_loading(&model.watched);
            waits(loading.map_or_else(
                || "loading what the scheduler reads".to_owned(),
                |loading| format!("{loading}: moves are not known yet"),
            ))
        }
        MovesAnswer::Computing => waits("asking the scheduler where pods could go".to_owned()),
        MovesAnswer::Known(result) => match result.as_ref() {
            Ok(moves) => known(state, moves, room),
            Err(why) => wrapped(why, Role::Warning, room),
        },
    }
}

fn wrapped(text: &str, role: Role, room: usize) -> Vec<Line> {
    let lines = wrap(text, room).into_iter();
    lines.map(|line| Line::of(line, role)).collect()
}

fn known(state: &MovesState, moves: &Moves, room: usize) -> Vec<Line> {
    let found = &moves.rebalance;
    let is_machines = state.question.goal == MovesGoal::Machines;
    let mut lines = Vec::new();
    if is_machines {
        lines.extend(need(moves.compaction.as_ref(), found, room));
    }
    lines.extend(saved(found, &moves.key, is_machines, room));
    let widths = Widths::of(found, room);
    for (place, wave) in found.waves.iter().enumerate() {
        lines.push(Line::default());
        let moves = counted(wave.len(), "move", "moves");
        let heading = if place == 0 {
            moves
        } else {
            format!("{moves}, when all of wave {place} are ready again")
        };
        lines.push(
            Line::of(format!("wave {}", place + 1), Role::Title)
                .with(format!("  {heading}"), Role::Dim),
        );
        lines.extend(wave.iter().map(|step| row(step, &widths)));
    }
    if !found.fixed.is_empty() {
        lines.push(Line::default());
        lines.push(Line::of("in the way, and may not be moved", Role::Title));
        for (why, pods) in found.fixed_by_reason() {
            lines.push(
                Line::of(format!("  {pods:>5}  "), Role::Strong)
                    .with(cut_middle(&why, room.saturating_sub(9)), Role::Text),
            );
        }
    }
    if !found.waves.is_empty() {
        lines.push(Line::default());
        let text = "A proposal: nothing is sent from here. Targets are places that will do; a \
                    move is an eviction, and then the scheduler decides. To go ahead, drain the \
                    machines (!n), or rehearse it: bayplan plan --rebalance";
        lines.extend(wrapped(text, Role::Dim, room));
    }
    lines
}

fn need(compaction: Option<&Compaction>, found: &Rebalance, room: usize) -> Vec<Line> {
    let Some(compaction) = compaction else {
        let text = format!(
            "With more than {PODS_MAX} pods the fewest machines are not worked out here: run \
             bayplan plan --compact"
        );
        return wrapped(&text, Role::Warning, room);
    };
    let Some(fewest) = compaction.fewest() else {
        return Vec::new();
    };
    let fewest = fewest.min(found.gain.machines_after);
    let mut lines = vec![Line::of(
        format!(
            "this workload needs {fewest} of your {} machines",
            compaction.machines
        ),
        Role::Strong,
    )];
    if let (Some(random), Some(chosen)) = (compaction.percentile_90(), compaction.least_used_first)
    {
        let text = format!(
            "packed anew from empty: {random} with machines removed at random ({}), {chosen} with \
             the least used removed first",
            counted(compaction.needed.len(), "trial", "trials"),
        );
        lines.extend(wrapped(&text, Role::Dim, room));
    }
    lines
}

/// What the moves change, in figures.
fn saved(found: &Rebalance, key: &Name, is_machines: bool, room: usize) -> Vec<Line> {
    let gain = &found.gain;
    if found.waves.is_empty() {
        let text = if is_machines {
            format!(
                "{} in use; no move of a pod to another of them frees one",
                counted(gain.machines_before, "machine is", "machines are")
            )
        } else {
            format!("no move makes a service's spread over {key} more even")
        };
        return wrapped(&text, Role::Text, room);
    }
    let fact = |name: &str, before: String, after: String| {
        Line::of(format!("{name:<16}"), Role::Dim)
            .with(before, Role::Text)
            .with(" → ", Role::Dim)
            .with(after, Role::Strong)
    };
    let mut lines = vec![
        Line::of(
            format!(
                "{} in {}",
                counted(found.moves(), "move", "moves"),
                counted(found.waves.len(), "wave", "waves")
            ),
            Role::Strong,
        )
        .with(", no more of a budget at once than it allows", Role::Dim),
    ];
    if found.losing() > 0 {
        let text = format!(
            "{} what they keep in emptyDir volumes",
            counted(found.losing(), "pod loses", "pods lose")
        );
        lines.push(Line::of("◐ ", Role::Warning).with(text, Role::Text));
    }
    lines.push(fact(
        "machines in use",
        gain.machines_before.to_string(),
        gain.machines_after.to_string(),
    ));
    lines.push(fact(
        "stranded",
        significant(gain.stranded_before),
        format!("{} machines", significant(gain.stranded_after)),
    ));
    let half = room.saturating_sub(19) / 2;
    lines.push(fact(
        "worst spread",
        skew(gain.skew_before.as_ref(), half),
        skew(gain.skew_after.as_ref(), half),
    ));
    if !gain.freed.is_empty() {
        let names: Vec<&str> = gain.freed.iter().map(Name::as_str).collect();
        let text = format!("become empty: {}", names.join(", "));
        lines.extend(wrapped(&text, Role::Good, room));
    }
    lines
}

fn skew(worst: Option<&Skew>, room: usize) -> String {
    worst.map_or_else(
        || "-".to_owned(),
        |worst| {
            let figures = format!("{} of {} ", worst.skew, worst.replicas);
            let name = format!("{}/{}", worst.namespace, worst.name);
            let left = room.saturating_sub(width(&figures));
            format!("{figures}{}", cut_middle(&name, left))
        },
    )
}

/// Columns of the rows of moves.
struct Widths {
    pod: usize,
    node: usize,
    budget: usize,
}

impl Widths {
    fn of(found: &Rebalance, room: usize) -> Self {
        let widest = |of: &dyn Fn(&Move) -> usize| {
            let widths = found.waves.iter().flatten().map(of);
            widths.max().unwrap_or(0)
        };
        let node = widest(&|step| width(&step.from).max(width(&step.to))).min(room / 5);
        let budget = widest(&|step| step.budget.as_ref().map_or(0, |name| width(name)));
        let budget = budget.min(room / 5);
        // Two blanks between columns, and an arrow of three.
        let pod = room.saturating_sub(2 * node + budget + 2 + 2 + 3 + 9);
        let pod = pod.min(widest(&|step| width(&full_name(step))));
        Self { pod, node, budget }
    }
}

fn full_name(step: &Move) -> String {
    format!("{}/{}", step.pod.namespace, step.pod.name)
}

fn row(step: &Move, widths: &Widths) -> Line {
    let padded = |text: &str, columns: usize| {
        let cut = cut_middle(text, columns);
        let blanks = columns.saturating_sub(width(&cut));
        format!("{cut}{}", " ".repeat(blanks))
    };
    let (budget, role) = match &step.budget {
        Some(budget) => (
            format!("budget {}", cut_middle(budget, widths.budget)),
            Role::Dim,
        ),
        None => ("no budget".to_owned(), Role::Dim),
    };
    Line::of(
        format!("  {}  ", padded(&full_name(step), widths.pod)),
        Role::Text,
    )
    .with(padded(&step.from, widths.node), Role::Text)
    .with(" → ", Role::Dim)
    .with(padded(&step.to, widths.node), Role::Strong)
    .with(format!("  {budget}"), role)
}
