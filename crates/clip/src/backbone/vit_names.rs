//! The names that `timm` and `transformers` give the parameters of a vision transformer, and where
//! training checkpoints keep them.

use crate::formats::LoadError;
use crate::weights::{Layout, Piece};
use regulus_checkpoints::Checkpoint;

/// Who named the tensors.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Naming {
    /// `timm`'s `VisionTransformer`, and DINO and MAE, which grew out of it.
    Timm,
    /// `transformers`' `ViTModel`, and the models with a head on top of it.
    Hf,
}

/// Which of several models in one file is meant: the teacher of DINO (its published evaluation reads
/// it too), and the encoder of MoCo v3 rather than its moving average.
const PREFERRED: [&str; 2] = ["teacher.", "base_encoder."];

/// The spelling of one checkpoint.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct VitLayout {
    pub naming: Naming,
    /// What stands before each name, up to the last dot.
    pub prefix: String,
}

impl VitLayout {
    /// The spelling of `checkpoint`, by the names of its patch embeddings.
    pub(crate) fn of(checkpoint: &Checkpoint) -> Result<Self, LoadError> {
        let unclear = |found: String| LoadError::Unsupported {
            path: checkpoint.path().into(),
            field: "patch embedding",
            found,
            expected: "`patch_embed.proj.weight` (timm) or `embeddings.patch_embeddings.projection.weight` \
                       (transformers) of one vision transformer",
        };
        let found: Vec<Self> = [Naming::Timm, Naming::Hf]
            .into_iter()
            .flat_map(|naming| {
                let end = outer_name(naming, "conv1.weight");
                checkpoint
                    .tensors()
                    .filter_map(move |(key, _)| key.strip_suffix(end))
                    .filter(|prefix| prefix.is_empty() || prefix.ends_with('.'))
                    .map(move |prefix| Self { naming, prefix: prefix.to_string() })
            })
            .collect();
        let preferred = PREFERRED.iter().find_map(|part| {
            let mut chosen = found.iter().filter(|layout| layout.prefix.contains(part));
            chosen.next().filter(|_| chosen.next().is_none())
        });
        match (found.as_slice(), preferred) {
            ([only], _) | (_, Some(only)) => Ok(only.clone()),
            ([], None) => Err(unclear("missing".to_string())),
            (several, None) => {
                let prefixes: Vec<String> =
                    several.iter().map(|layout| format!("{:?}", layout.prefix)).collect();
                Err(unclear(format!("found below several prefixes, {}", prefixes.join(", "))))
            }
        }
    }

    /// Whether `checkpoint` holds a vision transformer under either spelling.
    pub(crate) fn is_found_in(checkpoint: &Checkpoint) -> bool {
        let ends = [Naming::Timm, Naming::Hf].map(|naming| outer_name(naming, "conv1.weight"));
        checkpoint.tensors().any(|(key, _)| ends.iter().any(|end| key.ends_with(end)))
    }

    /// The full name of the tensor that the publisher calls `name`.
    pub(crate) fn key(&self, name: &str) -> String {
        format!("{}{name}", self.prefix)
    }

    /// The pieces of parameter `name` of block `index`.
    fn block_pieces(&self, index: &str, name: &str, shape: &[usize]) -> Vec<Piece> {
        let fused = name.strip_prefix("attn.in_proj_");
        let (module, kind) = name.rsplit_once('.').unwrap_or((name, ""));
        match (self.naming, fused) {
            (Naming::Timm, Some(kind)) => {
                Piece::whole(self.key(&format!("blocks.{index}.attn.qkv.{kind}")), shape)
            }
            (Naming::Hf, Some(kind)) => {
                let part = |part: &str| {
                    self.key(&format!("encoder.layer.{index}.attention.attention.{part}.{kind}"))
                };
                Piece::parts(["query", "key", "value"].map(part), shape)
            }
            (Naming::Timm, None) => {
                let module = match module {
                    "ln_1" => "norm1",
                    "attn.out_proj" => "attn.proj",
                    "ln_2" => "norm2",
                    "mlp.c_fc" => "mlp.fc1",
                    "mlp.c_proj" => "mlp.fc2",
                    other => other,
                };
                Piece::whole(self.key(&format!("blocks.{index}.{module}.{kind}")), shape)
            }
            (Naming::Hf, None) => {
                let module = match module {
                    "ln_1" => "layernorm_before",
                    "attn.out_proj" => "attention.output.dense",
                    "ln_2" => "layernorm_after",
                    "mlp.c_fc" => "intermediate.dense",
                    "mlp.c_proj" => "output.dense",
                    other => other,
                };
                Piece::whole(self.key(&format!("encoder.layer.{index}.{module}.{kind}")), shape)
            }
        }
    }
}

/// Names outside the blocks.
fn outer_name(naming: Naming, path: &str) -> &str {
    match (naming, path) {
        (Naming::Timm, "conv1.weight") => "patch_embed.proj.weight",
        (Naming::Timm, "conv1.bias") => "patch_embed.proj.bias",
        (Naming::Timm, "class_embedding") => "cls_token",
        (Naming::Timm, "positional_embedding") => "pos_embed",
        (Naming::Timm, "ln_post.weight") => "norm.weight",
        (Naming::Timm, "ln_post.bias") => "norm.bias",
        (Naming::Hf, "conv1.weight") => "embeddings.patch_embeddings.projection.weight",
        (Naming::Hf, "conv1.bias") => "embeddings.patch_embeddings.projection.bias",
        (Naming::Hf, "class_embedding") => "embeddings.cls_token",
        (Naming::Hf, "positional_embedding") => "embeddings.position_embeddings",
        (Naming::Hf, "ln_post.weight") => "layernorm.weight",
        (Naming::Hf, "ln_post.bias") => "layernorm.bias",
        (_, other) => other,
    }
}

impl Layout for VitLayout {
    fn pieces(&self, path: &str, shape: &[usize]) -> Vec<Piece> {
        if let Some((index, name)) =
            path.strip_prefix("transformer.resblocks.").and_then(|block| block.split_once('.'))
        {
            return self.block_pieces(index, name, shape);
        }
        let key = self.key(outer_name(self.naming, path));
        match (path, shape) {
            ("class_embedding", &[width]) => Piece::whole(key, &[1, 1, width]),
            ("positional_embedding", &[positions, width]) => Piece::whole(key, &[1, positions, width]),
            _ => Piece::whole(key, shape),
        }
    }

    fn is_harmless(&self, key: &str) -> bool {
        let own = key.strip_prefix(self.prefix.as_str());
        let is_one_of = |name: &str, starts: &[&str]| starts.iter().any(|start| name.starts_with(start));
        match (self.naming, own) {
            (Naming::Timm, Some(name)) => is_one_of(name, &["head.", "mask_token", "decoder_"]),
            (Naming::Timm, None) => true,
            (Naming::Hf, Some(name)) => {
                is_one_of(name, &["pooler.", "classifier.", "decoder.", "embeddings.mask_token"])
            }
            (Naming::Hf, None) => is_one_of(key, &["classifier.", "decoder."]),
        }
    }
}
