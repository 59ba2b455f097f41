//! Terminal colours as RGB, for files that have no terminal.

use ratatui::style::Color;

pub(super) type Rgb = (u8, u8, u8);

/// The sixteen named colours as the common xterm palettes have them, softened a little so that they
/// read on both grounds.
const NAMED: [Rgb; 16] = [
    (0x1c, 0x1f, 0x26),
    (0xcc, 0x5f, 0x5f),
    (0x6f, 0xa8, 0x6a),
    (0xc9, 0xa2, 0x4d),
    (0x5f, 0x8f, 0xc9),
    (0xa8, 0x78, 0xb8),
    (0x56, 0xa3, 0xa8),
    (0xc4, 0xc8, 0xd0),
    (0x6a, 0x70, 0x7c),
    (0xe8, 0x7a, 0x7a),
    (0x8f, 0xc9, 0x86),
    (0xe6, 0xc1, 0x6b),
    (0x82, 0xb0, 0xe8),
    (0xc6, 0x98, 0xd6),
    (0x78, 0xc6, 0xca),
    (0xf2, 0xf4, 0xf8),
];

/// `None` for the terminal's own default.
pub(super) fn rgb(colour: Color) -> Option<Rgb> {
    let index = match colour {
        Color::Reset => return None,
        Color::Rgb(red, green, blue) => return Some((red, green, blue)),
        Color::Indexed(index) => index,
        Color::Black => 0,
        Color::Red => 1,
        Color::Green => 2,
        Color::Yellow => 3,
        Color::Blue => 4,
        Color::Magenta => 5,
        Color::Cyan => 6,
        Color::Gray => 7,
        Color::DarkGray => 8,
        Color::LightRed => 9,
        Color::LightGreen => 10,
        Color::LightYellow => 11,
        Color::LightBlue => 12,
        Color::LightMagenta => 13,
        Color::LightCyan => 14,
        Color::White => 15,
    };
    Some(indexed(index))
}

/// The 256-colour palette: 16 named, a 6x6x6 cube, 24 greys.
fn indexed(index: u8) -> Rgb {
    if let Some(named) = NAMED.get(usize::from(index)) {
        return *named;
    }
    if index >= 232 {
        let grey = 8 + (index - 232) * 10;
        return (grey, grey, grey);
    }
    let cube = index - 16;
    let level = |step: u8| if step == 0 { 0 } else { 55 + step * 40 };
    (level(cube / 36), level(cube / 6 % 6), level(cube % 6))
}

pub(super) fn hex((red, green, blue): Rgb) -> String {
    format!("#{red:02x}{green:02x}{blue:02x}")
}
