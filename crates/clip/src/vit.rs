//! The vision transformer of CLIP's image tower.

use crate::block::{BlockShape, LayerNorm, Transformer};
use crate::config::VitConfig;
use crate::hidden_states::HiddenStates;
use crate::image_tower::IMAGE_TOWER;
use crate::injection::{Injection, Scope};
use crate::parameters::vacant;
use crate::precision::Precision;
use burn::module::{Module, Param};
use burn::tensor::{Device, Tensor};
use regulus_kernels::linear;

/// Positions that a pass without changes takes at a time on the CPU: the rows of its products.
pub const FROZEN_POSITIONS: usize = 2048;

/// Cuts an image into patches and maps each to the tower's width. A convolution whose stride is
/// its size, written as a matrix product.
#[derive(Module, Debug)]
pub(crate) struct PatchEmbedding {
    /// `[width, 3, patch, patch]`
    weight: Param<Tensor<4>>,
    /// `[width]`; CLIP has none.
    bias: Option<Param<Tensor<1>>>,
}

impl PatchEmbedding {
    pub(crate) fn vacant(config: &VitConfig, biased: bool, device: &Device) -> Self {
        Self {
            weight: vacant([config.width, 3, config.patch, config.patch], device),
            bias: biased.then(|| vacant([config.width], device)),
        }
    }

    /// # Shapes
    /// - `pixels`: `[batch, 3, height, width]`
    /// - output: `[batch, patches, tower width]`, patches row by row
    pub(crate) fn forward(&self, pixels: Tensor<4>, scope: &Scope<'_>) -> Tensor<3> {
        let weight = scope.weight("weight", &self.weight);
        let [width, channels, patch, _] = weight.dims();
        let [batch, _, pixel_rows, pixel_columns] = pixels.dims();
        let (rows, columns) = (pixel_rows / patch, pixel_columns / patch);
        let whole = (rows * patch, columns * patch);
        let pixels = match whole == (pixel_rows, pixel_columns) {
            true => pixels,
            false => pixels.narrow(2, 0, whole.0).narrow(3, 0, whole.1),
        };
        let patches = pixels
            .reshape([batch, channels, rows, patch, columns, patch])
            .permute([0, 2, 4, 1, 3, 5])
            .reshape([batch, rows * columns, channels * patch * patch]);
        let bias = self.bias.as_ref().map(|bias| scope.weight("bias", bias));
        linear(patches, weight.reshape([width, channels * patch * patch]), bias)
    }
}

/// Puts the class token before the patches and adds the positional embedding.
///
/// # Shapes
/// - `patches`: `[batch, patches, width]`
/// - `class`: `[width]`
/// - `positions`: `[1 + patches, width]`
/// - output: `[batch, 1 + patches, width]`
pub(crate) fn with_class_token(patches: Tensor<3>, class: Tensor<1>, positions: Tensor<2>) -> Tensor<3> {
    let [batch, _, width] = patches.dims();
    let class = class.reshape([1, 1, width]).expand([batch, 1, width]);
    Tensor::cat(vec![class, patches], 1) + positions.unsqueeze()
}

/// CLIP's vision transformer: its feature is read at a class token that is put before the patches.
#[derive(Module, Debug)]
pub struct VisionTransformer {
    conv1: PatchEmbedding,
    /// `[width]`
    class_embedding: Param<Tensor<1>>,
    /// `[1 + patches, width]`
    positional_embedding: Param<Tensor<2>>,
    ln_pre: LayerNorm,
    transformer: Transformer,
    ln_post: LayerNorm,
    /// `[width, embed_dim]`
    proj: Param<Tensor<2>>,
    /// Whether the last block computes positions that nothing reads.
    #[module(skip)]
    every_position: bool,
}

impl VisionTransformer {
    pub(crate) fn vacant(config: &VitConfig, embed_dim: usize, device: &Device) -> Self {
        let width = config.width;
        Self {
            conv1: PatchEmbedding::vacant(config, false, device),
            class_embedding: vacant([width], device),
            positional_embedding: vacant([config.positions(), width], device),
            ln_pre: LayerNorm::vacant(width, config.layer_norm_eps, device),
            transformer: Transformer::vacant(config.layers, &BlockShape::of_images(config), device),
            ln_post: LayerNorm::vacant(width, config.layer_norm_eps, device),
            proj: vacant([width, embed_dim], device),
            every_position: false,
        }
    }

    pub(crate) fn compute_in(&mut self, precision: Precision) {
        self.transformer.compute_in(precision);
    }

    pub(crate) fn compute_every_position(&mut self) {
        self.every_position = true;
    }

    /// Width of the features after the projection.
    pub fn embed_dim(&self) -> usize {
        self.proj.lazy_shape()[1]
    }

