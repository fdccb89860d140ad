//! The names and shapes that HF `transformers` gives the parameters of `CLIPModel`.

use crate::weights::{Layout, Piece};

/// The layout of HF `CLIPModel`: separate queries, keys and values; projections as `Linear`
/// weights, which are the transposes of OpenAI's matrices.
#[derive(Default)]
pub(crate) struct HfClipLayout {
    /// What all names begin with; empty but in checkpoints of larger programs.
    pub prefix: String,
}

impl Layout for HfClipLayout {
    fn pieces(&self, path: &str, shape: &[usize]) -> Vec<Piece> {
        let prefix = &self.prefix;
        let plain = |key: String, shape: Vec<usize>| {
            vec![Piece { key: format!("{prefix}{key}"), shape, transposed: false }]
        };
        let projection = |key: &str| {
            let shape = shape.iter().rev().copied().collect();
            vec![Piece { key: format!("{prefix}{key}"), shape, transposed: true }]
        };
        match path {
            "logit_scale" => return plain(path.to_string(), Vec::new()),
            "visual.proj" => return projection("visual_projection.weight"),
            "text.text_projection" => return projection("text_projection.weight"),
            _ => {}
        }
        let (tower, rest) = match path.strip_prefix("visual.") {
            Some(rest) => ("vision_model", rest),
            None => ("text_model", path.strip_prefix("text.").unwrap_or(path)),
        };
        match rest.strip_prefix("transformer.resblocks.").and_then(|block| block.split_once('.')) {
            Some((index, name)) => {
                block_pieces(&format!("{prefix}{tower}.encoder.layers.{index}"), name, shape)
            }
            None => plain(format!("{tower}.{}", outer_name(rest)), shape.to_vec()),
        }
    }

    fn is_harmless(&self, key: &str) -> bool {
        let Some(key) = key.strip_prefix(&self.prefix) else { return true };
        matches!(key, "text_model.embeddings.position_ids" | "vision_model.embeddings.position_ids")
    }
}

/// Names outside the blocks. `pre_layrnorm` is spelt so by its authors.
fn outer_name(name: &str) -> &str {
    match name {
        "conv1.weight" => "embeddings.patch_embedding.weight",
        "class_embedding" => "embeddings.class_embedding",
        "positional_embedding" => "embeddings.position_embedding.weight",
        "token_embedding.weight" => "embeddings.token_embedding.weight",
        "ln_pre.weight" => "pre_layrnorm.weight",
        "ln_pre.bias" => "pre_layrnorm.bias",
        "ln_post.weight" => "post_layernorm.weight",
        "ln_post.bias" => "post_layernorm.bias",
        "ln_final.weight" => "final_layer_norm.weight",
        "ln_final.bias" => "final_layer_norm.bias",
        other => other,
    }
}

/// The pieces of parameter `name` of the block that HF calls `block`.
fn block_pieces(block: &str, name: &str, shape: &[usize]) -> Vec<Piece> {
    let fused = match name {
        "attn.in_proj_weight" => Some("weight"),
        "attn.in_proj_bias" => Some("bias"),
        _ => None,
    };
    if let Some(kind) = fused {
        let third: Vec<usize> =
            shape.iter().enumerate().map(|(axis, size)| if axis == 0 { size / 3 } else { *size }).collect();
        let part = |projection: &str| Piece {
            key: format!("{block}.self_attn.{projection}.{kind}"),
            shape: third.clone(),
            transposed: false,
        };
        return ["q_proj", "k_proj", "v_proj"].map(part).into();
    }
    let (module, kind) = name.rsplit_once('.').unwrap_or((name, ""));
    let module = match module {
        "attn.out_proj" => "self_attn.out_proj",
        "ln_1" => "layer_norm1",
        "ln_2" => "layer_norm2",
        "mlp.c_fc" => "mlp.fc1",
        "mlp.c_proj" => "mlp.fc2",
        other => other,
    };
    vec![Piece { key: format!("{block}.{module}.{kind}"), shape: shape.to_vec(), transposed: false }]
}
