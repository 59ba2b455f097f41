//! The pulse as widgets: findings above, what changed below.

use jiff::SignedDuration;

use super::finding::{Finding, Severity};
use super::state::PulsePage;
use crate::k8s::workload::root_of;
use crate::k8s::{ObjectKey, resources};
use crate::stdx::humanize::{self, counted};
use crate::tui::columns::{age_key, text_key};
use crate::tui::page::Context;
use crate::tui::pages::is_known;
use crate::tui::pages::timeline::entry::Entry;
use crate::tui::pages::timeline::present::entry_line;
use crate::tui::screen::{Cell, Empty, Extent, Widget};
use crate::tui::table::{Column, SortKey, Unit};
use crate::tui::text::{Line, Role};

/// "What changed in the last 15 minutes" is the first question of an incident.
const LATELY: SignedDuration = SignedDuration::from_secs(900);

pub(super) const COLUMNS: &[Column<Finding>] = &[
    Column::new(
        "STATE",
        |finding: &Finding, _| {
            let (glyph, role) = sign(finding.severity);
            Cell::from(Line::of(glyph, role).with(format!(" {}", finding.word), role))
        },
        |finding: &Finding, _| SortKey::Number(finding.severity as i64),
    )
    .width(10, 24)
    .priority(0),
    Column::new(
        "WHAT",
        |finding: &Finding, _| Cell::new(about(finding), Role::Strong),
        |finding: &Finding, _| text_key(about(finding)),
    )
    .name()
    .width(14, 44),
    Column::new(
        "HOW MUCH",
        |finding: &Finding, _| Cell::from(finding.what.as_str()),
        |finding: &Finding, _| SortKey::Number(i64::try_from(finding.extent).unwrap_or(i64::MAX)),
    )
    .width(12, 28)
    .priority(1),
    Column::new(
        "FOR",
        |finding: &Finding, context: &Context| {
            let age = finding.since.map(|since| humanize::age(since, context.now));
            Cell::new(age.unwrap_or_default(), Role::Text)
        },
        |finding: &Finding, _| age_key(finding.since),
    )
    .number(Unit::Seconds)
    .width(5, 8)
    .priority(2),
    Column::new(
        "WHY",
        |finding: &Finding, _| Cell::new(finding.why.as_str(), Role::Dim),
        |finding: &Finding, _| text_key(finding.why.as_str()),
    )
    .width(16, 400)
    .priority(0)
    .fills(),
];

/// What a finding is about, as it is called on the screen.
pub(super) fn about(finding: &Finding) -> String {
    let key = &finding.about;
    if let Some(lost) = &finding.domain {
        return format!("{} {}", lost.level.title, lost.name);
    }
    if key.namespace.is_empty() {
        key.name.to_string()
    } else {
        format!("{}/{}", key.namespace, key.name)
    }
}

fn sign(severity: Severity) -> (&'static str, Role) {
    match severity {
        Severity::Critical => ("✕", Role::Bad),
        Severity::Serious => ("◐", Role::Bad),
        Severity::Warning => ("◐", Role::Warning),
        Severity::Note => ("⊘", Role::Dim),
    }
}

/// Lines for what changed lately: a third, and at least a few.
fn lately_height(context: &Context) -> u16 {
    (context.area.height / 3).clamp(4, 20)
}

pub(super) fn table_height(context: &Context) -> u16 {
    // Its head, the verdict above and the blank line under it.
    context
        .area
        .height
        .saturating_sub(3 + lately_height(context))
}

pub(super) fn present(page: &PulsePage, context: &Context) -> Widget {
    let table = page
        .table
        .present(COLUMNS, context, empty(page, context), |_| Vec::new());
    Widget::down([
        (Extent::Cells(1), Widget::line(verdict(page, context))),
        (Extent::Cells(1), Widget::line(in_common(context))),
        (Extent::Rest, Widget::Table(table)),
        (Extent::Cells(lately_height(context)), lately(context)),
    ])
}

/// The one line to read when there is time for one.
fn verdict(page: &PulsePage, context: &Context) -> Line {
    if context.summary.at.is_none() || !is_known(context) {
        return Line::of(" loading nodes and pods", Role::Dim);
    }
    let count = |severity| {
        page.table
            .rows()
            .filter(|finding| finding.severity == severity)
            .count()
    };
    let mut line = Line::of(" ", Role::Text);
    let urgent = count(Severity::Critical) + count(Severity::Serious);
    if urgent == 0 {
        line.push("● nothing is broken", Role::Good);
    }
    for severity in Severity::ALL {
        let found = count(severity);
        if found > 0 {
            let (glyph, role) = sign(severity);
            line.push(format!("{glyph} {found} {}   ", severity.word()), role);
        }
    }
    let cluster = context.cluster;
    let ready = cluster
        .nodes()
        .filter(|node| {
            node.node()
                .is_some_and(|node| node.ready == crate::k8s::columns::NodeReady::True)
        })
        .count();
    line.push(
        format!(
            "   {ready} of {} ready, {}",
            counted(cluster.count(&resources::NODES), "node", "nodes"),
            counted(cluster.count(&resources::PODS), "pod", "pods")
        ),
        Role::Dim,
    );
    line
}

