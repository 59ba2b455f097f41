//! A frame as PNG: its SVG, drawn with the fonts that the binary carries.

use std::io::Read;
use std::sync::Arc;

use flate2::read::GzDecoder;
use ratatui::buffer::Buffer;
use resvg::tiny_skia::{Pixmap, Transform};
use resvg::usvg::{Options, Tree, fontdb::Database};

use super::svg::{Frame, size, svg};

/// `DejaVu Sans Mono`, regular and bold; see `fonts/LICENSE`.
const FONTS: [&[u8]; 2] = [
    include_bytes!("fonts/DejaVuSansMono.ttf.gz"),
    include_bytes!("fonts/DejaVuSansMono-Bold.ttf.gz"),
];

/// Pixels of the picture per pixel of the SVG: sharp on dense screens.
const SCALE: f32 = 2.0;

#[derive(Debug, thiserror::Error)]
pub enum PngError {
    #[error("the embedded fonts cannot be read")]
    Fonts(#[source] std::io::Error),
    #[error("the frame cannot be drawn")]
    Draw(#[source] resvg::usvg::Error),
    #[error("a picture of {width} by {height} pixels is too large")]
    Size { width: u32, height: u32 },
    #[error("the picture cannot be encoded: {0}")]
    Encode(String),
}

/// The picture's bytes.
pub fn png(buffer: &Buffer, frame: &Frame) -> Result<Vec<u8>, PngError> {
    let mut fonts = Database::new();
    for compressed in FONTS {
        let mut font = Vec::new();
        GzDecoder::new(compressed)
            .read_to_end(&mut font)
            .map_err(PngError::Fonts)?;
        fonts.load_font_data(font);
    }
    let options = Options {
        fontdb: Arc::new(fonts),
        ..Options::default()
    };
    let tree = Tree::from_str(&svg(buffer, frame), &options).map_err(PngError::Draw)?;
    let (width, height) = size(buffer.area.width, buffer.area.height, frame);
    let (width, height) = (width * 2, height * 2);
    let mut pixels = Pixmap::new(width, height).ok_or(PngError::Size { width, height })?;
    resvg::render(
        &tree,
        Transform::from_scale(SCALE, SCALE),
        &mut pixels.as_mut(),
    );
    pixels
        .encode_png()
        .map_err(|error| PngError::Encode(error.to_string()))
}
