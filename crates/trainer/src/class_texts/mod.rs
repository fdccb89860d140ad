//! Texts of classes as features, whoever computes them: CLIP's text tower, a BERT, or somebody else beforehand.
//!
//! A frozen classifier made of texts needs one feature per class and nothing of the encoder that made them, so that
//! methods take any of the three.

mod precomputed;

use std::path::PathBuf;

use burn::tensor::{Device, Int, Tensor, TensorData};
use regulus_checkpoints::sha256;
use regulus_clip::{
    BertBatch, BertBatchError, BertPooling, LoadError, LoadedBert, NoPooler, Pretrained, TokenizeError,
    Tokenizer, TokenizerError,
};
use regulus_datasets::prompt;
use regulus_images::random::Stream;

pub use precomputed::{PrecomputedError, PrecomputedTexts};

use crate::experiment::TextSpec;
use crate::prompts::tokenize;
use crate::zero_shot::{Averaging, text_features};

/// Texts that cannot be made features.
#[derive(Debug, thiserror::Error)]
pub enum TextError {
    /// The weights of a BERT.
    #[error("`method.text.bert`: {0}")]
    Bert(#[source] LoadError),
    /// The tokenizer of a BERT.
    #[error("`method.text.bert`: {0}")]
    Tokenizer(#[from] TokenizerError),
    /// A BERT without a tokenizer.
    #[error("`method.text.bert`: {} holds no tokenizer; put tokenizer.json or vocab.txt beside the weights", .path.display())]
    NoTokenizer {
        /// Its folder.
        path: PathBuf,
    },
    /// The pooling that was asked for is not there.
    #[error("`method.text.pooling`: {0}")]
    Pooling(#[from] NoPooler),
    /// A class's text that the encoder cannot read.
    #[error("cannot read the text of a class: {0}")]
    Prompt(#[from] TokenizeError),
    /// Texts whose tokens the encoder cannot read.
    #[error("`method.text.bert`: {0}")]
    Tokens(#[from] BertBatchError),
    /// A file of features.
    #[error("`method.text.features`: {0}")]
    Precomputed(#[from] PrecomputedError),
    /// Class names cannot be dealt to other classes.
    #[error("`method.permuted`: there is {classes} class, and its name can be dealt to no other")]
    Permuted {
        /// Number of classes.
        classes: usize,
    },
}

/// What turns the names of classes into features.
#[derive(Debug, Clone)]
#[allow(clippy::large_enum_variant, reason = "there is one for each run")]
pub enum ClassTexts {
    /// The text tower of the CLIP.
    Clip,
    /// A BERT.
    Bert {
        /// The encoder.
        encoder: LoadedBert,
        /// Its tokenizer.
        tokenizer: Tokenizer,
        /// How a text becomes one feature.
        pooling: BertPooling,
    },
    /// Somebody else, beforehand.
    Precomputed(PrecomputedTexts),
}

impl ClassTexts {
    /// Loads what a recipe names.
    ///
    /// # Errors
    /// [`TextError`] for a file that is missing, damaged or does not fit.
    pub fn load(spec: &TextSpec, device: &Device) -> Result<Self, TextError> {
        match spec {
            TextSpec::Named(_) => Ok(Self::Clip),
            TextSpec::Bert(bert) => {
                let encoder = LoadedBert::load(&bert.bert, device).map_err(TextError::Bert)?;
                let tokenizer = Tokenizer::from_folder(&bert.bert)?;
                let tokenizer =
                    tokenizer.ok_or_else(|| TextError::NoTokenizer { path: bert.bert.clone() })?;
                if bert.pooling == BertPooling::Pooler && !encoder.bert.has_pooler() {
                    return Err(NoPooler.into());
                }
                Ok(Self::Bert { encoder, tokenizer, pooling: bert.pooling })
            }
            TextSpec::Features(file) => Ok(Self::Precomputed(PrecomputedTexts::read(&file.features)?)),
        }
    }

    /// The identity of what a recipe names, in hexadecimal; empty for the CLIP, which has its own.
    ///
    /// # Errors
    /// [`TextError`] for a file that is missing or cannot be read.
    pub fn fingerprint(spec: &TextSpec) -> Result<String, TextError> {
        match spec {
            TextSpec::Named(_) => Ok(String::new()),
            TextSpec::Bert(bert) => LoadedBert::fingerprint(&bert.bert).map_err(TextError::Bert),
            TextSpec::Features(file) => Ok(sha256(&precomputed::bytes(&file.features)?)),
        }
    }

    /// Whether the texts of these classes can be read, found before anything is computed.
    ///
    /// # Errors
    /// [`TextError`] with the class or text at fault.
    pub fn check(&self, clip: &Pretrained, class_names: &[String], template: &str) -> Result<(), TextError> {
        match self {
            Self::Clip => tokenize(clip, class_names, &[template.to_owned()]).map(|_| ()).map_err(Into::into),
            Self::Bert { encoder, tokenizer, .. } => {
                bert_batch(encoder, tokenizer, class_names, template).map(|_| ())
            }
            Self::Precomputed(texts) => Ok(texts.check(class_names)?),
        }
    }

    /// One feature per class, in the order of the names (at least one), `[classes, width]`, of any length but 0. `clip` is the CLIP
    /// of [`ClassTexts::Clip`], `template` holds `{}` in the place of a name. What was computed beforehand is matched
    /// by name.
    ///
    /// # Errors
    /// [`TextError`] with the class or text at fault.
    pub fn features(
        &self,
        clip: &Pretrained,
        class_names: &[String],
        template: &str,
    ) -> Result<Tensor<2>, TextError> {
        match self {
            Self::Clip => {
                let prompts = tokenize(clip, class_names, &[template.to_owned()])?;
                Ok(text_features(&clip.clip, &prompts, Averaging::UnitFirst))
            }
            Self::Bert { encoder, tokenizer, pooling } => {
                if class_names.is_empty() {
                    return Err(BertBatchError::Empty.into());
                }
                let chunks = class_names.chunks(BERT_CHUNK).map(|names| {
                    let batch = bert_batch(encoder, tokenizer, names, template)?;
                    Ok(encoder.bert.encode(&batch, *pooling)?)
                });
                Ok(Tensor::cat(chunks.collect::<Result<Vec<Tensor<2>>, TextError>>()?, 0))
            }
            Self::Precomputed(texts) => Ok(texts.features(class_names, &clip.clip.device())?),
        }
    }
}

/// Texts that a BERT reads at once, so that memory does not grow with the number of classes.
const BERT_CHUNK: usize = 256;

fn bert_batch(
    encoder: &LoadedBert,
    tokenizer: &Tokenizer,
    class_names: &[String],
    template: &str,
) -> Result<BertBatch, TextError> {
    let texts: Vec<String> = class_names.iter().map(|name| prompt(template, name)).collect();
    let ids = tokenizer.encode_batch(&texts, encoder.config.context)?;
    Ok(BertBatch::new(&ids, &encoder.config)?)
}

/// The rows of `features` dealt to other classes, so that none keeps its own: a control that has texts of the same
/// kind, but says nothing of the classes. Every deal without a class at its place is equally likely.
///
/// # Errors
/// [`TextError::Permuted`] if there is only one class.
pub fn permuted(features: Tensor<2>, seed: u64) -> Result<Tensor<2>, TextError> {
    let [classes, _] = features.dims();
    if classes == 1 {
        return Err(TextError::Permuted { classes });
    }
    let deals = (0..).map(|attempt| Stream::new(seed, "permuted-names", 0, attempt).permutation(classes));
    let is_deranged = |deal: &Vec<usize>| deal.iter().enumerate().all(|(class, name)| class != *name);
    // More than one in three deals will do.
    let deal =
        deals.filter(is_deranged).map(|deal| deal.into_iter().map(|name| name as i64).collect::<Vec<_>>());
    let rows = deal.take(1).flatten().collect::<Vec<i64>>();
    let rows: Tensor<1, Int> = Tensor::from_data(TensorData::new(rows, [classes]), &features.device());
    Ok(features.select(0, rows))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{device, tensor};

    #[test]
    fn no_class_keeps_its_name() {
        let device = device();
        let dealt = |classes: usize, seed| -> Vec<f32> {
            let rows: Vec<f32> = (0..classes).map(|class| class as f32).collect();
            let features = tensor(&rows, &device).reshape([classes, 1]);
            permuted(features, seed).unwrap().into_data_as::<f32>().iter::<f32>().collect()
        };
        for (classes, seed) in (2..9).flat_map(|classes| (0..20).map(move |seed| (classes, seed))) {
            let mut rows = dealt(classes, seed);
            assert!(rows.iter().enumerate().all(|(class, row)| *row != class as f32), "{rows:?}");
            rows.sort_by(f32::total_cmp);
            assert_eq!(rows, (0..classes).map(|class| class as f32).collect::<Vec<f32>>());
        }
        assert_eq!(dealt(6, 1), dealt(6, 1));
        assert_ne!(dealt(6, 1), dealt(6, 2));
        let error = permuted(Tensor::zeros([1, 4], &device), 1).unwrap_err();
        assert!(matches!(error, TextError::Permuted { classes: 1 }));
    }
}
