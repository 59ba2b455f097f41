//! The queue view as widgets: who waits above, why below.

use super::reasons::Reasons;
use super::state::QueuePage;
use super::waiting::{WaitingPod, WaitingState, short_refusals};
use crate::stdx::humanize::{self, counted};
use crate::tui::columns::{age_key, text_key};
use crate::tui::forecast::fidelity::Tally;
use crate::tui::page::Context;
use crate::tui::screen::{Cell, Document, Empty, Extent, Widget};
use crate::tui::table::{Column, SortKey, Unit};
use crate::tui::text::{Line, Role};

pub(super) const COLUMNS: &[Column<WaitingPod>] = &[
    Column::new(
        "STATE",
        |pod: &WaitingPod, _| {
            let (glyph, role) = sign(pod.state);
            Cell::from(Line::of(glyph, role).with(format!(" {}", pod.state.word()), role))
        },
        |pod: &WaitingPod, _| SortKey::Number(pod.state as i64),
    )
    .width(10, 15)
    .priority(1),
    Column::new(
        "POD",
        |pod: &WaitingPod, _| {
            Cell::new(
                format!("{}/{}", pod.key.namespace, pod.key.name),
                Role::Text,
            )
        },
        |pod: &WaitingPod, _| text_key(format!("{}/{}", pod.key.namespace, pod.key.name)),
    )
    .name()
    .width(16, 56),
    Column::new(
        "WAITING",
        |pod: &WaitingPod, context: &Context| {
            let age = pod.since.map(|since| humanize::age(since, context.now));
            Cell::from(age.unwrap_or_default())
        },
        |pod: &WaitingPod, _| age_key(pod.since),
    )
    .number(Unit::Seconds)
    .width(7, 8)
    .priority(0),
    Column::new(
        "TRIED",
        |pod: &WaitingPod, _| {
            Cell::from(
                pod.attempts
                    .map(|count| count.to_string())
                    .unwrap_or_default(),
            )
        },
        |pod: &WaitingPod, _| {
            pod.attempts
                .map_or(SortKey::Nothing, |count| SortKey::Number(i64::from(count)))
        },
    )
    .number(Unit::None)
    .width(5, 6)
    .priority(2),
    Column::new(
        "PRIORITY",
        |pod: &WaitingPod, _| Cell::new(pod.priority.to_string(), Role::Dim),
        |pod: &WaitingPod, _| SortKey::Number(i64::from(pod.priority)),
    )
    .number(Unit::None)
    .width(8, 11)
    .priority(4)
    .wide(),
    Column::new(
        "WHY",
        |pod: &WaitingPod, _| Cell::new(short_why(pod), Role::Dim),
        |pod: &WaitingPod, _| text_key(short_why(pod)),
    )
    .width(16, 300)
    .priority(0)
    .fills(),
];

/// The reasons without the preamble, the most frequent first.
fn short_why(pod: &WaitingPod) -> String {
    match pod.state {
        WaitingState::Gated => "a scheduling gate is set".to_owned(),
        WaitingState::Queued if pod.nominated_node.is_some() => format!(
            "room is being made on {}",
            pod.nominated_node.as_deref().unwrap_or_default()
        ),
        WaitingState::Queued => "the scheduler has not looked at it yet".to_owned(),
        WaitingState::Unschedulable => short_refusals(&pod.message),
    }
}

fn sign(state: WaitingState) -> (&'static str, Role) {
    match state {
        WaitingState::Unschedulable => ("✕", Role::Bad),
        WaitingState::Queued => ("○", Role::Accent),
        WaitingState::Gated => ("⊘", Role::Dim),
    }
}

fn reasons_height(context: &Context) -> u16 {
    (context.area.height * 3 / 5)
        .max(8)
        .min(context.area.height.saturating_sub(3))
}

pub(super) fn table_height(context: &Context) -> u16 {
    context
        .area
        .height
        .saturating_sub(1 + reasons_height(context))
        .max(1)
}

pub(super) fn present(page: &QueuePage, context: &Context) -> Widget {
    let empty = Empty {
        why: if !page.has_looked() {
            "loading pods".into()
        } else if page.table.filter().is_empty() {
            "no pod waits for a place".into()
        } else {
            format!("no waiting pod matches `{}`", page.table.filter()).into()
        },
        press: format!(
            "{} on any pod says why it is where it is",
            context.key("why")
        )
        .into(),
    };
    if page.subject().is_none() {
        return Widget::Table(page.table.present(COLUMNS, context, empty, |_| Vec::new()));
    }
    let table = page.table.present(COLUMNS, context, empty, |_| Vec::new());
    Widget::down([
        (Extent::Rest, Widget::Table(table)),
        (
            Extent::Cells(reasons_height(context)),
            explanation(page, context),
        ),
    ])
}

