//! Comparing what was computed with what was recorded.

use crate::error::CaseError;
use crate::recorded::Recorded;
use crate::report::Row;
use burn::tensor::Tensor;

/// Comparisons with the tensors of one file.
pub(crate) struct Checks<'a> {
    pub recorded: &'a Recorded,
    rows: &'a mut Vec<Row>,
    /// What the computation was made with, where there are several.
    with: String,
}

impl<'a> Checks<'a> {
    pub(crate) fn new(recorded: &'a Recorded, with: impl Into<String>, rows: &'a mut Vec<Row>) -> Self {
        Self { recorded, rows, with: with.into() }
    }

    /// Compares with the tensor `name`, if it is recorded: `|a - b| <= tolerance * max(1, max|b|)`.
    pub(crate) fn tensor<const D: usize>(
        &mut self,
        name: &str,
        found: &Tensor<D>,
        tolerance: f64,
    ) -> Result<(), CaseError> {
        if !self.recorded.has(name) {
            return Ok(());
        }
        let (expected, shape) = self.recorded.values(name)?;
        let dims = found.dims();
        let is_number = shape.is_empty() && dims.iter().all(|size| *size == 1);
        if shape != dims && !is_number {
            self.problem(name, format!("the shape is {dims:?}, recorded is {shape:?}"));
            return Ok(());
        }
        match host(found) {
            Ok(found) => self.values(name, &found, &expected, tolerance * largest(&expected).max(1.0)),
            Err(reason) => self.problem(name, reason),
        }
        Ok(())
    }

    /// Compares with the first of several names for the same thing that are recorded, and with all others.
    pub(crate) fn any<const D: usize>(
        &mut self,
        names: &[&str],
        found: &Tensor<D>,
        tolerance: f64,
    ) -> Result<(), CaseError> {
        names.iter().try_for_each(|name| self.tensor(name, found, tolerance))
    }

    /// Compares values with an absolute tolerance.
    pub(crate) fn values(&mut self, what: &str, found: &[f64], expected: &[f64], tolerance: f64) {
        self.rows.push(compared(self.labelled(what), found, expected, tolerance));
    }

    /// Compares values relative to the recorded ones' own sizes.
    pub(crate) fn relative(&mut self, what: &str, found: &[f64], expected: &[f64], tolerance: f64) {
        let units: Vec<f64> = expected.iter().map(|value| value.abs().max(f64::MIN_POSITIVE)).collect();
        self.in_units(what, found, expected, &units, tolerance);
    }

    /// Compares values each of which has its own unit.
    pub(crate) fn in_units(
        &mut self,
        what: &str,
        found: &[f64],
        expected: &[f64],
        units: &[f64],
        tolerance: f64,
    ) {
        self.rows.push(compared_in_units(self.labelled(what), found, expected, units, tolerance));
    }

    /// Compares numbers of things, which must be equal.
    pub(crate) fn exact(&mut self, what: &str, found: &[f64], expected: &[f64]) {
        self.values(what, found, expected, 0.0);
    }

    pub(crate) fn problem(&mut self, what: &str, problem: impl Into<String>) {
        let what = self.labelled(what);
        self.rows.push(Row::problem(what, problem));
    }

    /// Every tensor that nothing has looked at is a comparison that was not made.
    pub(crate) fn finish(self) {
        for name in self.recorded.unseen() {
            self.rows.push(Row::problem(name, "recorded, but nothing here knows what it is"));
        }
    }

    fn labelled(&self, what: &str) -> String {
        if self.with.is_empty() { what.to_string() } else { format!("{what} [{}]", self.with) }
    }
}

/// The comparison of values with an absolute tolerance.
pub(crate) fn compared(what: String, found: &[f64], expected: &[f64], tolerance: f64) -> Row {
    if found.len() != expected.len() {
        return Row::problem(what, format!("{} values, recorded are {}", found.len(), expected.len()));
    }
    let differences = found.iter().zip(expected).map(|(a, b)| difference(*a, *b));
    let deviation =
        differences.fold(0.0, |worst: f64, next| if next > worst || next.is_nan() { next } else { worst });
    Row { what, deviation, tolerance, problem: None }
}

/// The comparison of values each of which has its own unit.
pub(crate) fn compared_in_units(
    what: String,
    found: &[f64],
    expected: &[f64],
    units: &[f64],
    tolerance: f64,
) -> Row {
    if found.len() != expected.len() {
        return compared(what, found, expected, tolerance);
    }
    let scaled =
        |values: &[f64]| -> Vec<f64> { values.iter().zip(units).map(|(value, unit)| value / unit).collect() };
    compared(format!("{what} (relative)"), &scaled(found), &scaled(expected), tolerance)
}

/// Equal infinities do not differ.
fn difference(a: f64, b: f64) -> f64 {
    if a == b { 0.0 } else { (a - b).abs() }
}

/// The largest absolute value.
pub(crate) fn largest(values: &[f64]) -> f64 {
    values.iter().fold(0.0, |largest: f64, value| largest.max(value.abs()))
}

/// The values of a tensor on the host.
pub(crate) fn host<const D: usize>(tensor: &Tensor<D>) -> Result<Vec<f64>, String> {
    tensor.clone().try_into_vec_as::<f64>().map_err(|error| error.to_string())
}
