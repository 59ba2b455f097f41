//! Roles to terminal styles, fitted to what the terminal can show.

use std::collections::BTreeMap;

use ratatui::style::{Color, Modifier, Style};

use crate::config::env::Environment;
use crate::config::theme::{Colour, Look, Role, Theme};

/// How many colours there are.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Default)]
pub enum Depth {
    None,
    Sixteen,
    Indexed,
    #[default]
    True,
}

/// What characters may be sent.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Characters {
    #[default]
    Unicode,
    Ascii,
}

/// A theme fitted to a terminal: ready to draw with.
#[derive(Clone, PartialEq, Debug)]
pub struct Palette {
    styles: BTreeMap<Role, Style>,
    /// Roles as backgrounds.
    grounds: BTreeMap<Role, Style>,
    pub depth: Depth,
    pub characters: Characters,
    /// The theme's own background and text, for pictures.
    pub background: Option<(u8, u8, u8)>,
    pub foreground: Option<(u8, u8, u8)>,
}

impl Depth {
    /// `NO_COLOR` wins, then `COLORTERM`, then what `TERM` promises.
    pub fn detect(environment: &Environment) -> Self {
        let color_term = environment.color_term.as_deref().unwrap_or_default();
        let term = environment.term.as_deref().unwrap_or_default();
        if environment.no_color || matches!(term, "" | "dumb") || term.starts_with("vt") {
            Self::None
        } else if matches!(color_term, "truecolor" | "24bit") || term.ends_with("-direct") {
            Self::True
        } else if term.contains("256") {
            Self::Indexed
        } else {
            Self::Sixteen
        }
    }
}

impl Characters {
    pub fn detect(environment: &Environment, ascii: bool) -> Self {
        if ascii || !environment.is_utf8() {
            Self::Ascii
        } else {
            Self::Unicode
        }
    }
}

impl Palette {
    pub fn new(theme: &Theme, depth: Depth, characters: Characters) -> Self {
        let mut styles = BTreeMap::new();
        let mut grounds = BTreeMap::new();
        for (_, role) in Role::all() {
            let look = theme.look(role);
            styles.insert(role, style(look, depth));
            grounds.insert(role, ground(look, depth));
        }
        let rgb = |colour| match colour {
            Colour::Rgb(red, green, blue) => Some((red, green, blue)),
            _ => None,
        };
        Self {
            styles,
            grounds,
            depth,
            characters,
            background: rgb(theme.background),
            foreground: theme.look(Role::Text).front.and_then(rgb),
        }
    }

    pub fn style(&self, role: Role) -> Style {
        self.styles.get(&role).copied().unwrap_or_default()
    }

    /// The style of text in `role` on the background that `behind` means.
    pub fn on(&self, role: Role, behind: Option<Role>) -> Style {
        let front = self.style(role);
        // A cluster's colour is its ground, and says where one is on whatever lies behind it.
        if matches!(role, Role::Context(_)) && front.bg.is_some() {
            return front;
        }
        match behind.and_then(|behind| self.grounds.get(&behind)) {
            Some(ground) => front.patch(*ground),
            None => front,
        }
    }
}

fn style(look: Look, depth: Depth) -> Style {
    let mut style = Style::new();
    if let Some(front) = look.front.and_then(|colour| fit(colour, depth)) {
        style = style.fg(front);
    }
    if let Some(back) = look.back.and_then(|colour| fit(colour, depth)) {
        style = style.bg(back);
    }
    let mut modifier = Modifier::empty();
    modifier.set(Modifier::BOLD, look.bold);
    modifier.set(Modifier::DIM, look.dim);
    modifier.set(Modifier::ITALIC, look.italic);
    modifier.set(Modifier::UNDERLINED, look.underline);
    // Without colours a background has to be seen all the same, and in sixteen colours a dark
    // tint would be black.
    let lost_back = look.back.is_some() && style.bg.is_none() && look.bold;
    modifier.set(Modifier::REVERSED, look.reverse || lost_back);
    style.add_modifier(modifier)
}

