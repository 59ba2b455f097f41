//! The bays view as a picture, one function a zoom.

pub mod map;
pub mod node;
pub mod tiles;

use super::state::{State, View, Zoom};
use crate::tui::screen::Canvas;

/// The whole body.
pub fn present(state: &State, view: View, width: u16, height: u16) -> Canvas {
    match state.zoom {
        Zoom::Map => map::present(state, view, width, height),
        Zoom::Tiles => tiles::present(state, view, width, height),
        Zoom::Node => node::present(state, view, width, height),
    }
}
