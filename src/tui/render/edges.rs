//! The rows around the body: header, band, tabs, hints.

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;

use super::{blank, put};
use crate::tui::screen::{Band, Header, Hint, Tab};
use crate::tui::text::{Line, Role, width};
use crate::tui::theme::Palette;

pub fn header(header: &Header, palette: &Palette, area: Rect, buffer: &mut Buffer) {
    let ground = Some(Role::Header);
    blank(buffer, area, palette.style(Role::Header));
    let right = u16::try_from(header.right.width()).unwrap_or(u16::MAX);
    let right = right.min(area.width.saturating_sub(2));
    let inner = area.width.saturating_sub(right + 3);
    let gap = if area.width < 100 { "  " } else { "   " };
    let mut left = Line::default();
    for group in fitting(header, gap.len(), usize::from(inner)) {
        if !left.is_empty() {
            left.push(gap, Role::Text);
        }
        left.spans.extend(group.spans.iter().cloned());
    }
    let place = Rect {
        x: area.x + 1,
        width: inner,
        ..area
    };
    put(buffer, palette, place, &left, ground);
    let place = Rect {
        x: area.right().saturating_sub(right + 1),
        width: right,
        ..area
    };
    put(buffer, palette, place, &header.right, ground);
}

/// The groups that have room, the important ones first, in the order of their places.
fn fitting(header: &Header, gap: usize, room: usize) -> Vec<&Line> {
    let mut by_rank: Vec<(usize, u8, &Line)> = header
        .left
        .iter()
        .enumerate()
        .filter(|(_, group)| !group.line.is_empty())
        .map(|(place, group)| (place, group.rank, &group.line))
        .collect();
    by_rank.sort_by_key(|(_, rank, _)| *rank);
    let mut used = 0;
    by_rank.retain(|(_, rank, line)| {
        let columns = line.width() + if used > 0 { gap } else { 0 };
        let fits = *rank == 0 || used + columns <= room;
        used += if fits { columns } else { 0 };
        fits
    });
    by_rank.sort_by_key(|(place, _, _)| *place);
    by_rank.into_iter().map(|(_, _, line)| line).collect()
}

pub fn band(band: &Band, palette: &Palette, area: Rect, buffer: &mut Buffer) {
    let style = palette.style(band.role);
    blank(buffer, area, style);
    let place = Rect {
        x: area.x + 1,
        width: area.width.saturating_sub(2),
        ..area
    };
    put(buffer, palette, place, &band.text, Some(band.role));
}

pub fn tabs(tabs: &[Tab], palette: &Palette, area: Rect, buffer: &mut Buffer) {
    let full: usize = tabs.iter().map(|tab| tab.name.len() + 4).sum();
    let roomy = full <= usize::from(area.width);
    let mut line = Line::default();
    for tab in tabs {
        let role = if tab.active {
            Role::TabActive
        } else {
            Role::Tab
        };
        line.push(if roomy { " " } else { "" }, Role::Text);
        line.push(
            format!("{} ", tab.key),
            if tab.active { Role::Key } else { Role::Dim },
        );
        // Without colour and weight the place must be seen all the same.
        let name = if tab.active {
            tab.name.to_uppercase()
        } else {
            tab.name.clone()
        };
        line.push(name, role);
        line.push(" ", Role::Text);
    }
    put(buffer, palette, area, &line, None);
}

pub fn hints(hints: &[Hint], palette: &Palette, area: Rect, buffer: &mut Buffer) {
    let columns = |hint: &Hint| width(&hint.keys) + width(&hint.does) + 3;
    let mut line = Line::default();
    // The last one says how to find out more: it stays when others have no room.
    let kept = hints.last().map_or(0, columns);
    for (place, hint) in hints.iter().enumerate() {
        let last = place + 1 == hints.len();
        let reserved = if last { 0 } else { kept };
        if line.width() + columns(hint) + reserved > usize::from(area.width) {
            continue;
        }
        line.push(" ", Role::Text);
        line.push(hint.keys.clone(), Role::Key);
        line.push(format!(" {} ", hint.does), Role::Dim);
    }
    put(buffer, palette, area, &line, None);
}
