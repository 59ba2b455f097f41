//! Every kind that the server knows: lists, descriptions, trees of owners, YAML and its editor.
//!
//! In reading order: [`describe`] (one object in words), [`tree`] (who owns what), [`edit`] (what
//! an edited text means before it is sent).

pub mod describe;
pub mod edit;
pub mod tree;
