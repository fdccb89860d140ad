//! R-MT in the words of a recipe. Defaults are the published settings.

use serde::{Deserialize, Serialize};

use super::check::Faults;
use crate::methods::{GradientDropout, MaskPart, MaskSettings};

/// R-MT: binary masks on frozen weights of the image tower.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct MaskTuningSpec {
    /// Which weights are masked: `attention`, `mlp` or `all` (default `attention`).
    pub part: MaskPart,
    /// Whether the patch embedding is masked too, as in the released code (default false).
    pub conv1: bool,
    /// What every mask starts from (default 1e-2).
    pub start: f64,
    /// A weight is kept where its mask is above this (default 5e-3).
    pub threshold: f64,
    /// Factor on the sum of the masks' L2 norms (default 1e-4).
    pub norm_weight: f64,
    /// Gradient dropout (default: on). A recipe writes a table, or `false` for mask tuning without it.
    #[serde(with = "switched")]
    pub dropout: Option<DropoutSpec>,
}

/// How gradients are dropped.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct DropoutSpec {
    /// By how much a dropped entry shrinks (default 1: to 0).
    pub lambda: f64,
    /// Softening of both distributions (default 1).
    pub temperature: f64,
    /// Share of the frozen model in the target (default 1).
    pub fuse: f64,
    /// Whether the student's share of the target is without gradient (default false, as in the released code).
    pub detached: bool,
}

impl Default for MaskTuningSpec {
    fn default() -> Self {
        let MaskSettings { start, threshold, norm_weight, .. } = MaskSettings::default();
        let (part, dropout) = (MaskPart::default(), Some(DropoutSpec::default()));
        Self { part, conv1: false, start, threshold, norm_weight, dropout }
    }
}

impl Default for DropoutSpec {
    fn default() -> Self {
        let GradientDropout { lambda, temperature, fuse, .. } = GradientDropout::default();
        Self { lambda, temperature, fuse, detached: false }
    }
}

/// Largest size of a mask's start and threshold.
const LARGEST: f64 = 1000.0;
/// Temperatures at which softened logits are still numbers.
pub(super) const TEMPERATURES: std::ops::RangeInclusive<f64> = 0.01..=100.0;

impl MaskTuningSpec {
    /// The paper's name of the variant.
    pub(super) fn label(&self) -> &'static str {
        match (self.part, self.dropout.is_some()) {
            (MaskPart::Attention, true) => "r-amt",
            (MaskPart::Mlp, true) => "r-mmt",
            (MaskPart::All, true) => "r-pmt",
            (MaskPart::Attention, false) => "amt",
            (MaskPart::Mlp, false) => "mmt",
            (MaskPart::All, false) => "pmt",
        }
    }

    pub(super) fn check(&self, faults: &mut Faults) {
        let Self { start, threshold, .. } = *self;
        for (key, value) in [("method.start", start), ("method.threshold", threshold)] {
            let fits = (-LARGEST..=LARGEST).contains(&value);
            faults.require(fits, key, format!("is {value}; expected -{LARGEST} to {LARGEST}"));
        }
        // As masks are compared, in f32.
        let all_off = start as f32 <= threshold as f32;
        let message =
            format!("is {start}, not above method.threshold ({threshold}): all masks would start off");
        faults.require(!all_off, "method.start", message);
        faults.not_negative("method.norm_weight", self.norm_weight);
        if let Some(dropout) = &self.dropout {
            faults.share("method.dropout.lambda", dropout.lambda);
            faults.share("method.dropout.fuse", dropout.fuse);
            let (temperature, ends) = (dropout.temperature, (TEMPERATURES.start(), TEMPERATURES.end()));
            let message = format!("is {temperature}; expected {} to {}", ends.0, ends.1);
            faults.require(TEMPERATURES.contains(&temperature), "method.dropout.temperature", message);
        }
    }
}

/// A table that may also be `true` (its defaults) or `false` (none of it).
mod switched {
    use std::fmt;

