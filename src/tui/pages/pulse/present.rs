//! The pulse as widgets: findings above, what changed below.

mod clusters;

use jiff::SignedDuration;

use super::finding::{Finding, Severity};
use super::row::Row;
use super::state::PulsePage;
use crate::k8s::workload::root_of;
use crate::k8s::{ObjectKey, resources};
use crate::stdx::humanize::{self, counted};
use crate::tui::beside::{Standing, mark};
use crate::tui::columns::{age_key, text_key};
use crate::tui::forecast::fidelity::Tally;
use crate::tui::page::Context;
use crate::tui::pages::is_known;
use crate::tui::pages::timeline::entry::Entry;
use crate::tui::pages::timeline::present::entry_line;
use crate::tui::screen::{Cell, Empty, Extent, Widget};
use crate::tui::table::{Column, SortKey, Unit};
use crate::tui::text::{Line, Role};

/// "What changed in the last 15 minutes" is the first question of an incident.
const LATELY: SignedDuration = SignedDuration::from_secs(900);

const STATE: Column<Row> = Column::new(
    "STATE",
    |row: &Row, _| {
        let (glyph, role) = sign(row.finding.severity);
        Cell::from(Line::of(glyph, role).with(format!(" {}", row.finding.word), role))
    },
    |row: &Row, _| SortKey::Number(row.finding.severity as i64),
)
.width(10, 24)
.priority(0);

const CLUSTER: Column<Row> = Column::new(
    "CLUSTER",
    |row: &Row, _| match &row.cluster {
        Some(cluster) => Cell::new(cluster.name.as_str(), mark(cluster.colour)),
        None => Cell::default(),
    },
    |row: &Row, _| match &row.cluster {
        Some(cluster) => text_key(cluster.name.as_str()),
        None => SortKey::Nothing,
    },
)
.width(6, 24)
.priority(0);

const WHAT: Column<Row> = Column::new(
    "WHAT",
    |row: &Row, _| Cell::new(about(&row.finding), Role::Strong),
    |row: &Row, _| text_key(about(&row.finding)),
)
.name()
.width(14, 44);

const HOW_MUCH: Column<Row> = Column::new(
    "HOW MUCH",
    |row: &Row, _| Cell::from(row.finding.what.as_str()),
    |row: &Row, _| SortKey::Number(i64::try_from(row.finding.extent).unwrap_or(i64::MAX)),
)
.width(12, 28)
.priority(1);

const SINCE: Column<Row> = Column::new(
    "FOR",
    |row: &Row, context: &Context| {
        let since = row.finding.since;
        let age = since.map(|since| humanize::age(since, context.now));
        Cell::new(age.unwrap_or_default(), Role::Text)
    },
    |row: &Row, _| age_key(row.finding.since),
)
.number(Unit::Seconds)
.width(5, 8)
.priority(2);

const WHY: Column<Row> = Column::new(
    "WHY",
    |row: &Row, _| Cell::new(row.finding.why.as_str(), Role::Dim),
    |row: &Row, _| text_key(row.finding.why.as_str()),
)
.width(16, 400)
.priority(0)
.fills();

const COLUMNS: &[Column<Row>] = &[STATE, WHAT, HOW_MUCH, SINCE, WHY];
const COLUMNS_OF_SEVERAL: &[Column<Row>] = &[STATE, CLUSTER, WHAT, HOW_MUCH, SINCE, WHY];

/// Which cluster a row is of is told where there are several.
pub(super) fn columns(context: &Context) -> &'static [Column<Row>] {
    if context.around.others.is_empty() {
        COLUMNS
    } else {
        COLUMNS_OF_SEVERAL
    }
}

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
    // Its head, the verdicts above and the blank line under them.
    context
        .area
        .height
        .saturating_sub(2 + clusters::height(context) + lately_height(context))
}

pub(super) fn present(page: &PulsePage, context: &Context) -> Widget {
    let table = page
        .table
        .present(columns(context), context, empty(page, context), |_| {
            Vec::new()
        });
    let verdicts = clusters::verdicts(context, verdict(context));
    Widget::down([
        (
            Extent::Cells(clusters::height(context)),
            Widget::Lines(verdicts),
        ),
        (Extent::Cells(1), Widget::line(in_common(context))),
        (Extent::Rest, Widget::Table(table)),
        (Extent::Cells(lately_height(context)), lately(context)),
    ])
}

/// The one line to read when there is time for one.
fn verdict(context: &Context) -> Line {
    let standing = Standing::of(context.cache);
    let is_empty = context.cluster.count(&resources::NODES) == 0;
    if matches!(standing, Standing::Lost { .. }) && is_empty {
        let words = standing.words(context.now);
        return Line::of(format!(" ✕ {words}"), Role::Bad);
    }
    if context.summary.at.is_none() || !is_known(context) {
        return Line::of(" loading nodes and pods", Role::Dim);
    }
    let own = context.summary.findings.iter();
    let in_scope = own.filter(|finding| context.scope.contains_key(&finding.about));
    let mut line = tally(in_scope.map(|finding| finding.severity));
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
    if let Some(words) = context.fidelity.map(Tally::words)
        && !words.is_empty()
    {
        line.push(format!("   {words}"), Role::Dim);
    }
    line
}

/// How many there are of each severity.
fn tally(found: impl Iterator<Item = Severity>) -> Line {
    let mut counts = [0_usize; Severity::ALL.len()];
    for severity in found {
        let place = Severity::ALL.iter().position(|known| *known == severity);
        if let Some(count) = place.and_then(|place| counts.get_mut(place)) {
            *count += 1;
        }
    }
    let mut line = Line::of(" ", Role::Text);
    let urgent = Severity::ALL.iter().zip(counts);
    let urgent = urgent.filter(|(severity, count)| **severity <= Severity::Serious && *count > 0);
    if urgent.count() == 0 {
        line.push("● nothing is broken", Role::Good);
    }
    for (severity, count) in Severity::ALL.into_iter().zip(counts) {
        if count > 0 {
            let (glyph, role) = sign(severity);
            line.push(format!("{glyph} {count} {}   ", severity.word()), role);
        }
    }
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
    let title = if context.around.others.is_empty() {
        "lately".to_owned()
    } else {
        format!("lately in {}", context.around.here)
    };
    let caption =
        Line::of(title, Role::Title).with(format!("  {}", rate_words(context)), Role::Dim);
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
