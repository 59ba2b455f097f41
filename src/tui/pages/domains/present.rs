//! The domains view as a picture: the losses, what they mean, the matrix.

pub mod clusters;
mod matrix;

use crate::stdx::humanize::{counted, thousands};
use crate::topology::spread::{TargetSource, percent};
use crate::topology::{Blast, BudgetImpact, Class, Domain, Loss, QuorumImpact};
use crate::tui::forecast::domain_loss::DomainLoss;
use crate::tui::forecast::reasons::sentence;
use crate::tui::screen::Canvas;
use crate::tui::text::{Line, Role, width};
use crate::tui::widgets::{draw, ink};

use super::state::{Cursor, State};

pub fn present(state: &State, version: u64, (columns, rows): (u16, u16)) -> Canvas {
    let mut canvas = Canvas::new(columns, rows);
    head(&mut canvas, state, version);
    let meaning_lines = match rows {
        30.. => 5,
        26.. => 4,
        _ => 2,
    };
    let roomy = u16::from(rows >= 26);
    let fixed = 2 + roomy + 1 + meaning_lines + 1;
    let room = rows.saturating_sub(fixed);
    let domains = u16::try_from(state.order.len()).unwrap_or(u16::MAX);
    let services = u16::try_from(state.shown.len()).unwrap_or(u16::MAX);
    // Both lists get what they need, and half of the room where that is too much.
    let half = room / 2;
    let table = domains.min(half.max(room.saturating_sub(services))).max(2);
    let top = 1 + roomy;
    losses(&mut canvas, (top, table), state);
    let y = top + 1 + table;
    meaning(&mut canvas, (y, meaning_lines), state);
    let y = y + 1 + meaning_lines;
    matrix::present(&mut canvas, (y, rows.saturating_sub(y)), state);
    canvas
}

/// `level ‹region zone RACK host›`.
fn level_line(state: &State) -> Line {
    let mut line = Line::of("level ‹", Role::Dim);
    for (place, entry) in state.levels.iter().enumerate() {
        if place > 0 {
            line.push(" ", Role::Dim);
        }
        if Some(entry) == state.level() {
            line.push(entry.title.to_uppercase(), Role::Strong);
        } else {
            line.push(entry.title.to_string(), Role::Dim);
        }
    }
    line.push("›", Role::Dim);
    line
}

/// The levels, `12 racks, the worst first        answers by the scheduler`.
fn head(canvas: &mut Canvas, state: &State, version: u64) {
    let Some(level) = state.level() else {
        return;
    };
    let mut line = level_line(state);
    let count = state
        .domains
        .as_ref()
        .map_or(0, |domains| domains.list.len());
    line.push(format!("   {}", level.counted(count)), Role::Text);
    let outside = state
        .domains
        .as_ref()
        .map_or(0, |domains| domains.outside.len());
    if outside > 0 {
        let nodes = counted(outside, "node", "nodes");
        line.push(format!("   {nodes} in none"), Role::Warning);
    }
    if !state.filter.is_empty() {
        line.push(format!("   /{}", state.filter), Role::Match);
    }
    let left = canvas.text(1, 0, line);
    let text = match state.answered {
        None => "asking the scheduler …".to_owned(),
        Some(answered) if answered.version == version => {
            format!("answers by the scheduler, in {:.2} s", answered.seconds)
        }
        Some(answered) => {
            let time = answered.at.strftime("%H:%M:%S");
            format!("answers by the scheduler, of {time}")
        }
    };
    let needed = u16::try_from(width(&text)).unwrap_or(u16::MAX);
    let end = canvas.width.saturating_sub(1);
    if left.saturating_add(needed + 2) <= end {
        draw::right(canvas, end, 0, &text, Role::Dim);
    }
}

/// Columns of figures: title, width, text.
struct Column {
    title: &'static str,
    width: u16,
    cell: fn(&Domain, &Blast, Option<&DomainLoss>) -> (String, Role),
}

