//! The roles that pictures of packing use, by what they stand for.
//!
//! One place says which theme role carries an identity, a step of the ramp or a state, and which
//! glyph is its second carrier, so that a page never chooses a colour.

use crate::tui::text::Role;

/// A workload's or namespace's own colour, 0..12.
pub fn hue(hue: u8) -> Role {
    Role::Identity(hue)
}

/// A step of the ramp, 0..=4.
pub fn amount(step: u8) -> Role {
    Role::Amount(step)
}

/// The ramp's texture: readable without any colour.
pub fn amount_glyph(step: u8) -> &'static str {
    match step {
        0 => "·",
        1 => "░",
        2 => "▒",
        3 => "▓",
        _ => "█",
    }
}

/// The letter of a hue: the second carrier of an identity.
pub fn hue_letter(hue: u8) -> &'static str {
    const LETTERS: [&str; 12] = ["a", "b", "c", "d", "e", "f", "g", "h", "i", "j", "k", "l"];
    LETTERS.get(usize::from(hue)).copied().unwrap_or("?")
}