    /// How many images have about [`FROZEN_POSITIONS`] positions; `None` where every position is to be computed in one pass.
    pub(crate) fn images_at_once(&self) -> Option<usize> {
        let positions = self.positional_embedding.lazy_shape()[0];
        (!self.every_position).then(|| (FROZEN_POSITIONS / positions).max(1))
    }

    /// Number of layers.
    pub fn layers(&self) -> usize {
        self.transformer.layers()
    }

    /// Width of the tower, and of [`Self::pooled`].
    pub fn width(&self) -> usize {
        self.proj.lazy_shape()[0]
    }

    /// The patches of an image, mapped to the tower's width.
    ///
    /// # Shapes
    /// - `pixels`: `[batch, 3, resolution, resolution]`, normalised as the model expects
    /// - output: `[batch, patches, width]`, patches row by row
    pub fn patches(&self, pixels: Tensor<4>, injection: &Injection) -> Tensor<3> {
        let scope = Scope::root(injection).enter(IMAGE_TOWER);
        self.conv1.forward(pixels, &scope.enter("conv1"))
    }

    /// The class token after the last LayerNorm: what the projection, and a linear probe, reads.
    ///
    /// # Shapes
    /// - `pixels`: `[batch, 3, resolution, resolution]`, normalised as the model expects
    /// - output: `[batch, width]`
    ///
    /// # Panics
    /// If the pixels are not of the model's resolution.
    pub fn pooled(&self, pixels: Tensor<4>, injection: &Injection) -> Tensor<2> {
        let scope = Scope::root(injection).enter(IMAGE_TOWER);
        let x = self.block_input(self.embed(pixels, &scope), injection, &scope);
        let read = |x: Tensor<3>| x.narrow(1, 0, 1);
        // Branches may draw random numbers for each position.
        let class = match self.every_position || injection.has_branches(&format!("{IMAGE_TOWER}.")) {
            true => read(self.blocks(x, injection, &scope, |_| {})),
            false => {
                let prompts = injection.prompts_of_images().computing_in(self.transformer.precision());
                let input = |layer, x| prompts.image_block_input(layer, x);
                self.transformer.forward_read(x, &scope.enter("transformer"), None, input, read)
            }
        };
        self.ln_post.forward(class, &scope.enter("ln_post")).squeeze_dim(1)
    }

    /// Projects [`Self::pooled`] into the shared embedding space.
    ///
    /// # Shapes
    /// - `pooled`: `[batch, width]`
    /// - output: `[batch, embed_dim]`, not normalised
    pub fn project(&self, pooled: Tensor<2>, injection: &Injection) -> Tensor<2> {
        pooled.matmul(Scope::root(injection).enter(IMAGE_TOWER).weight("proj", &self.proj))
    }

    /// All intermediate results of the forward pass.
    ///
    /// # Shapes
    /// - `pixels`: `[batch, 3, resolution, resolution]`, normalised as the model expects
    ///
    /// # Panics
    /// If the pixels are not of the model's resolution.
    pub fn hidden_states(&self, pixels: Tensor<4>, injection: &Injection) -> HiddenStates {
        let scope = Scope::root(injection).enter(IMAGE_TOWER);
        let embeddings = self.embed(pixels, &scope);
        let block_input = self.block_input(embeddings.clone(), injection, &scope);
        let precision = self.transformer.precision();
        let mut blocks = Vec::new();
        let last =
            self.blocks(block_input.clone(), injection, &scope, |x| blocks.push(precision.leave(x.clone())));
        let normalised = self.ln_post.forward(last, &scope.enter("ln_post"));
        let pooled: Tensor<2> = normalised.clone().narrow(1, 0, 1).squeeze_dim(1);
        let features = self.project(pooled.clone(), injection);
        HiddenStates { embeddings, block_input, blocks, normalised, pooled, features }
    }

    fn embed(&self, pixels: Tensor<4>, scope: &Scope<'_>) -> Tensor<3> {
        let patches = self.conv1.forward(pixels, &scope.enter("conv1"));
        let class = scope.weight("class_embedding", &self.class_embedding);
        let positions = scope.weight("positional_embedding", &self.positional_embedding);
        with_class_token(patches, class, positions)
    }

    fn block_input(&self, embeddings: Tensor<3>, injection: &Injection, scope: &Scope<'_>) -> Tensor<3> {
        let positions = injection.prompts_of_images().appended_to(embeddings);
        self.ln_pre.forward(positions, &scope.enter("ln_pre"))
    }

    fn blocks(
        &self,
        x: Tensor<3>,
        injection: &Injection,
        scope: &Scope<'_>,
        observe: impl FnMut(&Tensor<3>),
    ) -> Tensor<3> {
        let prompts = injection.prompts_of_images().computing_in(self.transformer.precision());
        let input = |layer, x| prompts.image_block_input(layer, x);
        self.transformer.forward(x, &scope.enter("transformer"), input, observe)
    }
}
