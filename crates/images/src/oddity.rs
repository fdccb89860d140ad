//! What can be unusual about an image file. A data set is judged by counting these: an oddity is
//! never an error, but each of them has spoilt somebody's training data.

use serde::{Deserialize, Serialize};
use std::fmt;

/// Something unusual about a decoded file, and what was done about it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Oddity {
    /// Four ink channels; converted to RGB without a colour profile, as PIL does.
    Cmyk,
    /// 16 bits per colour channel; only the high byte is kept, as PIL does.
    SixteenBit,
    /// 16-bit grey, which PIL clips at 255 instead of scaling: almost every pixel becomes white.
    SixteenBitGray,
    /// Several frames; the first one is taken.
    Animated,
    /// The EXIF data ask for a rotation or a mirroring, which is not applied (PIL leaves it to the caller).
    ExifRotated,
    /// Pixels that are not opaque; their hidden colour is kept and the transparency dropped.
    Transparent,
}

impl Oddity {
    /// Every oddity. New ones come last: files keep them by their place.
    pub const ALL: [Self; 6] = [
        Self::Cmyk,
        Self::SixteenBit,
        Self::SixteenBitGray,
        Self::Animated,
        Self::ExifRotated,
        Self::Transparent,
    ];
}

impl fmt::Display for Oddity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Cmyk => "CMYK colours, converted without a colour profile",
            Self::SixteenBit => "16 bits per channel, reduced to 8",
            Self::SixteenBitGray => "16-bit grey, clipped at 255 (rescale the file to 8 bits)",
            Self::Animated => "animated, first frame taken",
            Self::ExifRotated => "EXIF rotation, not applied",
            Self::Transparent => "transparent pixels, transparency dropped",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reports_store_oddities_by_name() {
        assert_eq!(serde_json::to_string(&Oddity::SixteenBitGray).unwrap(), r#""sixteen-bit-gray""#);
        assert_eq!(serde_json::from_str::<Oddity>(r#""exif-rotated""#).unwrap(), Oddity::ExifRotated);
    }
}
