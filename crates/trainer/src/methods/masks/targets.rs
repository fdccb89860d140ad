//! Which weights of the image tower get a mask, in the order in which random numbers are drawn for them.

use burn::tensor::Tensor;
use regulus_clip::{Clip, ImageTower, NamedParameter, Part};
use serde::{Deserialize, Serialize};

/// Which linear maps of a vision transformer's blocks are masked.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum MaskPart {
    /// `in_proj` and `out_proj` of the attention: R-AMT.
    #[default]
    Attention,
    /// `c_fc` and `c_proj` of the MLP: R-MMT.
    Mlp,
    /// All four: R-PMT.
    All,
}

/// The weights of an image tower that get a mask.
///
/// Of a residual network these are every convolution and the attention pool's `q`, `k`, `v` and `c`, for
/// [`MaskPart::Attention`] as for [`MaskPart::All`]: the released code has no other choice
/// (`modules/resnet.py`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MaskTargets {
    /// Which maps of the blocks.
    pub part: MaskPart,
    /// Also the patch embedding `conv1`, as the released code does and the paper does not. A residual network's first
    /// convolution is masked either way.
    pub first_convolution: bool,
}

/// Masks that a model has no weights for.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum MaskError {
    /// The image tower has no MLP.
    #[error(
        "masks of the part `mlp` need a vision transformer; this image tower is a residual network, of which all \
         convolutions and the attention pool are masked: ask for the part `attention` or `all`"
    )]
    NoMlp,
    /// Gradient dropout without a zero-shot prediction.
    #[error(
        "gradient dropout asks the frozen model for its zero-shot prediction, and an image encoder that has never seen \
         text has none: use masks without dropout (amt: `dropout = false`), or CLIP's own image tower"
    )]
    NoZeroShot,
}

/// A frozen weight that has a mask.
#[derive(Debug, Clone)]
pub struct MaskedWeight {
    /// Canonical path in the model; also the name of the mask among the trained parameters.
    pub path: String,
    /// Shape in the model.
    pub shape: Vec<usize>,
    /// The weight, flattened. Shares memory with the model.
    pub value: Tensor<1>,
}

impl MaskTargets {
    /// The masked weights of a model in module order: `conv1`, then block by block.
    ///
    /// # Errors
    /// [`MaskError`] if the model has no such weights.
    pub fn of(self, clip: &Clip) -> Result<Vec<MaskedWeight>, MaskError> {
        self.among(clip.parameters(Part::Image), matches!(&clip.visual, ImageTower::Vit(_)))
    }

    /// The masked ones among the weights of any image encoder, a vision `transformer` or a residual network, in their
    /// order. Vision transformers have the same names everywhere, with or without `visual.` before them.
    ///
    /// # Errors
    /// [`MaskError::NoMlp`] for the MLP of a residual network.
    pub(in crate::methods) fn among(
        self,
        weights: Vec<NamedParameter>,
        transformer: bool,
    ) -> Result<Vec<MaskedWeight>, MaskError> {
        if !transformer && self.part == MaskPart::Mlp {
            return Err(MaskError::NoMlp);
        }
        let chosen = weights.into_iter().filter(|weight| match transformer {
            true => self.in_transformer(&weight.path),
            false => in_residual_network(&weight.path, &weight.shape),
        });
        let masked = |NamedParameter { path, shape, value }| MaskedWeight { path, shape, value };
        Ok(chosen.map(masked).collect())
    }

    fn in_transformer(self, path: &str) -> bool {
        let ends = |endings: [&str; 2]| endings.iter().any(|ending| path.ends_with(ending));
        let attention = ends([".attn.in_proj_weight", ".attn.out_proj.weight"]);
        let mlp = ends([".mlp.c_fc.weight", ".mlp.c_proj.weight"]);
        let in_part = match self.part {
            MaskPart::Attention => attention,
            MaskPart::Mlp => mlp,
            MaskPart::All => attention || mlp,
        };
        let is_first = path == "conv1.weight" || path.ends_with(".conv1.weight");
        in_part || (self.first_convolution && is_first)
    }
}

fn in_residual_network(path: &str, shape: &[usize]) -> bool {
    let is_convolution = shape.len() == 4;
    is_convolution || (path.contains(".attnpool.") && path.ends_with("_proj.weight"))
}
