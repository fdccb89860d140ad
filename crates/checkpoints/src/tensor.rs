//! One tensor of a file, as it lies on disk.

use half::{bf16, f16};
use std::fmt;

/// Number format of a stored tensor.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[allow(missing_docs, reason = "the names say it")]
pub enum Dtype {
    Bool,
    U8,
    I8,
    I16,
    I32,
    I64,
    F16,
    BF16,
    F32,
    F64,
}

impl Dtype {
    /// Number of bytes of one value.
    pub fn size(self) -> usize {
        match self {
            Self::Bool | Self::U8 | Self::I8 => 1,
            Self::I16 | Self::F16 | Self::BF16 => 2,
            Self::I32 | Self::F32 => 4,
            Self::I64 | Self::F64 => 8,
        }
    }

    /// Whether values are floating-point numbers.
    pub fn is_float(self) -> bool {
        matches!(self, Self::F16 | Self::BF16 | Self::F32 | Self::F64)
    }
}

impl fmt::Display for Dtype {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self, formatter)
    }
}

/// A tensor of a checkpoint. Nothing is converted, and nothing read from disk, before it is asked for.
#[derive(Debug, Clone, Copy)]
pub struct TensorView<'a> {
    pub(crate) dtype: Dtype,
    pub(crate) shape: &'a [usize],
    /// The values in row-major order, little-endian: `size * product of shape` bytes.
    pub(crate) bytes: &'a [u8],
}

impl<'a> TensorView<'a> {
    /// Number format on disk.
    pub fn dtype(&self) -> Dtype {
        self.dtype
    }

    /// Shape; empty for a single number.
    pub fn shape(&self) -> &'a [usize] {
        self.shape
    }

    /// The values as f32 in row-major order; `None` if they are not floating-point numbers.
    pub fn to_f32(&self) -> Option<Vec<f32>> {
        let data = self.bytes;
        Some(match self.dtype {
            Dtype::F16 => data.as_chunks().0.iter().map(|b| f16::from_le_bytes(*b).to_f32()).collect(),
            Dtype::BF16 => data.as_chunks().0.iter().map(|b| bf16::from_le_bytes(*b).to_f32()).collect(),
            Dtype::F32 => data.as_chunks().0.iter().map(|b| f32::from_le_bytes(*b)).collect(),
            Dtype::F64 => data.as_chunks().0.iter().map(|b| f64::from_le_bytes(*b) as f32).collect(),
            _ => return None,
        })
    }

    /// The values as f64 in row-major order, whatever their format. 64-bit integers beyond 2^53 are rounded.
    pub fn to_f64(&self) -> Vec<f64> {
        let data = self.bytes;
        match self.dtype {
            Dtype::F64 => data.as_chunks().0.iter().map(|b| f64::from_le_bytes(*b)).collect(),
            Dtype::F16 | Dtype::BF16 | Dtype::F32 => {
                self.to_f32().unwrap_or_default().into_iter().map(f64::from).collect()
            }
            _ => self.to_i64().unwrap_or_default().into_iter().map(|value| value as f64).collect(),
        }
    }

    /// The values as i64 in row-major order; `None` if they are floating-point numbers.
    pub fn to_i64(&self) -> Option<Vec<i64>> {
        let data = self.bytes;
        Some(match self.dtype {
            Dtype::Bool | Dtype::U8 => data.iter().map(|b| i64::from(*b)).collect(),
            Dtype::I8 => data.iter().map(|b| i64::from(*b as i8)).collect(),
            Dtype::I16 => data.as_chunks().0.iter().map(|b| i64::from(i16::from_le_bytes(*b))).collect(),
            Dtype::I32 => data.as_chunks().0.iter().map(|b| i64::from(i32::from_le_bytes(*b))).collect(),
            Dtype::I64 => data.as_chunks().0.iter().map(|b| i64::from_le_bytes(*b)).collect(),
            _ => return None,
        })
    }
}
