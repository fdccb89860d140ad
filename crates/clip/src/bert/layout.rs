//! The names that `transformers` has given the parameters of `BertModel` over the years.

use crate::weights::{Layout, Piece};
use regulus_checkpoints::Checkpoint;

const TOKEN_EMBEDDING: &str = "embeddings.word_embeddings.weight";

/// Tensors of prediction heads, which sit beside the encoder.
const HEADS: [&str; 4] = ["cls.predictions.", "cls.seq_relationship.", "classifier.", "qa_outputs."];

/// The spelling of one checkpoint.
pub(crate) struct BertLayout {
    /// `bert.` in files of models with heads.
    prefix: String,
    /// LayerNorms have `gamma` and `beta`, as in TensorFlow.
    has_tensorflow_norms: bool,
}

impl BertLayout {
    /// The spelling of `checkpoint`, by the names of its embeddings.
    pub(crate) fn of(checkpoint: &Checkpoint) -> Self {
        let prefix = checkpoint.tensors().find_map(|(key, _)| key.strip_suffix(TOKEN_EMBEDDING));
        let prefix = prefix.unwrap_or("").to_string();
        let gamma = format!("{prefix}embeddings.LayerNorm.gamma");
        Self { has_tensorflow_norms: checkpoint.tensor(&gamma).is_some(), prefix }
    }

    /// Whether `checkpoint` holds a pooler.
    pub(crate) fn has_pooler(&self, checkpoint: &Checkpoint) -> bool {
        let pooler = format!("{}pooler.", self.prefix);
        checkpoint.tensors().any(|(key, _)| key.starts_with(&pooler))
    }

    fn norm(&self, module: &str, kind: &str) -> String {
        let kind = match kind {
            "weight" if self.has_tensorflow_norms => "gamma",
            "bias" if self.has_tensorflow_norms => "beta",
            kind => kind,
        };
        format!("{}{module}.LayerNorm.{kind}", self.prefix)
    }

    /// The pieces of parameter `name` of block `index`.
    fn block_pieces(&self, index: &str, name: &str, shape: &[usize]) -> Vec<Piece> {
        let block = format!("encoder.layer.{index}");
        if let Some(kind) = name.strip_prefix("attn.in_proj_") {
            let part = |part: &str| format!("{}{block}.attention.self.{part}.{kind}", self.prefix);
            return Piece::parts(["query", "key", "value"].map(part), shape);
        }
        let (module, kind) = name.rsplit_once('.').unwrap_or((name, ""));
        let dense = |module: &str| format!("{}{block}.{module}.dense.{kind}", self.prefix);
        let key = match module {
            "ln_1" => self.norm(&format!("{block}.attention.output"), kind),
            "ln_2" => self.norm(&format!("{block}.output"), kind),
            "attn.out_proj" => dense("attention.output"),
            "mlp.c_fc" => dense("intermediate"),
            "mlp.c_proj" => dense("output"),
            other => dense(other),
        };
        Piece::whole(key, shape)
    }
}

impl Layout for BertLayout {
    fn pieces(&self, path: &str, shape: &[usize]) -> Vec<Piece> {
        if let Some((index, name)) =
            path.strip_prefix("transformer.resblocks.").and_then(|block| block.split_once('.'))
        {
            return self.block_pieces(index, name, shape);
        }
        let key = match path {
            "token_embedding" => format!("{}{TOKEN_EMBEDDING}", self.prefix),
            "positional_embedding" => format!("{}embeddings.position_embeddings.weight", self.prefix),
            "token_type_embedding" => format!("{}embeddings.token_type_embeddings.weight", self.prefix),
            "ln_embedding.weight" => self.norm("embeddings", "weight"),
            "ln_embedding.bias" => self.norm("embeddings", "bias"),
            "pooler.weight" => format!("{}pooler.dense.weight", self.prefix),
            "pooler.bias" => format!("{}pooler.dense.bias", self.prefix),
            other => format!("{}{other}", self.prefix),
        };
        Piece::whole(key, shape)
    }

    fn is_harmless(&self, key: &str) -> bool {
        key.strip_prefix(self.prefix.as_str()) == Some("embeddings.position_ids")
            || HEADS.iter().any(|head| key.starts_with(head))
    }
}
