//! A frame as SVG: runs of equal style as text, block elements as shapes.

use std::fmt::Write;

use ratatui::buffer::{Buffer, Cell};
use ratatui::style::Modifier;
use unicode_width::UnicodeWidthStr;

use super::colour::{Rgb, hex, rgb};
use super::rows;

/// What surrounds the cells.
#[derive(Clone, Debug)]
pub struct Frame {
    /// Where a cell has the terminal's default colours.
    pub foreground: Rgb,
    pub background: Rgb,
    /// Blank space around the frame, in pixels.
    pub margin: u16,
}

/// Pixels of a cell, and the font size that fits it: `DejaVu Sans Mono` advances 0.602 em.
const CELL_WIDTH: u16 = 9;
const CELL_HEIGHT: u16 = 19;
const FONT_SIZE: f32 = 14.95;
const BASELINE: f32 = 14.4;

impl Default for Frame {
    fn default() -> Self {
        Self {
            foreground: (0xc8, 0xcd, 0xd6),
            background: (0x12, 0x15, 0x1b),
            margin: 12,
        }
    }
}

/// Pixel size of the picture of `columns` by `lines` cells.
pub(super) fn size(columns: u16, lines: u16, frame: &Frame) -> (u32, u32) {
    let extent = |cells: u16, cell: u16| u32::from(cells) * u32::from(cell);
    let margin = u32::from(frame.margin) * 2;
    (
        extent(columns, CELL_WIDTH) + margin,
        extent(lines, CELL_HEIGHT) + margin,
    )
}

/// The whole picture.
pub fn svg(buffer: &Buffer, frame: &Frame) -> String {
    let (width, height) = size(buffer.area.width, buffer.area.height, frame);
    let mut canvas = Canvas {
        out: String::new(),
        frame,
    };
    canvas.push(format_args!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{width}\" height=\"{height}\" \
         viewBox=\"0 0 {width} {height}\" font-family=\"DejaVu Sans Mono, monospace\" \
         font-size=\"{FONT_SIZE}\" xml:space=\"preserve\">\n\
         <rect width=\"{width}\" height=\"{height}\" rx=\"6\" fill=\"{}\"/>\n",
        hex(frame.background)
    ));
    for (line, row) in rows(buffer).enumerate() {
        let top = f32::from(frame.margin) + line as f32 * f32::from(CELL_HEIGHT);
        canvas.grounds(&row, top);
        canvas.glyphs(&row, top);
    }
    canvas.out.push_str("</svg>\n");
    canvas.out
}

struct Canvas<'a> {
    out: String,
    frame: &'a Frame,
}

#[derive(Clone, Copy, PartialEq)]
#[expect(clippy::struct_excessive_bools, reason = "independent text attributes")]
struct Look {
    foreground: Rgb,
    background: Rgb,
    bold: bool,
    italic: bool,
    underlined: bool,
    crossed: bool,
}

impl Canvas<'_> {
    /// Backgrounds, one rectangle for each run of cells with the same one.
    fn grounds(&mut self, row: &[(u16, &Cell)], top: f32) {
        let mut runs: Vec<(u16, u16, Rgb)> = Vec::new();
        for (column, cell) in row {
            let end = column + cell_width(cell);
            let ground = self.look(cell).background;
            match runs.last_mut() {
                Some((_, stop, same)) if *same == ground && *stop == *column => *stop = end,
                _ => runs.push((*column, end, ground)),
            }
        }
        for (start, end, ground) in runs {
            if ground != self.frame.background {
                let width = f32::from(end - start) * f32::from(CELL_WIDTH);
                self.rect(
                    self.left(start),
                    top,
                    width,
                    f32::from(CELL_HEIGHT),
                    ground,
                    1.0,
                );
            }
        }
    }

    fn glyphs(&mut self, row: &[(u16, &Cell)], top: f32) {
        let mut run: Option<(u16, u16, Look, String)> = None;
        for (column, cell) in row {
            let look = self.look(cell);
            let symbol = cell.symbol();
            let shape = symbol.chars().next().and_then(block);
            if let Some(block) = shape {
                self.flush(run.take(), top);
                self.block(&block, *column, top, look.foreground);
                continue;
            }
            let extends = run.as_ref().is_some_and(|(_, end, same, _)| {
                *same == look && *end == *column && symbol.width() == 1
            });
            if !extends {
                self.flush(run.take(), top);
            }
            let (_, end, _, text) =
                run.get_or_insert_with(|| (*column, *column, look, String::new()));
            text.push_str(symbol);
            *end = column + cell_width(cell);
            if symbol.width() != 1 {
                self.flush(run.take(), top);
            }
        }
        self.flush(run, top);
    }

    fn flush(&mut self, run: Option<(u16, u16, Look, String)>, top: f32) {
        let Some((start, end, look, text)) = run else {
            return;
        };
        let lead = text.chars().take_while(|letter| *letter == ' ').count();
        let body = text.trim();
        let underline = look.underlined || look.crossed;
        if body.is_empty() && !underline {
            return;
        }
        let start = start + u16::try_from(lead).unwrap_or(0);
        let body = if underline { &text } else { body };
        let columns = if underline {
            end - start
        } else {
            u16::try_from(body.width()).unwrap_or(end)
        };
        let mut style = String::new();
        for (on, attribute) in [
            (look.bold, " font-weight=\"bold\""),
            (look.italic, " font-style=\"italic\""),
            (look.underlined, " text-decoration=\"underline\""),
            (look.crossed, " text-decoration=\"line-through\""),
        ] {
            if on {
                style.push_str(attribute);
            }
        }
        let left = self.left(start);
        let baseline = top + BASELINE;
        let length = f32::from(columns) * f32::from(CELL_WIDTH);
        self.push(format_args!(
            "<text x=\"{left}\" y=\"{baseline}\" fill=\"{}\" textLength=\"{length}\" \
             lengthAdjust=\"spacing\"{style}>{}</text>\n",
            hex(look.foreground),
            escaped(body)
        ));
    }

    fn block(&mut self, block: &Block, column: u16, top: f32, colour: Rgb) {
        let (width, height) = (f32::from(CELL_WIDTH), f32::from(CELL_HEIGHT));
        let left = self.left(column);
        for (x, y, part_width, part_height) in &block.parts {
            let corner = (left + x * width, top + y * height);
            self.rect(
                corner.0,
                corner.1,
                part_width * width,
                part_height * height,
                colour,
                block.ink,
            );
        }
    }

    fn rect(&mut self, left: f32, top: f32, width: f32, height: f32, colour: Rgb, ink: f32) {
        let opacity = if ink < 1.0 {
            format!(" fill-opacity=\"{ink}\"")
        } else {
            String::new()
        };
        self.push(format_args!(
            "<rect x=\"{left}\" y=\"{top}\" width=\"{width}\" height=\"{height}\" \
             fill=\"{}\"{opacity} shape-rendering=\"crispEdges\"/>\n",
            hex(colour)
        ));
    }

    fn left(&self, column: u16) -> f32 {
        f32::from(self.frame.margin) + f32::from(column) * f32::from(CELL_WIDTH)
    }

    fn look(&self, cell: &Cell) -> Look {
        let modifier = cell.modifier;
        let mut foreground = rgb(cell.fg).unwrap_or(self.frame.foreground);
        let mut background = rgb(cell.bg).unwrap_or(self.frame.background);
        if modifier.contains(Modifier::REVERSED) {
            std::mem::swap(&mut foreground, &mut background);
        }
        if modifier.contains(Modifier::DIM) {
            foreground = mixed(foreground, background);
        }
        Look {
            foreground,
            background,
            bold: modifier.contains(Modifier::BOLD),
            italic: modifier.contains(Modifier::ITALIC),
            underlined: modifier.contains(Modifier::UNDERLINED),
            crossed: modifier.contains(Modifier::CROSSED_OUT),
        }
    }

    fn push(&mut self, text: std::fmt::Arguments<'_>) {
        // Writing to a String cannot fail.
        let _infallible = self.out.write_fmt(text);
    }
}

