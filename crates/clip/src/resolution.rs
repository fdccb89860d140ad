//! Running a vision transformer at another resolution than it was trained at.
//!
//! Only the positional embedding depends on the resolution. Its grid is interpolated as open_clip does
//! (`open_clip/model.py`, `resize_pos_embed`): bicubic with antialiasing, the class token's position kept.

use crate::clip::Clip;
use crate::config::{ClipConfig, ConfigError};
use crate::parameters::{Part, filled};
use burn::tensor::{Tensor, TensorData};
use std::collections::BTreeMap;

const POSITIONS: &str = "visual.positional_embedding";

/// A model that cannot be brought to a resolution.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum ResolutionError {
    /// No model of that resolution is valid.
    #[error("not possible at {resolution} pixels: {source}")]
    Config {
        /// The resolution.
        resolution: usize,
        /// What is wrong.
        source: ConfigError,
    },
    /// Only the positions of vision transformers form a grid of patches.
    #[error(
        "the image tower is no vision transformer: its resolution stays at {from} pixels, {to} were asked for"
    )]
    NoPatches {
        /// The model's resolution.
        from: usize,
        /// The resolution that was asked for.
        to: usize,
    },
    /// The positional embedding cannot be read back from its device.
    #[error("{POSITIONS} cannot be read from the device: {reason}")]
    Device {
        /// What Burn says.
        reason: String,
    },
}

impl Clip {
    /// This model, whose configuration is `config`, for images of `resolution` pixels, with its configuration.
    /// All parameters but the positional embedding share memory with `self`.
    ///
    /// # Errors
    /// [`ResolutionError`] if the resolution is no multiple of the patch or the tower has no patches.
    pub fn at_resolution(
        &self,
        config: &ClipConfig,
        resolution: usize,
    ) -> Result<(ClipConfig, Self), ResolutionError> {
        let from = config.image.resolution();
        if from == resolution {
            return Ok((config.clone(), self.clone()));
        }
        let Some(patch) = config.image.patch() else {
            return Err(ResolutionError::NoPatches { from, to: resolution });
        };
        let mut target = config.clone();
        target.image.set_resolution(resolution);
        let device = self.device();
        let vacant = Self::vacant(&target, &device)
            .map_err(|source| ResolutionError::Config { resolution, source })?;
        let mut values: BTreeMap<String, Tensor<1>> =
            self.parameters(Part::All).into_iter().map(|named| (named.path, named.value)).collect();
        if let Some(positions) = values.remove(POSITIONS) {
            let stored: Vec<f32> = positions
                .try_into_vec_as()
                .map_err(|error| ResolutionError::Device { reason: error.to_string() })?;
            let (old, new) = (from / patch, resolution / patch);
            let width = stored.len() / (old * old + 1);
            let (class, grid) = stored.split_at(width);
            let resized: Vec<f32> =
                class.iter().copied().chain(resized_grid(grid, old, new, width)).collect();
            let count = resized.len();
            values
                .insert(POSITIONS.to_string(), Tensor::from_data(TensorData::new(resized, [count]), &device));
        }
        Ok((target, filled(vacant, &mut |path, _| values.get(path).cloned())))
    }
}

/// A grid of `old` x `old` vectors of `width` values, interpolated to `new` x `new`.
fn resized_grid(grid: &[f32], old: usize, new: usize, width: usize) -> Vec<f32> {
    let taps: Vec<Vec<(usize, f64)>> = (0..new).map(|index| taps(old, new, index)).collect();
    let mut rows = Vec::with_capacity(new * old * width);
    for row in &taps {
        for at in 0..old * width {
            let sum: f64 =
                row.iter().map(|(from, weight)| f64::from(grid[from * old * width + at]) * weight).sum();
            rows.push(sum);
        }
    }
    let mut resized = Vec::with_capacity(new * new * width);
    for row in rows.chunks_exact(old * width) {
        for column in &taps {
            for at in 0..width {
                let sum: f64 = column.iter().map(|(from, weight)| row[from * width + at] * weight).sum();
                resized.push(sum as f32);
            }
        }
    }
    resized
}

/// The places of the old line, and their weights, that make up place `index` of the new one: PyTorch's
/// `interpolate(mode="bicubic", antialias=True, align_corners=False)`.
fn taps(old: usize, new: usize, index: usize) -> Vec<(usize, f64)> {
    let scale = old as f64 / new as f64;
    let stretch = scale.max(1.0);
    let centre = scale * (index as f64 + 0.5);
    let first = (centre - 2.0 * stretch + 0.5).max(0.0) as usize;
    let last = ((centre + 2.0 * stretch + 0.5) as usize).min(old);
    let weight = |at: usize| cubic((at as f64 - centre + 0.5) / stretch);
    let total: f64 = (first..last).map(weight).sum();
    (first..last).map(|at| (at, weight(at) / total)).collect()
}

/// The cubic convolution kernel with a = -0.5 (Keys 1981).
fn cubic(x: f64) -> f64 {
    let x = x.abs();
    if x < 1.0 {
        (1.5 * x - 2.5) * x * x + 1.0
    } else if x < 2.0 {
        ((-0.5 * x + 2.5) * x - 4.0) * x + 2.0
    } else {
        0.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde::Deserialize;

    #[derive(Deserialize)]
    struct Case {
        old: usize,
        new: usize,
        grid: Vec<f32>,
        resized: Vec<f32>,
    }

    #[test]
    fn grids_agree_with_pytorch() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/golden/resized_positions.json");
        let cases: Vec<Case> = serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap();
        assert_eq!(cases.len(), 6);
        for case in cases {
            let found = resized_grid(&case.grid, case.old, case.new, 2);
            assert_eq!(found.len(), case.resized.len());
            for (a, b) in found.iter().zip(&case.resized) {
                assert!((a - b).abs() < 2e-6, "{} to {}: {a}, expected {b}", case.old, case.new);
            }
        }
    }
}
