//! Kinds of weights that a model has in every layer: what is compared when one asks which weights matter.

use regulus_clip::ImageTower;

/// A part of a weight's path and the kind of weight that it tells. The first that is found counts.
type Rules = [(&'static str, &'static str)];

const TRANSFORMER: &Rules = &[
    (".attn.in_proj_weight", "attention in_proj"),
    (".attn.in_proj_bias", "attention in_proj biases"),
    (".attn.out_proj.weight", "attention out_proj"),
    (".attn.out_proj.bias", "attention out_proj biases"),
    (".mlp.c_fc.weight", "MLP c_fc"),
    (".mlp.c_fc.bias", "MLP c_fc biases"),
    (".mlp.c_proj.weight", "MLP c_proj"),
    (".mlp.c_proj.bias", "MLP c_proj biases"),
    (".ln_", "layer norms"),
    ("_embedding", "class and position embeddings"),
    (".conv1.", "conv1"),
    ("visual.proj", "proj"),
];

const RESIDUAL_NETWORK: &Rules = &[
    (".downsample.0.", "shortcut convolutions"),
    (".downsample.1.", "batch norms"),
    (".bn", "batch norms"),
    (".layer", "block convolutions"),
    (".conv", "stem convolutions"),
    (".c_proj.weight", "attention pool c"),
    ("_proj.weight", "attention pool q, k, v"),
    ("_proj.bias", "attention pool biases"),
    ("_embedding", "position embeddings"),
];

/// The kind of the weight at `path` of an image tower, in words: `attention in_proj`, `layer norms`, ... A path that no
/// image tower has is `other`.
pub fn weight_group(tower: &ImageTower, path: &str) -> &'static str {
    let rules = match tower {
        ImageTower::Vit(_) => TRANSFORMER,
        ImageTower::ResNet(_) => RESIDUAL_NETWORK,
    };
    rules.iter().find(|(part, _)| path.contains(part)).map_or("other", |(_, group)| group)
}
