//! Low-rank updates, caches and feature adapters in the words of a recipe. Defaults are the published settings.

use serde::{Deserialize, Serialize};

use super::check::Faults;
use crate::augmentation::{Augmentation, PartOfImage, Step};
use crate::methods::adaptation::{Matrix, Towers};

/// CLIP-LoRA: low-rank updates of the attention's matrices.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct LoraSpec {
    /// Which towers: `image`, `text` or `both` (default `both`).
    pub towers: Towers,
    /// Which matrices of every attention: `q`, `k`, `v`, `o` (default the first three).
    pub matrices: Vec<Matrix>,
    /// Rank of each update (default 2).
    pub rank: usize,
    /// Factor on the updates before it is divided by the root of the rank (default 1).
    pub alpha: f64,
    /// Share of the inputs of an update that are dropped at a step of training (default 0.25).
    pub dropout: f64,
}

impl Default for LoraSpec {
    fn default() -> Self {
        let matrices = vec![Matrix::Q, Matrix::K, Matrix::V];
        Self { towers: Towers::default(), matrices, rank: 2, alpha: 1.0, dropout: 0.25 }
    }
}

/// Tip-Adapter and Tip-Adapter-F: a cache of the training images that votes beside the texts.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct CacheSpec {
    /// Factor on the votes (default 1.17).
    pub alpha: f64,
    /// How fast a vote falls with the distance of the features (default 1).
    pub beta: f64,
    /// Random views of every image whose features are averaged into its key (default 10).
    pub views: usize,
    /// How the views differ from the image (default: random crops of half of it or more, and mirroring).
    pub augmentation: Augmentation,
}

impl Default for CacheSpec {
    fn default() -> Self {
        let crop = PartOfImage { scale: [0.5, 1.0], ..PartOfImage::default() };
        let augmentation = Augmentation::Steps(vec![Step::RandomResizedCrop(crop), Step::Flip]);
        Self { alpha: 1.17, beta: 1.0, views: 10, augmentation }
    }
}

/// CLIP-Adapter: two small layers behind the image tower.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ClipAdapterSpec {
    /// By how much the layer between is narrower than the features (default 4).
    pub reduction: usize,
    /// Share of the layers in the features, in [0, 1] (default 0.2).
    pub ratio: f64,
}

impl Default for ClipAdapterSpec {
    fn default() -> Self {
        Self { reduction: 4, ratio: 0.2 }
    }
}

/// Most views of an image in a cache.
const MOST_VIEWS: usize = 1000;
/// Largest rank and reduction.
const LARGEST: usize = 65_536;

fn size(faults: &mut Faults, key: &str, value: usize, most: usize) {
    faults.require((1..=most).contains(&value), key, format!("is {value}; expected 1 to {most}"));
}

impl LoraSpec {
    pub(super) fn check(&self, faults: &mut Faults) {
        size(faults, "method.rank", self.rank, LARGEST);
        faults.positive("method.alpha", self.alpha);
        let fits = (0.0..1.0).contains(&self.dropout);
        let message = format!("is {}; expected 0 or more and less than 1", self.dropout);
        faults.require(fits, "method.dropout", message);
        faults.require(!self.matrices.is_empty(), "method.matrices", "is empty; give at least one".into());
        let mut seen = self.matrices.clone();
        seen.sort();
        seen.dedup();
        let twice = seen.len() < self.matrices.len();
        faults.require(!twice, "method.matrices", "names a matrix twice; keep one".into());
    }
}

impl CacheSpec {
    pub(super) fn check(&self, faults: &mut Faults) {
        faults.not_negative("method.alpha", self.alpha);
        faults.not_negative("method.beta", self.beta);
        size(faults, "method.views", self.views, MOST_VIEWS);
        faults.renamed("training.augmentation", "method.augmentation", |faults| {
            self.augmentation.check(faults);
        });
        let same = self.augmentation == Augmentation::None && self.views > 1;
        let message = format!("is {}, and all views would be the same; set it to 1", self.views);
        faults.require(!same, "method.views", message);
    }
}

impl ClipAdapterSpec {
    pub(super) fn check(&self, faults: &mut Faults) {
        size(faults, "method.reduction", self.reduction, LARGEST);
        faults.share("method.ratio", self.ratio);
    }
}
