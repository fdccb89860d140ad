//! Trains bias tuning on the biased task of the built-in world and tests it beside the model that it started from.

use std::error::Error;
use std::path::Path;

use burn::tensor::Device;
use regulus_clip::Pretrained;
use regulus_datasets::world::{TestSet, TestSize, bias_task};
use regulus_trainer::batches::{ImageSet, Sampler};
use regulus_trainer::evaluate::{logits_of, score};
use regulus_trainer::experiment::parse_toml;
use regulus_trainer::method::Method;
use regulus_trainer::parameters::Parameters;
use regulus_trainer::recorder::Recorder;
use regulus_trainer::training::{TrainingConfig, train};
use regulus_trainer::zero_shot::ZeroShot;

use super::bias_tuning::BiasTuning;

const TRAINING: &str = r#"
    steps = 100
    batch = 32
    learning_rate = 1e-2
    schedule = { warmup = 10, decay = "cosine" }
    optimiser = { rule = "adam-w" }
"#;

/// Accuracies on a test split, in percent.
#[derive(Debug)]
pub struct Compared {
    pub split: String,
    pub zero_shot: f64,
    pub tuned: f64,
}

pub fn compare(model: &Path, device: &Device) -> Result<Vec<Compared>, Box<dyn Error>> {
    let pretrained = Pretrained::load(model, device)?;
    let task = bias_task(0.85, 1, TestSize { images: 400, set: TestSet::Development });
    let images = |images| ImageSet { images, preprocess: &pretrained.preprocess, device };

    let zero_shot = ZeroShot::written(&pretrained, &task.class_names, &task.templates[..1])?;
    let mut method = BiasTuning::new(zero_shot.clone(), 0.5);
    let config: TrainingConfig = parse_toml(TRAINING, "TRAINING")?;
    let batches = Sampler {
        images: images(&task.train),
        originals: &task.train,
        seed: 1,
        batch: config.batch,
        augmentation: config.augmentation.clone(),
    };
    let trained = train(&mut method, &batches, &config, &mut Recorder::in_memory(), &mut |_| {})?;

    let compared = task.tests.iter().map(|split| {
        let accuracy = |method: &dyn Method, parameters: &Parameters| {
            let logits = logits_of(method, parameters, &images(&split.images));
            score(&logits, &split.images.labels, task.class_names.len()).accuracy
        };
        Compared {
            split: split.name.clone(),
            zero_shot: accuracy(&zero_shot, &zero_shot.parameters()),
            tuned: accuracy(&method, &trained),
        }
    });
    Ok(compared.collect())
}