const COLUMNS: &[Column] = &[
    Column {
        title: "NODES",
        width: 7,
        cell: |domain, _, _| {
            if domain.not_ready > 0 {
                (
                    format!("✕{}/{}", domain.not_ready, domain.nodes.len()),
                    Role::Bad,
                )
            } else {
                (thousands(domain.nodes.len() as u64), Role::Text)
            }
        },
    },
    Column {
        title: "CPU",
        width: 5,
        cell: |domain, _, _| share(domain.requested.shares_of(domain.allocatable).0),
    },
    Column {
        title: "MEM",
        width: 5,
        cell: |domain, _, _| share(domain.requested.shares_of(domain.allocatable).1),
    },
    Column {
        title: "DISPLACED",
        width: 11,
        cell: |_, blast, _| (thousands(blast.displaced.len() as u64), Role::Text),
    },
    Column {
        title: "FIND A PLACE",
        width: 13,
        cell: |_, _, answer| match answer {
            Some(answer) => (thousands(answer.placed as u64), Role::Text),
            None => ("…".to_owned(), Role::Dim),
        },
    },
    Column {
        title: "PENDING",
        width: 9,
        cell: |_, _, answer| match answer {
            Some(answer) if answer.pending > 0 => (thousands(answer.pending as u64), Role::Bad),
            Some(_) => ("0".to_owned(), Role::Good),
            None => ("…".to_owned(), Role::Dim),
        },
    },
    Column {
        title: "BELOW BUDGET",
        width: 14,
        cell: |_, blast, _| {
            let role = if blast.budgets_broken > 0 {
                Role::Warning
            } else {
                Role::Dim
            };
            (blast.budgets_broken.to_string(), role)
        },
    },
];

fn share(share: f64) -> (String, Role) {
    (format!("{:.0}%", share * 100.0), Role::Text)
}

fn losses(canvas: &mut Canvas, (top, rows): (u16, u16), state: &State) {
    let Some(domains) = &state.domains else {
        return;
    };
    let longest = domains.list.iter().map(|domain| width(&domain.name)).max();
    let name = u16::try_from(longest.unwrap_or(6))
        .unwrap_or(20)
        .clamp(8, 24);
    let narrow = canvas.width < 100;
    let mut x = 3 + name;
    let title = state
        .level()
        .map_or(String::new(), |level| level.title.to_uppercase());
    draw::name(canvas, (3, top), name, &title, Role::Head);
    let mut ends = Vec::new();
    for column in COLUMNS {
        // On narrow screens the heads are cut to their first word.
        let (title, columns) = if narrow {
            let title = match column.title {
                "FIND A PLACE" => "PLACED",
                "BELOW BUDGET" => "BUDGET",
                title => title,
            };
            (
                title,
                u16::try_from(width(title))
                    .unwrap_or(8)
                    .max(column.width.min(6))
                    + 1,
            )
        } else {
            (column.title, column.width)
        };
        x += columns;
        draw::right(canvas, x, top, title, Role::Head);
        ends.push(x);
    }
    let hurt = x + 3;
    draw::sentence(
        canvas,
        (hurt, top),
        canvas.width.saturating_sub(hurt),
        "SERVICES HURT MOST",
        Role::Head,
    );
    let cursor = match &state.cursor {
        Some(Cursor::Domain(_)) => Some(state.place_of_cursor()),
        None => Some(0),
        Some(Cursor::Workload(_)) => None,
    };
    let first = window(cursor.unwrap_or(0), state.order.len(), usize::from(rows));
    for (offset, (index, &place)) in (0..rows).zip(state.order.iter().enumerate().skip(first)) {
        let (Some(domain), Some(blast)) = (domains.list.get(place), state.blasts.get(place)) else {
            continue;
        };
        let y = top + 1 + offset;
        let answer = state.answer(place);
        let whole = state.lost_whole(place).count() > 0;
        let (glyph, role) = verdict(domain, blast, answer, whole);
        canvas.set(1, y, glyph, role);
        draw::name(canvas, (3, y), name, &domain.name, Role::Strong);
        for (column, &end) in COLUMNS.iter().zip(&ends) {
            let (text, role) = (column.cell)(domain, blast, answer);
            draw::right(canvas, end, y, &text, role);
        }
        hurt_most(canvas, (hurt, y), state, blast);
        if cursor == Some(index) {
            canvas.lay_behind(0, y, canvas.width, Role::Cursor);
        }
    }
    let below = state.order.len().saturating_sub(first + usize::from(rows));
    hidden(canvas, (top, top + rows), first, below);
}

/// The first row of a window of `rows` that has the cursor in it and one row below: the first rows
/// are the worst ones, and stay in view as long as they can.
pub(super) fn window(cursor: usize, total: usize, rows: usize) -> usize {
    (cursor + 2)
        .saturating_sub(rows)
        .min(total.saturating_sub(rows))
}

/// How many rows are above the window and below it, at its right edge.
pub(super) fn hidden(canvas: &mut Canvas, (head, last): (u16, u16), above: usize, below: usize) {
    for (y, arrow, count) in [(head, '↑', above), (last, '↓', below)] {
        if count > 0 {
            let text = format!(" {arrow} {count} more ");
            draw::right(canvas, canvas.width, y, &text, Role::Dim);
        }
    }
}

