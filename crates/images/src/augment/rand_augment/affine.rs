//! Affine maps without interpolation, as Pillow's `Image.transform` carries them out: in fixed point wherever that can
//! represent the positions.

use crate::RgbImage;
use std::ops::AddAssign;

/// Where pixels come from: what is at (column, row) of the result was at (`x`, `y`) of the image, each of them
/// `[a, b, c]` for `a * column + b * row + c`. Pixels have their centres at halves.
pub(super) struct Affine {
    pub x: [f64; 3],
    pub y: [f64; 3],
}

impl Affine {
    /// The rotation about the middle of an image of `width` x `height` pixels, counter-clockwise. `None` for an angle
    /// of 0.
    pub fn rotation(degrees: f64, (width, height): (usize, usize)) -> Option<Self> {
        let degrees = degrees.rem_euclid(360.0);
        if degrees == 0.0 {
            return None;
        }
        // Pillow rounds to 15 decimals.
        let rounded = |value: f64| (value * 1e15).round_ties_even() / 1e15;
        let angle = -degrees.to_radians();
        let (cosine, sine) = (rounded(libm::cos(angle)), rounded(libm::sin(angle)));
        let (x, y) = (width as f64 / 2.0, height as f64 / 2.0);
        Some(Self {
            x: [cosine, sine, cosine * -x + sine * -y + x],
            y: [-sine, cosine, -sine * -x + cosine * -y + y],
        })
    }

    /// The mapped image, as large as `image`; black where it comes from outside.
    pub fn apply(&self, image: &RgbImage) -> RgbImage {
        let ([a, b, c], [d, e, f]) = (self.x, self.y);
        if (b == 0.0 && d == 0.0) || !self.fits_fixed_point(image) {
            let start = (c + b * 0.5 + a * 0.5, f + e * 0.5 + d * 0.5);
            walk(image, start, (a, d), (b, e), |place: f64| (place >= 0.0).then_some(place as usize))
        } else {
            let fixed = |value: f64| (value * 65_536.0 + 0.5).floor() as i64;
            let start = (fixed(c + a * 0.5 + b * 0.5), fixed(f + d * 0.5 + e * 0.5));
            let (along, down) = ((fixed(a), fixed(d)), (fixed(b), fixed(e)));
            walk(image, start, along, down, |place: i64| usize::try_from(place >> 16).ok())
        }
    }

    /// Whether 16 bits can hold the positions of all corners.
    fn fits_fixed_point(&self, image: &RgbImage) -> bool {
        let (width, height) = (image.width as f64, image.height as f64);
        let fits = |[a, b, c]: [f64; 3], (x, y): (f64, f64)| (x * a + y * b + c).abs() < 32_768.0;
        [(0.0, 0.0), (width, 0.0), (0.0, height), (width, height)]
            .into_iter()
            .all(|corner| fits(self.x, corner) && fits(self.y, corner))
    }
}

/// Fills the result row by row. Positions (x, y) begin at `start` and are summed up, as in Pillow: by `along` from
/// column to column and by `down` from row to row. `index` is the column or row that a position falls into.
fn walk<T: Copy + AddAssign>(
    image: &RgbImage,
    start: (T, T),
    along: (T, T),
    down: (T, T),
    index: impl Fn(T) -> Option<usize>,
) -> RgbImage {
    let (source, _) = image.pixels.as_chunks::<3>();
    let mut pixels = vec![0; image.pixels.len()];
    let mut first = start;
    for targets in pixels.chunks_exact_mut(image.width * 3) {
        let (mut x, mut y) = first;
        for target in targets.as_chunks_mut::<3>().0 {
            if let (Some(column), Some(row)) = (index(x), index(y))
                && column < image.width
                && row < image.height
            {
                *target = source[row * image.width + column];
            }
            x += along.0;
            y += along.1;
        }
        first.0 += down.0;
        first.1 += down.1;
    }
    RgbImage { pixels, ..*image }
}
