//! Services: names, addresses and which pod answers, zone by zone.
//!
//! In reading order: [`endpoints`].

pub mod endpoints;
