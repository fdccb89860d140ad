//! MaPLe's prompts: those of the image tower are linear images of those of the text tower.
//!
//! Khattak et al., "MaPLe: Multi-modal Prompt Learning", CVPR 2023; `trainers/maple.py`.

use std::ops::Range;

use burn::tensor::Tensor;
use regulus_clip::{Clip, EmbeddedTexts, Injection};

use super::class_prompts::{ClassPrompts, NamePosition};
use super::context::CONTEXT;
use super::start::{ContextStart, add_random};
use super::towers::{Depth, image_shape};
use super::{PromptError, Prompts};
use crate::methods::linear_layer::LinearLayer;
use crate::methods::part::Part;
use crate::parameters::Parameters;

/// Text prompts per layer, `[vectors, text width]`, and per layer the linear map to the image tower.
#[derive(Debug, Clone)]
pub struct CoupledPrompts {
    prompts: ClassPrompts,
    /// The text prompts of each layer and their map.
    layers: Vec<(String, LinearLayer)>,
    start: Parameters,
}

impl CoupledPrompts {
    /// Prompts behind the patches of images and in the place of the first words of `prompts`. `start` concerns the
    /// text's first layer; all others start at random, and the maps as PyTorch's linear layers.
    ///
    /// # Errors
    /// [`PromptError`] if there is none, or no place for them.
    pub fn new(
        clip: &Clip,
        prompts: ClassPrompts,
        depth: Depth,
        start: ContextStart,
        seed: u64,
    ) -> Result<Self, PromptError> {
        if !depth.is_some() {
            return Err(PromptError::Nothing);
        }
        let (image_width, image_layers) = image_shape(clip)?;
        let (width, device) = (clip.text.config().width, clip.device());
        depth.check("image", image_layers)?;
        depth.check("text", clip.text.config().layers)?;
        prompts.check_room(depth.vectors, NamePosition::End)?;
        let mut parameters = Parameters::default();
        let mut layers = Vec::with_capacity(depth.layers);
        for layer in 0..depth.layers {
            let (text, map) = names(layer);
            let map = LinearLayer { name: map, inputs: width, outputs: image_width };
            map.add_to(&mut parameters, seed, &device);
            let shape = vec![depth.vectors, width];
            if layer == 0 && start == ContextStart::Words {
                let words = prompts.first_words(depth.vectors)?;
                parameters.insert(text.as_str(), words.reshape([depth.vectors * width]), shape);
            } else {
                add_random(&mut parameters, &text, shape, seed, &device);
            }
            layers.push((text, map));
        }
        Ok(Self { prompts, layers, start: parameters })
    }
}

/// The official names of a layer's text prompts and of their map.
fn names(layer: usize) -> (String, String) {
    match layer.checked_sub(1) {
        None => (CONTEXT.into(), "proj".into()),
        Some(deep) => {
            (format!("compound_prompts_text.{deep}"), format!("compound_prompt_projections.{deep}"))
        }
    }
}

impl Part for CoupledPrompts {
    fn parameters(&self) -> Parameters {
        self.start.clone()
    }

    fn inject(&self, parameters: &Parameters, injection: Injection) -> Injection {
        let text = |name: &str| -> Tensor<2> { parameters[name].tensor() };
        let texts = self.layers.iter().map(|(name, _)| text(name)).collect();
        let images = self.layers.iter().map(|(name, map)| map.forward(parameters, text(name))).collect();
        injection.text_prompts(texts).image_prompts(images)
    }

    fn reaches_images(&self) -> bool {
        true
    }

    fn reaches_texts(&self) -> bool {
        true
    }
}

impl Prompts for CoupledPrompts {
    fn classes(&self) -> usize {
        self.prompts.classes()
    }

    fn texts_of(&self, _: &Parameters, classes: Range<usize>) -> EmbeddedTexts {
        self.prompts.written().part(classes)
    }
}
