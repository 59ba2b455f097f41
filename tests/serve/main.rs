//! `bayplan serve` as its users meet it: killed under writes, driven by kubectl, reached over every
//! kind of connection.

mod contract;
mod durability;
mod kubectl;
mod served;
