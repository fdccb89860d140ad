//! From a raw spec to a valid experiment: every fault is found before any work is done.

use std::fmt;
use std::path::PathBuf;

use sha2::{Digest, Sha256};

use super::RESULTS_VERSION;
use super::budget_check::check_budget;
use super::listed_specs::check_classes;
use super::matmul_spec::check_matmul;
use super::method_spec::{HeadInit, HeadSpec, MethodSpec, WeightForm};
use super::spec::{DataSpec, ExperimentSpec};
use super::tes_specs::check_encoder;
use super::training_check::{check_groups, check_training};

/// One thing that is wrong with a spec.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ExperimentFault {
    /// The key, such as `method.alpha`.
    pub key: String,
    /// What was found and what was expected.
    pub message: String,
}

/// Everything that is wrong with a spec.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub struct ExperimentFaults(pub Vec<ExperimentFault>);

impl fmt::Display for ExperimentFaults {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "the experiment is not valid:")?;
        self.0.iter().try_for_each(|fault| write!(formatter, "\n  {}: {}", fault.key, fault.message))
    }
}

/// A checked experiment.
#[derive(Debug, Clone, PartialEq)]
pub struct Experiment {
    spec: ExperimentSpec,
}

impl Experiment {
    /// Checks a spec; lists every fault, not only the first.
    ///
    /// # Errors
    /// [`ExperimentFaults`] with one entry for each value out of range or missing.
    pub fn check(spec: ExperimentSpec) -> Result<Self, ExperimentFaults> {
        let mut faults = Faults::none();
        // TOML has no integers above i64: a seed beyond could not be written down again.
        faults.require(i64::try_from(spec.seed).is_ok(), "seed", "is larger than 2^63 - 1".into());
        check_data(&spec.data, &mut faults);
        if let Some(reference) = &spec.reference {
            faults.renamed("data", "reference", |faults| check_data(reference, faults));
        }
        check_encoder(&spec, &mut faults);
        check_matmul(&spec, &mut faults);
        check_stage(&spec, &mut faults);
        check_classes(&spec, &mut faults);
        if let Some(ensemble) = &spec.ensemble {
            ensemble.check(&spec, &mut faults);
        }
        faults.into_result().map(|()| Self { spec })
    }

    /// The spec, now known to be valid.
    pub fn spec(&self) -> &ExperimentSpec {
        &self.spec
    }

    /// The experiment of the stage before the method: what it trains is frozen then.
    pub fn before(&self) -> Option<Self> {
        Some(Self { spec: self.spec.stage_before()? })
    }

    /// The canonical text: what is hashed and what is stored beside the results.
    ///
    /// # Errors
    /// If the spec cannot be written as TOML.
    pub fn canonical_toml(&self) -> Result<String, toml::ser::Error> {
        toml::to_string(&self.spec)
    }

    /// Hex digest that names the run: canonical TOML, files of the base model and of other encoders, data, device kind
    /// and [`RESULTS_VERSION`]. `data_fingerprint` stands for the images and their order. Paths of models and data
    /// are left out: the digests say which they are.
    ///
    /// # Errors
    /// If the spec cannot be written as TOML.
    pub fn identity(
        &self,
        model_fingerprint: &str,
        data_fingerprint: &str,
        device_kind: &str,
    ) -> Result<String, toml::ser::Error> {
        let mut portable = self.spec.clone();
        portable.model.path.clear();
        portable.model.backbone.iter_mut().for_each(PathBuf::clear);
        if let Some(tes) = portable.method.tes_mut() {
            tes.text.path_mut().into_iter().for_each(PathBuf::clear);
        }
        portable.data.forget_paths();
        portable.reference.iter_mut().for_each(|reference| reference.forget_paths());
        let mut hash = Sha256::new();
        for part in [&toml::to_string(&portable)?, model_fingerprint, data_fingerprint, device_kind] {
            hash.update(part.as_bytes());
            hash.update([0]);
        }
        hash.update(RESULTS_VERSION.to_le_bytes());
        Ok(hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect())
    }
}

/// Checks the method, its optimisation, and what is trained before it.
fn check_stage(spec: &ExperimentSpec, faults: &mut Faults) {
    let method = &spec.method;
    check_method(method, faults);
    match (&spec.training, method.takes_steps()) {
        (Some(training), true) => {
            check_training(training, faults);
            check_groups(method, training, faults);
            check_budget(spec, faults);
        }
        (None, true) => {
            faults.add("training", format!("is missing; {} takes gradient steps", method.name()));
        }
        (Some(_), false) => {
            let message = format!("{} takes no gradient steps; leave the table out", method.name());
            faults.add("training", message);
        }
        (None, false) => {}
    }
    spec.check_stages(faults);
    if let Some(before) = spec.stage_before() {
        faults.below("before", |faults| check_stage(&before, faults));
    }
}

