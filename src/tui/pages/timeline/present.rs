//! The timeline as lines.

use jiff::SignedDuration;

use super::entry::{Entry, EntryKind, Tone};
use super::state::TimelinePage;
use crate::stdx::humanize::{self, counted};
use crate::tui::page::Context;
use crate::tui::screen::{Document, Extent, Widget};
use crate::tui::text::{Line, Role, cut_middle, width};

/// Rows of the stream: the heading takes two.
pub(super) fn rows(context: &Context) -> usize {
    usize::from(context.area.height.saturating_sub(2)).max(1)
}

pub(super) fn present(page: &TimelinePage, context: &Context) -> Widget {
    if page.entries.is_empty() {
        let why = if page.filter.text.is_empty() {
            "no events, and nothing has changed since this console came"
        } else {
            "nothing matches the filter"
        };
        let press = if page.filter.text.is_empty() {
            ":ns all shows every namespace".to_owned()
        } else {
            format!("{} drops the filter", context.key("back"))
        };
        return Widget::empty(why, press);
    }
    let lines = page
        .entries
        .iter()
        .skip(page.first)
        .take(rows(context))
        .map(|entry| entry_line(entry, context))
        .collect();
    Widget::down([
        (Extent::Cells(1), Widget::line(histogram(page, context))),
        (Extent::Cells(1), Widget::Rule(caption(page))),
        (
            Extent::Rest,
            Widget::Document(Document {
                lines,
                first: page.first,
                total: page.entries.len(),
                cursor: Some(page.cursor),
                ..Document::default()
            }),
        ),
    ])
}

fn caption(page: &TimelinePage) -> Line {
    let mut line = Line::of("newest first", Role::Dim);
    if let Some(target) = &page.of {
        line.push(format!("  of {}", target.path()), Role::Accent);
    }
    if let Some(least) = page.filter.least {
        let word = if least == Tone::Bad {
            "bad"
        } else {
            "warnings"
        };
        line.push(format!("  only {word}"), Role::Warning);
    }
    line
}

/// An hour in slots as wide as the screen allows, the newest at the right.
fn histogram(page: &TimelinePage, context: &Context) -> Line {
    const LABEL: usize = 22;
    let slots = usize::from(context.area.width)
        .saturating_sub(LABEL)
        .clamp(10, 120);
    let seconds = 3_600 / i64::try_from(slots).unwrap_or(60);
    let mut counts = vec![(0_u32, false); slots];
    for entry in &page.entries {
        let back = context.now.duration_since(entry.at).as_secs().max(0) / seconds;
        let index = usize::try_from(back)
            .ok()
            .and_then(|back| slots.checked_sub(back + 1));
        if let Some(slot) = index.and_then(|index| counts.get_mut(index)) {
            slot.0 += 1;
            slot.1 |= entry.tone >= Tone::Warning;
        }
    }
    let most = counts.iter().map(|(count, _)| *count).max().unwrap_or(0);
    let mut line = Line::of(" the last hour ", Role::Dim);
    for (count, bad) in counts {
        let role = if bad { Role::Warning } else { Role::Accent };
        line.push(bar(count, most), role);
    }
    line.push(" now", Role::Dim);
    line
}

/// One of eight heights; something is never drawn as nothing.
fn bar(count: u32, most: u32) -> &'static str {
    const BARS: [&str; 9] = [" ", "▁", "▂", "▃", "▄", "▅", "▆", "▇", "█"];
    let height = (count * 8).div_ceil(most.max(1)) as usize;
    BARS.get(height.min(8)).copied().unwrap_or(" ")
}

/// `14:03:22    4m  sched  FailedScheduling ×14  shop/search-1  0/3 nodes …  by default-scheduler`.
pub fn entry_line(entry: &Entry, context: &Context) -> Line {
    let role = match entry.tone {
        Tone::Plain => Role::Text,
        Tone::Good => Role::Good,
        Tone::Warning => Role::Warning,
        Tone::Bad => Role::Bad,
    };
    let glyph = match entry.tone {
        Tone::Plain => "·",
        Tone::Good => "●",
        Tone::Warning => "◐",
        Tone::Bad => "✕",
    };
    let kind_role = match entry.kind {
        EntryKind::Action => Role::Strong,
        EntryKind::Change => Role::Accent,
        _ => Role::Dim,
    };
    let narrow = context.area.width < 100;
    let name_columns = if narrow { 22 } else { 36 };
    let times = if entry.count > 1 {
        format!(" ×{}", entry.count)
    } else {
        String::new()
    };
    let what = format!("{}{times}", entry.what);
    let about = if entry.about.namespace.is_empty() {
        entry.about.name.to_string()
    } else {
        format!("{}/{}", entry.about.namespace, entry.about.name)
    };
    let mut line = Line::default();
    if !narrow {
        let zone = jiff::tz::TimeZone::UTC;
        let time = entry.at.to_zoned(zone).strftime("%H:%M:%S").to_string();
        line.push(format!(" {time}"), Role::Dim);
    }
    line.push(
        format!(" {:>6}", humanize::age(entry.at, context.now)),
        Role::Dim,
    );
    if !narrow {
        line.push(format!(" {:<6}", entry.kind.word()), kind_role);
    }
    line.push(format!(" {glyph} "), role);
    line.push(pad(&cut_middle(&what, 18), 18), role);
    line.push(
        format!(" {} ", pad(&cut_middle(&about, name_columns), name_columns)),
        Role::Text,
    );
    line.push(entry.text.as_str(), role);
    if !entry.by.is_empty() && !narrow {
        line.push(format!("  by {}", entry.by), Role::Dim);
    }
    line
}

fn pad(text: &str, columns: usize) -> String {
    format!("{text}{}", " ".repeat(columns.saturating_sub(width(text))))
}

pub(super) fn status(page: &TimelinePage, context: &Context) -> Line {
    let recent = page
        .entries
        .iter()
        .take_while(|entry| context.now.duration_since(entry.at) <= SignedDuration::from_secs(900))
        .count();
    let mut line = Line::of(counted(page.entries.len(), "entry", "entries"), Role::Text)
        .with(format!(", {recent} in the last 15 minutes"), Role::Dim);
    let dropped = context.cache.timeline.dropped;
    if dropped > 0 {
        line.push(
            format!(", {} older ones dropped", humanize::thousands(dropped)),
            Role::Warning,
        );
    }
    line
}
