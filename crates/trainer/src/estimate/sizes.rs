//! What decides about the cost of a run, read without a weight, an image or a tensor.

use regulus_clip::{
    BackboneArchitecture, BackboneError, BertConfig, ClipConfig, ImageConfig, LoadError, LoadedBackbone,
    Pretrained, Tokenizer,
};
use regulus_datasets::loader::SquareCache;
use regulus_datasets::prompt;

use crate::experiment::{Experiment, ExperimentSpec, TextSpec};
use crate::run::{DataSize, Inputs, Materials};

/// A model's files that do not say what the model is.
#[derive(Debug, thiserror::Error)]
pub enum SizesError {
    /// The CLIP.
    #[error(transparent)]
    Model(#[from] LoadError),
    /// The image encoder in the place of the CLIP's.
    #[error("`model.backbone`: {0}")]
    Backbone(#[from] BackboneError),
    /// The BERT that writes texts.
    #[error("`method.text.bert`: {0}")]
    Bert(#[source] LoadError),
}

/// Side of the images of a residual network, whose weights do not say it.
const USUAL_SIDE: usize = 224;

/// Sizes of model and data.
#[derive(Debug, Clone, PartialEq)]
pub struct Sizes {
    /// Architecture of the CLIP, at the resolution of the run.
    pub clip: ClipConfig,
    /// Architecture of the image encoder in its place.
    pub backbone: Option<BackboneArchitecture>,
    /// Architecture of a BERT that writes texts.
    pub bert: Option<BertConfig>,
    /// Number of classes that the method learns.
    pub classes: usize,
    /// Tokens of the longest class text in the first template.
    pub text_tokens: usize,
    /// Words of the first template before the class name.
    pub words: usize,
    /// Number of training images.
    pub train: usize,
    /// Number of images of all test splits.
    pub tests: usize,
    /// Side of the training images, where they stay in memory besides what a model sees.
    pub original_side: Option<usize>,
    /// Whether images stay in memory, and not in a cache.
    pub in_memory: bool,
    /// Whether the device is the CPU with its fused operations.
    pub on_processor: bool,
}

impl Sizes {
    /// Reads the descriptions of the experiment's models. `backend` is that of the device, such as `cpu`.
    ///
    /// # Errors
    /// [`SizesError`] for a model whose files do not describe it.
    pub fn read(experiment: &Experiment, inputs: &Inputs, backend: &str) -> Result<Self, SizesError> {
        let spec = experiment.spec();
        let (mut clip, tokenizer) = Pretrained::describe(&spec.model.path)?;
        if let Some(resolution) = spec.model.resolution {
            clip = at_resolution(clip, resolution);
        }
        let backbone = spec.model.backbone.as_ref().map(LoadedBackbone::architecture).transpose()?;
        let DataSize { classes, class_names, templates, train, tests, original_side, cache } =
            inputs.data_size();
        let [text_tokens, words] = lengths(&tokenizer, clip.text.context, &class_names, &templates);
        let sizes = Self {
            bert: bert(spec)?,
            backbone,
            classes,
            text_tokens,
            words,
            train,
            tests,
            original_side,
            in_memory: true,
            on_processor: backend == "cpu",
            clip,
        };
        let length = SquareCache::length(train + tests, sizes.side());
        let cached = cache.is_some_and(|budget| length.is_some_and(|length| length <= budget));
        Ok(Self { in_memory: !cached, ..sizes })
    }

    /// The sizes of what has been loaded, for a method that tells `class_names` apart.
    pub fn of(materials: &Materials, class_names: &[String]) -> Self {
        let Materials { pretrained, task, device_kind, .. } = materials;
        let (clip, tokenizer) = (pretrained.config.clone(), &pretrained.tokenizer);
        let [text_tokens, words] = lengths(tokenizer, clip.text.context, class_names, &task.templates);
        Self {
            backbone: None,
            bert: None,
            classes: class_names.len(),
            text_tokens,
            words,
            train: task.train.len(),
            tests: task.tests.iter().map(|split| split.images.len()).sum(),
            original_side: None,
            in_memory: !task.train.pixels.are_cached(),
            on_processor: device_kind.starts_with("cpu"),
            clip,
        }
    }

    /// Side of the images that the encoder reads.
    pub(super) fn side(&self) -> usize {
        match &self.backbone {
            Some(BackboneArchitecture::Vit(vit)) => vit.resolution,
            Some(BackboneArchitecture::ResNet(_)) => USUAL_SIDE,
            None => self.clip.image.resolution(),
        }
    }
}

/// Tokens of the longest class text in the first template, and words of it before the class name.
fn lengths(
    tokenizer: &Tokenizer,
    context: usize,
    class_names: &[impl AsRef<str>],
    templates: &[String],
) -> [usize; 2] {
    // A text that the tokenizer refuses is told with its name when the model is loaded.
    let length = |text: &str| tokenizer.encode(text, context).map_or(context, |ids| ids.len());
    let template = templates.first().map_or("{}", String::as_str);
    let longest = class_names.iter().map(|name| length(&prompt(template, name.as_ref()))).max();
    let words = length(template.split("{}").next().unwrap_or_default()).saturating_sub(2);
    [longest.unwrap_or(context), words]
}

fn bert(spec: &ExperimentSpec) -> Result<Option<BertConfig>, SizesError> {
    match spec.method.tes().map(|tes| &tes.text) {
        Some(TextSpec::Bert(bert)) => BertConfig::load(&bert.bert).map(Some).map_err(SizesError::Bert),
        _ => Ok(None),
    }
}

/// The configuration for images of another side. Whether there is such a model is found when it is loaded.
fn at_resolution(mut clip: ClipConfig, resolution: usize) -> ClipConfig {
    match &mut clip.image {
        ImageConfig::Vit(vit) => vit.resolution = resolution,
        ImageConfig::ResNet(resnet) => resnet.resolution = resolution,
    }
    clip
}
