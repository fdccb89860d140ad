//! Pre-training a tiny CLIP on the built-in world, in two stages.
//!
//! Contrastive learning alone stays at chance on so small a budget. The first stage therefore trains only
//! the image tower, with a linear head that predicts the content words of an image's caption; the second
//! stage trains both towers with CLIP's symmetric loss and keeps the first one beside it. The head is
//! discarded afterwards, so that what remains is an ordinary CLIP.

use burn::tensor::{Int, Tensor, TensorData};
use regulus_clip::{Clip, Injection, Part, TokenizeError, Tokenizer};
use regulus_datasets::world::{self, Scene};
use regulus_images::random::Stream;
use regulus_losses::{cross_entropy, soft_cross_entropy};

use crate::batches::Batch;
use crate::method::{Method, Objective};
use crate::parameters::Parameters;

const WORDS_WEIGHT: &str = "words.weight";
const WORDS_BIAS: &str = "words.bias";

/// The two-stage objective over captioned scenes.
pub struct Pretraining<'a> {
    clip: Clip,
    context: usize,
    scenes: &'a [Scene],
    tokenizer: &'a Tokenizer,
    /// Batches of the first stage.
    words_only_batches: usize,
    seed: u64,
}

impl<'a> Pretraining<'a> {
    /// Trains `clip` from its present parameters on `scenes`, whose images the batches show; the first
    /// `words_only_batches` of them teach words alone.
    ///
    /// # Errors
    /// [`TokenizeError`] if the tokenizer does not know a word of the world, or the context is shorter than its
    /// longest caption.
    pub fn new(
        clip: Clip,
        context: usize,
        scenes: &'a [Scene],
        tokenizer: &'a Tokenizer,
        words_only_batches: usize,
        seed: u64,
    ) -> Result<Self, TokenizeError> {
        // Captions only hold words of the vocabulary, and none is longer than this.
        let longest = vec!["a"; world::LONGEST_CAPTION].join(" ");
        for text in world::VOCABULARY.into_iter().chain([longest.as_str()]) {
            tokenizer.encode(text, context)?;
        }
        Ok(Self { clip, context, scenes, tokenizer, words_only_batches, seed })
    }

    /// The trained model: the clip with the values of `parameters`, without the word head.
    pub fn finished(&self, parameters: &Parameters) -> Result<Clip, regulus_clip::ParameterError> {
        let kept = parameters.iter().filter(|(name, _)| !is_word_head(name));
        self.clip.with_parameters(&kept.map(|(name, leaf)| (name.clone(), leaf.value.clone())).collect())
    }

    fn captions(&self, batch: &Batch) -> Vec<world::Caption> {
        let caption = |&index: &usize| {
            let mut stream = Stream::new(self.seed, "caption", batch.epoch as u64, index as u64);
            world::caption(&self.scenes[index], &mut stream)
        };
        batch.indices.iter().map(caption).collect()
    }

    /// Cross-entropy between the word head and the uniform distribution over each caption's content words.
    fn words_loss(
        &self,
        parameters: &Parameters,
        pooled: Tensor<2>,
        captions: &[world::Caption],
    ) -> Tensor<1> {
        let words = world::VOCABULARY.len();
        let mut targets = vec![0f32; captions.len() * words];
        for (row, caption) in targets.chunks_exact_mut(words).zip(captions) {
            let share = 1.0 / caption.content_words.len().max(1) as f32;
            caption.content_words.iter().for_each(|&word| row[word] += share);
        }
        let targets = TensorData::new(targets, [captions.len(), words]);
        let targets = Tensor::from_data(targets, &pooled.device());
        let [_, width] = pooled.dims();
        let weight = parameters[WORDS_WEIGHT].value.clone().reshape([words, width]);
        let bias = parameters[WORDS_BIAS].value.clone();
        let logits = pooled.matmul(weight.transpose()) + bias.unsqueeze::<2>();
        soft_cross_entropy(logits, targets).mean()
    }

    /// CLIP's symmetric cross-entropy over the batch (Radford et al. 2021, figure 3).
    fn contrastive_loss(
        &self,
        injection: &Injection,
        pooled: Tensor<2>,
        captions: &[world::Caption],
    ) -> Tensor<1> {
        let encoded = captions.iter().filter_map(|caption| {
            // Every word was checked in `new`, and captions are shorter than the context.
            self.tokenizer.encode(&caption.text, self.context).ok()
        });
        let ids: Vec<Vec<u32>> = encoded.collect();
        let images = self.clip.visual.project(pooled, injection);
        let texts = self.clip.encode_text(&ids, injection);
        let logits = self.clip.logits(images, texts, injection);
        let diagonal: Vec<i64> = (0..captions.len() as i64).collect();
        let matches: Tensor<1, Int> = Tensor::from_data(diagonal.as_slice(), &logits.device());
        let by_image = cross_entropy(logits.clone(), matches.clone()).mean();
        let by_text = cross_entropy(logits.transpose(), matches).mean();
        (by_image + by_text) * 0.5
    }
}

fn is_word_head(name: &str) -> bool {
    name.starts_with("words.")
}

/// Everything but the word head, in the place of the model's weights.
fn injection(parameters: &Parameters) -> Injection {
    let model = parameters.iter().filter(|(name, _)| !is_word_head(name));
    model.fold(Injection::none(), |injection, (name, leaf)| {
        injection.replace(name.clone(), leaf.value.clone())
    })
}

impl Method for Pretraining<'_> {
    fn parameters(&self) -> Parameters {
        let mut parameters = Parameters::default();
        let mut width = 0;
        for parameter in self.clip.parameters(Part::All) {
            if parameter.path == "visual.class_embedding" {
                width = parameter.shape.iter().product();
            }
            parameters.insert(parameter.path, parameter.value, parameter.shape);
        }
        let device = self.clip.device();
        let words = world::VOCABULARY.len();
        let bound = 1.0 / (width.max(1) as f64).sqrt();
        let mut stream = Stream::new(self.seed, "init/words", 0, 0);
        let weight = (0..words * width).map(|_| stream.range(-bound, bound) as f32).collect();
        parameters.insert_values(WORDS_WEIGHT, weight, vec![words, width], &device);
        parameters.insert_values(WORDS_BIAS, vec![0.0; words], vec![words], &device);
        parameters
    }

    fn objective(&self, parameters: &Parameters, batch: &Batch) -> Objective {
        let injection = injection(parameters);
        let captions = self.captions(batch);
        let pooled = self.clip.visual.pooled(batch.pixels.clone(), &injection);
        let words = self.words_loss(parameters, pooled.clone(), &captions);
        if batch.step < self.words_only_batches {
            return Objective { loss: words, terms: Vec::new() };
        }
        let contrastive = self.contrastive_loss(&injection, pooled, &captions);
        Objective {
            loss: words.clone() + contrastive.clone(),
            terms: vec![("words", words), ("contrastive", contrastive)],
        }
    }

    fn logits(&self, parameters: &Parameters, pixels: Tensor<4>) -> Tensor<2> {
        self.clip.encode_image(pixels, &injection(parameters))
    }
}
