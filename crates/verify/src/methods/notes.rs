//! The JSON beside recorded tensors: hyper-parameters, and how far f32 strays from f64.

use crate::error::CaseError;
use burn::tensor::Device;
use serde_json::Value;
use std::path::{Path, PathBuf};

/// No case is run so badly in f32 that more could be called agreement.
const LARGEST_TOLERANCE: f64 = 1e-2;

/// How many times as far as the recording's f32 a trajectory may stray.
const STRAYS: f64 = 5.0;

/// The same on devices without kernels of their own: plain formulas sum in another order. Found were 6.7 times on
/// ndarray (`coop_middle_csc`).
const STRAYS_BY_FORMULAS: f64 = 10.0;

/// Whether `device` takes the kernels of `regulus-kernels`.
fn has_kernels(device: &Device) -> bool {
    regulus_trainer::device::Backend::Flex.devices().contains(device)
}

/// What a case says about itself.
pub(crate) struct Notes {
    path: PathBuf,
    value: Value,
    /// How many times as far as the recording's f32 values may stray.
    strays: f64,
}

impl Notes {
    pub(crate) fn open(path: &Path) -> Result<Self, CaseError> {
        let text =
            std::fs::read_to_string(path).map_err(|source| CaseError::Read { path: path.into(), source })?;
        let value =
            serde_json::from_str(&text).map_err(|source| CaseError::Json { path: path.into(), source })?;
        Ok(Self { path: path.into(), value, strays: STRAYS })
    }

    /// The field `key`, `null` if there is none.
    pub(crate) fn get(&self, key: &str) -> &Value {
        &self.value[key]
    }

    pub(crate) fn text(&self, key: &str) -> Option<&str> {
        self.get(key).as_str()
    }

    pub(crate) fn number(&self, key: &str) -> Result<f64, CaseError> {
        self.number_in(&self.value, key)
    }

    /// The number `key` of `value`, a part of these notes.
    pub(crate) fn number_in(&self, value: &Value, key: &str) -> Result<f64, CaseError> {
        value[key].as_f64().ok_or_else(|| self.form(key, &value[key], "a number"))
    }

    /// The text `key` of `value`, a part of these notes.
    pub(crate) fn text_in<'a>(&self, value: &'a Value, key: &str) -> Result<&'a str, CaseError> {
        value[key].as_str().ok_or_else(|| self.form(key, &value[key], "a text"))
    }

    pub(crate) fn size_in(&self, value: &Value, key: &str) -> Result<usize, CaseError> {
        let size = value[key].as_u64().and_then(|size| usize::try_from(size).ok());
        size.ok_or_else(|| self.form(key, &value[key], "a size"))
    }

    pub(crate) fn flag(&self, key: &str) -> Result<bool, CaseError> {
        self.get(key).as_bool().ok_or_else(|| self.form(key, self.get(key), "true or false"))
    }

    /// The items of the list `key`.
    pub(crate) fn list(&self, key: &str) -> Result<&[Value], CaseError> {
        let list = self.get(key).as_array().map(Vec::as_slice);
        list.ok_or_else(|| self.form(key, self.get(key), "a list"))
    }

    /// The texts of the list `key`.
    pub(crate) fn texts(&self, key: &str) -> Result<Vec<String>, CaseError> {
        let text = |item: &Value| {
            item.as_str().map(str::to_owned).ok_or_else(|| self.form(key, item, "a list of texts"))
        };
        self.list(key)?.iter().map(text).collect()
    }

    /// For a trajectory on `device`.
    pub(crate) fn on(self, device: &Device) -> Self {
        Self { strays: if has_kernels(device) { STRAYS } else { STRAYS_BY_FORMULAS }, ..self }
    }

    /// How far values of a group may stray: some times what f32 did, but at least `floor`.
    pub(crate) fn tolerance(&self, group: &str, floor: f64) -> f64 {
        let strayed = self.value["f32_dev"][group].as_f64().unwrap_or(0.0);
        (self.strays * strayed).clamp(floor, LARGEST_TOLERANCE.max(floor))
    }

    pub(crate) fn form(&self, key: &str, found: &Value, expected: &'static str) -> CaseError {
        CaseError::Form {
            path: self.path.clone(),
            name: key.to_string(),
            found: if found.is_null() { "missing".to_string() } else { found.to_string() },
            expected,
        }
    }
}
