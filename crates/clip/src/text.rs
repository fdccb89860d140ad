//! The text tower: a causal transformer.

use crate::block::{BlockShape, LayerNorm, NormOrder, Transformer};
use crate::config::TextConfig;
use crate::embedded_texts::EmbeddedTexts;
use crate::hidden_states::HiddenStates;
use crate::injection::{Injection, Scope};
use crate::packed_texts::PackedTexts;
use crate::parameters::vacant;
use crate::precision::Precision;
use crate::token_batch::TokenBatch;
use burn::module::{Module, Param};
use burn::tensor::{Device, Int, Tensor, TensorData};
use regulus_kernels::AttentionMask;

/// Where the text tower's parameters are found in the model.
pub(crate) const TEXT_TOWER: &str = "text";

/// Vector of every token.
#[derive(Module, Debug)]
pub(crate) struct TokenEmbedding {
    /// `[vocab, width]`
    weight: Param<Tensor<2>>,
}

/// CLIP's text transformer: its feature is read at the end-of-text token.
#[derive(Module, Debug)]
pub struct TextTower {
    token_embedding: TokenEmbedding,
    /// `[context, width]`
    positional_embedding: Param<Tensor<2>>,
    transformer: Transformer,
    ln_final: LayerNorm,
    /// `[width, embed_dim]`
    text_projection: Param<Tensor<2>>,
    #[module(skip)]
    config: TextConfig,
    /// Whether positions are computed that nothing depends on, or that others are copies of.
    #[module(skip)]
    every_position: bool,
}

impl TextTower {
    pub(crate) fn vacant(config: &TextConfig, embed_dim: usize, device: &Device) -> Self {
        let width = config.width;
        let shape = BlockShape {
            width,
            heads: config.heads,
            mlp_width: config.mlp_width,
            activation: config.activation,
            layer_norm_eps: config.layer_norm_eps,
            mask: AttentionMask::Causal,
            norm_order: NormOrder::Pre,
        };
        Self {
            token_embedding: TokenEmbedding { weight: vacant([config.vocab, width], device) },
            positional_embedding: vacant([config.context, width], device),
            transformer: Transformer::vacant(config.layers, &shape, device),
            ln_final: LayerNorm::vacant(width, config.layer_norm_eps, device),
            text_projection: vacant([width, embed_dim], device),
            config: config.clone(),
            every_position: false,
        }
    }

    pub(crate) fn compute_in(&mut self, precision: Precision) {
        self.transformer.compute_in(precision);
    }

    pub(crate) fn compute_every_position(&mut self) {
        self.every_position = true;
    }

    /// The tower's architecture.
    pub fn config(&self) -> &TextConfig {
        &self.config
    }

    /// The end-of-text token after the last LayerNorm: what the projection reads.
    ///
    /// # Shapes
    /// - output: `[texts, width]`
    pub fn pooled(&self, tokens: &TokenBatch, injection: &Injection) -> Tensor<2> {
        self.pooled_embedded(&self.embedded(tokens, injection), injection)
    }

    /// The vectors of a batch's tokens, before prompts of the injection and positions are added.
    pub fn embedded(&self, tokens: &TokenBatch, injection: &Injection) -> EmbeddedTexts {
        let scope = Scope::root(injection).enter(TEXT_TOWER);
        let table = scope.enter("token_embedding").weight("weight", &self.token_embedding.weight);
        let device = table.device();
        let [_, width] = table.dims();
        let ids = TensorData::new(tokens.ids.clone(), [tokens.ids.len()]);
        let words = table.select(0, Tensor::<1, Int>::from_data(ids, &device));
        let vectors = words.reshape([tokens.texts, tokens.length, width]);
        EmbeddedTexts::of(vectors, tokens)
    }

    /// As [`Self::pooled`], of texts whose words have been looked up.
    ///
    /// # Shapes
    /// - output: `[texts, width]`
    ///
    /// # Panics
    /// If the texts are longer than the model's context, or their vectors not of its width.
    pub fn pooled_embedded(&self, texts: &EmbeddedTexts, injection: &Injection) -> Tensor<2> {
        let scope = Scope::root(injection).enter(TEXT_TOWER);
        // Branches may draw random numbers for each position of each text.
        let ends = match self.every_position || injection.has_branches(&format!("{TEXT_TOWER}.")) {
            true => {
                let x = self.block_input(texts, injection, &scope);
                at_ends(self.blocks(x, injection, &scope, |_| {}), texts.ends()).unsqueeze_dim(1)
            }
            false => self.read_ends(texts, injection, &scope),
        };
        self.ln_final.forward(ends, &scope.enter("ln_final")).squeeze_dim(1)
    }

