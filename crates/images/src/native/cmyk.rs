//! Inks to light, without a colour profile.

use super::alpha::scaled;

/// RGB of CMYK pixels, as Pillow converts them.
pub(super) fn to_rgb(inks: &[u8]) -> Vec<u8> {
    let light = |[cyan, magenta, yellow, black]: &[u8; 4]| {
        let white = 255 - black;
        [cyan, magenta, yellow].map(|ink| white - scaled(*ink, white))
    };
    inks.as_chunks::<4>().0.iter().flat_map(light).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_ink_is_white_and_black_covers_all() {
        assert_eq!(to_rgb(&[0, 0, 0, 0, 255, 0, 128, 0]), [255, 255, 255, 0, 255, 127]);
        assert_eq!(to_rgb(&[0, 100, 255, 255, 255, 0, 0, 127]), [0, 0, 0, 0, 128, 128]);
    }
}
