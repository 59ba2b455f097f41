//! The bays view as a picture, one function a zoom.

pub mod map;
pub mod node;
mod summary;
pub mod tiles;

use super::state::{State, View, Zoom};
use crate::k8s::Uid;
use crate::tui::forecast::why_here::WhyHere;
use crate::tui::screen::Canvas;

/// The whole body. `why` is the last answer why a pod is where it is.
pub fn present(
    state: &State,
    view: View,
    why: Option<(&Uid, &WhyHere)>,
    (width, height): (u16, u16),
) -> Canvas {
    match state.zoom {
        Zoom::Map => map::present(state, view, width, height),
        Zoom::Tiles => tiles::present(state, view, width, height),
        Zoom::Node => node::present(state, view, why, (width, height)),
    }
}