    /// What flows at the ends of the texts behind the last block, `[texts, 1, width]`, computing no more than that needs.
    fn read_ends(&self, texts: &EmbeddedTexts, injection: &Injection, scope: &Scope<'_>) -> Tensor<3> {
        let prompts = injection.prompts_of_texts().computing_in(self.transformer.precision());
        let input = |layer, x| prompts.text_block_input(layer, x);
        let transformer = scope.enter("transformer");
        let Some(packed) = PackedTexts::new(texts.ends(), texts.common(), prompts.positions()) else {
            let x = self.block_input(texts, injection, scope);
            let read = |x| at_ends(x, texts.ends()).unsqueeze_dim(1);
            return self.transformer.forward_read(x, &transformer, None, input, read);
        };
        let [count, length, width] = texts.vectors().dims();
        let vectors = texts.vectors().clone().reshape([count * length, width]);
        let words: Tensor<3> = chosen(vectors, &packed.words(length)).unsqueeze();
        let positions = scope.weight("positional_embedding", &self.positional_embedding);
        let positions: Tensor<3> = chosen(positions, &packed.places()).unsqueeze();
        let x = injection.prompts_of_texts().after_start(words) + positions;
        let ends = packed.ends();
        let read = |x: Tensor<3>| chosen(x.squeeze_dim(0), &ends).unsqueeze();
        let ends = self.transformer.forward_read(x, &transformer, Some(packed.packing()), input, read);
        ends.swap_dims(0, 1)
    }

    /// Projects [`Self::pooled`] into the shared embedding space.
    ///
    /// # Shapes
    /// - `pooled`: `[texts, width]`
    /// - output: `[texts, embed_dim]`, not normalised
    pub fn project(&self, pooled: Tensor<2>, injection: &Injection) -> Tensor<2> {
        let scope = Scope::root(injection).enter(TEXT_TOWER);
        pooled.matmul(scope.weight("text_projection", &self.text_projection))
    }

    /// All intermediate results of the forward pass.
    pub fn hidden_states(&self, tokens: &TokenBatch, injection: &Injection) -> HiddenStates {
        let scope = Scope::root(injection).enter(TEXT_TOWER);
        let embeddings = self.block_input(&self.embedded(tokens, injection), injection, &scope);
        let precision = self.transformer.precision();
        let mut blocks = Vec::new();
        let last =
            self.blocks(embeddings.clone(), injection, &scope, |x| blocks.push(precision.leave(x.clone())));
        let normalised = self.ln_final.forward(last, &scope.enter("ln_final"));
        let pooled = at_ends(normalised.clone(), &tokens.ends);
        let features = self.project(pooled.clone(), injection);
        HiddenStates { block_input: embeddings.clone(), embeddings, blocks, normalised, pooled, features }
    }

    fn blocks(
        &self,
        x: Tensor<3>,
        injection: &Injection,
        scope: &Scope<'_>,
        observe: impl FnMut(&Tensor<3>),
    ) -> Tensor<3> {
        let prompts = injection.prompts_of_texts().computing_in(self.transformer.precision());
        let input = |layer, x| prompts.text_block_input(layer, x);
        self.transformer.forward(x, &scope.enter("transformer"), input, observe)
    }

    fn block_input(&self, texts: &EmbeddedTexts, injection: &Injection, scope: &Scope<'_>) -> Tensor<3> {
        let positions = scope.weight("positional_embedding", &self.positional_embedding);
        let [_, length, _] = texts.vectors().dims();
        let words = injection.prompts_of_texts().after_start(texts.vectors().clone());
        words + positions.narrow(0, 0, length).unsqueeze()
    }
}

/// The vectors at the ends of the texts.
///
/// # Shapes
/// - `x`: `[texts, length, width]`
/// - output: `[texts, width]`
fn at_ends(x: Tensor<3>, ends: &[usize]) -> Tensor<2> {
    let [texts, length, width] = x.dims();
    let rows: Vec<usize> = ends.iter().enumerate().map(|(text, end)| text * length + end).collect();
    chosen(x.reshape([texts * length, width]), &rows)
}

/// The rows of these numbers, `[numbers, width]`.
fn chosen(x: Tensor<2>, rows: &[usize]) -> Tensor<2> {
    let numbers: Vec<i32> = rows.iter().map(|row| *row as i32).collect();
    let numbers = TensorData::new(numbers, [rows.len()]);
    let numbers = Tensor::<1, Int>::from_data(numbers, &x.device());
    x.select(0, numbers)
}
