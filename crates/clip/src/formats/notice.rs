//! What a user should know about a model that was loaded all the same.

use std::fmt;

/// Something that loading decided.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Notice {
    /// The positional embedding of the image tower was interpolated.
    PositionsInterpolated {
        /// Resolution of the weights, in pixels.
        from: usize,
        /// Resolution of the model, in pixels.
        to: usize,
    },
    /// Nothing says which activation the weights were trained with.
    ActivationAssumed,
    /// The file holds tensors beside the model's, such as those of an optimiser.
    OutsideIgnored {
        /// What the names of the model's tensors begin with.
        prefix: String,
        /// Number of the other tensors.
        tensors: usize,
    },
    /// The folder brings no tokenizer; the one of OpenAI's CLIP is used.
    BuiltInTokenizer,
}

impl fmt::Display for Notice {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::PositionsInterpolated { from, to } => write!(
                formatter,
                "positional embedding interpolated from {from} to {to} pixels (bicubic, antialiased, as open_clip does)"
            ),
            Self::ActivationAssumed => formatter.write_str(
                "no file states the activation: QuickGELU is assumed, as in OpenAI's weights; put \
                 open_clip_config.json beside weights that were trained with GELU",
            ),
            Self::OutsideIgnored { prefix, tensors } => {
                write!(
                    formatter,
                    "{tensors} tensors outside `{prefix}` are not part of the model and were ignored"
                )
            }
            Self::BuiltInTokenizer => {
                formatter.write_str("the folder brings no tokenizer: OpenAI's, which is built in, is used")
            }
        }
    }
}
