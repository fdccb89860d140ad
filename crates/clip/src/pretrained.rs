//! Everything that belongs to a pre-trained model, as one thing.
//!
//! Weights mean nothing without their activation, preprocessing and tokenizer, and quietly give
//! worse numbers with those of another model. So they are loaded, checked and saved together.

use crate::clip::Clip;
use crate::config::{ClipConfig, Listed, Pooling};
use crate::formats::hf::{self, HfClipLayout};
use crate::formats::openai::OpenAiLayout;
use crate::formats::{
    Description, Json, LoadError, LoadedClip, ModelFiles, Notice, Publisher, SaveError, describe,
};
use crate::parameters::Part;
use crate::resolution::ResolutionError;
use crate::tokenizer::{TokenizeError, Tokenizer};
use crate::weights;
use burn::tensor::{Device, Tensor, TensorData};
use regulus_checkpoints::{Checkpoint, FileDigest, sha256};
use regulus_images::{Preprocess, RgbImage};
use std::fmt;
use std::panic::resume_unwind;
use std::path::{Path, PathBuf};
use std::thread;

/// A pre-trained CLIP with all that is needed to use it.
#[derive(Debug, Clone)]
pub struct Pretrained {
    /// The architecture.
    pub config: ClipConfig,
    /// The model. Its parameters are frozen.
    pub clip: Clip,
    /// Turns texts into token ids.
    pub tokenizer: Tokenizer,
    /// Turns images into pixels.
    pub preprocess: Preprocess,
    /// Where the model comes from.
    pub source: Source,
    /// SHA-256 of the weights file: the identity of the model, computed when it is asked for. For a model from
    /// memory, that of the file which [`Self::save`] writes. After a change of `clip` it still
    /// names the model that was loaded; [`Self::from_parts`] gives the changed one its own.
    pub sha256: FileDigest,
    /// What loading decided and a user should know.
    pub notices: Vec<Notice>,
}

/// Where a model comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Source {
    /// It was put together in memory, for example by pre-training.
    Memory,
    /// It was loaded.
    Path {
        /// The model folder or weights file.
        path: PathBuf,
        /// Whose layout it has.
        publisher: Publisher,
    },
}

impl fmt::Display for Source {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Memory => formatter.write_str("memory"),
            Self::Path { path, publisher } => write!(formatter, "{} ({publisher})", path.display()),
        }
    }
}

/// Parts that do not belong to one model. Lists every contradiction, not only the first.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("tokenizer, preprocessing and model do not belong together:{}", Listed(.faults))]
pub struct PartsError {
    /// All contradictions.
    pub faults: Vec<PartsFault>,
}

/// One contradiction between the parts of a model.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PartsFault {
    /// The preprocessed images are not as large as the model's.
    #[error("preprocessing cuts images to {crop} pixels, the model reads {resolution}")]
    Resolution {
        /// Side after preprocessing.
        crop: usize,
        /// Side that the model reads.
        resolution: usize,
    },
    /// The tokenizer has ids that the model lacks.
    #[error("the tokenizer has {tokenizer} ids, the model {model}")]
    Vocabulary {
        /// Number of ids of the tokenizer.
        tokenizer: usize,
        /// Number of ids of the model.
        model: usize,
    },
    /// The model would not find the end of the tokenizer's texts.
    #[error("the tokenizer ends a text with the id {tokenizer}, the model looks for {model}")]
    EndOfText {
        /// The tokenizer's id.
        tokenizer: u32,
        /// What the model looks for.
        model: String,
    },
}

