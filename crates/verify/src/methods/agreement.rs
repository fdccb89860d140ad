//! How near a loss and its gradients must come to the recorded ones.
//!
//! They are computed in f64 where the device has it. The recorded values come from f64, and f32 cannot meet these
//! tolerances everywhere: logits are cosines times up to a hundred, and one rounding of such a logit is 4e-6.

use super::notes::Notes;
use crate::checks::{Checks, host};
use crate::error::CaseError;
use crate::recorded::Recorded;
use crate::report::Row;
use burn::tensor::{DType, Device, Tensor};
use regulus_kernels::computes_in_f64;
use serde_json::Value;

/// Losses, relative.
const LOSS: f64 = 2e-6;
/// Gradients and all else of the order of 1, absolute.
const GRADIENT: f64 = 1e-6;
/// Below this size a loss is what rounding leaves of a difference of larger numbers.
const VANISHING: f64 = 1e-6;

/// How far f32 may be further away, on devices that do not compute in f64. On the same cases in f32 the CPU strays up to
/// 46 times the tolerance of f64 (a loss of TeS near 0), Mesa's Vulkan driver as far.
const SINGLE: f64 = 50.0;

/// f64 where the device has it.
pub(crate) fn widest(device: &Device) -> DType {
    if computes_in_f64(device) { DType::F64 } else { DType::F32 }
}

/// A tolerance of f64, or what it is on a device without.
pub(super) fn allowed<const D: usize>(found: &Tensor<D>, tolerance: f64) -> f64 {
    if widest(&found.device()) == DType::F64 { tolerance } else { SINGLE * tolerance }
}

/// The binary thresholds of recordings are compared in f32, whatever the masks are computed in.
pub(super) fn in_single(value: f64) -> f64 {
    f64::from(value as f32)
}

/// Each row divided by its length.
pub(super) fn unit(rows: Tensor<2>) -> Tensor<2> {
    regulus_clip::normalise(rows)
}

/// Compares a loss.
pub(super) fn loss(checks: &mut Checks<'_>, name: &str, found: &Tensor<1>) -> Result<(), CaseError> {
    compare(checks, name, found, LOSS, |expected| expected.abs().max(VANISHING))
}

/// Compares a loss with what the same code gave in f32. A loss is a difference of logits, whose roundings it keeps.
pub(super) fn loss_of_single(
    checks: &mut Checks<'_>,
    name: &str,
    found: &Tensor<1>,
    largest_logit: f64,
) -> Result<(), CaseError> {
    let rounding = f64::from(f32::EPSILON) * largest_logit.max(1.0);
    compare(checks, name, found, 1.0, |expected| LOSS * expected.abs() + rounding)
}

/// Compares a gradient, or another tensor whose values are of the order of 1. It is recorded in f32, and Burn's
/// gradient of a mean takes the reciprocal of its count in f32: for values above 8 these two roundings exceed the
/// tolerance.
pub(super) fn gradient<const D: usize>(
    checks: &mut Checks<'_>,
    name: &str,
    found: &Tensor<D>,
) -> Result<(), CaseError> {
    let rounding = f64::from(f32::EPSILON);
    compare(checks, name, found, 1.0, |expected| GRADIENT.max(rounding * expected.abs()))
}

/// Compares a gradient through logits of up to a hundred, or such logits: relative to `max(1, |value|)`.
pub(super) fn of_large_logits<const D: usize>(
    checks: &mut Checks<'_>,
    name: &str,
    found: &Tensor<D>,
) -> Result<(), CaseError> {
    compare(checks, name, found, GRADIENT, |expected| expected.abs().max(1.0))
}

/// The gradient of `leaf`: zero if nothing reaches it.
pub(super) fn zero_without<const D: usize>(gradient: Option<Tensor<D>>, leaf: &Tensor<D>) -> Tensor<D> {
    gradient.unwrap_or_else(|| leaf.zeros_like().inner())
}

/// `|a - b| <= tolerance * unit(b)` for each value.
fn compare<const D: usize>(
    checks: &mut Checks<'_>,
    name: &str,
    found: &Tensor<D>,
    tolerance: f64,
    unit: impl Fn(f64) -> f64,
) -> Result<(), CaseError> {
    let expected = checks.recorded.flat(name)?;
    let tolerance = allowed(found, tolerance);
    let found = host(found).map_err(CaseError::Unsupported)?;
    let units: Vec<f64> = expected.iter().map(|value| unit(*value)).collect();
    checks.in_units(name, &found, &expected, &units, tolerance);
    Ok(())
}

/// Comparisons of a case whose notes list settings, each run by `setting`.
pub(super) fn settings(
    io: &Recorded,
    notes: &Notes,
    rows: &mut Vec<Row>,
    mut setting: impl FnMut(&mut Checks<'_>, &Value) -> Result<(), CaseError>,
) -> Result<(), CaseError> {
    let mut checks = Checks::new(io, "", rows);
    for case in notes.list("cases")? {
        setting(&mut checks, case)?;
    }
    checks.finish();
    Ok(())
}
