//! Colours as theme files write them.

/// A colour of a theme, before it is fitted to what the terminal can show.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Colour {
    /// The terminal's own.
    #[default]
    Terminal,
    Rgb(u8, u8, u8),
    /// One of the sixteen that the terminal's user chose.
    Basic(u8),
}

const BASIC: [&str; 16] = [
    "black",
    "red",
    "green",
    "yellow",
    "blue",
    "magenta",
    "cyan",
    "white",
    "bright-black",
    "bright-red",
    "bright-green",
    "bright-yellow",
    "bright-blue",
    "bright-magenta",
    "bright-cyan",
    "bright-white",
];

impl Colour {
    /// `#rrggbb`, one of the sixteen names, or `terminal`.
    pub fn parse(text: &str) -> Option<Self> {
        if text == "terminal" {
            return Some(Self::Terminal);
        }
        if let Some(place) = BASIC.iter().position(|name| *name == text) {
            return u8::try_from(place).ok().map(Self::Basic);
        }
        let digits = text.strip_prefix('#').filter(|digits| digits.len() == 6)?;
        let value = u32::from_str_radix(digits, 16).ok()?;
        let [_, red, green, blue] = value.to_be_bytes();
        Some(Self::Rgb(red, green, blue))
    }
}
