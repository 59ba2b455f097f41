//! A grid of cells that a page fills by itself: maps of nodes, stacked strips, planes, matrices.

use crate::tui::text::{Line, Role, width};
use unicode_segmentation::UnicodeSegmentation;

#[derive(Clone, PartialEq, Debug, Default)]
pub struct Canvas {
    pub width: u16,
    pub height: u16,
    cells: Vec<CanvasCell>,
}

/// One cell. Roles are what the glyph and what lies behind it mean.
#[derive(Clone, PartialEq, Debug)]
pub struct CanvasCell {
    /// One grapheme, or empty for the second half of a wide one.
    pub glyph: smol_str::SmolStr,
    pub role: Role,
    pub behind: Option<Role>,
}

impl Default for CanvasCell {
    fn default() -> Self {
        Self {
            glyph: smol_str::SmolStr::new_static(" "),
            role: Role::Text,
            behind: None,
        }
    }
}

impl Canvas {
    pub fn new(width: u16, height: u16) -> Self {
        Self {
            width,
            height,
            cells: vec![CanvasCell::default(); usize::from(width) * usize::from(height)],
        }
    }

    pub fn cell(&self, x: u16, y: u16) -> Option<&CanvasCell> {
        self.index(x, y).and_then(|index| self.cells.get(index))
    }

    fn index(&self, x: u16, y: u16) -> Option<usize> {
        (x < self.width && y < self.height)
            .then(|| usize::from(y) * usize::from(self.width) + usize::from(x))
    }

    /// Sets one cell; outside the canvas nothing happens.
    pub fn set(&mut self, x: u16, y: u16, glyph: &str, role: Role) {
        self.put(x, y, glyph, role, None);
    }

    pub fn put(&mut self, x: u16, y: u16, glyph: &str, role: Role, behind: Option<Role>) {
        let place = self.index(x, y);
        if let Some(cell) = place.and_then(|index| self.cells.get_mut(index)) {
            cell.glyph = if glyph.chars().any(char::is_control) {
                smol_str::SmolStr::new_static("·")
            } else {
                glyph.into()
            };
            cell.role = role;
            if behind.is_some() {
                cell.behind = behind;
            }
        }
    }

    /// Lays a role behind cells that are already there.
    pub fn lay_behind(&mut self, x: u16, y: u16, columns: u16, role: Role) {
        for column in x..x.saturating_add(columns) {
            let place = self.index(column, y);
            if let Some(cell) = place.and_then(|index| self.cells.get_mut(index)) {
                cell.behind = Some(role);
            }
        }
    }

    /// Fills a rectangle with one glyph.
    pub fn fill(&mut self, (x, y, columns, rows): (u16, u16, u16, u16), glyph: &str, role: Role) {
        for row in y..y.saturating_add(rows).min(self.height) {
            for column in x..x.saturating_add(columns).min(self.width) {
                self.set(column, row, glyph, role);
            }
        }
    }

    /// Writes text, cut at the canvas' edge, and returns the column after it.
    pub fn text(&mut self, x: u16, y: u16, line: impl Into<Line>) -> u16 {
        let mut column = x;
        for span in line.into().spans {
            for grapheme in span.text().graphemes(true) {
                let columns = u16::try_from(width(grapheme)).unwrap_or(1);
                if columns == 0 {
                    continue;
                }
                if column.saturating_add(columns) > self.width {
                    return column;
                }
                self.put(column, y, grapheme, span.role, span.behind);
                for next in column + 1..column + columns {
                    self.put(next, y, "", span.role, span.behind);
                }
                column += columns;
            }
        }
        column
    }

    /// The same, ending before column `end`.
    pub fn text_right(&mut self, end: u16, y: u16, line: impl Into<Line>) {
        let line = line.into();
        let columns = u16::try_from(line.width()).unwrap_or(u16::MAX);
        self.text(end.saturating_sub(columns), y, line);
    }
}