/// ✕ pods would have no place, a service is gone or a quorum is lost; ◐ budgets break; ● all is absorbed.
fn verdict(
    domain: &Domain,
    blast: &Blast,
    answer: Option<&DomainLoss>,
    loses_whole: bool,
) -> (&'static str, Role) {
    let homeless = answer.is_some_and(|answer| answer.pending > 0);
    if usize::try_from(domain.not_ready).is_ok_and(|count| count == domain.nodes.len()) {
        ("⊘", Role::Unknown)
    } else if homeless || loses_whole || blast.quorums_broken > 0 {
        ("✕", Role::Bad)
    } else if blast.budgets_broken > 0 {
        ("◐", Role::Warning)
    } else if answer.is_none() {
        ("○", Role::Dim)
    } else {
        ("●", Role::Good)
    }
}

/// `-33% search  -33% ledger (quorum lost)  -12% cart`, as many as fit.
fn hurt_most(canvas: &mut Canvas, (x, y): (u16, u16), state: &State, blast: &Blast) {
    let mut x = x;
    let mut first = true;
    let end = canvas.width.saturating_sub(1);
    let services = blast.losses.iter().filter(|loss| {
        state.survey.workload(loss.workload).class == Class::Service && loss.lost_ready > 0
    });
    for loss in services {
        let (text, role) = loss_words(state, loss);
        let needed = u16::try_from(width(&text) + 2).unwrap_or(u16::MAX);
        if x.saturating_add(needed) > end {
            // The worst one is always told, as far as it goes.
            let text = if first { text.as_str() } else { "…" };
            draw::sentence(canvas, (x, y), end.saturating_sub(x), text, role);
            return;
        }
        first = false;
        let hue = state.survey.workload(loss.workload).hue;
        let name = &state.survey.workload(loss.workload).key.name;
        let (share, note) = text.split_once(name.as_str()).unwrap_or((&text, ""));
        let after = canvas.text(x, y, Line::of(share, role));
        let after = canvas.text(after, y, Line::of(name.to_string(), ink::hue(hue)));
        x = canvas.text(after, y, Line::of(note, role)) + 2;
    }
    if first && blast.losses.iter().any(|loss| loss.lost > 0) {
        canvas.text(x, y, Line::of("none: no replica on it is ready", Role::Dim));
    }
}

/// `-33% search (20 of 24)`: the share first, because it must not be cut off.
fn loss_words(state: &State, loss: &Loss) -> (String, Role) {
    let name = &state.survey.workload(loss.workload).key.name;
    let (note, role) = match (loss.quorum, loss.budget) {
        (QuorumImpact::Broken { .. }, _) => (" (quorum lost)".to_owned(), Role::Bad),
        (_, BudgetImpact::Broken { left, needs }) => (
            format!(" ({left} of {needs})"),
            if left == 0 { Role::Bad } else { Role::Warning },
        ),
        _ if loss.share >= 0.999 => (" (all of it)".to_owned(), Role::Bad),
        (QuorumImpact::Kept { .. }, _) => (" (quorum kept)".to_owned(), Role::Text),
        _ => (String::new(), Role::Text),
    };
    (format!("-{} {name}{note}", percent(loss.share)), role)
}

/// What the loss of the cursor's domain means, in words; for a workload what would heal it.
fn meaning(canvas: &mut Canvas, (top, rows): (u16, u16), state: &State) {
    canvas.fill((0, top, canvas.width, 1), "─", Role::Rule);
    let lines = if let Some(spread) = state.spread_at_cursor() {
        let workload = state.survey.workload(spread.workload);
        canvas.text(
            2,
            top,
            Line::of(
                format!(" {} {} ", workload.key.kind, workload.key),
                Role::Title,
            ),
        );
        workload_words(state)
    } else {
        let place = state.domain_at_cursor();
        let Some(place) = place else {
            return;
        };
        let title = state.level().map_or("", |level| level.title.as_str());
        let name = state.name(place);
        canvas.text(
            2,
            top,
            Line::of(format!(" if {title} {name} is lost "), Role::Title),
        );
        domain_words(state, place)
    };
    let room = canvas.width.saturating_sub(3);
    for (y, line) in (top + 1..=top + rows).zip(lines) {
        let plain = line.plain();
        if width(&plain) <= usize::from(room) {
            canvas.text(2, y, line);
        } else {
            let role = line.spans.last().map_or(Role::Text, |span| span.role);
            draw::sentence(canvas, (2, y), room, &plain, role);
        }
    }
}

