//! Prompts of both towers that do not know of each other: deep prompts of the text, of the image, or of both.
//!
//! Image prompts alone are visual prompt tuning (Jia et al., ECCV 2022), shallow with one layer; both are
//! independent vision-language prompting (Rasheed et al., CVPR 2023), on which PromptSRC builds;
//! `trainers/independentVL.py` and `clip/model.py` of its code.

use std::ops::Range;

use burn::tensor::Tensor;
use regulus_clip::{Clip, EmbeddedTexts, ImageTower, Injection};
use serde::{Deserialize, Serialize};

use super::class_prompts::{ClassPrompts, NamePosition};
use super::start::{ContextStart, add_random};
use super::{PromptError, Prompts};
use crate::methods::part::Part;
use crate::parameters::Parameters;

/// Prompts of one tower.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Depth {
    /// Layers whose input they enter, from the first; 0 for none.
    pub layers: usize,
    /// Vectors in each.
    pub vectors: usize,
}

impl Depth {
    /// Whether there is any vector.
    pub fn is_some(self) -> bool {
        self.layers > 0 && self.vectors > 0
    }

    /// Checks against the layers that a tower has.
    pub(super) fn check(self, tower: &'static str, layers: usize) -> Result<(), PromptError> {
        if self.layers > layers {
            return Err(PromptError::Layers { tower, asked: self.layers, layers });
        }
        Ok(())
    }
}

/// Width and number of layers of the image tower.
pub(super) fn image_shape(clip: &Clip) -> Result<(usize, usize), PromptError> {
    match &clip.visual {
        ImageTower::Vit(vit) => Ok((vit.width(), vit.layers())),
        ImageTower::ResNet(_) => Err(PromptError::NotATransformer),
    }
}

/// Which prompts are learned.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TowerSettings {
    /// Of the image tower.
    pub image: Depth,
    /// Of the text tower.
    pub text: Depth,
    /// What the text's first layer starts from; all others start at random.
    pub start: ContextStart,
}

/// Prompts for each layer of each tower, `[vectors, width]`, named as in the official code.
#[derive(Debug, Clone)]
pub struct TowerPrompts {
    prompts: ClassPrompts,
    settings: TowerSettings,
    start: Parameters,
}

fn image_name(layer: usize) -> String {
    match layer {
        0 => "image_encoder.VPT".into(),
        _ => format!("image_encoder.transformer.resblocks.{layer}.VPT_shallow"),
    }
}

fn text_name(layer: usize) -> String {
    match layer {
        0 => "prompt_learner.ctx".into(),
        _ => format!("text_encoder.transformer.resblocks.{layer}.VPT_shallow"),
    }
}

impl TowerPrompts {
    /// Prompts behind the patches of images and in the place of the first words of `prompts`.
    ///
    /// # Errors
    /// [`PromptError`] if there is none, or no place for them.
    pub fn new(
        clip: &Clip,
        prompts: ClassPrompts,
        settings: TowerSettings,
        seed: u64,
    ) -> Result<Self, PromptError> {
        let TowerSettings { image, text, start } = settings;
        let device = clip.device();
        let mut parameters = Parameters::default();
        if !image.is_some() && !text.is_some() {
            return Err(PromptError::Nothing);
        }
        if image.is_some() {
            let (width, layers) = image_shape(clip)?;
            image.check("image", layers)?;
            for layer in 0..image.layers {
                let shape = vec![image.vectors, width];
                add_random(&mut parameters, &image_name(layer), shape, seed, &device);
            }
        }
        if text.is_some() {
            let config = clip.text.config();
            text.check("text", config.layers)?;
            prompts.check_room(text.vectors, NamePosition::End)?;
            for layer in 0..text.layers {
                let (name, shape) = (text_name(layer), vec![text.vectors, config.width]);
                if layer == 0 && start == ContextStart::Words {
                    let words = prompts.first_words(text.vectors)?;
                    parameters.insert(name, words.reshape([text.vectors * config.width]), shape);
                } else {
                    add_random(&mut parameters, &name, shape, seed, &device);
                }
            }
        }
        Ok(Self { prompts, settings, start: parameters })
    }
}

impl Part for TowerPrompts {
    fn parameters(&self) -> Parameters {
        self.start.clone()
    }

    fn inject(&self, parameters: &Parameters, injection: Injection) -> Injection {
        let layers = |depth: Depth, name: fn(usize) -> String| -> Vec<Tensor<2>> {
            let count = if depth.is_some() { depth.layers } else { 0 };
            (0..count).map(|layer| parameters[name(layer).as_str()].tensor()).collect()
        };
        injection
            .image_prompts(layers(self.settings.image, image_name))
            .text_prompts(layers(self.settings.text, text_name))
    }

    fn reaches_images(&self) -> bool {
        self.settings.image.is_some()
    }

    fn reaches_texts(&self) -> bool {
        self.settings.text.is_some()
    }
}

impl Prompts for TowerPrompts {
    fn classes(&self) -> usize {
        self.prompts.classes()
    }

    fn texts_of(&self, _: &Parameters, classes: Range<usize>) -> EmbeddedTexts {
        self.prompts.written().part(classes)
    }
}
