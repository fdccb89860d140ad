//! Colour to grey, as PIL's mode `L` has it.

use crate::RgbImage;

/// Luminance of a pixel, `(299 R + 587 G + 114 B) / 1000` (ITU-R 601-2), in PIL's fixed point.
pub(super) fn luminance([red, green, blue]: [u8; 3]) -> u8 {
    let [red, green, blue] = [red, green, blue].map(u32::from);
    ((red * 19_595 + green * 38_470 + blue * 7_471 + 0x8000) >> 16) as u8
}

/// The image without colour: its luminance in all three channels (torchvision's `rgb_to_grayscale` with three
/// output channels).
pub fn grayscale(image: &RgbImage) -> RgbImage {
    let pixels = image.pixels.as_chunks::<3>().0.iter();
    RgbImage { pixels: pixels.flat_map(|&pixel| [luminance(pixel); 3]).collect(), ..*image }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn grey_stays_and_colours_become_their_luminance() {
        let image = RgbImage::new(4, 1, vec![77, 77, 77, 255, 0, 0, 0, 255, 0, 0, 0, 255]).unwrap();
        // PIL: [Image.new("RGB", (1, 1), colour).convert("L").getpixel((0, 0)) for colour in ...]
        let expected = [77, 76, 150, 29].into_iter().flat_map(|level| [level; 3]).collect();
        assert_eq!(grayscale(&image), RgbImage::new(4, 1, expected).unwrap());
    }
}
