//! Four-colour JPEG files. The `image` crate converts them to RGB, but the order in which OpenAI's CLIP
//! works needs the inks.

use super::{DecodeError, jpeg};
use zune_jpeg::JpegDecoder;
use zune_jpeg::zune_core::bytestream::ZCursor;
use zune_jpeg::zune_core::colorspace::ColorSpace;

/// The inks of a JPEG file, `[height, width, 4]` (cyan, magenta, yellow, black; 0 is no ink), if it
/// stores such. As PIL does, all these files are taken to be stored the way of Adobe, with 255 for no ink.
pub(super) fn inks(bytes: &[u8]) -> Result<Option<Vec<u8>>, DecodeError> {
    let options = jpeg::options();
    let mut decoder = JpegDecoder::new_with_options(ZCursor::new(bytes), options);
    decoder.decode_headers().map_err(jpeg::failed)?;
    let Some(stored @ (ColorSpace::CMYK | ColorSpace::YCCK)) = decoder.input_colorspace() else {
        return Ok(None);
    };
    decoder.set_options(options.jpeg_set_out_colorspace(stored));
    let mut samples = decoder.decode().map_err(jpeg::failed)?;
    for pixel in samples.as_chunks_mut::<4>().0 {
        *pixel = match (stored, *pixel) {
            (ColorSpace::YCCK, [y, cb, cr, black]) => {
                let [red, green, blue] = ycc_to_rgb(y, cb, cr);
                [red, green, blue, 255 - black]
            }
            (_, inverted) => inverted.map(|ink| 255 - ink),
        };
    }
    Ok(Some(samples))
}

/// ITU-T T.871, section 7, in 16-bit fixed point. In a YCCK file the result is the ink itself, since
/// both its transform and Adobe's storage invert it.
fn ycc_to_rgb(y: u8, cb: u8, cr: u8) -> [u8; 3] {
    let [y, cb, cr] = [y, cb, cr].map(i32::from);
    let (cb, cr) = (cb - 128, cr - 128);
    let change = |sum: i32| (sum + (1 << 15)) >> 16;
    [y + change(91_881 * cr), y + change(-22_554 * cb - 46_802 * cr), y + change(116_130 * cb)]
        .map(|value| value.clamp(0, 255) as u8)
}
