//! What the decoder does not tell about a JPEG file: how many colour components it has, and whether
//! it is complete. A file that was cut short decodes without an error, its missing part grey.

/// What the markers of a JPEG file say.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(crate) struct JpegMarkers {
    /// Components of the frame (1 grey, 3 colour, 4 CMYK or YCCK); 0 if no frame header was found.
    pub components: u8,
    /// Whether the end-of-image marker was reached.
    pub complete: bool,
}

const START_OF_IMAGE: u8 = 0xd8;
const END_OF_IMAGE: u8 = 0xd9;

/// Walks from marker to marker (ITU-T T.81, B.1.1), over the compressed data between them.
pub(crate) fn survey(bytes: &[u8]) -> JpegMarkers {
    let mut found = JpegMarkers::default();
    let mut rest = bytes;
    while let Some((marker, after)) = next_marker(rest) {
        rest = after;
        match marker {
            END_OF_IMAGE => return JpegMarkers { complete: true, ..found },
            // Markers without a segment: restarts (also inside of scans) and the start of the file.
            0x01 | 0xd0..=0xd7 | START_OF_IMAGE => continue,
            _ if starts_frame(marker) => {
                // Length (2), precision (1), height (2), width (2), then the number of components.
                found.components = rest.get(7).copied().unwrap_or(0);
            }
            _ => {}
        }
        let Some(&[high, low]) = rest.first_chunk::<2>() else { return found };
        match rest.get(usize::from(u16::from_be_bytes([high, low])).max(2)..) {
            Some(after) => rest = after,
            None => return found,
        }
    }
    found
}

/// Width and height from the first frame header.
pub(crate) fn size(bytes: &[u8]) -> Option<(u32, u32)> {
    let mut rest = bytes;
    loop {
        let (marker, after) = next_marker(rest)?;
        rest = after;
        let &[high, low, _, top, bottom, left, right] = match marker {
            0x01 | 0xd0..=0xd7 | START_OF_IMAGE => continue,
            END_OF_IMAGE => return None,
            _ => rest.first_chunk::<7>()?,
        };
        if starts_frame(marker) {
            let side = |high, low| u32::from(u16::from_be_bytes([high, low]));
            return Some((side(left, right), side(top, bottom)));
        }
        rest = rest.get(usize::from(u16::from_be_bytes([high, low])).max(2)..)?;
    }
}

/// Whether a frame header follows the marker.
fn starts_frame(marker: u8) -> bool {
    matches!(marker, 0xc0..=0xcf) && !matches!(marker, 0xc4 | 0xc8 | 0xcc)
}

/// The next marker code and the bytes behind it. Compressed data before it are skipped: in them, 0xff
/// is always followed by 0.
fn next_marker(bytes: &[u8]) -> Option<(u8, &[u8])> {
    memchr::memchr_iter(0xff, bytes).find_map(|at| match bytes.get(at + 1..)? {
        [0x00 | 0xff, ..] | [] => None,
        [marker, after @ ..] => Some((*marker, after)),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A frame header for `components`, a scan with a stuffed 0xff and a restart, and the end.
    fn file(components: u8) -> Vec<u8> {
        let mut bytes = vec![0xff, 0xd8];
        // An application segment that contains what looks like an end: a thumbnail, say.
        bytes.extend([0xff, 0xe1, 0, 6, 0xff, 0xd9, 0xff, 0xd9]);
        bytes.extend([0xff, 0xc0, 0, 8, 8, 0, 1, 0, 1, components]);
        bytes.extend([0xff, 0xda, 0, 3, 0, 0x12, 0xff, 0x00, 0x34, 0xff, 0xd0, 0x56, 0xff, 0xd9]);
        bytes
    }

    #[test]
    fn a_complete_file_is_complete() {
        assert_eq!(survey(&file(4)), JpegMarkers { components: 4, complete: true });
        let mut with_trailing_bytes = file(3);
        with_trailing_bytes.extend([0; 9]);
        assert_eq!(survey(&with_trailing_bytes), JpegMarkers { components: 3, complete: true });
    }

    #[test]
    fn the_size_is_that_of_the_frame_header() {
        assert_eq!(size(&file(3)), Some((1, 1)));
        assert_eq!(size(&[0xff, 0xd8, 0xff, 0xc2, 0, 8, 8, 1, 2, 3, 4, 1]), Some((0x0304, 0x0102)));
        assert_eq!(size(&[0xff, 0xd8, 0xff, 0xd9]), None);
    }

    #[test]
    fn a_file_cut_anywhere_is_not() {
        let bytes = file(3);
        for length in 0..bytes.len() {
            assert!(!survey(&bytes[..length]).complete, "{length}");
        }
    }
}