/// Where to look first when much fails at once.
fn in_common(context: &Context) -> Line {
    let shared = context.summary.shared.iter();
    let told: Vec<String> = shared
        .map(|shared| {
            format!(
                "{} ({} of {}; of all pods {:.0}%)",
                shared.what,
                shared.with,
                shared.failing,
                shared.usual * 100.0
            )
        })
        .collect();
    if told.is_empty() {
        return Line::default();
    }
    Line::of(" failing pods share  ", Role::Dim).with(told.join("   "), Role::Strong)
}

fn empty(page: &PulsePage, context: &Context) -> Empty {
    if context.summary.at.is_none() || !is_known(context) {
        return Empty {
            why: "the first look is under way".into(),
            press: Line::default(),
        };
    }
    if !page.table.filter().is_empty() {
        return Empty {
            why: format!("nothing matches `{}`", page.table.filter()).into(),
            press: format!(
                "{} and enter with no text shows all again",
                context.key("filter")
            )
            .into(),
        };
    }
    Empty {
        why: "nothing is wrong that the cluster tells of".into(),
        press: "2 bays shows how full it is, 3 domains what a failure would take".into(),
    }
}

fn lately(context: &Context) -> Widget {
    let rows = usize::from(lately_height(context).saturating_sub(1));
    let entries = grouped(context, rows);
    let lines = if entries.is_empty() {
        vec![Line::of(
            " nothing since this console came, and no event in 15 minutes",
            Role::Dim,
        )]
    } else {
        entries
            .iter()
            .map(|entry| entry_line(entry, context))
            .collect()
    };
    let caption =
        Line::of("lately", Role::Title).with(format!("  {}", rate_words(context)), Role::Dim);
    Widget::down([
        (Extent::Cells(1), Widget::Rule(caption)),
        (Extent::Rest, Widget::Lines(lines)),
    ])
}

/// Entries read for the few lines; a storm beyond them is the timeline's to show.
const READ_MAX: usize = 1_000;

/// What happened, the pods of one workload told once: the newest with how many more there are.
fn grouped(context: &Context, rows: usize) -> Vec<Entry> {
    let mut found: Vec<(Entry, ObjectKey, usize)> = Vec::new();
    let entries = context
        .cache
        .timeline
        .since(context.now, LATELY)
        .filter(|entry| context.scope.contains_key(&entry.about))
        // The findings above tell of those that wait.
        .filter(|entry| entry.what != "FailedScheduling")
        .take(READ_MAX);
    for entry in entries {
        let object = context.cluster.get(&entry.about);
        let root = object.map_or(&entry.about, |object| &root_of(context.cluster, object).key);
        let same = found
            .iter_mut()
            .find(|(other, known, _)| other.what == entry.what && known == root);
        if let Some((_, _, more)) = same {
            *more += 1;
        } else if found.len() < rows {
            found.push((entry.clone(), root.clone(), 0));
        }
    }
    found
        .into_iter()
        .map(|(mut entry, root, more)| {
            if more > 0 {
                entry.about = root;
                entry.text = format!("{} times; last: {}", more + 1, entry.text);
            }
            entry
        })
        .collect()
}

/// `14 changes in 15 minutes, 3 of them warnings`.
fn rate_words(context: &Context) -> String {
    use crate::tui::pages::timeline::entry::Tone;
    let (mut all, mut bad) = (0_usize, 0_usize);
    for entry in context.cache.timeline.since(context.now, LATELY) {
        all += 1;
        bad += usize::from(entry.tone >= Tone::Warning);
    }
    format!(
        "{} in 15 minutes, {bad} of them warnings; 7 has all",
        counted(all, "entry", "entries")
    )
}

pub(super) fn status(page: &PulsePage, context: &Context) -> Line {
    let Some(made) = context.summary.at else {
        return Line::default();
    };
    let age = context.now.duration_since(made).as_secs();
    let when = if age < 2 {
        "just now".to_owned()
    } else {
        format!("{} ago", humanize::age(made, context.now))
    };
    Line::of(counted(page.table.len(), "finding", "findings"), Role::Text)
        .with(format!(", looked {when}"), Role::Dim)
}
