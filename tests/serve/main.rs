//! `bayplan serve` as its users meet it: killed under writes, driven by kubectl, reached over every
//! kind of connection.

#![cfg(unix)]
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test that cannot go on has failed, and one that is skipped says why"
)]

#[cfg(target_os = "linux")]
mod commands;
#[cfg(target_os = "linux")]
mod confinement;
#[cfg(target_os = "linux")]
mod containers;
mod contract;
#[cfg(target_os = "linux")]
mod cut;
mod durability;
#[cfg(target_os = "linux")]
mod kiosk;
mod kubectl;
#[cfg(target_os = "linux")]
mod lives;
mod logs;
#[cfg(target_os = "linux")]
mod names;
mod rehearsal;
mod served;
