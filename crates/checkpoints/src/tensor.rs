//! One tensor of a file, as it lies on disk.

use crate::layout::Layout;
use crate::mapped::{MappedFile, SharedBytes};
use half::{bf16, f16};
use rayon::prelude::*;
use std::fmt;
use std::ops::Range;
use std::sync::Arc;

/// Values that one thread converts at a time.
const CHUNK: usize = 64 << 10;

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
    pub(crate) layout: &'a Layout,
    pub(crate) file: &'a Arc<MappedFile>,
    /// Where `bytes` lies in it.
    pub(crate) range: &'a Range<usize>,
    /// Little-endian values from the first to the last element of the layout.
    pub(crate) bytes: &'a [u8],
}

impl<'a> TensorView<'a> {
    /// Number format on disk.
    pub fn dtype(&self) -> Dtype {
        self.dtype
    }

    /// Shape; empty for a single number.
    pub fn shape(&self) -> &'a [usize] {
        self.layout.shape()
    }

    /// Number of values: the product of the shape.
    pub fn numel(&self) -> usize {
        self.layout.numel()
    }

    /// The values as f32 in row-major order; `None` if they are not floating-point numbers.
    ///
    /// Like the other conversions it reads transposed and expanded tensors as their shape says, and holds no
    /// more memory than its result.
    pub fn to_f32(&self) -> Option<Vec<f32>> {
        if !self.dtype.is_float() {
            return None;
        }
        let mut values = vec![0.0; self.numel()];
        self.write_f32(&mut values).then_some(values)
    }

    /// Writes the values as f32 in row-major order, on all threads of rayon's pool. `false`, and nothing is written, if
    /// they are not floating-point numbers or `target` has not as many places.
    pub fn write_f32(&self, target: &mut [f32]) -> bool {
        if target.len() != self.numel() {
            return false;
        }
        match self.dtype {
            Dtype::F16 => self.write(target, |bytes| f16::from_le_bytes(bytes).to_f32()),
            Dtype::BF16 => self.write(target, |bytes| bf16::from_le_bytes(bytes).to_f32()),
            Dtype::F32 => self.write(target, f32::from_le_bytes),
            Dtype::F64 => self.write(target, |bytes| f64::from_le_bytes(bytes) as f32),
            _ => return false,
        }
        true
    }

    /// The values where they lie in the file: f32 in row-major order and in this machine's order of bytes, at an
    /// address that suits them. `None` if they lie in another way, so that [`TensorView::to_f32`] has to convert them.
    pub fn shared_f32(&self) -> Option<SharedBytes> {
        let lies_so = cfg!(target_endian = "little")
            && self.dtype == Dtype::F32
            && self.layout.scattered().is_none()
            && self.bytes.as_ptr().cast::<f32>().is_aligned();
        lies_so.then(|| self.file.share(self.range.clone())).flatten()
    }

    /// The values as f64 in row-major order, whatever their format. 64-bit integers beyond 2^53 are rounded.
    pub fn to_f64(&self) -> Vec<f64> {
        match self.dtype {
            Dtype::Bool | Dtype::U8 => self.convert(|[byte]| f64::from(byte)),
            Dtype::I8 => self.convert(|bytes| f64::from(i8::from_le_bytes(bytes))),
            Dtype::I16 => self.convert(|bytes| f64::from(i16::from_le_bytes(bytes))),
            Dtype::I32 => self.convert(|bytes| f64::from(i32::from_le_bytes(bytes))),
            Dtype::I64 => self.convert(|bytes| i64::from_le_bytes(bytes) as f64),
            Dtype::F16 => self.convert(|bytes| f16::from_le_bytes(bytes).to_f64()),
            Dtype::BF16 => self.convert(|bytes| bf16::from_le_bytes(bytes).to_f64()),
            Dtype::F32 => self.convert(|bytes| f64::from(f32::from_le_bytes(bytes))),
            Dtype::F64 => self.convert(f64::from_le_bytes),
        }
    }

    /// The values as i64 in row-major order; `None` if they are floating-point numbers.
    pub fn to_i64(&self) -> Option<Vec<i64>> {
        Some(match self.dtype {
            Dtype::Bool | Dtype::U8 => self.convert(|[byte]| i64::from(byte)),
            Dtype::I8 => self.convert(|bytes| i64::from(i8::from_le_bytes(bytes))),
            Dtype::I16 => self.convert(|bytes| i64::from(i16::from_le_bytes(bytes))),
            Dtype::I32 => self.convert(|bytes| i64::from(i32::from_le_bytes(bytes))),
            Dtype::I64 => self.convert(i64::from_le_bytes),
            _ => return None,
        })
    }

    /// `SIZE` is that of the number format, so the elements of `bytes` are exactly those of the layout. The pages of
    /// the file are given back, so that converting all tensors does not also keep the whole file in memory.
    fn write<const SIZE: usize>(&self, target: &mut [f32], value: impl Fn([u8; SIZE]) -> f32 + Sync) {
        let elements: &[[u8; SIZE]] = self.bytes.as_chunks().0;
        match self.layout.scattered() {
            None => {
                target.par_chunks_mut(CHUNK).zip(elements.par_chunks(CHUNK)).for_each(|(target, part)| {
                    target.iter_mut().zip(part).for_each(|(place, &element)| *place = value(element));
                })
            }
            Some(numbers) => {
                target.iter_mut().zip(numbers).for_each(|(place, number)| *place = value(elements[number]));
            }
        }
        self.file.release(self.bytes);
    }

    /// As [`TensorView::write`], for values that need no room before.
    fn convert<const SIZE: usize, T>(&self, value: impl Fn([u8; SIZE]) -> T) -> Vec<T> {
        let elements: &[[u8; SIZE]] = self.bytes.as_chunks().0;
        let values = match self.layout.scattered() {
            None => elements.iter().map(|&element| value(element)).collect(),
            Some(numbers) => numbers.map(|number| value(elements[number])).collect(),
        };
        self.file.release(self.bytes);
        values
    }
}
