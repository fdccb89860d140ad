//! LP-FT and ProGrad against their equations, and from a recipe to an outcome.

use std::path::Path;

use burn::tensor::Tensor;
use regulus_clip::{Clip, Injection, TokenBatch, normalise};
use regulus_losses::distillation;
use regulus_trainer::batches::Batch;
use regulus_trainer::experiment::{Experiment, parse_toml};
use regulus_trainer::method::Method;
use regulus_trainer::methods::prompts::{
    ClassPrompts, ContextPrompts, ContextSettings, ContextStart, NamePosition, ProjectedContext,
    ProjectionSettings, PromptError, PromptLearning, PromptRegulariser,
};
use regulus_trainer::methods::{LinearProbe, ProbeThenFineTune, fit_logistic_regression};
use regulus_trainer::parameters::Parameters;
use regulus_trainer::run::{Inputs, Outcome, RunError};
use regulus_trainer::zero_shot::{Averaging, ZeroShot, text_features};

use crate::support::{Case, RecordedBatches, compare, device, host, ran_unwatched, tiny_clip, token_rows};

const CLASSES: usize = 5;
const CONTEXT: ContextSettings =
    ContextSettings { vectors: 4, per_class: false, position: NamePosition::End, start: ContextStart::Words };

/// The tiny model with its first batch.
struct Setting {
    common: Case,
    clip: Clip,
    batch: Batch,
}

impl Setting {
    fn new() -> Self {
        let (common, device) = (Case::open("common"), device());
        let clip = tiny_clip(&common, &device);
        let batch = RecordedBatches { common: &common, device: &device }.at(0).unwrap();
        Self { common, clip, batch }
    }

    fn labels(&self) -> Vec<usize> {
        let labels = self.common.flat("labels").into_iter().map(|label| label as usize);
        labels.take(self.batch.indices.len()).collect()
    }

    fn prompts(&self) -> ClassPrompts {
        let tokens = TokenBatch::new(&token_rows(&self.common, "tokens"), self.clip.text.config()).unwrap();
        let names = self.common.flat("name_lens").iter().map(|&length| length as usize).collect();
        ClassPrompts::new(&self.clip, &tokens, names).unwrap()
    }

    fn context(&self) -> ContextPrompts {
        ContextPrompts::new(&self.clip, self.prompts(), CONTEXT, 5).unwrap()
    }

    fn coop(&self) -> PromptLearning {
        PromptLearning::new(self.clip.clone(), self.context(), PromptRegulariser::None)
    }

    fn written(&self) -> Tensor<2> {
        text_features(&self.clip, &[token_rows(&self.common, "tokens")], Averaging::UnitFirst)
    }

    fn prograd(&self, lambda: f64, temperature: f64) -> ProjectedContext {
        let settings = ProjectionSettings { lambda, temperature };
        ProjectedContext::new(self.clip.clone(), self.context(), self.written(), settings)
    }

    /// The gradient of the distillation from the zero-shot prediction to a context.
    fn general(&self, parameters: &Parameters, temperature: f64) -> Vec<f64> {
        let tracked = parameters.tracked();
        let (coop, pixels) = (self.coop(), self.batch.pixels.clone());
        let images = coop.image_features(parameters, pixels.clone());
        let scale = self.clip.logit_scale(&Injection::none()).into_scalar::<f64>().exp();
        let student = images.matmul(coop.text_features(&tracked).transpose()) * scale;
        let teacher = ZeroShot::new(self.clip.clone(), self.written()).classify(pixels);
        let mut gradients = distillation(student, teacher, temperature).mean().backward();
        host(tracked.gradients(&mut gradients).remove("ctx").unwrap())
    }
}

/// The context moved by a fixed pattern of this size.
fn moved(parameters: &Parameters, size: f32) -> Parameters {
    parameters.map(|_, leaf| {
        let [length] = leaf.value.dims();
        let pattern: Vec<f32> = (0..length).map(|index| ((index * 37 % 11) as f32 - 5.0) * size).collect();
        leaf.value.clone() + Tensor::<1>::from_data(pattern.as_slice(), &leaf.value.device())
    })
}

