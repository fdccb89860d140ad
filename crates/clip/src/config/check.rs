//! What can be wrong with a configuration.

use std::fmt;

/// A configuration that no model can have. Lists every fault, not only the first.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[error("the model configuration is not valid:{}", Listed(.faults))]
pub struct ConfigError {
    /// Everything that is wrong, in the order of the fields.
    pub faults: Vec<ConfigFault>,
}

/// One fault of a configuration.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum ConfigFault {
    /// A size is zero.
    #[error("{field} is 0, expected at least 1")]
    Zero {
        /// The field, such as `image.width`.
        field: String,
    },
    /// A size is larger than any real model's by far, so that the file is most likely broken.
    #[error("{field} is {value}, expected at most {limit}")]
    TooLarge {
        /// The field, or what is computed from several.
        field: String,
        /// Its value.
        value: u128,
        /// The largest value that is accepted.
        limit: u128,
    },
    /// A size has to be a multiple of another one.
    #[error("{field} is {value}, expected a multiple of {divisor} ({divisor_value})")]
    NotMultiple {
        /// The field that should be a multiple.
        field: String,
        /// Its value.
        value: usize,
        /// The field that should divide it.
        divisor: String,
        /// That field's value.
        divisor_value: usize,
    },
    /// A token id lies outside the vocabulary.
    #[error("{field} is {id}, expected an id below text.vocab ({vocab})")]
    OutsideVocabulary {
        /// The field.
        field: String,
        /// The id.
        id: u32,
        /// Number of ids.
        vocab: usize,
    },
    /// A number is not finite or not positive where it has to be.
    #[error("{field} is {value}, expected {expected}")]
    Number {
        /// The field.
        field: String,
        /// Its value.
        value: f64,
        /// What it should be.
        expected: &'static str,
    },
}

/// The widest size that is accepted: no published tower comes near it.
pub(crate) const SIZE_LIMIT: usize = 1 << 20;
/// The largest number of blocks of a tower that is accepted.
pub(crate) const LAYER_LIMIT: usize = 1 << 10;
/// The largest number of parameters that is accepted (256 GiB of f32).
const PARAMETER_LIMIT: u128 = 1 << 36;

/// The faults of a configuration that have been found so far.
#[derive(Default)]
pub(crate) struct Check {
    faults: Vec<ConfigFault>,
}

impl Check {
    /// An error with all faults. The number of parameters is only asked for when the sizes are valid.
    pub fn finish(mut self, parameters: impl FnOnce() -> u128) -> Result<(), ConfigError> {
        if self.faults.is_empty() {
            self.at_most("the number of parameters", parameters(), PARAMETER_LIMIT);
        }
        if self.faults.is_empty() { Ok(()) } else { Err(ConfigError { faults: self.faults }) }
    }

    pub fn size(&mut self, field: &str, value: usize, limit: usize) {
        if value == 0 {
            self.faults.push(ConfigFault::Zero { field: field.to_string() });
        }
        self.at_most(field, value as u128, limit as u128);
    }

    pub fn at_most(&mut self, field: &str, value: u128, limit: u128) {
        if value > limit {
            self.faults.push(ConfigFault::TooLarge { field: field.to_string(), value, limit });
        }
    }

    pub fn multiple(&mut self, (field, value): (&str, usize), (divisor, divisor_value): (&str, usize)) {
        if value.checked_rem(divisor_value).is_some_and(|rest| rest != 0) {
            self.faults.push(ConfigFault::NotMultiple {
                field: field.to_string(),
                value,
                divisor: divisor.to_string(),
                divisor_value,
            });
        }
    }

    pub fn tower(
        &mut self,
        tower: &str,
        width: usize,
        layers: usize,
        heads: usize,
        mlp_width: usize,
        eps: f64,
    ) {
        let field = |name: &str| format!("{tower}.{name}");
        self.size(&field("width"), width, SIZE_LIMIT);
        self.size(&field("layers"), layers, LAYER_LIMIT);
        self.size(&field("heads"), heads, SIZE_LIMIT);
        self.size(&field("mlp_width"), mlp_width, SIZE_LIMIT);
        self.multiple((&field("width"), width), (&field("heads"), heads));
        if !(eps.is_finite() && eps > 0.0) {
            self.number(&field("layer_norm_eps"), eps, "a small positive number");
        }
    }

    pub fn token(&mut self, field: &str, id: u32, vocab: usize) {
        if id as usize >= vocab {
            self.faults.push(ConfigFault::OutsideVocabulary { field: field.to_string(), id, vocab });
        }
    }

    pub fn number(&mut self, field: &str, value: f64, expected: &'static str) {
        self.faults.push(ConfigFault::Number { field: field.to_string(), value, expected });
    }
}

/// Shows one item per line, indented: the body of an error that lists everything at once.
pub(crate) struct Listed<'a, T>(pub &'a [T]);

impl<T: fmt::Display> fmt::Display for Listed<'_, T> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|item| write!(formatter, "\n  {item}"))
    }
}