/// Faults found so far.
pub(super) struct Faults(Vec<ExperimentFault>);

impl Faults {
    pub(super) fn none() -> Self {
        Self(Vec::new())
    }

    pub(super) fn into_result(self) -> Result<(), ExperimentFaults> {
        if self.0.is_empty() { Ok(()) } else { Err(ExperimentFaults(self.0)) }
    }

    pub(super) fn add(&mut self, key: &str, message: String) {
        self.0.push(ExperimentFault { key: key.to_owned(), message });
    }

    /// Faults of `check` about `key` are faults about `renamed`.
    pub(super) fn renamed(&mut self, key: &str, renamed: &str, check: impl FnOnce(&mut Self)) {
        let mut found = Self::none();
        check(&mut found);
        self.0.extend(found.0.into_iter().map(|mut fault| {
            match fault.key.strip_prefix(key) {
                Some(rest) if rest.is_empty() || rest.starts_with('.') => {
                    fault.key = format!("{renamed}{rest}")
                }
                _ => {}
            }
            fault
        }));
    }

    /// Faults of `check` are about keys below `table`.
    pub(super) fn below(&mut self, table: &str, check: impl FnOnce(&mut Self)) {
        let mut found = Self::none();
        check(&mut found);
        self.0.extend(found.0.into_iter().map(|fault| {
            let key = format!("{table}.{}", fault.key);
            ExperimentFault { key, ..fault }
        }));
    }

    pub(super) fn require(&mut self, holds: bool, key: &str, message: String) {
        if !holds {
            self.add(key, message);
        }
    }

    pub(super) fn share(&mut self, key: &str, value: f64) {
        self.require((0.0..=1.0).contains(&value), key, format!("is {value}; expected 0 to 1"));
    }

    pub(super) fn positive(&mut self, key: &str, value: f64) {
        let holds = value.is_finite() && value > 0.0;
        self.require(holds, key, format!("is {value}; expected a positive number"));
    }

    pub(super) fn not_negative(&mut self, key: &str, value: f64) {
        let holds = value.is_finite() && value >= 0.0;
        self.require(holds, key, format!("is {value}; expected 0 or more"));
    }

    pub(super) fn templates(&mut self, key: &str, templates: &[String]) {
        self.require(!templates.is_empty(), key, "is empty; give at least one".into());
        for template in templates.iter().filter(|template| !template.contains("{}")) {
            self.add(key, format!("\"{template}\" has no {{}} in the place of the class name"));
        }
    }
}

pub(super) fn check_test_images(test_images: usize, faults: &mut Faults) {
    let fits = (1..=1_000_000).contains(&test_images);
    faults.require(fits, "data.test_images", format!("is {test_images}; expected 1 to 1000000"));
}

fn check_data(data: &DataSpec, faults: &mut Faults) {
    match data {
        DataSpec::WorldBias { strength, test_images, .. } => {
            faults.share("data.strength", *strength);
            check_test_images(*test_images, faults);
        }
        DataSpec::WorldBaseToNovel { test_images, .. } => check_test_images(*test_images, faults),
        DataSpec::WorldFewShot(spec) => spec.check(faults),
        DataSpec::WorldLongTailed(spec) => spec.check(faults),
        DataSpec::Published(spec) => spec.check(faults),
        DataSpec::Manifest(spec) => spec.check(faults),
        DataSpec::Folder { hold_out, templates, subset, .. } => {
            let fits = (0.0..1.0).contains(hold_out);
            faults.require(
                fits,
                "data.hold_out",
                format!("is {hold_out}; expected 0 or more and less than 1"),
            );
            faults.templates("data.templates", templates);
            if let Some(Err(fault)) = subset.map(|subset| subset.check()) {
                faults.add("data.subset", fault.to_string());
            }
        }
    }
}

fn check_head(head: &HeadSpec, faults: &mut Faults) {
    let random = match head.init {
        HeadInit::Prompt => return,
        HeadInit::Fresh => "fresh",
        HeadInit::Promptless => "promptless",
    };
    faults.require(
        head.trained,
        "method.head.trained",
        format!("is false for a {random} head, which would stay random"),
    );
    faults.require(
        !head.scale_trained,
        "method.head.scale_trained",
        format!("is true, but a {random} head has no logit scale"),
    );
}

