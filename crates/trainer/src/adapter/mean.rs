//! The weighted mean of two adapters: WiSE-FT's ensemble in the space of weights (Wortsman et al., "Robust fine-tuning
//! of zero-shot models", CVPR 2022), between any two that train the same values.

use std::collections::BTreeMap;

use super::Adapter;

/// Adapters that have no mean. Names the first difference.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum MeanError {
    /// They say different things of the same model.
    #[error("the adapters differ in their {what}: {first} and {second}; use --space logits")]
    Cards {
        /// What differs.
        what: &'static str,
        /// Of the first.
        first: String,
        /// Of the second.
        second: String,
    },
    /// One has a value that the other lacks.
    #[error("`{name}` is in the {present} adapter only; use --space logits")]
    Alone {
        /// The parameter or buffer.
        name: String,
        /// `first` or `second`.
        present: &'static str,
    },
    /// A value has two shapes.
    #[error(
        "`{name}` has shape {first:?} in the first adapter and {second:?} in the second; use --space logits"
    )]
    Shapes {
        /// The parameter or buffer.
        name: String,
        /// In the first.
        first: Vec<usize>,
        /// In the second.
        second: Vec<usize>,
    },
    /// Bits have no mean.
    #[error("`{name}` is a mask of on and off, of which there is no mean; use --space logits")]
    Bits {
        /// The parameter.
        name: String,
    },
}

impl Adapter {
    /// Checks that [`Self::mean`] makes sense.
    ///
    /// # Errors
    /// [`MeanError`] with the first difference.
    pub fn check_mean(&self, other: &Self) -> Result<(), MeanError> {
        let (a, b) = (&self.card, &other.card);
        let list = |names: &[String]| names.join(", ");
        let backbone = |sha256: &Option<String>| sha256.clone().unwrap_or_else(|| "none".into());
        let said = [
            ("base models", a.base_sha256.clone(), b.base_sha256.clone()),
            ("image encoders", backbone(&a.backbone_sha256), backbone(&b.backbone_sha256)),
            ("resolutions", a.resolution.to_string(), b.resolution.to_string()),
            ("classes or their order", list(&a.class_names), list(&b.class_names)),
            ("templates", list(&a.templates), list(&b.templates)),
        ];
        if let Some((what, first, second)) = said.into_iter().find(|(_, first, second)| first != second) {
            return Err(MeanError::Cards { what, first, second });
        }
        let (first, second) = (self.shapes(), other.shapes());
        for (name, first) in &first {
            match second.get(name) {
                None => return Err(MeanError::Alone { name: name.clone(), present: "first" }),
                Some(second) if second != first => {
                    let (first, second) = (first.clone(), second.clone());
                    return Err(MeanError::Shapes { name: name.clone(), first, second });
                }
                Some(_) => {}
            }
        }
        if let Some(name) = second.into_keys().find(|name| !first.contains_key(name)) {
            return Err(MeanError::Alone { name, present: "second" });
        }
        match self.thresholds.keys().chain(other.thresholds.keys()).next() {
            Some(name) => Err(MeanError::Bits { name: name.clone() }),
            None => Ok(()),
        }
    }

    /// `share self + (1 - share) other`, of parameters and buffers; at 0 and 1 exactly one of them. The card stays that
    /// of `self`.
    ///
    /// # Errors
    /// [`MeanError`] with the first difference between the adapters.
    pub fn mean(&self, other: &Self, share: f64) -> Result<Self, MeanError> {
        self.check_mean(other)?;
        if share == 1.0 {
            return Ok(self.clone());
        }
        if share == 0.0 {
            return Ok(Self { card: self.card.clone(), ..other.clone() });
        }
        let mut mixed = self.clone();
        mixed.parameters = self.parameters.map(|name, leaf| match other.parameters.get(name) {
            Some(of_other) => leaf.value.clone() * share + of_other.value.clone() * (1.0 - share),
            None => leaf.value.clone(),
        });
        for (name, value) in &mut mixed.buffers {
            if let Some(of_other) = other.buffers.get(name) {
                *value = value.clone() * share + of_other.clone() * (1.0 - share);
            }
        }
        Ok(mixed)
    }

    /// Shapes of parameters and buffers by name.
    fn shapes(&self) -> BTreeMap<String, Vec<usize>> {
        let parameters = self.parameters.iter().map(|(name, leaf)| (name.clone(), leaf.shape.clone()));
        let buffers = self.buffers.iter().map(|(name, value)| (name.clone(), value.dims().to_vec()));
        parameters.chain(buffers).collect()
    }
}
