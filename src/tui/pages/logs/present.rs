//! The logs view as widgets.

use super::line::{Level, unfold};
use super::source::StreamState;
use super::state::{LogsPage, Since};
use crate::config::theme::identity_of;
use crate::k8s::columns::ContainerRole;
use crate::stdx::humanize::{counted, thousands};
use crate::tui::page::Context;
use crate::tui::screen::{LogLine, LogStream, Widget};
use crate::tui::text::{Line, Role, cut_middle, width};

/// Seconds of the rate's histogram.
pub(super) const RATE_SECONDS: i64 = 20;

/// Lines of text under the heading.
pub(super) fn rows(page: &LogsPage, context: &Context) -> usize {
    usize::from(context.area.height).saturating_sub(heading(page, context).len())
}

pub(super) fn present(page: &LogsPage, context: &Context) -> Widget {
    if page.of.is_empty() {
        return Widget::empty(
            "no pod is chosen",
            format!(
                "{} on pods, workloads or services shows their logs as one; {} marks several",
                context.key("open-logs"),
                context.key("mark")
            ),
        );
    }
    let model = &page.model;
    let rows = rows(page, context);
    let columns = usize::from(context.area.width);
    let mut lines: Vec<LogLine> = Vec::new();
    let cursor = model.cursor();
    // From the cursor upwards until the screen is full; at the top, downwards for the rest.
    let mut used = 0;
    let mut index = cursor + 1;
    while index > 0 && used < rows {
        index -= 1;
        let block = block(page, index, index == cursor);
        used += block
            .iter()
            .map(|line| height(line, page, columns))
            .sum::<usize>();
        lines.splice(0..0, block);
    }
    let mut below = cursor + 1;
    while used < rows && below < model.shown_count() {
        let block = block(page, below, false);
        used += block
            .iter()
            .map(|line| height(line, page, columns))
            .sum::<usize>();
        lines.extend(block);
        below += 1;
    }
    // What is too much goes at the top, so that the newest is always whole.
    while used > rows && lines.len() > 1 {
        used -= height(&lines.remove(0), page, columns);
    }
    let mut heading = heading(page, context);
    if lines.is_empty() {
        heading.push(Line::of(nothing(page, context), Role::Dim));
    }
    Widget::Log(LogStream {
        heading,
        lines,
        wrap: model.display.wrap,
        shift: page.shift,
    })
}

fn height(line: &LogLine, page: &LogsPage, columns: usize) -> usize {
    if !page.model.display.wrap {
        return 1;
    }
    let room = columns.saturating_sub(line.prefix.width()).max(1);
    line.text.width().div_ceil(room).max(1)
}

fn nothing(page: &LogsPage, context: &Context) -> String {
    let model = &page.model;
    if !model.buffer().is_empty() {
        let held = counted(model.buffer().len(), "line is", "lines are");
        return format!(
            " {held} kept, none passes the filter; {} drops it, {} shows all levels",
            context.key("back"),
            context.key("level")
        );
    }
    let failure = model.sources.iter().find_map(|source| match &source.state {
        StreamState::Failed(why) => Some(format!(" {}: {why}", source.container)),
        _ => None,
    });
    failure.unwrap_or_else(|| {
        if model.sources.is_empty() {
            " no container has started yet, so there is no log".to_owned()
        } else {
            " no line so far".to_owned()
        }
    })
}

/// The rows of one line: itself, or its JSON unfolded.
fn block(page: &LogsPage, index: usize, is_cursor: bool) -> Vec<LogLine> {
    let Some(kept) = page.model.line(index) else {
        return Vec::new();
    };
    let line = &kept.line;
    let role = level_role(line.level);
    let prefix = prefix(page, line.source, line.at);
    let behind = (is_cursor && !page.model.follow).then_some(Role::Cursor);
    let unfolded = if page.model.display.unfold {
        unfold(&line.text)
    } else {
        None
    };
    let Some(fields) = unfolded else {
        return vec![LogLine {
            prefix,
            text: emphasised(page, &line.text, role),
            behind,
        }];
    };
    let blank = Line::of(" ".repeat(prefix.width()), Role::Text);
    fields
        .iter()
        .enumerate()
        .map(|(row, text)| LogLine {
            prefix: if row == 0 {
                prefix.clone()
            } else {
                blank.clone()
            },
            text: emphasised(page, text, if row == 0 { role } else { Role::Dim }),
            behind,
        })
        .collect()
}

/// Time, pod in its hue, the container's letter.
fn prefix(page: &LogsPage, source: u16, at: jiff::Timestamp) -> Line {
    let mut line = Line::default();
    if page.model.display.timestamps {
        let time = at
            .to_zoned(jiff::tz::TimeZone::UTC)
            .strftime("%H:%M:%S%.3f")
            .to_string();
        line.push(format!("{time} "), Role::Dim);
    }
    let sources = &page.model.sources;
    let (Some(known), Some(group)) = (sources.get(source), sources.group(source)) else {
        return line;
    };
    let role = identity_of(&format!("{}/{}", known.pod.name, known.container));
    if sources.pods() > 1 {
        const NAME: usize = 16;
        let name = cut_middle(&known.pod.name, NAME);
        let blanks = " ".repeat(NAME - width(&name));
        line.push(format!("{name}{blanks} "), role);
    }
    line.push(format!("{} ", group.letter), role);
    line
}

fn level_role(level: Level) -> Role {
    match level {
        Level::Fatal | Level::Error => Role::Bad,
        Level::Warn => Role::Warning,
        Level::Debug | Level::Trace => Role::Dim,
        Level::Info | Level::Unknown => Role::Text,
    }
}

