//! Every kind that the server knows: lists, descriptions, trees of owners, YAML and its editor.
//!
//! In reading order: [`describe`] (one object in words), [`tree`] (who owns what), [`edit`] (what
//! an edited text means before it is sent), `editor` (the text under the hands), the page.

pub mod commands;
pub mod describe;
pub mod edit;
mod editor;
mod present;
mod state;
pub mod tree;

pub use state::ObjectsPage;
