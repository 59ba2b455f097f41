//! Small things without domain words: the clock's one home, seeded random streams, back-off, text
//! width, human units.
//!
//! Nothing here knows Kubernetes, and nothing but [`clock`] reads time. Start with [`rng`].

pub mod clock;
pub mod humanize;
pub mod rng;
