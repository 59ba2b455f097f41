//! Services: names, addresses and which pod answers, zone by zone.
//!
//! In reading order: [`endpoints`], the page.

pub mod endpoints;
mod present;
mod state;

pub use state::ServicesPage;
