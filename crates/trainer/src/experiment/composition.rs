//! Which methods can be trained together (`a+b`) and which on top of each other (`b>a`), and why others cannot.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::check::Faults;
use super::method_spec::{HeadInit, HeadSpec, MethodSpec};
use super::spec::ExperimentSpec;
use super::tes_specs::TesSpec;
use crate::methods::adaptation::Towers;
use crate::training::TrainingConfig;

/// Methods that are trained together.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct JointSpec {
    /// The methods by the names that their parameters begin with: `coop` for `coop/ctx`.
    pub parts: BTreeMap<String, MethodSpec>,
}

/// What is trained first, and frozen then.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StageSpec {
    /// The method.
    pub method: MethodSpec,
    /// How it is optimised; absent if it takes no gradient steps.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub training: Option<TrainingConfig>,
    /// What is trained even before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub before: Option<Box<StageSpec>>,
}

/// Which model the regularisers of a later stage follow.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum TeacherSpec {
    /// The original model with its hand-written template.
    #[default]
    Original,
    /// The model that the earlier stages have trained.
    Stage1,
}

impl TeacherSpec {
    pub(super) fn is_original(&self) -> bool {
        *self == Self::Original
    }
}

/// What a method brings into a composition.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Role {
    /// Learned vectors in the towers' inputs.
    Prompts,
    /// Masks on weights of the image tower.
    Masks,
    /// Low-rank updates.
    LowRank,
    /// Layers or a cache behind the image tower.
    Classifier,
    /// An objective. Alone, and as a stage, it trains all weights of the image tower.
    Objective,
    /// All weights of the image tower.
    Tower,
    /// The objective and the heads of TeS.
    Tes,
}

impl Role {
    fn in_words(self) -> &'static str {
        match self {
            Self::Prompts => "learned prompts",
            Self::Masks => "masks",
            Self::LowRank => "low-rank updates",
            Self::Classifier => "a part behind the image tower",
            Self::Objective => "an objective",
            Self::Tower => "all weights of the image tower",
            Self::Tes => "TeS's heads",
        }
    }
}

fn role(method: &MethodSpec) -> Result<Role, String> {
    Ok(match method {
        MethodSpec::Coop(_)
        | MethodSpec::Kgcoop(_)
        | MethodSpec::Vpt(_)
        | MethodSpec::Ivlp(_)
        | MethodSpec::Maple(_)
        | MethodSpec::Promptsrc(_) => Role::Prompts,
        MethodSpec::MaskTuning(_) => Role::Masks,
        MethodSpec::Lora(_) => Role::LowRank,
        MethodSpec::TipAdapter(_) | MethodSpec::TipAdapterF(_) | MethodSpec::ClipAdapter(_) => {
            Role::Classifier
        }
        MethodSpec::Kd { .. } | MethodSpec::Proreg { .. } => Role::Objective,
        MethodSpec::Finetune { .. } => Role::Tower,
        MethodSpec::Tes(_) => Role::Tes,
        MethodSpec::Cocoop(_) => return Err("its texts differ from image to image".into()),
        MethodSpec::ZeroShot { .. } => return Err("it has nothing to train".into()),
        MethodSpec::LinearProbe { .. } => return Err("its classifier reads no texts; see lp-ft".into()),
        MethodSpec::LpFt { .. } => return Err("the head that it starts from reads no texts".into()),
        MethodSpec::Prograd(_) => return Err("its gradients are projected for one context alone".into()),
        MethodSpec::L2Sp { .. } => return Err("its spring holds weights, not what others change".into()),
        MethodSpec::Joint(_) => return Err("it is put together already; name its parts".into()),
    })
}

/// Why two methods cannot be trained together; `None` if they can.
pub fn joint_refusal(one: &MethodSpec, other: &MethodSpec) -> Option<String> {
    let (first, second) = match roles(one, other) {
        Ok(roles) => roles,
        Err(reason) => return Some(reason),
    };
    let named = |role: Role| if first == role { one.label() } else { other.label() };
    for method in [one, other] {
        if matches!(method, MethodSpec::TipAdapter(_)) {
            return Some(
                "tip-adapter trains nothing; its cache is made afterwards: other>tip-adapter".into(),
            );
        }
    }
    if [first, second].contains(&Role::Tower) {
        let name = named(Role::Tower);
        return Some(format!("{name} trains all weights of the image tower; train one after the other"));
    }
    for (method, other) in [(one, second), (other, first)] {
        if matches!(method, MethodSpec::Lora(spec) if spec.dropout > 0.0) && other == Role::Masks {
            return Some(
                "masks reach an update of weights, not one of dropped inputs; set lora's dropout to 0".into(),
            );
        }
    }
    match (first, second) {
        (Role::Tes, Role::Masks) | (Role::Masks, Role::Tes) => None,
        (Role::Tes, _) | (_, Role::Tes) => Some(
            "tes classifies with heads of its own, for which only masks of its encoder leave room".into(),
        ),
        _ if first == second => Some(format!("both bring {}", first.in_words())),
        _ => None,
    }
}

