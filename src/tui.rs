//! The console: `update(model, msg) -> effects`, `present(model, now) -> Screen`, `render(screen) -> cells`.
//!
//! I/O lives in [`runtime`] only. In reading order: [`screen`] is what is shown, [`command`] what
//! the user means, [`page`] what a view is to the frame, [`cache`] what is known of the cluster.
//!
//! A view lives in `pages/<view>/{state,update,present}.rs`, implements [`page::Page`] and is made
//! in [`pages::create`]. Its tables use [`table`], those of objects through
//! [`listing`]; anything else it draws is a
//! [`screen::Canvas`] or another [`screen::Widget`]. Keys and words are rows of
//! [`command::table`].

pub mod actions;
pub mod diff;
pub mod text;

pub mod screen;

pub mod export;
pub mod render;
pub mod sgr;
pub mod theme;

pub mod key;
pub mod view;

pub mod command;
pub mod keymap;

pub mod beside;
pub mod cache;
pub mod notice;
pub mod printed;

pub mod answer;
pub mod effect;
pub mod msg;

pub mod page;

pub mod filter;
pub mod line_edit;
pub mod listing;
pub mod table;

pub mod model;
pub mod present;
pub mod rehearsal;
pub mod summary;
pub mod update;

pub mod columns;
pub mod forecast;
pub mod pages;
pub mod widgets;

pub mod runtime;
