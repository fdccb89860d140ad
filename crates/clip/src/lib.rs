#![doc = include_str!("../README.md")]

mod attention_pool;
mod backbone;
mod bert;
mod block;
mod clip;
mod config;
mod conv_norm;
mod cpu;
mod embedded_texts;
mod formats;
mod hidden_states;
mod image_tower;
mod init;
mod injection;
mod modified_resnet;
mod packed_texts;
mod parameters;
mod precision;
mod pretrained;
mod prompts;
mod residual;
mod resolution;
mod running_statistics;
mod text;
mod token_batch;
mod tokenizer;
mod vit;
mod weights;

pub use backbone::{
    Backbone, BackboneArchitecture, BackboneError, LoadedBackbone, ResNet, ResNetArchitecture, ResNetLayer,
    ResNetStates, VitBackbone,
};
pub use bert::{
    Bert, BertBatch, BertBatchError, BertConfig, BertHiddenStates, BertPooling, LoadedBert, NoPooler,
};
pub use clip::{Clip, ParameterError, ParameterFault, normalise};
pub use config::{
    Activation, ClipConfig, ConfigError, ConfigFault, ImageConfig, Pooling, ResNetConfig, TextConfig,
    VitConfig,
};
pub use embedded_texts::EmbeddedTexts;
pub use formats::{LoadError, LoadedClip, Notice, Publisher, SaveError};
pub use hidden_states::HiddenStates;
pub use image_tower::ImageTower;
pub use injection::{Branch, Injection, WeightChange};
pub use modified_resnet::{ModifiedResNet, ModifiedResNetStates};
pub use parameters::{NamedParameter, Part};
pub use precision::Precision;
pub use pretrained::{PartsError, PartsFault, Pretrained, Source};
pub use residual::BlockKind;
pub use resolution::ResolutionError;
pub use running_statistics::{BatchNormParameters, Normalisation, RunningStatistics};
pub use text::TextTower;
pub use token_batch::{TokenBatch, TokenBatchError};
pub use tokenizer::{TokenizeError, Tokenizer, TokenizerError};
pub use vit::{FROZEN_POSITIONS, VisionTransformer};
pub use weights::{TensorFault, WeightsError};