fn explanation(page: &QueuePage, context: &Context) -> Widget {
    let Some(subject) = page.subject() else {
        return Widget::default();
    };
    let mut caption = Line::of(format!("why {}", subject.path()), Role::Title);
    let known = page
        .explained
        .as_ref()
        .filter(|explained| explained.pod == subject);
    let lines = match known {
        None => vec![Line::of(
            " the scheduler is being asked, node by node",
            Role::Dim,
        )],
        Some(explained) => {
            let age = context.now.duration_since(explained.at).as_secs();
            if age >= 2 {
                caption.push(
                    format!(
                        "  answered {} ago",
                        humanize::age(explained.at, context.now)
                    ),
                    Role::Dim,
                );
            }
            match &explained.outcome {
                Ok(reasons) => lines(reasons),
                Err(why) => vec![Line::of(
                    format!(" the scheduler here cannot read this pod: {why}"),
                    Role::Warning,
                )],
            }
        }
    };
    Widget::down([
        (Extent::Cells(1), Widget::Rule(caption)),
        (Extent::Rest, Widget::Document(Document::whole(lines))),
    ])
}

fn lines(reasons: &Reasons) -> Vec<Line> {
    let mut out = Vec::new();
    let mut head = if reasons.feasible == 0 {
        Line::of(
            format!(" 0 of {} fit", counted(reasons.nodes, "node", "nodes")),
            Role::Bad,
        )
    } else {
        Line::of(
            format!(
                " {} of {} would take it",
                reasons.feasible,
                counted(reasons.nodes, "node", "nodes")
            ),
            Role::Good,
        )
    };
    head.push(format!("   it requests {}", reasons.requests), Role::Text);
    out.push(head);
    for beyond in &reasons.beyond {
        out.push(Line::of(" no machine has ", Role::Bad).with(beyond.as_str(), Role::Bad));
    }
    for group in &reasons.groups {
        let count = if group.nodes == 0 {
            reasons.nodes
        } else {
            group.nodes
        };
        let mut line = Line::of(format!(" {count:>6}  "), Role::Strong)
            .with(group.reason.as_str(), Role::Text);
        match &group.nearest {
            Some(nearest) => line.push(format!("   nearest: {nearest}"), Role::Accent),
            None if !group.examples.is_empty() => {
                let more = if group.nodes > group.examples.len() {
                    ", …"
                } else {
                    ""
                };
                line.push(format!("   {}{more}", group.examples.join(", ")), Role::Dim);
            }
            None => {}
        }
        if !group.plugin.is_empty() {
            line.push(format!("  [{}]", group.plugin), Role::Dim);
        }
        out.push(line);
    }
    if reasons.feasible == 0 {
        out.push(Line::default());
        if reasons.remedies.is_empty() {
            out.push(Line::of(
                if reasons.beyond.is_empty() {
                    " no single change of the pod would let it run; more room or another machine would"
                } else {
                    " no single change of the pod would let it run, and no room on these machines: a larger one would"
                },
                Role::Warning,
            ));
        } else {
            out.push(Line::of(
                " what would let it run (each was tried by the scheduler)",
                Role::Title,
            ));
            for (index, remedy) in reasons.remedies.iter().enumerate() {
                out.push(
                    Line::of(format!(" {:>6}  ", index + 1), Role::Strong)
                        .with(remedy.text.as_str(), Role::Text)
                        .with(
                            format!("   fits {}", counted(remedy.fits, "node", "nodes")),
                            Role::Good,
                        ),
                );
            }
        }
    }
    if !reasons.scores.is_empty() {
        out.push(Line::default());
        out.push(
            Line::of(" the best nodes by score", Role::Title)
                .with(format!("   {}", reasons.columns.join(" · ")), Role::Dim),
        );
        for row in &reasons.scores {
            let parts: Vec<String> = row.parts.iter().map(i64::to_string).collect();
            out.push(
                Line::of(format!(" {:>6}  ", row.total), Role::Strong)
                    .with(row.node.as_str(), Role::Text)
                    .with(format!("   {}", parts.join(" · ")), Role::Dim),
            );
        }
    }
    out
}

/// How far what is said here is to be trusted: how often the real scheduler chose as foretold.
fn fidelity(tally: &Tally) -> Line {
    let mut line = Line::default();
    let words = tally.words();
    if words.is_empty() {
        return line;
    }
    line.push("   ", Role::Text);
    line.push(words, Role::Text);
    if let Some(miss) = &tally.missed {
        let text = format!(
            "; {} went to {}, not {}",
            miss.pod, miss.went_to, miss.foretold
        );
        line.push(text, Role::Dim);
    }
    let gaps = tally.gaps();
    if !gaps.is_empty() {
        line.push(format!("; not compared: {gaps}"), Role::Dim);
    }
    line
}

pub(super) fn status(page: &QueuePage, context: &Context) -> Line {
    let records: Vec<&WaitingPod> = page.table.rows().collect();
    let mut line = Line::of(
        format!("{} waiting", counted(records.len(), "pod", "pods")),
        Role::Text,
    );
    for state in [
        WaitingState::Unschedulable,
        WaitingState::Queued,
        WaitingState::Gated,
    ] {
        let count = records.iter().filter(|pod| pod.state == state).count();
        if count > 0 {
            let (glyph, role) = sign(state);
            line.push(format!("  {glyph} {count} {}", state.word()), role);
        }
    }
    if let Some(oldest) = records.iter().filter_map(|pod| pod.since).min() {
        line.push(
            format!("  the oldest for {}", humanize::age(oldest, context.now)),
            Role::Dim,
        );
    }
    if let Some(tally) = context.fidelity {
        line.spans.extend(fidelity(tally).spans);
    }
    line
}