/// Why `then` cannot be trained on top of what `first` has trained; `None` if it can.
pub fn staged_refusal(first: &MethodSpec, then: &MethodSpec) -> Option<String> {
    let (below, above) = match roles(first, then) {
        Ok(roles) => roles,
        Err(reason) => return Some(reason),
    };
    let tower = |role: Role| matches!(role, Role::Tower | Role::Objective);
    if below == Role::Tes || above == Role::Tes {
        return Some("tes classifies with heads of its own, which nothing else reads".into());
    }
    if matches!(first, MethodSpec::TipAdapter(_) | MethodSpec::TipAdapterF(_)) {
        let name = first.name();
        return Some(format!(
            "the cache of {name} holds features of a model that would not be there any more"
        ));
    }
    if below == above || (tower(below) && tower(above)) {
        return Some(format!("both bring {}", if tower(below) { Role::Tower } else { below }.in_words()));
    }
    for (method, other) in [(first, then), (then, first)] {
        let Some(head) = head_of(method) else { continue };
        if head.init != HeadInit::Prompt || head.scale_trained {
            let name = method.name();
            return Some(format!(
                "the head of {name} has to start from the prompt, with its scale untrained"
            ));
        }
        if head.trained && writes_texts(other) {
            return Some(format!(
                "{} and the trained head of {} are two classifiers; set head.trained = false",
                other.name(),
                method.name()
            ));
        }
    }
    None
}

fn roles(one: &MethodSpec, other: &MethodSpec) -> Result<(Role, Role), String> {
    let of = |method: &MethodSpec| role(method).map_err(|reason| format!("{}: {reason}", method.name()));
    Ok((of(one)?, of(other)?))
}

fn head_of(method: &MethodSpec) -> Option<&HeadSpec> {
    match method {
        MethodSpec::Finetune { head, .. } | MethodSpec::Kd { head, .. } | MethodSpec::Proreg { head, .. } => {
            Some(head)
        }
        _ => None,
    }
}

/// Whether the text features change.
fn writes_texts(method: &MethodSpec) -> bool {
    match method {
        MethodSpec::Lora(spec) => spec.towers != Towers::Image,
        method => role(method) == Ok(Role::Prompts),
    }
}

impl JointSpec {
    /// The names of the parts: `coop+r-amt`.
    pub(super) fn label(&self) -> String {
        self.parts.keys().map(String::as_str).collect::<Vec<_>>().join("+")
    }

    pub(super) fn check(&self, faults: &mut Faults, check_part: impl Fn(&MethodSpec, &mut Faults)) {
        if self.parts.len() < 2 {
            faults.add("method.parts", format!("has {} entries; expected at least 2", self.parts.len()));
        }
        for (name, part) in &self.parts {
            let key = format!("method.parts.{name}");
            let plain = name.chars().all(|c| c.is_ascii_alphanumeric() || c == '-');
            faults.require(plain && !name.is_empty(), &key, "is no name of letters, digits and -".into());
            faults.renamed("method", &key, |faults| check_part(part, faults));
            let others = self.parts.iter().skip_while(|(other, _)| *other != name).skip(1);
            for (other, method) in others {
                if let Some(reason) = joint_refusal(part, method) {
                    faults.add(&key, format!("cannot be trained together with {other}: {reason}"));
                }
            }
        }
    }
}

impl StageSpec {
    /// The stages from the first to this one.
    pub fn chain(&self) -> Vec<&Self> {
        let mut stages = self.before.as_ref().map(|stage| stage.chain()).unwrap_or_default();
        stages.push(self);
        stages
    }
}

impl MethodSpec {
    /// TeS, alone or with masks of its encoder.
    pub fn tes(&self) -> Option<&TesSpec> {
        match self {
            Self::Tes(spec) => Some(spec),
            Self::Joint(joint) => joint.parts.values().find_map(Self::tes),
            _ => None,
        }
    }

