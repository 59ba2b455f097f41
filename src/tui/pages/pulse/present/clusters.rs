//! One line a cluster: who it is, how it stands, what is wrong in it.

use super::tally;
use crate::config::settings::ContextColor;
use crate::stdx::humanize::counted;
use crate::tui::beside::{Beside, Standing, mark};
use crate::tui::page::Context;
use crate::tui::text::{Line, Role, cut_middle, width};

/// More lines would leave no room for what is wrong; a fleet of that many has other tools.
const LINES_MAX: usize = 8;
const NAME_MAX: usize = 24;

/// The lines of the verdicts: one where there is one cluster.
pub fn height(context: &Context) -> u16 {
    let clusters = 1 + context.around.others.len();
    u16::try_from(clusters.min(LINES_MAX)).unwrap_or(1)
}

/// The own verdict, with the cluster's name and those of the others where there are any.
pub fn verdicts(context: &Context, own: Line) -> Vec<Line> {
    let around = &context.around;
    if around.others.is_empty() {
        return vec![own];
    }
    let names = around.others.iter().map(|other| other.name.as_str());
    let longest = names.chain([around.here]).map(width).max().unwrap_or(0);
    let room = longest.min(NAME_MAX);
    let mut lines = vec![named(around.here, around.colour, room, own)];
    let shown = if around.others.len() < LINES_MAX {
        LINES_MAX
    } else {
        LINES_MAX - 2
    };
    for other in around.others.iter().take(shown) {
        let verdict = of_other(other, context);
        lines.push(named(&other.name, other.colour, room, verdict));
    }
    let rest = around.others.len().saturating_sub(shown);
    if rest > 0 {
        let text = format!(" and {}", counted(rest, "more cluster", "more clusters"));
        lines.push(Line::of(text, Role::Dim));
    }
    lines
}

fn named(name: &str, colour: Option<ContextColor>, room: usize, verdict: Line) -> Line {
    let name = cut_middle(name, room);
    let after = " ".repeat(room.saturating_sub(width(&name)));
    let mut line = Line::of(" ", Role::Text).with(format!(" {name} "), mark(colour));
    line.push(after, Role::Text);
    line.spans.extend(verdict.spans);
    line
}

fn of_other(other: &Beside, context: &Context) -> Line {
    let standing = other.standing();
    let (glyph, role) = standing.sign();
    let mut line = Line::default();
    let reached = matches!(standing, Standing::Live);
    if !reached {
        let words = standing.words(context.now);
        line.push(format!(" {glyph} {words}   "), role);
    }
    if !other.is_known() {
        if reached {
            line.push(" the first look is under way", Role::Dim);
        }
        return line;
    }
    let findings = other.look.summary.findings.iter();
    let in_scope = findings.filter(|finding| context.scope.contains_key(&finding.about));
    let tally = tally(in_scope.map(|finding| finding.severity));
    line.spans.extend(tally.spans);
    let whole = &other.look.share.whole;
    let ready = whole.nodes.saturating_sub(whole.not_ready);
    let (nodes, pods) = other.counts();
    line.push(
        format!(
            "   {ready} of {} ready, {}",
            counted(nodes, "node", "nodes"),
            counted(pods, "pod", "pods")
        ),
        Role::Dim,
    );
    line
}
