//! One picture of the whole world, to look at: every class in every style and before every
//! background, as pre-training sees it and through the hard camera.

use rayon::prelude::*;
use regulus_images::RgbImage;
use regulus_images::random::Stream;

use super::parameters::{CAMERA_HARD, SIDE};
use super::render::render;
use super::scene::Scene;
use super::words::{Background, Class, Style};

/// Columns per style; styles take turns between the first and the second four backgrounds.
const PER_STYLE: usize = 4;
/// Columns of one half of the sheet.
const HALF: usize = PER_STYLE * Style::ALL.len();
/// Every pixel of an image is a square of this side on the sheet.
const ZOOM: usize = 2;

/// A contact sheet of 2048 x 1792 pixels. Rows are the 28 classes; the left 16 columns are photo,
/// cartoon, sketch and painting, four of each, and the right 16 the same images through the hard
/// camera.
pub fn contact_sheet(seed: u64) -> RgbImage {
    let width = 2 * HALF * SIDE * ZOOM;
    let row_height = SIDE * ZOOM;
    let mut pixels = vec![0; Class::ALL.len() * row_height * width * 3];
    pixels.par_chunks_exact_mut(row_height * width * 3).zip(Class::ALL).for_each(|(row, class)| {
        for column in 0..2 * HALF {
            let image = tile(seed, class, column);
            for (y, line) in row.chunks_exact_mut(width * 3).enumerate() {
                for x in 0..SIDE * ZOOM {
                    let from = (y / ZOOM * SIDE + x / ZOOM) * 3;
                    let to = (column * SIDE * ZOOM + x) * 3;
                    line[to..to + 3].copy_from_slice(&image[from..from + 3]);
                }
            }
        }
    });
    RgbImage { width, height: Class::ALL.len() * row_height, pixels }
}

/// The image of `class` in a column of the sheet.
fn tile(seed: u64, class: Class, column: usize) -> [u8; SIDE * SIDE * 3] {
    let position = column % HALF;
    let style = Style::ALL[position / PER_STYLE];
    let background = Background::ALL[position % Background::ALL.len()];
    let index = (class.index() * HALF + position) as u64;
    let mut stream = Stream::new(seed, "world/sheet", 0, index);
    let scene = Scene::sample(class, background, style, &mut stream);
    render(&scene, &mut stream, (column >= HALF).then_some(CAMERA_HARD))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_sheet_shows_its_tiles_enlarged() {
        let sheet = contact_sheet(7);
        assert_eq!((sheet.width, sheet.height), (2048, 1792));
        assert_eq!(sheet.pixels.len(), 2048 * 1792 * 3);
        let tile = tile(7, Class::Box, 30);
        for (x, y) in [(0, 0), (31, 5), (16, 31)] {
            for (right, down) in [(0, 0), (1, 1)] {
                let at = ((64 + 2 * y + down) * 2048 + 30 * 64 + 2 * x + right) * 3;
                assert_eq!(sheet.pixels[at..at + 3], tile[(y * 32 + x) * 3..(y * 32 + x) * 3 + 3]);
            }
        }
        assert_ne!(sheet.pixels, contact_sheet(8).pixels);
    }
}