/// A role as background: its own, else its text colour behind dark or light text.
fn ground(look: Look, depth: Depth) -> Style {
    let as_front = look.back.is_none();
    let Some(colour) = look.back.or(look.front) else {
        return Style::new().add_modifier(if look.reverse {
            Modifier::REVERSED
        } else {
            Modifier::empty()
        });
    };
    let Some(back) = fit(colour, depth) else {
        let reversed = look.reverse || look.back.is_some();
        return Style::new().add_modifier(if reversed {
            Modifier::REVERSED
        } else {
            Modifier::empty()
        });
    };
    let style = Style::new().bg(back);
    if as_front {
        let contrast = if is_light(colour) {
            Colour::Rgb(0, 0, 0)
        } else {
            Colour::Rgb(0xff, 0xff, 0xff)
        };
        return fit(contrast, depth).map_or(style, |front| style.fg(front));
    }
    style
}

fn is_light(colour: Colour) -> bool {
    match colour {
        Colour::Rgb(red, green, blue) => luminance((red, green, blue)) > 0.30,
        Colour::Basic(number) => number >= 7,
        Colour::Terminal => false,
    }
}

fn luminance((red, green, blue): (u8, u8, u8)) -> f64 {
    let linear = |part: u8| (f64::from(part) / 255.0).powf(2.2);
    0.2126 * linear(red) + 0.7152 * linear(green) + 0.0722 * linear(blue)
}

fn fit(colour: Colour, depth: Depth) -> Option<Color> {
    match (colour, depth) {
        (_, Depth::None) => None,
        (Colour::Terminal, _) => Some(Color::Reset),
        (Colour::Basic(number), _) => Some(basic(number)),
        (Colour::Rgb(red, green, blue), Depth::True) => Some(Color::Rgb(red, green, blue)),
        (Colour::Rgb(red, green, blue), Depth::Indexed) => {
            Some(Color::Indexed(indexed(red, green, blue)))
        }
        (Colour::Rgb(red, green, blue), Depth::Sixteen) => Some(sixteen(red, green, blue)),
    }
}

/// The sixteen in the order of their numbers.
fn basic(number: u8) -> Color {
    const ALL: [Color; 16] = [
        Color::Black,
        Color::Red,
        Color::Green,
        Color::Yellow,
        Color::Blue,
        Color::Magenta,
        Color::Cyan,
        Color::Gray,
        Color::DarkGray,
        Color::LightRed,
        Color::LightGreen,
        Color::LightYellow,
        Color::LightBlue,
        Color::LightMagenta,
        Color::LightCyan,
        Color::White,
    ];
    ALL.get(usize::from(number))
        .copied()
        .unwrap_or(Color::Reset)
}

/// The nearest of the 6x6x6 cube and the grey ramp.
fn indexed(red: u8, green: u8, blue: u8) -> u8 {
    const LEVELS: [u8; 6] = [0, 95, 135, 175, 215, 255];
    let nearest = |part: u8| {
        (0_u8..6)
            .zip(LEVELS)
            .min_by_key(|(_, level)| level.abs_diff(part))
            .unwrap_or((0, 0))
    };
    let (red_step, red_level) = nearest(red);
    let (green_step, green_level) = nearest(green);
    let (blue_step, blue_level) = nearest(blue);
    let cube = distance((red, green, blue), (red_level, green_level, blue_level));
    let mean = (u16::from(red) + u16::from(green) + u16::from(blue)) / 3;
    let grey_step = u8::try_from((mean.saturating_sub(3) / 10).min(23)).unwrap_or(23);
    let grey_level = 8 + 10 * grey_step;
    let grey = distance((red, green, blue), (grey_level, grey_level, grey_level));
    if grey < cube {
        232 + grey_step
    } else {
        16 + 36 * red_step + 6 * green_step + blue_step
    }
}

fn distance(one: (u8, u8, u8), other: (u8, u8, u8)) -> u32 {
    let square = |near: u8, far: u8| u32::from(near.abs_diff(far)).pow(2);
    square(one.0, other.0) + square(one.1, other.1) + square(one.2, other.2)
}