fn domain_words(state: &State, place: usize) -> Vec<Line> {
    let Some(blast) = state.blasts.get(place) else {
        return Vec::new();
    };
    let displaced = counted(blast.displaced.len(), "pod", "pods");
    let mut lines = Vec::new();
    match state.answer(place) {
        None => lines.push(Line::of(
            format!("{displaced} displaced; asking the scheduler where they would go …"),
            Role::Dim,
        )),
        Some(answer) if answer.pending > 0 => {
            lines.push(
                Line::of(
                    format!("{} of {displaced} stay pending: ", answer.pending),
                    Role::Bad,
                )
                .with(sentence(&answer.reasons), Role::Text),
            );
        }
        Some(answer) if answer.displaced == 0 => {
            lines.push(Line::of("nothing to displace", Role::Dim));
        }
        Some(_) => lines.push(Line::of(
            format!("all {displaced} find a place elsewhere"),
            Role::Good,
        )),
    }
    let gone: Vec<String> = state
        .lost_whole(place)
        .map(|loss| state.survey.workload(loss.workload).key.to_string())
        .collect();
    if !gone.is_empty() {
        lines.push(Line::of(
            format!("down altogether: {}", gone.join(", ")),
            Role::Bad,
        ));
    }
    for (workload, left, needs) in state.quorums_lost(place).into_iter().take(1) {
        let key = &state.survey.workload(workload).key;
        let more = blast.quorums_broken.saturating_sub(1);
        let more = if more > 0 {
            format!(", and {more} more")
        } else {
            String::new()
        };
        lines.push(Line::of(
            format!("{key} loses its quorum: {left} ready of {needs} needed{more}"),
            Role::Bad,
        ));
    }
    let below: Vec<String> = blast
        .losses
        .iter()
        .filter_map(|loss| match loss.budget {
            BudgetImpact::Broken { left, needs } => {
                let name = &state.survey.workload(loss.workload).key.name;
                Some(format!("{name} {left} of {needs}"))
            }
            _ => None,
        })
        .collect();
    if !below.is_empty() {
        lines.push(Line::of(
            format!(
                "below their budgets (ready of needed): {}",
                below.join(", ")
            ),
            Role::Warning,
        ));
    }
    if let Some(answer) = state.answer(place) {
        let (cpu, memory) = answer.before.percents();
        let (cpu_after, memory_after) = answer.after.percents();
        let mut text = format!(
            "the rest would be at cpu {cpu:.0} → {cpu_after:.0}%, mem {memory:.0} → {memory_after:.0}%"
        );
        if !answer.landing.is_empty() {
            let landing: Vec<String> = answer
                .landing
                .iter()
                .take(4)
                .map(|(node, count)| format!("{node} ×{count}"))
                .collect();
            text = format!("{text}   most go to {}", landing.join(", "));
        }
        lines.push(Line::of(text, Role::Text));
        if answer.unowned > 0 {
            lines.push(Line::of(
                format!(
                    "{} without an owner: nobody would create them again",
                    counted(answer.unowned, "pod", "pods")
                ),
                Role::Warning,
            ));
        }
    }
    lines
}

fn workload_words(state: &State) -> Vec<Line> {
    let (Some(spread), Some(domains)) = (state.spread_at_cursor(), &state.domains) else {
        return Vec::new();
    };
    let title = domains.level.title.as_str();
    let mut lines = Vec::new();
    if let Some(worst) = spread.worst {
        let name = domains
            .list
            .get(worst.domain as usize)
            .map_or("", |domain| domain.name.as_str());
        let mut line = Line::of(
            format!(
                "worst loss {} of {} ready with {title} {name}: {}",
                worst.lost,
                spread.ready,
                percent(worst.share)
            ),
            Role::Text,
        );
        if let Some(target) = spread.target {
            let source = match target.source {
                TargetSource::Budget(row) => state
                    .survey
                    .budgets
                    .get(row as usize)
                    .map_or(String::new(), |budget| {
                        format!("budget {}", budget.key.name)
                    }),
                TargetSource::BestSpread => "the best spread there is".to_owned(),
            };
            let role = if target.met { Role::Good } else { Role::Bad };
            line.push(
                format!("   target at most {} ({source})", percent(target.share)),
                role,
            );
        }
        lines.push(line);
    }
    match spread.heal {
        Some(heal) => lines
            .push(Line::of("to heal it: ", Role::Dim).with(heal.text(&domains.level), Role::Text)),
        None => lines.push(Line::of("nothing to heal here", Role::Dim)),
    }
    if spread.elsewhere > 0 {
        lines.push(Line::of(
            format!(
                "{} not placed yet",
                counted(spread.elsewhere as usize, "replica", "replicas")
            ),
            Role::Warning,
        ));
    }
    lines
}
