//! The console: `update(model, msg) -> effects`, `present(model, now) -> Screen`, `render(screen) -> cells`.

pub mod actions;
pub mod diff;
pub mod export;
pub mod pages;
pub mod widgets;