    /// [`Self::tes`], to be changed.
    pub(super) fn tes_mut(&mut self) -> Option<&mut TesSpec> {
        match self {
            Self::Tes(spec) => Some(spec),
            Self::Joint(joint) => joint.parts.values_mut().find_map(Self::tes_mut),
            _ => None,
        }
    }

    /// The methods that it is put together from: itself, if it is one.
    pub fn parts(&self) -> Vec<(String, &MethodSpec)> {
        match self {
            Self::Joint(joint) => joint.parts.iter().map(|(name, part)| (name.clone(), part)).collect(),
            single => vec![(single.label(), single)],
        }
    }
}

impl ExperimentSpec {
    /// What is trained before the method, from the first stage on.
    pub fn earlier(&self) -> Vec<&StageSpec> {
        self.before.as_ref().map(|stage| stage.chain()).unwrap_or_default()
    }

    /// The method with what is trained before it, for folders and tables: `coop-then-r-amt`.
    pub fn label(&self) -> String {
        let earlier = self.earlier().into_iter().map(|stage| stage.method.label());
        earlier.chain([self.method.label()]).collect::<Vec<_>>().join("-then-")
    }

    /// Whether the trained model classifies by the names of classes.
    pub fn reads_class_names(&self) -> bool {
        let earlier = self.earlier().into_iter().map(|stage| &stage.method);
        earlier.chain([&self.method]).all(MethodSpec::reads_class_names)
    }

    /// The experiment with a classifier that is written from class names in the place of a trained one. `None` for
    /// methods that train no tower of the model, or classify by what they were trained on alone.
    pub fn reading_class_names(&self) -> Option<Self> {
        if self.model.backbone.is_some() {
            return None;
        }
        if self.reads_class_names() {
            return Some(self.clone());
        }
        let fine_tunes = self.before.is_none() && self.method.fine_tunes_image_tower();
        let head = HeadSpec { init: HeadInit::Prompt, trained: false, scale_trained: false };
        fine_tunes
            .then(|| Self { method: MethodSpec::Finetune { head, label_smoothing: 0.0 }, ..self.clone() })
    }

    /// The experiment of the stage before the method, which trains what is frozen then.
    pub fn stage_before(&self) -> Option<Self> {
        let stage = self.before.as_deref()?.clone();
        let StageSpec { method, training, before } = stage;
        let (ensemble, reference, teacher) = (None, None, TeacherSpec::Original);
        Some(Self { method, training, before, ensemble, reference, teacher, ..self.clone() })
    }

