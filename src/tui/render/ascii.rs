//! Every character beyond ASCII replaced by one that any terminal shows.
//!
//! Done on the finished cells, so that no page has to think of it. Meanings stay apart: each state
//! glyph has its own letter.

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;

pub fn reduce(buffer: &mut Buffer, area: Rect) {
    for y in area.top()..area.bottom() {
        for x in area.left()..area.right() {
            let Some(cell) = buffer.cell_mut((x, y)) else {
                continue;
            };
            if cell.symbol().is_ascii() {
                continue;
            }
            let letter = cell.symbol().chars().next().map_or(' ', plain);
            cell.set_char(letter);
        }
    }
}

fn plain(letter: char) -> char {
    match letter {
        '●' | '◉' | '■' => '*',
        '◐' | '◑' | '◒' | '◓' => '%',
        '○' | '□' => 'o',
        '✕' | '✗' | '×' | '✖' => 'x',
        '◌' | '◍' => '~',
        '⊘' => '/',
        '◆' => '@',
        '▸' | '▶' | '›' | '→' | '❯' | '»' | '↳' | '↵' => '>',
        '◂' | '◀' | '‹' | '←' | '«' => '<',
        '▴' | '▲' | '↑' | '⇡' => '^',
        '▾' | '▼' | '↓' | '⇣' | '✓' | '✔' => 'v',
        '…' | '·' | '░' | '‥' => '.',
        '▒' => ':',
        '▓' | '█' | '▇' | '▆' | '▉' | '▊' | '▋' | '▌' | '▐' | '▀' | '▄' => {
            '#'
        }
        '▅' | '▃' | '▂' | '▁' | '▍' | '▎' | '▏' | '─' | '━' | '╌' | '┄' | '–' | '—' | '╴' | '╶' => {
            '-'
        }
        '│' | '┃' | '┆' | '╎' | '▕' => '|',
        '┌' | '┐' | '└' | '┘' | '├' | '┤' | '┬' | '┴' | '┼' | '╭' | '╮' | '╰' | '╯' => {
            '+'
        }
        '≥' | '≤' | '≈' | '≠' => '=',
        '“' | '”' => '"',
        '‘' | '’' => '\'',
        'µ' => 'u',
        _ => '?',
    }
}
