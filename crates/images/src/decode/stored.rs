//! How a file stores its colours, where the decoder's output hides it: palettes are looked up, single
//! bits widened, and a transparent colour becomes an alpha channel. It decides how PIL resizes an image.

/// What the file holds, compared with what its decoder delivers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Stored {
    /// The same.
    AsDelivered,
    /// No alpha channel; at most a colour that counts as transparent.
    Opaque,
    /// A palette, or 1 bit per pixel. No alpha channel.
    Indexed,
}

impl Stored {
    /// From the header of a PNG file: bit depth and colour type (W3C PNG, 11.2.1).
    pub fn in_png(bytes: &[u8]) -> Self {
        match bytes.get(24..26) {
            Some([1, 0] | [_, 3]) => Self::Indexed,
            Some([_, 0 | 2]) => Self::Opaque,
            _ => Self::AsDelivered,
        }
    }

    /// From the palette of the first frame of a GIF file (GIF89a, 17 to 20). A palette that lists the
    /// levels of grey in order is none for PIL.
    pub fn in_gif(bytes: &[u8]) -> Self {
        let Some((header, mut rest)) = bytes.split_at_checked(13) else { return Self::Indexed };
        let mut palette = take_palette(header[10], &mut rest);
        while let [0x21, _, after @ ..] = rest {
            // An extension: sub-blocks, each with its length, up to an empty one.
            rest = after;
            while let Some((&length, after)) = rest.split_first() {
                rest = after.get(usize::from(length)..).unwrap_or_default();
                if length == 0 {
                    break;
                }
            }
        }
        if let Some((descriptor, mut after)) = rest.split_at_checked(10) {
            palette = take_palette(descriptor[9], &mut after).or(palette);
        }
        let gray = palette.is_none_or(|palette| lists_grays(palette.as_chunks::<3>().0));
        if gray { Self::Opaque } else { Self::Indexed }
    }

    /// From the header and the palette of a BMP file. A palette that lists the levels of grey in order
    /// is none for PIL, unless it is that of a black and white image.
    pub fn in_bmp(bytes: &[u8]) -> Self {
        let number = |at: usize, length: usize| {
            let bytes = bytes.get(at..at + length).unwrap_or_default();
            bytes.iter().rev().fold(0, |number, &byte| number << 8 | usize::from(byte))
        };
        // The header of OS/2 has shorter fields, and no fourth byte per colour.
        let header = number(14, 4);
        let (bits, colours, entry) =
            if header == 12 { (number(24, 2), 0, 3) } else { (number(28, 2), number(46, 4), 4) };
        if !(1..=8).contains(&bits) {
            return Self::AsDelivered;
        }
        let colours = if colours == 0 { 1 << bits } else { colours };
        let palette = bytes.get(header.saturating_add(14)..).unwrap_or_default();
        let palette: Vec<[u8; 3]> = palette
            .chunks_exact(entry)
            .take(colours)
            .map(|colour| [colour[0], colour[1], colour[2]])
            .collect();
        let gray = colours > 2 && palette.len() == colours && lists_grays(&palette);
        if gray { Self::Opaque } else { Self::Indexed }
    }
}

/// Cuts the palette, if the flags announce one, from the start of `rest`.
fn take_palette<'a>(flags: u8, rest: &mut &'a [u8]) -> Option<&'a [u8]> {
    if flags & 0x80 == 0 {
        return None;
    }
    let (palette, after) = rest.split_at_checked(6 << (flags & 7))?;
    *rest = after;
    Some(palette)
}

/// Whether colour `i` is the grey of level `i`.
fn lists_grays(palette: &[[u8; 3]]) -> bool {
    palette.iter().enumerate().all(|(level, colour)| colour.iter().all(|&part| usize::from(part) == level))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn grays(count: u8, unused: usize) -> Vec<u8> {
        (0..count).flat_map(|level| [level; 3].into_iter().chain(std::iter::repeat_n(0, unused))).collect()
    }

    /// A GIF of one pixel up to its image data: a global palette of four colours, an extension, and a
    /// frame with or without a palette of its own.
    fn gif(global: &[u8], local: &[u8]) -> Vec<u8> {
        let mut bytes = b"GIF89a\x01\0\x01\0".to_vec();
        bytes.extend([if global.is_empty() { 0 } else { 0x81 }, 0, 0]);
        bytes.extend(global);
        bytes.extend([0x21, 0xfe, 2, 0x2c, 0x2c, 1, 0x2c, 0]);
        bytes.extend([0x2c, 0, 0, 0, 0, 1, 0, 1, 0, if local.is_empty() { 0 } else { 0x81 }]);
        bytes.extend(local);
        bytes
    }

    #[test]
    fn a_gif_of_ordered_grays_has_no_palette() {
        let (gray, colour) = (grays(4, 0), [9; 12]);
        assert_eq!(Stored::in_gif(&gif(&gray, &[])), Stored::Opaque);
        assert_eq!(Stored::in_gif(&gif(&colour, &[])), Stored::Indexed);
        assert_eq!(Stored::in_gif(&gif(&gray, &colour)), Stored::Indexed);
        assert_eq!(Stored::in_gif(&gif(&colour, &gray)), Stored::Opaque);
        assert_eq!(Stored::in_gif(&gif(&[], &[])), Stored::Opaque);
    }

    /// A BMP up to its palette, with the header of Windows or OS/2.
    fn bmp(windows: bool, bits: u8, palette: &[u8]) -> Vec<u8> {
        let mut bytes = vec![0; if windows { 54 } else { 26 }];
        bytes[14] = if windows { 40 } else { 12 };
        bytes[if windows { 28 } else { 24 }] = bits;
        bytes.extend(palette);
        bytes
    }

    #[test]
    fn a_bmp_of_ordered_grays_has_no_palette() {
        assert_eq!(Stored::in_bmp(&bmp(true, 4, &grays(16, 1))), Stored::Opaque);
        assert_eq!(Stored::in_bmp(&bmp(false, 4, &grays(16, 0))), Stored::Opaque);
        assert_eq!(Stored::in_bmp(&bmp(false, 4, &[9; 48])), Stored::Indexed);
        assert_eq!(Stored::in_bmp(&bmp(true, 1, &grays(2, 1))), Stored::Indexed);
        assert_eq!(Stored::in_bmp(&bmp(true, 24, &[])), Stored::AsDelivered);
    }

    #[test]
    fn headers_cut_anywhere_do_not_panic() {
        for file in [gif(&grays(4, 0), &[9; 12]), bmp(true, 8, &grays(255, 1))] {
            for length in 0..file.len() {
                let cut = &file[..length];
                let _: [Stored; 3] = [Stored::in_png(cut), Stored::in_gif(cut), Stored::in_bmp(cut)];
            }
        }
    }
}
