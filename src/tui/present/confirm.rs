//! The panel that asks before something is sent: what would come of it, and where it goes.

use jiff::Timestamp;

use crate::stdx::humanize::age;
use crate::tui::actions::Confirmation;
use crate::tui::actions::proposal::{Consequence, Weight};
use crate::tui::diff::LineKind as Kind;
use crate::tui::model::{ConfirmState, Forecast, Model, Purpose};
use crate::tui::screen::{ConfirmPanel, Hint};
use crate::tui::text::{Line, Role};

fn consequence_line(consequence: &Consequence) -> Line {
    let (glyph, role) = match consequence.weight {
        Weight::Note => ("·", Role::Dim),
        Weight::Warning => ("◐", Role::Warning),
        Weight::Danger => ("✕", Role::Bad),
    };
    Line::of(format!("{glyph} "), role).with(consequence.text.clone(), Role::Text)
}

pub fn panel(state: &ConfirmState, model: &Model, now: Timestamp) -> ConfirmPanel {
    let proposal = &state.proposal;
    let mut lines = Vec::new();
    if !proposal.from.is_empty() || !proposal.to.is_empty() {
        lines.push(
            Line::of(proposal.from.clone(), Role::Text)
                .with("  →  ", Role::Dim)
                .with(proposal.to.clone(), Role::Strong),
        );
        lines.push(Line::default());
    }
    lines.extend(proposal.consequences.iter().map(consequence_line));
    match &state.forecast {
        Forecast::None => {}
        Forecast::Loading | Forecast::Computing => {
            let loading = match state.forecast {
                Forecast::Loading => model.cache.still_loading(&model.watched),
                _ => None,
            };
            let what = loading.map_or_else(
                || "computing where the pods would go".to_owned(),
                |loading| format!("{loading}: where the pods would go is not known yet"),
            );
            lines.push(Line::of("◐ ", Role::Warning).with(what, Role::Dim));
        }
        Forecast::Known(notes) => lines.extend(notes.iter().map(consequence_line)),
    }
    if let Some(diff) = &proposal.diff {
        lines.push(Line::default());
        lines.extend(diff.lines.iter().map(|line| match line.kind {
            Kind::Added => Line::of(format!("+ {}", line.text), Role::Added),
            Kind::Removed => Line::of(format!("- {}", line.text), Role::Removed),
            Kind::Same => Line::of(format!("  {}", line.text), Role::Dim),
            Kind::Gap => Line::of(format!("  … {}", line.text), Role::Dim),
        }));
    }
    if state.purpose == Purpose::Question {
        return ConfirmPanel {
            title: Line::of(format!("if: {}", proposal.title), Role::Title),
            lines,
            dangerous: false,
            typed: None,
            hints: vec![Hint::new("esc", "close; nothing was sent")],
        };
    }
    lines.push(Line::default());
    // Where this goes is said once more, next to the key that sends it.
    let context = model.context(now);
    lines.push(Line::of(
        match model.rehearsal {
            Some(_) => format!("in the rehearsal of {}", model.identity.cluster),
            None => format!("on {} as {}", model.identity.cluster, model.identity.user),
        },
        Role::Dim,
    ));
    if let Some((since, _)) = model.lost() {
        lines.push(Line::of(
            format!("✕ the picture is {} old", age(since, context.now)),
            Role::Bad,
        ));
    }
    lines.push(Line::of(proposal.undo.clone(), Role::Dim));
    let typed = match &proposal.confirmation {
        Confirmation::Enter => None,
        Confirmation::Typed(name) => Some((name.clone(), state.typed.text().to_owned())),
    };
    ConfirmPanel {
        title: Line::of(proposal.title.clone(), Role::Title),
        lines,
        dangerous: typed.is_some(),
        typed,
        hints: vec![
            Hint::new("enter", "send"),
            Hint::new("esc", "leave, nothing is sent"),
        ],
    }
}
