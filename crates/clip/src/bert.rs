//! BERT text encoders (Devlin et al. 2019), whose frozen sentence features guide the training of
//! image backbones that have no text tower.
//!
//! Only tokens that the attention mask keeps are ever computed: texts with equally many of them
//! form a group, in which attention needs no mask. So no feature can depend on padding, and padding
//! costs nothing.

mod batch;
mod config;
mod layout;

pub use batch::{BertBatch, BertBatchError};
pub use config::BertConfig;

use crate::block::{BlockShape, LayerNorm, Linear, NormOrder, Transformer};
use crate::formats::hf::CONFIG_FILE;
use crate::formats::{Json, LoadError, ModelFiles};
use crate::injection::{Injection, Scope};
use crate::parameters::{NamedParameter, named, shapes, vacant};
use crate::weights;
use batch::Group;
use burn::module::{Module, Param};
use burn::tensor::{Device, Tensor};
use layout::BertLayout;
use regulus_checkpoints::{Checkpoint, FileDigest};
use regulus_kernels::AttentionMask;
use serde::{Deserialize, Serialize};
use std::path::Path;

/// How the last hidden states of a text become one feature.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum BertPooling {
    /// The first token that counts: `[CLS]`.
    Cls,
    /// The first token after the pooler, a linear map and tanh that next-sentence prediction trained.
    Pooler,
    /// The mean over all tokens that count.
    Mean,
}

/// [`BertPooling::Pooler`] was asked of weights without a pooler.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the BERT weights hold no pooler (`pooler.dense`), expected `cls` or `mean` pooling")]
pub struct NoPooler;

/// Hidden states of a [`BertBatch`], `[texts, length, width]` each. Rows of tokens that do not count
/// are 0.
#[derive(Debug, Clone)]
pub struct BertHiddenStates {
    /// Sum of the three embeddings after its LayerNorm: what the first block reads.
    pub embeddings: Tensor<3>,
    /// Output of each block.
    pub blocks: Vec<Tensor<3>>,
}

/// A BERT text encoder. Its parameters never require gradients; clones share memory.
#[derive(Module, Debug)]
pub struct Bert {
    /// `[vocab, width]`
    token_embedding: Param<Tensor<2>>,
    /// `[context, width]`
    positional_embedding: Param<Tensor<2>>,
    /// `[token_types, width]`
    token_type_embedding: Param<Tensor<2>>,
    ln_embedding: LayerNorm,
    transformer: Transformer,
    pooler: Option<Linear>,
    #[module(skip)]
    config: BertConfig,
}

impl Bert {
    fn vacant(config: &BertConfig, has_pooler: bool, device: &Device) -> Self {
        let width = config.width;
        let shape = BlockShape {
            width,
            heads: config.heads,
            mlp_width: config.mlp_width,
            activation: config.activation,
            layer_norm_eps: config.layer_norm_eps,
            mask: AttentionMask::Full,
            norm_order: NormOrder::Post,
        };
        Self {
            token_embedding: vacant([config.vocab, width], device),
            positional_embedding: vacant([config.context, width], device),
            token_type_embedding: vacant([config.token_types, width], device),
            ln_embedding: LayerNorm::vacant(width, config.layer_norm_eps, device),
            transformer: Transformer::vacant(config.layers, &shape, device),
            pooler: has_pooler.then(|| Linear::vacant(width, width, device)),
            config: config.clone(),
        }
    }

    /// The encoder in `checkpoint`, with the names of `transformers`' `BertModel`: with and without
    /// the prefix `bert.`, LayerNorms with `weight` and `bias` or, as before 2019, `gamma` and `beta`.
    /// Prediction heads are passed over; the pooler may be missing.
    ///
    /// # Errors
    /// [`LoadError`] for an invalid configuration and for weights that do not fit it, with all
    /// tensors that are missing, unused or misshapen.
    pub fn from_checkpoint(
        config: &BertConfig,
        checkpoint: &Checkpoint,
        device: &Device,
    ) -> Result<Self, LoadError> {
        config.check().map_err(|source| LoadError::Config { path: checkpoint.path().into(), source })?;
        let layout = BertLayout::of(checkpoint);
        let vacant = Self::vacant(config, layout.has_pooler(checkpoint), device);
        Ok(weights::read(vacant, &layout, checkpoint, device)?)
    }

    /// The architecture.
    pub fn config(&self) -> &BertConfig {
        &self.config
    }

    /// Whether [`BertPooling::Pooler`] is possible.
    pub fn has_pooler(&self) -> bool {
        self.pooler.is_some()
    }

    /// One feature per text, not normalised. Computes the whole batch at once.
    ///
    /// # Shapes
    /// - output: `[texts, width]`
    ///
    /// # Errors
    /// [`NoPooler`] if the pooler is asked for and the weights had none.
    ///
    /// # Panics
    /// If the batch was checked for another configuration with more ids.
    pub fn encode(&self, batch: &BertBatch, pooling: BertPooling) -> Result<Tensor<2>, NoPooler> {
        let injection = Injection::none();
        let scope = Scope::root(&injection);
        let features = batch.groups().iter().map(|group| {
            let x = self.embed(group, &scope);
            let x = self.transformer.forward(x, &scope.enter("transformer"), |_, x| x, |_| {});
            self.pool(x, pooling, &scope)
        });
        Ok(batch.in_order(features.collect::<Result<_, _>>()?))
    }