impl Pretrained {
    /// Loads the model at `path`: a folder of HF `CLIPModel`, OpenAI or open_clip, or a weights file.
    ///
    /// Preprocessing and tokenizer come from the folder. Folders of HF must bring both; for the others they are
    /// what their publisher's code has built in. The weights file may be replaced by renaming, but not written into, as
    /// long as the model is used.
    ///
    /// # Errors
    /// [`LoadError`]: a file that is missing or damaged, a value that is not supported, weights
    /// that do not fit (all of them are listed), or files that contradict each other.
    pub fn load(path: impl AsRef<Path>, device: &Device) -> Result<Self, LoadError> {
        let path = path.as_ref();
        let files = ModelFiles::find(path)?;
        let checkpoint = Checkpoint::open(&files.weights)?;
        let mut description = describe(&files, &checkpoint)?;
        let preprocess = match description.preprocess.take() {
            Some(preprocess) => Ok(preprocess),
            None => {
                Json::read(files.folder(), hf::PREPROCESS_FILE, "the preprocessing of the model's images")
                    .and_then(|json| hf::preprocess::parse(&json))
            }
        };
        let (publisher, vocab) = (description.publisher, description.config.text.vocab);
        // The tokenizer takes longer than everything else.
        let (tokenizer, loaded) = thread::scope(|scope| {
            let tokenizer = scope.spawn(|| tokenizer(&files, publisher, vocab));
            let loaded = preprocess
                .and_then(|preprocess| Ok((preprocess, LoadedClip::read(description, &checkpoint, device)?)));
            (tokenizer.join().unwrap_or_else(|panic| resume_unwind(panic)), loaded)
        });
        let (tokenizer, is_built_in) = tokenizer?;
        let (preprocess, LoadedClip { config, clip, sha256, publisher, mut notices }) = loaded?;
        notices.extend(is_built_in.then_some(Notice::BuiltInTokenizer));
        check_parts(&config, &tokenizer, &preprocess)
            .map_err(|source| LoadError::Parts { path: path.into(), source })?;
        let source = Source::Path { path: path.into(), publisher };
        Ok(Self { config, clip, tokenizer, preprocess, source, sha256, notices })
    }

    /// Architecture and tokenizer of the model at `path`, of which no weight is read: what is needed to say how much
    /// memory the model will take.
    ///
    /// # Errors
    /// As [`Self::load`], for what is read.
    pub fn describe(path: impl AsRef<Path>) -> Result<(ClipConfig, Tokenizer), LoadError> {
        let files = ModelFiles::find(path.as_ref())?;
        let Description { publisher, config, .. } = describe(&files, &Checkpoint::open(&files.weights)?)?;
        let (tokenizer, _) = tokenizer(&files, publisher, config.text.vocab)?;
        Ok((config, tokenizer))
    }

    /// This model for images of another resolution, whose positional embedding is interpolated.
    ///
    /// # Errors
    /// [`ResolutionError`] if the model cannot be brought to the resolution.
    pub fn at_resolution(self, resolution: usize) -> Result<Self, ResolutionError> {
        let from = self.config.image.resolution();
        if from == resolution {
            return Ok(self);
        }
        let (config, clip) = self.clip.at_resolution(&self.config, resolution)?;
        let resize = self.preprocess.resize * resolution / from;
        let preprocess = Preprocess { resize, crop: resolution, ..self.preprocess };
        let mut notices = self.notices;
        notices.push(Notice::PositionsInterpolated { from, to: resolution });
        Ok(Self { config, clip, preprocess, notices, ..self })
    }

    /// Token ids of texts, for [`Clip::encode_text`].
    ///
    /// # Errors
    /// [`TokenizeError`] of the first text that is too long or has a word that the tokenizer lacks.
    pub fn tokens<S: AsRef<str>>(&self, texts: &[S]) -> Result<Vec<Vec<u32>>, TokenizeError> {
        self.tokenizer.encode_batch(texts, self.config.text.context)
    }

    /// An image as the model expects it, on the model's device: resized, cropped and normalised.
    ///
    /// # Shapes
    /// - output: `[1, 3, resolution, resolution]`
    pub fn pixels(&self, image: &RgbImage) -> Tensor<4> {
        let square = self.preprocess.square(image);
        let mut planes = vec![0.0; square.pixels.len()];
        self.preprocess.normalise(&square.pixels, &mut planes);
        let data = TensorData::new(planes, [1, 3, square.height, square.width]);
        Tensor::from_data(data, &self.clip.device())
    }

    /// A digest, in hexadecimal, over all files that [`Self::load`] reads: weights, configuration, tokenizer and
    /// preprocessing. It changes with anything that changes results.
    ///
    /// # Errors
    /// [`LoadError`] if a file is missing or cannot be read.
    pub fn fingerprint(path: impl AsRef<Path>) -> Result<String, LoadError> {
        ModelFiles::find(path.as_ref())?.fingerprint()
    }