    pub(super) fn check_stages(&self, faults: &mut Faults) {
        let Some(before) = self.before.as_deref() else {
            let message = "is `stage1`, and there is no stage before; leave it out".into();
            return faults.require(self.teacher.is_original(), "teacher", message);
        };
        faults.require(
            self.model.backbone.is_none(),
            "before",
            "works on CLIP's own image tower; leave out `model.backbone`".into(),
        );
        for stage in before.chain() {
            for (one, first) in stage.method.parts() {
                for (other, then) in self.method.parts() {
                    if let Some(reason) = staged_refusal(first, then) {
                        faults.add("before", format!("{other} cannot be trained on top of {one}: {reason}"));
                    }
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Experiment, ExperimentFaults, parse_toml};
    use super::*;

    const HEADER: &str =
        "seed = 1\nmodel = { path = \"m\" }\ndata = { kind = \"world-few-shot\", shots = 4 }\n";
    const TRAINING: &str = "steps = 8\nbatch = 4\nlearning_rate = 1e-3\nschedule = { decay = \"cosine\" }\n\
                            optimiser = { rule = \"sgd\", momentum = 0.9 }\n";

    fn check(text: &str) -> Result<Experiment, ExperimentFaults> {
        Experiment::check(parse_toml(&format!("{HEADER}{text}"), "test").unwrap())
    }

    fn joint(parts: &str, more: &str) -> Result<Experiment, ExperimentFaults> {
        check(&format!("method = {{ name = \"joint\", parts = {parts} }}\n[training]\n{TRAINING}{more}"))
    }

    fn faults(checked: Result<Experiment, ExperimentFaults>) -> Vec<(String, String)> {
        checked.unwrap_err().0.into_iter().map(|fault| (fault.key, fault.message)).collect()
    }

    #[test]
    fn parts_have_names_and_optimisations_of_their_own() {
        let coop = "\n[training.groups.coop]\nlearning_rate = 1e-2\nschedule = { decay = \"constant\" }\n\
                    optimiser = { rule = \"adam-w\" }\n";
        let experiment = joint("{ coop = { name = \"coop\" }, masks = { name = \"r-mt\" } }", coop).unwrap();
        assert_eq!(experiment.spec().label(), "coop+masks");
        let text = experiment.canonical_toml().unwrap();
        assert_eq!(&parse_toml::<ExperimentSpec>(&text, "again").unwrap(), experiment.spec());
        let wrong = coop.replace("1e-2", "-1.0").replace("groups.coop", "groups.lora");
        let found = faults(joint("{ coop = { name = \"coop\" }, masks = { name = \"r-mt\" } }", &wrong));
        let keys: Vec<&str> = found.iter().map(|(key, _)| key.as_str()).collect();
        assert_eq!(keys, ["training.groups.lora", "training.groups.lora.learning_rate"]);
    }

    #[test]
    fn a_fault_of_a_part_names_its_place() {
        let found = faults(joint(
            "{ coop = { name = \"coop\", vectors = 0 }, masks = { name = \"r-mt\", norm_weight = -1.0 } }",
            "",
        ));
        let keys: Vec<&str> = found.iter().map(|(key, _)| key.as_str()).collect();
        assert_eq!(keys, ["method.parts.coop.vectors", "method.parts.masks.norm_weight"]);
        let (key, message) = &faults(joint("{ coop = { name = \"coop\" } }", ""))[0];
        assert_eq!((key.as_str(), message.as_str()), ("method.parts", "has 1 entries; expected at least 2"));
    }

    #[test]
    fn what_does_not_go_together_says_why() {
        let refused = |parts: &str| faults(joint(parts, "")).remove(0).1;
        let two_prompts = refused("{ a = { name = \"coop\" }, b = { name = \"kgcoop\" } }");
        assert_eq!(two_prompts, "cannot be trained together with b: both bring learned prompts");
        let whole = refused("{ a = { name = \"finetune\" }, b = { name = \"r-mt\" } }");
        assert!(whole.contains("finetune trains all weights"), "{whole}");
        let dropped = refused("{ a = { name = \"lora\" }, b = { name = \"r-mt\" } }");
        assert!(dropped.contains("set lora's dropout to 0"), "{dropped}");
        let images = refused("{ a = { name = \"cocoop\" }, b = { name = \"r-mt\" } }");
        assert!(images.contains("differ from image to image"), "{images}");
    }

    fn staged(before: &str, method: &str, more: &str) -> Result<Experiment, ExperimentFaults> {
        check(&format!(
            "{more}\nmethod = {method}\n[training]\n{TRAINING}\n[before]\nmethod = {before}\n\
             [before.training]\n{TRAINING}"
        ))
    }

    #[test]
    fn stages_are_checked_like_methods() {
        let masks = "{ name = \"r-mt\" }";
        let experiment = staged("{ name = \"coop\" }", masks, "teacher = \"stage1\"").unwrap();
        assert_eq!(experiment.spec().label(), "coop-then-r-amt");
        let before = experiment.before().unwrap();
        assert_eq!(before.spec().label(), "coop");
        assert!(before.before().is_none() && before.spec().teacher.is_original());
        let found = faults(staged("{ name = \"coop\", vectors = 0 }", masks, ""));
        assert_eq!(found[0].0, "before.method.vectors");
        let (key, message) = faults(staged("{ name = \"r-mt\", part = \"mlp\" }", masks, "")).remove(0);
        assert_eq!(
            (key.as_str(), message.as_str()),
            ("before", "r-amt cannot be trained on top of r-mmt: both bring masks")
        );
        let (_, message) = faults(staged("{ name = \"finetune\" }", "{ name = \"coop\" }", "")).remove(0);
        assert!(message.contains("set head.trained = false"), "{message}");
        staged("{ name = \"finetune\", head = { trained = false } }", "{ name = \"coop\" }", "").unwrap();
        let alone = check(&format!("teacher = \"stage1\"\nmethod = {masks}\n[training]\n{TRAINING}"));
        assert_eq!(faults(alone)[0].0, "teacher");
    }

    #[test]
    fn new_classes_need_every_part_to_read_names() {
        let reads = |parts: &str| joint(parts, "").unwrap().spec().reads_class_names();
        assert!(reads("{ a = { name = \"coop\" }, b = { name = \"r-mt\" } }"));
        assert!(reads(
            "{ a = { name = \"coop\" }, b = { name = \"proreg\", form = \"prob\", alpha = 2.0 } }"
        ));
        assert!(!reads("{ a = { name = \"coop\" }, b = { name = \"tip-adapter-f\" } }"));
    }
}