    /// The hidden states after the embeddings and after each block.
    ///
    /// # Panics
    /// If the batch was checked for another configuration with more ids.
    pub fn hidden_states(&self, batch: &BertBatch) -> BertHiddenStates {
        let injection = Injection::none();
        let scope = Scope::root(&injection);
        let mut embeddings = Vec::new();
        let mut blocks = vec![Vec::new(); self.config.layers];
        for group in batch.groups() {
            let x = self.embed(group, &scope);
            embeddings.push(x.clone());
            let mut states = blocks.iter_mut();
            self.transformer.forward(
                x,
                &scope.enter("transformer"),
                |_, x| x,
                |x| {
                    states.next().into_iter().for_each(|state| state.push(x.clone()));
                },
            );
        }
        BertHiddenStates {
            embeddings: batch.rectangle(embeddings),
            blocks: blocks.into_iter().map(|state| batch.rectangle(state)).collect(),
        }
    }

    /// The parameters in module order. They share memory with the encoder.
    pub fn parameters(&self) -> Vec<NamedParameter> {
        named(self, "")
    }

    /// Path and shape of every parameter, in module order.
    pub fn shapes(&self) -> Vec<(String, Vec<usize>)> {
        shapes(self, "")
    }

    /// # Shapes
    /// - output: `[texts of the group, tokens, width]`
    fn embed(&self, group: &Group, scope: &Scope<'_>) -> Tensor<3> {
        let table = |name, param| scope.weight::<2>(name, param);
        let words = table("token_embedding", &self.token_embedding);
        let device = words.device();
        let x = words.select(0, group.ids(&device))
            + table("token_type_embedding", &self.token_type_embedding).select(0, group.token_types(&device))
            + table("positional_embedding", &self.positional_embedding).select(0, group.positions(&device));
        let x = x.reshape([group.texts(), group.tokens(), self.config.width]);
        self.ln_embedding.forward(x, &scope.enter("ln_embedding"))
    }

    /// # Shapes
    /// - `x`: `[texts, tokens, width]`
    /// - output: `[texts, width]`
    fn pool(&self, x: Tensor<3>, pooling: BertPooling, scope: &Scope<'_>) -> Result<Tensor<2>, NoPooler> {
        let pooled = match pooling {
            BertPooling::Cls => x.narrow(1, 0, 1),
            BertPooling::Pooler => {
                let pooler = self.pooler.as_ref().ok_or(NoPooler)?;
                pooler.forward(x.narrow(1, 0, 1), &scope.enter("pooler")).tanh()
            }
            BertPooling::Mean => x.mean_dim(1),
        };
        Ok(pooled.squeeze_dim(1))
    }
}

/// Architecture and weights of a folder of `transformers`' `BertModel`.
#[derive(Debug, Clone)]
pub struct LoadedBert {
    /// The architecture.
    pub config: BertConfig,
    /// The encoder.
    pub bert: Bert,
    /// SHA-256 of the weights.
    pub sha256: FileDigest,
    /// Tensors of the file that the encoder does not need, such as those of prediction heads.
    pub ignored: Vec<String>,
}

impl LoadedBert {
    /// Loads `config.json` and the weights (`model.safetensors`, `pytorch_model.bin`, or the index
    /// of their shards) of the folder `directory`.
    ///
    /// # Errors
    /// [`LoadError`]: a missing or unreadable file, an invalid or unsupported configuration, or
    /// weights that do not fit it, with all tensors that are missing, unused or misshapen.
    pub fn load(directory: &Path, device: &Device) -> Result<Self, LoadError> {
        let config = BertConfig::load(directory)?;
        let checkpoint = Checkpoint::open(&ModelFiles::find(directory)?.weights)?;
        let bert = Bert::from_checkpoint(&config, &checkpoint, device)?;
        let ignored = weights::ignored(&BertLayout::of(&checkpoint), &checkpoint);
        Ok(Self { config, bert, sha256: checkpoint.sha256(), ignored })
    }

    /// The identity of the encoder in the folder `directory`, without loading it: SHA-256 over its weights and the
    /// files that describe them, in hexadecimal.
    ///
    /// # Errors
    /// [`LoadError`] if a file is missing or cannot be read.
    pub fn fingerprint(directory: &Path) -> Result<String, LoadError> {
        ModelFiles::find(directory)?.fingerprint()
    }
}

impl BertConfig {
    /// Reads `config.json` of the folder `directory`, which `transformers` wrote for a `BertModel` or
    /// for one of the models with a head on top of it.
    ///
    /// # Errors
    /// [`LoadError`]: a missing or unreadable file, or an invalid or unsupported configuration.
    pub fn load(directory: &Path) -> Result<Self, LoadError> {
        config::parse(&Json::read(directory, CONFIG_FILE, "the configuration of an HF BertModel")?)
    }
}
