//! Prompts that a model, or a text, has no place for.

use regulus_clip::TokenBatchError;

/// Why prompts cannot be learned as asked for.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PromptError {
    /// The model cannot read the class prompts.
    #[error(transparent)]
    Tokens(#[from] TokenBatchError),
    /// There is nothing to learn.
    #[error("no prompt vectors: ask for at least one vector in at least one layer")]
    Nothing,
    /// A class prompt is too short for the vectors that take the place of its words.
    #[error(
        "the prompt of class {class} ends at token {end}: {vectors} learned vectors and {name} tokens of the name do \
         not fit before it; write more placeholder words before the class name"
    )]
    NoRoom {
        /// Index of the class.
        class: usize,
        /// Position of its end token.
        end: usize,
        /// Learned vectors.
        vectors: usize,
        /// Tokens of the class name that have to keep their place.
        name: usize,
    },
    /// The numbers of tokens of the class names are not one per class.
    #[error("{lengths} lengths of class names for {classes} classes: give one per class")]
    Names {
        /// Number of lengths.
        lengths: usize,
        /// Number of classes.
        classes: usize,
    },
    /// The vectors should start from words that the class prompts do not share.
    #[error(
        "{vectors} vectors should start from the words of the class prompts, which share only their first {shared}; \
         use fewer vectors, a random start, or a template of the method that has the words (`method.template`)"
    )]
    NoSharedWords {
        /// Learned vectors.
        vectors: usize,
        /// Words that all class prompts begin with.
        shared: usize,
    },
    /// A tower has fewer layers than should be prompted.
    #[error("prompts in {asked} layers of the {tower} tower, which has {layers}")]
    Layers {
        /// `image` or `text`.
        tower: &'static str,
        /// Layers asked for.
        asked: usize,
        /// Layers that there are.
        layers: usize,
    },
    /// Only transformers have positions for image prompts.
    #[error("image prompts need a vision transformer; this image tower is a residual network")]
    NotATransformer,
    /// Given initial values are not those of the prompts.
    #[error("initial values: {name} is {found}, expected {expected}")]
    Start {
        /// Name of the parameter.
        name: String,
        /// What was given.
        found: String,
        /// What the prompts have.
        expected: String,
    },
}
