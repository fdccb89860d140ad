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
        if matches!(&clip.visual, ImageTower::ResNet(_)) && self.part == MaskPart::Mlp {
            return Err(MaskError::NoMlp);
        }
        let parameters = clip.parameters(Part::Image).into_iter();
        let chosen = parameters.filter(|parameter| match &clip.visual {
            ImageTower::Vit(_) => self.in_transformer(&parameter.path),
            ImageTower::ResNet(_) => in_residual_network(&parameter.path, &parameter.shape),
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
        in_part || (self.first_convolution && path.ends_with(".conv1.weight"))
    }
}

fn in_residual_network(path: &str, shape: &[usize]) -> bool {
    let is_convolution = shape.len() == 4;
    is_convolution || (path.contains(".attnpool.") && path.ends_with("_proj.weight"))
}