/// Two thirds of the first colour, as terminals draw dim text.
fn mixed(first: Rgb, second: Rgb) -> Rgb {
    let mix = |near: u8, far: u8| {
        u8::try_from((u16::from(near) * 2 + u16::from(far)) / 3).unwrap_or(near)
    };
    (
        mix(first.0, second.0),
        mix(first.1, second.1),
        mix(first.2, second.2),
    )
}

fn cell_width(cell: &Cell) -> u16 {
    u16::try_from(cell.symbol().width().max(1)).unwrap_or(1)
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
}

/// A block element: parts of the cell (left, top, width, height in fractions of it) and how densely
/// they are inked.
struct Block {
    parts: Vec<(f32, f32, f32, f32)>,
    ink: f32,
}

/// Block elements are drawn, not written: fonts leave gaps between them.
fn block(letter: char) -> Option<Block> {
    let code = u32::from(letter);
    let eighths = |count: u32| count as f32 / 8.0;
    let solid = |part| {
        Some(Block {
            parts: vec![part],
            ink: 1.0,
        })
    };
    let shade = |ink| {
        Some(Block {
            parts: vec![(0.0, 0.0, 1.0, 1.0)],
            ink,
        })
    };
    match code {
        0x2580 => solid((0.0, 0.0, 1.0, 0.5)),
        0x2581..=0x2588 => {
            let height = eighths(code - 0x2580);
            solid((0.0, 1.0 - height, 1.0, height))
        }
        0x2589..=0x258f => solid((0.0, 0.0, eighths(0x2590 - code), 1.0)),
        0x2590 => solid((0.5, 0.0, 0.5, 1.0)),
        0x2591 => shade(0.25),
        0x2592 => shade(0.5),
        0x2593 => shade(0.75),
        0x2594 => solid((0.0, 0.0, 1.0, 0.125)),
        0x2595 => solid((0.875, 0.0, 0.125, 1.0)),
        0x2596..=0x259f => quadrants(code),
        _ => None,
    }
}

/// Quadrant blocks as the set of quarters that they fill: upper left, upper right, lower left,
/// lower right.
fn quadrants(code: u32) -> Option<Block> {
    const FILLED: [[bool; 4]; 10] = [
        [false, false, true, false],
        [false, false, false, true],
        [true, false, false, false],
        [true, false, true, true],
        [true, false, false, true],
        [true, true, true, false],
        [true, true, false, true],
        [false, true, false, false],
        [false, true, true, false],
        [false, true, true, true],
    ];
    let corners = [(0.0, 0.0), (0.5, 0.0), (0.0, 0.5), (0.5, 0.5)];
    let filled = FILLED.get(usize::try_from(code - 0x2596).ok()?)?;
    let parts = corners.iter().zip(filled).filter(|(_, on)| **on);
    Some(Block {
        parts: parts.map(|((x, y), _)| (*x, *y, 0.5, 0.5)).collect(),
        ink: 1.0,
    })
}
