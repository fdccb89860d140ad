//! Transparency. Pillow resizes colours multiplied by their opacity, so that hidden colours do not
//! bleed into visible ones, and divides the result again; each step rounds to 8 bits.

/// Red, green and blue of RGBA pixels.
pub(super) fn dropped(pixels: &[u8]) -> Vec<u8> {
    pixels.as_chunks::<4>().0.iter().flat_map(|[red, green, blue, _]| [*red, *green, *blue]).collect()
}

/// RGBA pixels with their colours multiplied by the opacity.
pub(super) fn premultiplied(pixels: &[u8]) -> Vec<u8> {
    map_pixels(pixels, |[red, green, blue, alpha]| {
        let [red, green, blue] = [red, green, blue].map(|colour| scaled(colour, alpha));
        [red, green, blue, alpha]
    })
}

/// The inverse of [`premultiplied`], rounded down. The colour of an invisible pixel stays.
pub(super) fn divided(pixels: &[u8]) -> Vec<u8> {
    map_pixels(pixels, |[red, green, blue, alpha]| {
        let divide = |colour: u8| match alpha {
            0 | 255 => colour,
            _ => (255 * u16::from(colour) / u16::from(alpha)).min(255) as u8,
        };
        [divide(red), divide(green), divide(blue), alpha]
    })
}

/// `a * b / 255`, rounded.
pub(super) fn scaled(a: u8, b: u8) -> u8 {
    let product = u32::from(a) * u32::from(b) + 128;
    (((product >> 8) + product) >> 8) as u8
}

fn map_pixels(pixels: &[u8], change: impl Fn([u8; 4]) -> [u8; 4]) -> Vec<u8> {
    pixels.as_chunks::<4>().0.iter().flat_map(|pixel| change(*pixel)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn products_are_rounded_to_the_nearest() {
        for a in 0..=255u8 {
            for b in 0..=255u8 {
                let exact = f64::from(a) * f64::from(b) / 255.0;
                assert_eq!(f64::from(scaled(a, b)), exact.round(), "{a} {b}");
            }
        }
    }

    #[test]
    fn opaque_and_invisible_colours_survive_the_division() {
        assert_eq!(divided(&[7, 8, 9, 255, 7, 8, 9, 0]), [7, 8, 9, 255, 7, 8, 9, 0]);
        assert_eq!(divided(&[1, 50, 200, 100]), [2, 127, 255, 100]);
        assert_eq!(premultiplied(&[255, 100, 0, 128]), [128, 50, 0, 128]);
    }
}