fn dot(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

#[test]
fn prograd_takes_the_opposed_part_of_the_gradient_away() {
    let setting = Setting::new();
    let (coop, batch) = (setting.coop(), &setting.batch);
    let mut opposed = [0, 0];
    for size in [-0.05, -0.02, -0.01, 0.01, 0.02, 0.05] {
        let parameters = moved(&coop.parameters(), size);
        let task = coop.step(&parameters, batch);
        let a = host(task.gradients["ctx"].clone());
        for temperature in [1.0, 2.0] {
            let b = setting.general(&parameters, temperature);
            let (product, squared) = (dot(&a, &b), dot(&b, &b));
            for lambda in [1.0, 0.8] {
                let step = setting.prograd(lambda, temperature).step(&parameters, batch);
                let found = host(step.gradients["ctx"].clone());
                let factor = lambda * product.min(0.0) / squared;
                let expected: Vec<f64> = a.iter().zip(&b).map(|(a, b)| a - factor * b).collect();
                let tolerance = 1e-4 * a.iter().fold(0.0, |most: f64, value| most.max(value.abs()));
                compare("gradient", &found, &expected, tolerance);
                compare("loss", &[step.loss], &[task.loss], 1e-6);
                let told = step.terms.iter().find(|(name, _)| *name == "opposed").unwrap().1;
                assert_eq!(told, f64::from(u8::from(product < 0.0)));
                opposed[usize::from(product < 0.0)] += 1;
            }
        }
    }
    assert!(opposed.iter().all(|&count| count > 0), "both cases are to be seen: {opposed:?}");
}

#[test]
fn prograd_without_lambda_is_coop_and_predicts_like_it() {
    let setting = Setting::new();
    let (coop, prograd, batch) = (setting.coop(), setting.prograd(0.0, 1.0), &setting.batch);
    let parameters = moved(&coop.parameters(), 0.02);
    let gradient = |method: &dyn Method| host(method.step(&parameters, batch).gradients["ctx"].clone());
    assert_eq!(gradient(&prograd), gradient(&coop));
    let logits = |method: &dyn Method| host(method.logits(&parameters, batch.pixels.clone()));
    assert_eq!(logits(&prograd), logits(&coop));
}

#[test]
fn longer_contexts_hold_zeros_before_the_words() {
    let setting = Setting::new();
    let written = setting.prompts();
    let words = host(setting.coop().parameters()["ctx"].value.clone());
    let start = ProjectedContext::words_behind_zeros(&written, 4, 6).unwrap();
    let width = words.len() / 4;
    assert_eq!(start["ctx"].shape, [6, width]);
    let values = host(start["ctx"].value.clone());
    assert!(values[..2 * width].iter().all(|value| *value == 0.0));
    assert_eq!(values[2 * width..], words);
    let same = ProjectedContext::words_behind_zeros(&written, 4, 4).unwrap();
    assert_eq!(host(same["ctx"].value.clone()), words);
    let none = ProjectedContext::words_behind_zeros(&written, 0, 6).unwrap_err();
    assert_eq!(none, PromptError::NoSharedWords { vectors: 6, shared: 0 });
}

#[test]
fn lp_ft_starts_where_the_probe_is_at_its_optimum() {
    let setting = Setting::new();
    let (pixels, c) = (setting.batch.pixels.clone(), 3.0);
    let probe = LinearProbe::new(setting.clip.clone(), CLASSES, 1);
    let features = host(normalise(setting.clip.encode_image(pixels.clone(), &Injection::none())));
    let optimum = fit_logistic_regression(&features, &setting.labels(), CLASSES, c).unwrap();
    let single = |values: &[f64]| values.iter().map(|value| *value as f32).collect();
    let probe = probe.with_weights(single(&optimum.weight), single(&optimum.bias));
    let method = ProbeThenFineTune::new(setting.clip.clone(), probe.clone());
    let parameters = method.parameters();
    let probed = host(probe.logits(&probe.parameters(), pixels.clone()));
    compare("logits", &host(method.logits(&parameters, pixels)), &probed, 1e-5);

    // `c sum CE + 1/2 |W|^2` has no slope at its optimum: the mean of CE has the slope `-W / (c n)` there.
    let step = method.step(&parameters, &setting.batch);
    let images = setting.labels().len() as f64;
    let slope: Vec<f64> = optimum.weight.iter().map(|weight| -weight / (c * images)).collect();
    compare("head", &host(step.gradients["head.weight"].clone()), &slope, 1e-5);
    compare("bias", &host(step.gradients["head.bias"].clone()), &[0.0; CLASSES], 1e-5);
    let moves = |name: &str| host(step.gradients[name].clone()).iter().any(|value| *value != 0.0);
    assert!(moves("visual.conv1.weight") && moves("visual.proj"));
    assert!(method.is_head("head.weight") && !method.is_head("visual.proj"));
    assert_eq!(parameters.len(), step.gradients.len());
}

fn experiment(data: &str, method: &str) -> Result<Experiment, String> {
    let model = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../assets/world-clip");
    let text = format!(
        "seed = 1\nmodel = {{ path = {model:?} }}\ndata = {{ {data}, test_images = 40 }}\nmethod = {{ {method} }}\n\
         [training]\nsteps = 3\nbatch = 8\nlearning_rate = 1e-3\nschedule = {{ decay = \"constant\" }}\n\
         optimiser = {{ rule = \"sgd\" }}"
    );
    Experiment::check(parse_toml(&text, "test").unwrap()).map_err(|faults| faults.to_string())
}

/// The outcome and the record.
fn ran(data: &str, method: &str) -> Result<(Outcome, String), RunError> {
    let (folder, device) = (tempfile::tempdir().unwrap(), device());
    let experiment = experiment(data, method).unwrap();
    let materials = Inputs::check(&experiment, "cpu").unwrap().load(&experiment, &device, &|_| {}).unwrap();
    let outcome = ran_unwatched(&experiment, &materials, folder.path())?;
    Ok((outcome, std::fs::read_to_string(folder.path().join("metrics.jsonl")).unwrap()))
}

const NOVEL: &str = "kind = \"world-base-to-novel\"";
const BIAS: &str = "kind = \"world-bias\", strength = 0.85";

#[test]
fn prograd_runs_with_contexts_shorter_and_longer_than_the_template() {
    let mut widths = Vec::new();
    for (vectors, start) in [(2, "words"), (4, "random"), (6, "words")] {
        let method = format!("name = \"prograd\", vectors = {vectors}, start = \"{start}\"");
        let (outcome, record) = ran(NOVEL, &method).unwrap();
        assert_eq!(outcome.method, "prograd");
        assert_eq!(outcome.trained_values % vectors, 0);
        widths.push(outcome.trained_values / vectors);
        assert!(record.contains("\"distillation\"") && record.contains("\"opposed\""), "{record}");
    }
    assert!(widths.iter().all(|width| *width == widths[0]), "{widths:?}");
    let refused = ran(NOVEL, "name = \"prograd\"").unwrap_err();
    assert!(
        matches!(refused, RunError::Prompts(_)),
        "sixteen vectors are too many for so short texts: {refused}"
    );
}

#[test]
fn lp_ft_runs_from_a_better_start_than_a_stronger_penalty_gives() {
    let first_loss = |c: &str| {
        let (outcome, record) = ran(BIAS, &format!("name = \"lp-ft\", c = {c}")).unwrap();
        assert_eq!(outcome.method, "lp-ft");
        let first: serde_json::Value = serde_json::from_str(record.lines().next().unwrap()).unwrap();
        first["loss"].as_f64().unwrap()
    };
    assert!(first_loss("100.0") < first_loss("0.01"));
    let message = experiment(BIAS, "name = \"lp-ft\", c = 0.0").unwrap_err();
    assert!(message.contains("method.c: is 0"), "{message}");
    let message = experiment(NOVEL, "name = \"lp-ft\"").unwrap_err();
    assert!(message.contains("classes that lp-ft has no outputs for"), "{message}");
}