    use serde::de::value::MapAccessDeserializer;
    use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};
    use serde::ser::{Serialize, Serializer};

    use super::DropoutSpec;

    pub(super) fn serialize<S: Serializer>(
        dropout: &Option<DropoutSpec>,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        match dropout {
            Some(dropout) => dropout.serialize(serializer),
            None => serializer.serialize_bool(false),
        }
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Option<DropoutSpec>, D::Error> {
        deserializer.deserialize_any(Switch)
    }

    struct Switch;

    impl<'de> Visitor<'de> for Switch {
        type Value = Option<DropoutSpec>;

        fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
            formatter.write_str("`dropout` to be true, false, or a table of its values")
        }

        fn visit_bool<E>(self, on: bool) -> Result<Self::Value, E> {
            Ok(on.then(DropoutSpec::default))
        }

        fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Self::Value, A::Error> {
            DropoutSpec::deserialize(MapAccessDeserializer::new(map)).map(Some)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Experiment, ExperimentSpec, MethodSpec, parse_toml};
    use super::*;

    fn experiment(method: &str) -> String {
        format!(
            "seed = 1\nmodel = {{ path = \"m\" }}\ndata = {{ kind = \"world-base-to-novel\" }}\n\
             method = {{ name = \"r-mt\", {method} }}\n[training]\nsteps = 70\nbatch = 32\nlearning_rate = 0.03\n\
             schedule = {{ decay = \"cosine\" }}\noptimiser = {{ rule = \"sgd\", momentum = 0.9 }}"
        )
    }

    fn parsed(method: &str) -> MaskTuningSpec {
        let spec: ExperimentSpec = parse_toml(&experiment(method), "test").unwrap();
        let text = toml::to_string(&spec).unwrap();
        assert_eq!(parse_toml::<ExperimentSpec>(&text, "again").unwrap(), spec);
        assert!(Experiment::check(spec.clone()).is_ok(), "it is tested on novel classes");
        let MethodSpec::MaskTuning(masks) = spec.method else { panic!("{:?}", spec.method) };
        assert_eq!(MethodSpec::MaskTuning(masks.clone()).label(), masks.label());
        masks
    }

    fn faults(method: &str) -> Vec<String> {
        let spec: ExperimentSpec = parse_toml(&experiment(method), "test").unwrap();
        Experiment::check(spec).unwrap_err().0.into_iter().map(|fault| fault.key).collect()
    }

    #[test]
    fn dropout_is_on_unless_it_is_switched_off() {
        let whole = Some(DropoutSpec::default());
        assert_eq!(parsed("conv1 = false").dropout, whole);
        assert_eq!(parsed("dropout = true").dropout, whole);
        assert_eq!(parsed("dropout = {}").dropout, whole);
        assert_eq!(parsed("dropout = false").dropout, None);
        let some = DropoutSpec { lambda: 0.3, detached: true, ..DropoutSpec::default() };
        assert_eq!(parsed("dropout = { lambda = 0.3, detached = true }").dropout, Some(some));
    }

    #[test]
    fn variants_have_the_names_of_the_paper() {
        let label = |method: &str| parsed(method).label();
        assert_eq!(label("part = \"attention\""), "r-amt");
        assert_eq!(label("part = \"mlp\""), "r-mmt");
        assert_eq!(label("part = \"all\""), "r-pmt");
        for (part, name) in [("attention", "amt"), ("mlp", "mmt"), ("all", "pmt")] {
            assert_eq!(label(&format!("part = \"{part}\", dropout = false")), name);
        }
    }

    #[test]
    fn an_unknown_key_of_the_dropout_names_the_nearest() {
        let error = |method: &str| {
            parse_toml::<ExperimentSpec>(&experiment(method), "mine.toml").unwrap_err().to_string()
        };
        let message = error("dropout = { lamda = 0.3 }");
        assert!(message.contains("mine.toml") && message.contains("did you mean `lambda`?"), "{message}");
        let message = error("dropout = 0.3");
        assert!(message.contains("true, false, or a table"), "{message}");
        assert!(error("part = \"atention\"").contains("did you mean `attention`?"));
    }

    #[test]
    fn values_out_of_range_are_named() {
        assert_eq!(faults("threshold = 0.01"), ["method.start"]);
        // Different numbers that are one in f32.
        assert_eq!(faults("start = 0.0050000000000001"), ["method.start"]);
        assert_eq!(faults("start = inf"), ["method.start"]);
        assert_eq!(faults("threshold = nan"), ["method.threshold"]);
        assert_eq!(faults("norm_weight = -1e-4"), ["method.norm_weight"]);
        assert_eq!(
            faults("dropout = { lambda = 1.5, fuse = -0.1, temperature = 0 }"),
            ["method.dropout.lambda", "method.dropout.fuse", "method.dropout.temperature"]
        );
        assert_eq!(faults("dropout = { temperature = nan }"), ["method.dropout.temperature"]);
    }
}
