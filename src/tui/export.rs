//! A frame as a file: plain text, ANSI, SVG, PNG.
//!
//! Works on a drawn [`Buffer`], so a picture is exactly what the terminal would have shown. No I/O:
//! bytes go out, the caller writes them.

mod ansi;
mod colour;
mod png;
mod svg;

use ratatui::buffer::{Buffer, Cell};

pub use ansi::ansi;
pub use png::{PngError, png};
pub use svg::{Frame, svg};

/// The frame's characters, trailing blanks cut, one line a row.
pub fn text(buffer: &Buffer) -> String {
    let mut out = String::new();
    for row in rows(buffer) {
        let mut line = String::new();
        for (_, cell) in row {
            line.push_str(cell.symbol());
        }
        out.push_str(line.trim_end());
        out.push('\n');
    }
    out
}

/// The visible cells row by row, each with its column; the second half of a wide character is left
/// out.
fn rows(buffer: &Buffer) -> impl Iterator<Item = Vec<(u16, &Cell)>> {
    use unicode_width::UnicodeWidthStr;
    let area = buffer.area;
    (area.top()..area.bottom()).map(move |y| {
        let mut cells = Vec::with_capacity(usize::from(area.width));
        let mut covered = 0;
        for x in area.left()..area.right() {
            if covered > 0 {
                covered -= 1;
                continue;
            }
            if let Some(cell) = buffer.cell((x, y)) {
                covered = cell.symbol().width().saturating_sub(1);
                cells.push((x - area.left(), cell));
            }
        }
        cells
    })
}

#[cfg(test)]
mod tests {
    use ratatui::layout::Rect;
    use ratatui::style::Style;

    use super::*;

    fn sample() -> Buffer {
        let mut buffer = Buffer::empty(Rect::new(0, 0, 12, 2));
        buffer.set_string(0, 0, "ok ● <&>", Style::new().green());
        buffer.set_string(0, 1, "漢字 █▌", Style::new().bold());
        buffer
    }

    #[test]
    fn text_is_what_is_seen() {
        assert_eq!(text(&sample()), "ok ● <&>\n漢字 █▌\n");
    }

    #[test]
    fn ansi_lines_begin_and_end_plain() {
        let out = ansi(&sample());
        assert!(out.starts_with("\u{1b}[32mok ● <&>\u{1b}[m"), "{out:?}");
        assert!(
            out.ends_with("\u{1b}[m     \n") || out.ends_with("\u{1b}[m\n"),
            "{out:?}"
        );
    }

    #[test]
    fn svg_escapes_text_and_draws_blocks_as_shapes() {
        let out = svg(&sample(), &Frame::default());
        assert!(out.contains("&lt;&amp;&gt;"), "{out}");
        assert!(!out.contains('█'), "blocks are rectangles: {out}");
    }

    #[test]
    fn png_has_the_size_of_its_svg() {
        let bytes = png(&sample(), &Frame::default()).unwrap();
        assert_eq!(&bytes[1..4], b"PNG");
    }
}