/// By hue and lightness rather than by distance: a pale blue must stay blue, a tint of the
/// background must become the background.
fn sixteen(red: u8, green: u8, blue: u8) -> Color {
    let high = red.max(green).max(blue);
    let low = red.min(green).min(blue);
    let spread = high - low;
    if u16::from(spread) * 4 < u16::from(high).max(40) {
        return match high {
            0..48 => Color::Black,
            48..128 => Color::DarkGray,
            128..216 => Color::Gray,
            _ => Color::White,
        };
    }
    if high < 56 {
        return Color::Black;
    }
    let strong = |part: u8| part >= low + spread / 2;
    let number = u8::from(strong(red)) | u8::from(strong(green)) << 1 | u8::from(strong(blue)) << 2;
    basic(if high > 170 { number + 8 } else { number })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::theme::{built_in, names};

    #[track_caller]
    fn check(pairs: &[(&str, &str)], expected: Depth) {
        let environment = Environment::from_lookup(|name| {
            pairs
                .iter()
                .find(|(known, _)| *known == name)
                .map(|(_, value)| (*value).into())
        });
        assert_eq!(Depth::detect(&environment), expected, "{pairs:?}");
    }

    #[test]
    fn the_terminal_says_how_many_colours_it_has() {
        check(
            &[("TERM", "xterm-256color"), ("COLORTERM", "truecolor")],
            Depth::True,
        );
        check(&[("TERM", "xterm-256color")], Depth::Indexed);
        check(&[("TERM", "xterm")], Depth::Sixteen);
        check(&[("TERM", "linux")], Depth::Sixteen);
        check(&[("TERM", "vt100")], Depth::None);
        check(&[("TERM", "dumb")], Depth::None);
        check(&[], Depth::None);
        check(
            &[
                ("TERM", "xterm"),
                ("COLORTERM", "truecolor"),
                ("NO_COLOR", "1"),
            ],
            Depth::None,
        );
    }

    #[test]
    fn colours_fit_downwards() {
        assert_eq!(indexed(255, 255, 255), 231);
        assert_eq!(indexed(0, 0, 0), 16);
        assert_eq!(indexed(118, 118, 118), 243);
        assert_eq!(sixteen(0x57, 0xc7, 0x85), Color::LightGreen);
        assert_eq!(sixteen(0xff, 0x7b, 0x72), Color::LightRed);
        assert_eq!(sixteen(0xe3, 0xb3, 0x41), Color::LightYellow);
        assert_eq!(sixteen(0x12, 0x16, 0x1c), Color::Black);
        assert_eq!(sixteen(0x7d, 0x87, 0x93), Color::Gray);
    }

    /// Text on its background must be readable: 4.5 to 1, dim text 3 to 1 (WCAG 2.1).
    #[test]
    fn text_has_contrast_in_every_theme() {
        for name in names().filter(|name| *name != "mono") {
            let (theme, _) = built_in(name).unwrap();
            let Colour::Rgb(red, green, blue) = theme.background else {
                panic!("{name} has no background");
            };
            let back = luminance((red, green, blue));
            let roles = [
                (Role::Text, 4.5),
                (Role::Strong, 7.0),
                (Role::Dim, 3.0),
                (Role::Good, 4.5),
                (Role::Warning, 4.5),
                (Role::Bad, 4.5),
                (Role::Unknown, 4.5),
                (Role::Accent, 4.5),
            ];
            for (role, least) in roles {
                let Some(Colour::Rgb(red, green, blue)) = theme.look(role).front else {
                    panic!("{name}: {role:?} has no colour");
                };
                let front = luminance((red, green, blue));
                let ratio = (front.max(back) + 0.05) / (front.min(back) + 0.05);
                assert!(ratio >= least, "{name}: {role:?} has {ratio:.2}");
            }
        }
    }

    #[test]
    fn without_colours_no_colour_is_used() {
        for name in names() {
            let (theme, _) = built_in(name).unwrap();
            let palette = Palette::new(&theme, Depth::None, Characters::Unicode);
            for (_, role) in Role::all() {
                assert_eq!(palette.style(role).fg, None);
                assert_eq!(palette.on(Role::Text, Some(role)).bg, None);
            }
            let cursor = palette.on(Role::Text, Some(Role::Cursor));
            assert!(cursor.add_modifier.contains(Modifier::REVERSED), "{name}");
        }
    }
}