fn check_method(method: &MethodSpec, faults: &mut Faults) {
    match method {
        MethodSpec::ZeroShot { .. } => {}
        MethodSpec::LinearProbe { c, .. } | MethodSpec::LpFt { c } => {
            if let Some(c) = c {
                let fits = (1e-10..=1e10).contains(c);
                faults.require(fits, "method.c", format!("is {c}; expected 1e-10 to 1e10"));
            }
        }
        MethodSpec::Finetune { head, label_smoothing } => {
            check_head(head, faults);
            faults.share("method.label_smoothing", *label_smoothing);
        }
        MethodSpec::Kd { head, alpha, temperature } => {
            check_head(head, faults);
            faults.share("method.alpha", *alpha);
            faults.positive("method.temperature", *temperature);
        }
        MethodSpec::Proreg { head, form, gamma, alpha, temperature } => {
            check_head(head, faults);
            faults.not_negative("method.alpha", *alpha);
            faults.positive("method.temperature", *temperature);
            match (form, gamma) {
                (WeightForm::Power, None) => {
                    faults.add("method.gamma", "is missing; `power` needs it".into())
                }
                (WeightForm::Power, Some(gamma)) => faults.positive("method.gamma", *gamma),
                (_, Some(_)) => faults.add("method.gamma", "only belongs to the form `power`".into()),
                (_, None) => {}
            }
        }
        MethodSpec::L2Sp { head, alpha, beta } => {
            check_head(head, faults);
            faults.not_negative("method.alpha", *alpha);
            faults.not_negative("method.beta", *beta);
        }
        MethodSpec::Tes(spec) => spec.check(faults),
        MethodSpec::Coop(spec) => spec.check(faults),
        MethodSpec::Kgcoop(spec) => spec.check(faults),
        MethodSpec::Prograd(spec) => spec.check(faults),
        MethodSpec::Cocoop(spec) => spec.check(faults),
        MethodSpec::Vpt(spec) => spec.check(faults),
        MethodSpec::Ivlp(spec) => spec.check(faults),
        MethodSpec::Maple(spec) => spec.check(faults),
        MethodSpec::Promptsrc(spec) => spec.check(faults),
        MethodSpec::MaskTuning(spec) => spec.check(faults),
        MethodSpec::Lora(spec) => spec.check(faults),
        MethodSpec::TipAdapter(spec) | MethodSpec::TipAdapterF(spec) => spec.check(faults),
        MethodSpec::ClipAdapter(spec) => spec.check(faults),
        MethodSpec::Joint(spec) => spec.check(faults, check_method),
    }
}

#[cfg(test)]
mod tests {
    use super::super::parse_toml;
    use super::*;

    fn spec(text: &str) -> ExperimentSpec {
        parse_toml(text, "test").unwrap()
    }

    const PROREG: &str = r#"
        seed = 1
        model = { path = "m" }
        data = { kind = "world-bias", strength = 0.85 }
        method = { name = "proreg", form = "prob", alpha = 2.0 }
        [training]
        steps = 80
        batch = 32
        learning_rate = 1e-4
        schedule = { warmup = 8, decay = "cosine" }
        optimiser = { rule = "adam-w" }
    "#;

    #[test]
    fn all_faults_are_listed_at_once() {
        let text = PROREG
            .replace("strength = 0.85", "strength = 1.5")
            .replace("alpha = 2.0", "alpha = -1.0, gamma = 2.0")
            .replace("batch = 32", "batch = 0");
        let faults = Experiment::check(spec(&text)).unwrap_err();
        let keys: Vec<&str> = faults.0.iter().map(|fault| fault.key.as_str()).collect();
        assert_eq!(keys, ["data.strength", "method.alpha", "method.gamma", "training.batch"]);
    }

    #[test]
    fn training_is_asked_for_exactly_when_it_is_used() {
        let mut without = spec(PROREG);
        without.training = None;
        assert!(Experiment::check(without).unwrap_err().to_string().contains("training: is missing"));
        let zero_shot = PROREG.replace(
            "method = { name = \"proreg\", form = \"prob\", alpha = 2.0 }",
            "method = { name = \"zero-shot\" }",
        );
        assert!(Experiment::check(spec(&zero_shot)).is_err());
    }

    #[test]
    fn identity_follows_what_changes_numbers() {
        let id = |text: &str, model: &str| {
            Experiment::check(spec(text)).unwrap().identity(model, "data", "cpu").unwrap()
        };
        let base = id(PROREG, "w");
        assert_eq!(base, id(&PROREG.replace("path = \"m\"", "path = \"elsewhere\""), "w"));
        assert_ne!(base, id(&PROREG.replace("seed = 1", "seed = 2"), "w"));
        assert_ne!(base, id(&PROREG.replace("alpha = 2.0", "alpha = 2.5"), "w"));
        assert_ne!(base, id(PROREG, "v"));
    }
}
