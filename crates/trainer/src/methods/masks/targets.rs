//! Which weights of the image tower get a mask, in the order in which random numbers are drawn for them.

use burn::tensor::Tensor;
use regulus_clip::{Clip, ImageTower, Part};
use serde::{Deserialize, Serialize};

/// Which linear maps of a vision transformer's blocks are masked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum MaskPart {
    /// `in_proj` and `out_proj` of the attention: R-AMT.
    Attention,
    /// `c_fc` and `c_proj` of the MLP: R-MMT.
    Mlp,
    /// All four: R-PMT.
    Both,
}

/// The weights of an image tower that get a mask. Of a residual network these are every convolution and the
/// attention pool's `q`, `k`, `v` and `c`, whatever is asked for here.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MaskTargets {
    /// Which maps of the blocks.
    pub part: MaskPart,
    /// Also the patch embedding `conv1`, as the released code does (default: no, as the paper says).
    #[serde(default)]
    pub first_convolution: bool,
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
    pub fn of(self, clip: &Clip) -> Vec<MaskedWeight> {
        let parameters = clip.parameters(Part::Image).into_iter();
        let chosen = parameters.filter(|parameter| match &clip.visual {
            ImageTower::Vit(_) => self.in_transformer(&parameter.path),
            ImageTower::ResNet(_) => in_residual_network(&parameter.path, &parameter.shape),
        });
        chosen
            .map(|parameter| MaskedWeight {
                path: parameter.path,
                shape: parameter.shape,
                value: parameter.value,
            })
            .collect()
    }

    fn in_transformer(self, path: &str) -> bool {
        let ends = |endings: [&str; 2]| endings.iter().any(|ending| path.ends_with(ending));
        let attention = ends([".attn.in_proj_weight", ".attn.out_proj.weight"]);
        let mlp = ends([".mlp.c_fc.weight", ".mlp.c_proj.weight"]);
        let in_part = match self.part {
            MaskPart::Attention => attention,
            MaskPart::Mlp => mlp,
            MaskPart::Both => attention || mlp,
        };
        in_part || (self.first_convolution && path.ends_with(".conv1.weight"))
    }
}

fn in_residual_network(path: &str, shape: &[usize]) -> bool {
    let is_convolution = shape.len() == 4;
    is_convolution || (path.contains(".attnpool.") && path.ends_with("_proj.weight"))
}
