//! Pieces that pages draw with. Geometry stands apart from drawing, so that it can be tested in
//! numbers.

pub mod area_plane;
pub mod cell_map;
pub mod draw;
pub mod ink;
pub mod strip;
