//! A rehearsal's steps as a list: what was done, what comes, what stays a rehearsal.

use crate::rehearse::report;
use crate::rehearse::walk::Stride;
use crate::tui::model::Model;
use crate::tui::rehearsal::walk::LegState;
use crate::tui::screen::TextPanel;
use crate::tui::text::{Line, Role, wrap};

pub fn panel(model: &Model, scroll: usize) -> TextPanel {
    let keys = match model.rehearsal {
        Some(_) => "   enter ends the rehearsal and takes them, esc closes",
        None => "   enter goes on, esc closes, :apply-stop ends it",
    };
    TextPanel {
        title: Line::of("the rehearsal's steps in reality", Role::Title).with(keys, Role::Dim),
        lines: lines(model),
        scroll,
    }
}

pub fn lines(model: &Model) -> Vec<Line> {
    let room = usize::from(model.size.0.saturating_sub(8)).max(20);
    if let Some(rehearsal) = &model.rehearsal {
        let Some(strides) = &rehearsal.strides else {
            let text = "taking the steps once more, without those that only a rehearsal can do…";
            return vec![Line::of("◐ ", Role::Warning).with(text, Role::Dim)];
        };
        if strides.is_empty() {
            let text = "nothing was done yet: scale, drain, edit, or `:step …`";
            return vec![Line::of(text, Role::Dim)];
        }
        let steps = strides.iter().enumerate();
        return steps
            .flat_map(|(place, stride)| step(place, stride, &LegState::Ahead, room))
            .collect();
    }
    let legs = model.walk.iter().flat_map(|walk| walk.legs.iter());
    legs.enumerate()
        .flat_map(|(place, leg)| step(place, &leg.stride, &leg.state, room))
        .collect()
}

fn step(place: usize, stride: &Stride, state: &LegState, room: usize) -> Vec<Line> {
    let (glyph, role, about) = match (&stride.real, state) {
        (Err(why), _) => ("–", Role::Dim, format!("only rehearsed: {why}")),
        (Ok(real), LegState::Ahead) => (
            "·",
            Role::Text,
            format!("foretold: {}", report::sentence(&real.foretold.effects)),
        ),
        (Ok(real), LegState::UnderWay) => (
            "◐",
            Role::Warning,
            format!("foretold: {}", report::sentence(&real.foretold.effects)),
        ),
        (Ok(_), LegState::Done(words)) => ("●", Role::Good, words.clone()),
        (Ok(_), LegState::Departed { why, .. }) => ("✕", Role::Bad, why.clone()),
    };
    let head = Line::of(format!("{glyph} "), role)
        .with(format!("{}  {}", place + 1, stride.text), Role::Strong);
    let rest = wrap(&about, room.saturating_sub(6)).into_iter();
    let mut lines = vec![head];
    lines.extend(rest.map(|text| Line::of(format!("     {text}"), Role::Dim)));
    lines
}
