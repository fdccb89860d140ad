//! How exactly a product is computed: the trade of time against digits, as a value that a recipe can name.

use std::fmt;
use std::str::FromStr;

/// The arithmetic of a product. Sums are f32 in all three.
///
/// The error of an element is bounded by a multiple of `Σ|a||b|`, the sum over the magnitudes of its `k` terms.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Precision {
    /// Operands and products in f32. Error at most `(k + 2) 2⁻²⁴ Σ|a||b|`.
    #[default]
    F32,
    /// Each value is the sum of two bf16 parts, `x = hi + lo`; the product is `hi hi + hi lo + lo hi`.
    /// The missing `lo lo` and what two parts leave out of both values are at most `2⁻¹⁶` of a term each, and the
    /// sums add what f32 sums of `3 k` terms add: error at most `(3 · 2⁻¹⁶ + (3 k + 4) 2⁻²⁴) Σ|a||b|`.
    Bf16x3,
    /// Each value is rounded to bf16, eight significant bits: error at most `(2⁻⁷ + (k + 4) 2⁻²⁴) Σ|a||b|`.
    Bf16,
}

impl Precision {
    /// All precisions, the most exact first.
    pub const ALL: [Self; 3] = [Self::F32, Self::Bf16x3, Self::Bf16];
}

impl fmt::Display for Precision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::F32 => "f32",
            Self::Bf16x3 => "bf16x3",
            Self::Bf16 => "bf16",
        })
    }
}

/// A word that names no [`Precision`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("unknown precision \"{0}\": use f32, bf16x3 or bf16")]
pub struct ParsePrecisionError(String);

impl FromStr for Precision {
    type Err = ParsePrecisionError;

    fn from_str(word: &str) -> Result<Self, Self::Err> {
        Self::ALL
            .into_iter()
            .find(|precision| precision.to_string() == word)
            .ok_or_else(|| ParsePrecisionError(word.to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_read_as_they_are_written() {
        for precision in Precision::ALL {
            assert_eq!(precision.to_string().parse(), Ok(precision));
        }
        let error = "fp16".parse::<Precision>().unwrap_err();
        assert_eq!(error.to_string(), "unknown precision \"fp16\": use f32, bf16x3 or bf16");
    }
}
