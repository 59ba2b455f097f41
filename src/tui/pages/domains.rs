//! Domains: what would be lost together, what that costs, and where it is spread badly.
//!
//! [`clusters`] lays several clusters side by side.
//! [`state`] holds survey, blast radius and the scheduler's answers; `update` answers commands and
//! asks for new answers; [`present()`](present::present) draws. The arithmetic is [`crate::topology`]'s, the placements
//! are [`crate::tui::forecast::domain_loss`]'s.

pub mod clusters;
pub mod present;
pub mod state;
mod update;

pub use update::{DomainLosses, DomainsPage};

#[cfg(test)]
mod tests;
