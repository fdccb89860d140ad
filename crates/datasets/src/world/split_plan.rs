//! Everything that the images of a split follow from, as one value: what is rendered and what is recognised among kept
//! images cannot differ.

use std::path::Path;

use regulus_images::random::Stream;
use sha2::{Digest, Sha256};

use super::camera::Camera;
use super::kept;
use super::splits::{RenderedSplit, Streams, any_background};
use super::words::{Background, Class, Style};
use crate::LabelledImages;
use crate::subset::taking_turns;

/// How background and style of an image are drawn.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Surround {
    /// A photo: with this probability class `k` is before background `k`, else before any.
    Biased(f64),
    /// A photo: class `k` is before any background but `k`.
    Other,
    /// Any style before any background.
    Anywhere,
}

impl Surround {
    fn draw(self, label: usize, stream: &mut Stream) -> (Background, Style) {
        match self {
            Self::Biased(strength) if stream.chance(strength) => (Background::ALL[label], Style::Photo),
            Self::Biased(_) => (any_background(stream), Style::Photo),
            Self::Other => {
                let drawn = stream.below(Background::ALL.len() - 1);
                (Background::ALL[if drawn >= label { drawn + 1 } else { drawn }], Style::Photo)
            }
            Self::Anywhere => {
                let background = any_background(stream);
                (background, Style::ALL[stream.below(Style::ALL.len())])
            }
        }
    }
}

/// A split that can be rendered.
#[derive(Debug, Clone, PartialEq)]
pub struct SplitPlan {
    pub(super) seed: u64,
    /// Names the streams of the images, with [`Self::variant`].
    pub(super) purpose: String,
    pub(super) variant: u64,
    pub(super) classes: Vec<Class>,
    /// Number of images of each class.
    pub(super) counts: Vec<usize>,
    pub(super) camera: Camera,
    pub(super) surround: Surround,
}

impl SplitPlan {
    /// Classes in the order of the labels.
    pub fn classes(&self) -> &[Class] {
        &self.classes
    }

    /// Number of images.
    pub fn len(&self) -> usize {
        self.counts.iter().sum()
    }

    /// Whether there is no image.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Label of each image `[n]`.
    pub(super) fn labels(&self) -> Vec<usize> {
        taking_turns(&self.counts).into_iter().map(|(_, label)| label).collect()
    }

    /// Renders the split, scenes and all.
    pub fn render(&self) -> RenderedSplit {
        let streams = Streams { seed: self.seed, purpose: &self.purpose, variant: self.variant };
        let surround = |label: usize, stream: &mut Stream| self.surround.draw(label, stream);
        RenderedSplit::unbalanced(&self.classes, &self.counts, streams, Some(self.camera), surround)
    }

    /// The images alone, from the folder `kept` where they are there.
    pub(super) fn images(&self, kept: Option<&Path>) -> LabelledImages {
        match kept {
            Some(folder) => kept::images(self, folder),
            None => self.render().images,
        }
    }

    /// A digest of the whole plan. It is compared only by the program that made it, for which the text of a value,
    /// with every digit of its numbers, identifies it.
    pub(super) fn digest(&self) -> [u8; 32] {
        Sha256::digest(format!("{self:?}")).into()
    }
}
