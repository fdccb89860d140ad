//! Turning and mirroring an image as its TIFF tag asks for.

use image::metadata::Orientation;

/// An image of `size` (width, height) pixels, each of `pixel_bytes` bytes, in its upright form; and the
/// size of that.
pub(super) fn upright(
    bytes: &[u8],
    pixel_bytes: usize,
    size: (usize, usize),
    orientation: Orientation,
) -> (Vec<u8>, (usize, usize)) {
    use Orientation::*;
    let (width, height) = size;
    let turned = matches!(orientation, Rotate90 | Rotate270 | Rotate90FlipH | Rotate270FlipH);
    let (out_width, out_height) = if turned { (height, width) } else { (width, height) };
    let mut out = Vec::with_capacity(bytes.len());
    for y in 0..out_height {
        for x in 0..out_width {
            let (from_x, from_y) = match orientation {
                NoTransforms => (x, y),
                FlipHorizontal => (width - 1 - x, y),
                Rotate180 => (width - 1 - x, height - 1 - y),
                FlipVertical => (x, height - 1 - y),
                Rotate90FlipH => (y, x),
                Rotate90 => (y, height - 1 - x),
                Rotate270FlipH => (width - 1 - y, height - 1 - x),
                Rotate270 => (width - 1 - y, x),
            };
            out.extend_from_slice(&bytes[(from_y * width + from_x) * pixel_bytes..][..pixel_bytes]);
        }
    }
    (out, (out_width, out_height))
}

#[cfg(test)]
mod tests {
    use super::*;
    use image::{DynamicImage, GrayImage};

    #[test]
    fn all_eight_ways_equal_those_of_the_image_crate() {
        for tag in 1..=8 {
            let orientation = Orientation::from_exif(tag).unwrap();
            let bytes: Vec<u8> = (0..15).collect();
            let mut image = DynamicImage::ImageLuma8(GrayImage::from_raw(5, 3, bytes.clone()).unwrap());
            image.apply_orientation(orientation);
            let size = (image.width() as usize, image.height() as usize);
            assert_eq!(upright(&bytes, 1, (5, 3), orientation), (image.into_bytes(), size), "{tag}");
        }
    }
}
