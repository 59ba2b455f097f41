//! Themes: what each role looks like, read from YAML.
//!
//! A [`Role`] is what a piece of the screen means; the theme is the only thing that knows colours.
//! Wrong keys and colours in a file are told with their line and leave the default in place; a
//! theme never fails to load. Nothing here knows a terminal.

mod colour;
mod file;
mod role;

pub use colour::Colour;
pub use file::{Look, Theme, ThemeNotice, built_in, names};
pub use role::{AMOUNTS, IDENTITIES, Role, identity_of};