    /// Puts a new model together, at the end of pre-training.
    ///
    /// # Errors
    /// [`PartsError`] inside [`LoadError::Parts`] if the parts contradict each other, and
    /// [`LoadError::Weights`] if the weights cannot be read from their device.
    pub fn from_parts(
        config: ClipConfig,
        clip: Clip,
        tokenizer: Tokenizer,
        preprocess: Preprocess,
    ) -> Result<Self, LoadError> {
        check_parts(&config, &tokenizer, &preprocess)
            .map_err(|source| LoadError::Parts { path: PathBuf::from("(model in memory)"), source })?;
        let sha256 = sha256(&weights::bytes(clip.parameters(Part::All), &HfClipLayout::default())?).into();
        Ok(Self { config, clip, tokenizer, preprocess, source: Source::Memory, sha256, notices: Vec::new() })
    }

    /// Saves the model as a folder in the layout of HF `CLIPModel`, which `transformers` loads
    /// unchanged. The same model gives the same bytes.
    ///
    /// # Errors
    /// [`SaveError`]: a file that cannot be written, or a configuration that the layout cannot
    /// represent.
    pub fn save(&self, directory: impl AsRef<Path>) -> Result<(), SaveError> {
        let directory = directory.as_ref();
        let write = |name: &str, text: &str| {
            let path = directory.join(name);
            std::fs::write(&path, text).map_err(|source| SaveError::Write { path, source })
        };
        let config = hf::config::to_json(&self.config)?;
        let preprocess = hf::preprocess::to_json(&self.preprocess)?;
        let tokenizer_config = self.tokenizer.hf_config(self.config.text.context)?;
        std::fs::create_dir_all(directory)
            .map_err(|source| SaveError::Write { path: directory.into(), source })?;
        write(hf::CONFIG_FILE, &config)?;
        write(hf::PREPROCESS_FILE, &preprocess)?;
        write(hf::TOKENIZER_CONFIG_FILE, &tokenizer_config)?;
        write(hf::TOKENIZER_FILE, self.tokenizer.json())?;
        let (path, ordinary) = (directory.join(hf::WEIGHTS_FILE), directory.join(hf::CONFIG_FILE));
        let parameters = self.clip.parameters(Part::All);
        Ok(weights::write(parameters, &HfClipLayout::default(), &path, &ordinary)?)
    }

    /// The weights as a safetensors file under OpenAI's names, which open_clip and [`Self::load`] read. Activation,
    /// heads, tokenizer and preprocessing are not part of such a file. The same model gives the same bytes.
    ///
    /// # Errors
    /// [`SaveError`] if the weights cannot be read from their device.
    pub fn openai_weights(&self) -> Result<Vec<u8>, SaveError> {
        Ok(weights::bytes(self.clip.parameters(Part::All), &OpenAiLayout::plain())?)
    }
}

/// Size of the vocabulary of OpenAI's tokenizer, which all published CLIP models share.
const OPENAI_VOCABULARY: usize = 49408;

/// The tokenizer that the folder brings, or else OpenAI's where the model has its vocabulary, and whether it is that one.
fn tokenizer(files: &ModelFiles, publisher: Publisher, vocab: usize) -> Result<(Tokenizer, bool), LoadError> {
    if let Some(tokenizer) = Tokenizer::from_folder(files.folder())? {
        return Ok((tokenizer, false));
    }
    if publisher == Publisher::Hf || vocab != OPENAI_VOCABULARY {
        let path = files.folder().join(hf::TOKENIZER_FILE);
        return Err(LoadError::Missing { path, expected: "the model's tokenizer" });
    }
    Ok((Tokenizer::openai(), true))
}

fn check_parts(
    config: &ClipConfig,
    tokenizer: &Tokenizer,
    preprocess: &Preprocess,
) -> Result<(), PartsError> {
    let mut faults = Vec::new();
    let (crop, resolution) = (preprocess.crop, config.image.resolution());
    if crop != resolution {
        faults.push(PartsFault::Resolution { crop, resolution });
    }
    if tokenizer.ids() > config.text.vocab {
        faults.push(PartsFault::Vocabulary { tokenizer: tokenizer.ids(), model: config.text.vocab });
    }
    let end = tokenizer.eot_id();
    let expected = match config.text.pooling {
        Pooling::FirstEot if end != config.text.eot_id => Some(config.text.eot_id.to_string()),
        Pooling::HighestId if end as usize + 1 != tokenizer.ids() => Some("the highest id".to_string()),
        _ => None,
    };
    faults.extend(expected.map(|model| PartsFault::EndOfText { tokenizer: end, model }));
    if faults.is_empty() { Ok(()) } else { Err(PartsError { faults }) }
}