/// The text with what the filter matched set apart.
fn emphasised(page: &LogsPage, text: &str, role: Role) -> Line {
    let ranges = page
        .model
        .filter()
        .pattern
        .as_ref()
        .map(|pattern| pattern.ranges(text))
        .unwrap_or_default();
    let mut line = Line::default();
    let mut at = 0;
    for range in ranges {
        line.push(text.get(at..range.start).unwrap_or_default(), role);
        line.push(text.get(range.clone()).unwrap_or_default(), Role::Match);
        at = range.end;
    }
    line.push(text.get(at..).unwrap_or_default(), role);
    line
}

fn heading(page: &LogsPage, context: &Context) -> Vec<Line> {
    let mut lines = vec![title(page, context)];
    lines.extend(legend(page));
    lines.extend(failures(page));
    lines.extend(left_out(page));
    lines
}

/// Whose logs, from when, by which filters, and how fast lines come.
fn title(page: &LogsPage, context: &Context) -> Line {
    let model = &page.model;
    let name = match page.of.as_slice() {
        [one] => one.key.name.to_string(),
        many => format!("{} selected", many.len()),
    };
    let mut first = Line::of(format!(" {name}"), Role::Title).with(
        format!(
            " ({}, {})",
            counted(model.sources.pods(), "pod", "pods"),
            counted(model.sources.len(), "container", "containers")
        ),
        Role::Text,
    );
    let since = match page.since {
        Since::Tail(lines) => format!("last {lines} lines of each"),
        Since::Seconds(seconds) => {
            let span = jiff::SignedDuration::from_secs(seconds);
            format!("since {}", crate::stdx::humanize::duration(span))
        }
        Since::Start => "from the start".to_owned(),
    };
    first.push(format!("   {since}"), Role::Dim);
    if model.display.previous {
        first.push("   previous instance", Role::Warning);
    }
    if let Some(pattern) = &model.filter().pattern {
        first.push(format!("   filter /{}/", pattern.typed()), Role::Match);
    }
    if let Some(level) = model.filter().level {
        first.push(format!("   level ≥ {}", level.word()), Role::Warning);
    }
    if model.follow && !model.display.previous {
        first.push("   follow ●", Role::Good);
    } else {
        first.push("   stays (F follows)", Role::Dim);
    }
    let rates = model.buffer().rates(context.now, RATE_SECONDS);
    first.push(
        format!(
            "   {:>5}/s ",
            thousands(u64::from(model.buffer().rate_now(context.now)))
        ),
        Role::Text,
    );
    first.push(sparks(&rates), Role::Accent);
    first
}

/// Which letter means which container, where there are several.
fn legend(page: &LogsPage) -> Option<Line> {
    let groups = page.model.sources.groups();
    if groups.len() < 2 {
        return None;
    }
    let mut line = Line::default();
    for group in groups {
        let (mark, role) = if group.hidden {
            ("hidden ", Role::Dim)
        } else {
            ("", Role::Text)
        };
        let kind = match group.role {
            ContainerRole::Sidecar => " ↳sidecar",
            ContainerRole::Init => " init",
            ContainerRole::App => "",
        };
        line.push(format!(" [{}]", group.letter), Role::Key);
        line.push(format!(" {mark}{}", group.container), role);
        line.push(format!("{kind} "), Role::Dim);
    }
    line.push(
        "  t and a letter shows or hides one in every pod",
        Role::Dim,
    );
    Some(line)
}

/// How many streams brought no log, and why one of them did not.
fn failures(page: &LogsPage) -> Option<Line> {
    let failed: Vec<String> = page
        .model
        .sources
        .iter()
        .filter_map(|source| match &source.state {
            StreamState::Failed(why) => {
                Some(format!("{}/{}: {why}", source.pod.name, source.container))
            }
            _ => None,
        })
        .collect();
    let example = failed.first()?;
    let count = counted(failed.len(), "stream", "streams");
    Some(Line::of(
        format!(" {count} without a log: {example}"),
        Role::Warning,
    ))
}

fn left_out(page: &LogsPage) -> Option<Line> {
    (page.left_out > 0).then(|| {
        let text = format!(
            " {} more are not followed: {} at once at most; choose fewer pods",
            counted(page.left_out, "container", "containers"),
            super::state::STREAMS_MAX
        );
        Line::of(text, Role::Warning)
    })
}

fn sparks(rates: &[u32]) -> String {
    const BARS: [char; 8] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];
    let most = rates.iter().copied().max().unwrap_or(0).max(1);
    rates
        .iter()
        .map(|rate| {
            let step = (u64::from(*rate) * 7).div_ceil(u64::from(most));
            usize::try_from(step)
                .ok()
                .and_then(|step| BARS.get(step))
                .copied()
                .unwrap_or('▁')
        })
        .collect()
}

pub(super) fn status(page: &LogsPage) -> Line {
    let buffer = page.model.buffer();
    let mut line = Line::of(
        counted(page.model.shown_count(), "line", "lines"),
        Role::Text,
    );
    if page.model.shown_count() < buffer.len() {
        line.push(format!(" of {}", thousands(buffer.len() as u64)), Role::Dim);
    }
    if buffer.evicted > 0 {
        line.push(
            format!("  {} older ones made room", thousands(buffer.evicted)),
            Role::Warning,
        );
    }
    let dropped: u64 = page.model.sources.iter().map(|it| it.dropped).sum();
    if dropped > 0 {
        line.push(
            format!("  {} dropped, too fast to follow", thousands(dropped)),
            Role::Warning,
        );
    }
    line
}
