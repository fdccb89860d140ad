//! How matrices are multiplied, as recipes write it.

use std::fmt::Display;
use std::str::FromStr;

use regulus_clip::Precision;
use regulus_kernels::MatmulPrecision;
use serde::{Deserialize, Deserializer, Serializer, de::Error};

use super::check::Faults;
use super::spec::ExperimentSpec;

pub(super) fn is_f32(precision: &MatmulPrecision) -> bool {
    *precision == MatmulPrecision::F32
}

pub(super) fn serialize<S: Serializer>(value: &impl Display, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(value)
}

pub(super) fn deserialize<'de, D, T>(deserializer: D) -> Result<T, D::Error>
where
    D: Deserializer<'de>,
    T: FromStr<Err: Display>,
{
    String::deserialize(deserializer)?.parse().map_err(Error::custom)
}

/// Towers in 16 bit multiply in 16 bit.
pub(super) fn check_matmul(spec: &ExperimentSpec, faults: &mut Faults) {
    let (matmul, precision) = (spec.model.matmul, spec.precision());
    faults.require(
        is_f32(&matmul) || precision == Precision::F32,
        "model.matmul",
        format!(
            "is {matmul}, which is for towers in f32, and `training.precision` is {}; leave one of them out",
            precision.name()
        ),
    );
}
