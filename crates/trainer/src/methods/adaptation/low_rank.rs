//! Low-rank updates of the attention's matrices: CLIP-LoRA.
//!
//! Zanella and Ben Ayed, "Low-Rank Few-Shot Adaptation of Vision-Language Models", CVPR workshops 2024; `lora.py` and
//! `loralib/layers.py`. A weight `W` becomes `W + s B A` with `B A` of rank `r`.

use std::sync::Arc;

use burn::tensor::{Shape, Tensor, TensorData};
use regulus_clip::{Branch, Clip, ImageTower, Injection, Part as Tower, WeightChange};
use regulus_images::random::Stream;
use serde::{Deserialize, Serialize};

use crate::batches::Batch;
use crate::methods::part::Part;
use crate::parameters::Parameters;

/// Which towers have updates.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Towers {
    /// The image tower alone.
    Image,
    /// The text tower alone.
    Text,
    /// Both.
    #[default]
    Both,
}

impl Towers {
    fn image(self) -> bool {
        self != Self::Text
    }

    fn text(self) -> bool {
        self != Self::Image
    }
}

/// A matrix of an attention.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Matrix {
    /// Queries: the first third of the rows of `in_proj_weight`.
    Q,
    /// Keys: the second third.
    K,
    /// Values: the last third.
    V,
    /// The output's projection.
    O,
}

/// The size of the updates and where they are.
#[derive(Debug, Clone, PartialEq)]
pub struct LowRankSettings {
    /// Which towers.
    pub towers: Towers,
    /// Which matrices of every attention.
    pub matrices: Vec<Matrix>,
    /// Rank of each update (published: 2).
    pub rank: usize,
    /// Factor on the updates before it is divided by the root of the rank (published: 1).
    pub alpha: f64,
    /// Share of the inputs of an update that are dropped at a step of training (published: 0.25).
    pub dropout: f64,
}

/// Updates that a model cannot have.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LowRankError {
    /// The image tower has no attention blocks.
    #[error(
        "low-rank updates of the image tower need a vision transformer; this one is a residual network: set \
         method.towers = \"text\""
    )]
    NotATransformer,
    /// The rank is not below the size of the matrices.
    #[error("method.rank is {rank}, and the matrices have {width} columns; a low rank is at most that")]
    Rank {
        /// The rank that was asked for.
        rank: usize,
        /// Columns of the narrowest matrix.
        width: usize,
    },
}

/// One updated block of rows of one weight.
#[derive(Debug, Clone)]
struct Update {
    path: String,
    matrix: Matrix,
    /// Rows of the weight before, in, and behind the block.
    rows: [usize; 3],
    columns: usize,
}

impl Update {
    /// The name of the factor `a` or `b` in the manner of the released code.
    fn factor(&self, factor: char) -> String {
        let Self { path, matrix, .. } = self;
        let matrix = format!("{matrix:?}").to_lowercase();
        let attention = path.trim_end_matches("in_proj_weight").trim_end_matches("out_proj.weight");
        format!("{attention}{matrix}_proj.w_lora_{}", factor.to_ascii_uppercase())
    }
}

/// Low-rank updates of attention weights. Of each there are the factors `A`, `[rank, columns]`, and `B`,
/// `[rows, rank]`.
#[derive(Debug, Clone)]
pub struct LowRank {
    updates: Vec<Update>,
    settings: LowRankSettings,
    seed: u64,
    start: Parameters,
}

impl LowRank {
    /// Updates of `clip`'s attention weights. `A` starts as PyTorch's linear layers do, uniform within
    /// `1 / sqrt(columns)`, and `B` at 0, so that nothing is changed at first.
    ///
    /// # Errors
    /// [`LowRankError`] if the image tower has no attention blocks, or the rank is not low.
    pub fn new(clip: &Clip, settings: LowRankSettings, seed: u64) -> Result<Self, LowRankError> {
        if settings.towers.image() && matches!(clip.visual, ImageTower::ResNet(_)) {
            return Err(LowRankError::NotATransformer);
        }
        let image = settings.towers.image().then(|| clip.parameters(Tower::Image));
        let text = settings.towers.text().then(|| clip.parameters(Tower::Text));
        let weights = image.into_iter().chain(text).flatten();
        let updates: Vec<Update> =
            weights.flat_map(|weight| updates_of(&weight.path, &weight.shape, &settings.matrices)).collect();
        let rank = settings.rank;
        let mut start = Parameters::default();
        for update in &updates {
            let (rows, columns) = (update.rows[1], update.columns);
            if rank > columns.min(rows) {
                return Err(LowRankError::Rank { rank, width: columns.min(rows) });
            }
            let bound = 1.0 / (columns as f64).sqrt();
            let mut stream = Stream::new(seed, &format!("init/{}", update.factor('a')), 0, 0);
            let a = (0..rank * columns).map(|_| stream.range(-bound, bound) as f32).collect();
            start.insert_values(update.factor('a'), a, vec![rank, columns], &clip.device());
            start.insert_values(update.factor('b'), vec![0.0; rows * rank], vec![rows, rank], &clip.device());
        }
        Ok(Self { updates, settings, seed, start })
    }

    fn scale(&self) -> f64 {
        self.settings.alpha / (self.settings.rank as f64).sqrt()
    }
}

/// The updates of the weight at `path`, if it is of an attention.
fn updates_of(path: &str, shape: &[usize], matrices: &[Matrix]) -> Vec<Update> {
    let &[rows, columns] = shape else { return Vec::new() };
    let third = rows / 3;
    let (input, output) = (path.ends_with(".attn.in_proj_weight"), path.ends_with(".attn.out_proj.weight"));
    let block = |matrix: Matrix| match matrix {
        Matrix::Q if input => Some([0, third, 2 * third]),
        Matrix::K if input => Some([third, third, third]),
        Matrix::V if input => Some([2 * third, third, 0]),
        Matrix::O if output => Some([0, rows, 0]),
        _ => None,
    };
    let update =
        |&matrix: &Matrix| Some(Update { path: path.to_owned(), matrix, rows: block(matrix)?, columns });
    matrices.iter().filter_map(update).collect()
}

/// Adds `scale B A` to a block of rows.
struct Added {
    a: Tensor<2>,
    b: Tensor<2>,
    scale: f64,
    /// Rows before and behind the block.
    around: [usize; 2],
}

impl WeightChange for Added {
    fn apply(&self, base: Tensor<1>, shape: &[usize]) -> Tensor<1> {
        let update = self.b.clone().matmul(self.a.clone()) * self.scale;
        let zeros = |rows: usize| Tensor::<2>::zeros([rows, shape[1]], &base.device());
        let [before, behind] = self.around;
        let update = match (before, behind) {
            (0, 0) => update,
            _ => Tensor::cat(vec![zeros(before), update, zeros(behind)], 0),
        };
        let count: usize = shape.iter().product();
        base + update.reshape(Shape::new([count]))
    }
}

/// The same update beside the weight, of inputs of which some are dropped and the others enlarged.
struct Dropped {
    added: Added,
    share: f64,
    stream: Stream,
}

impl Branch for Dropped {
    fn output(&self, input: Tensor<3>) -> Tensor<3> {
        let shape = input.dims();
        let kept = (1.0 / (1.0 - self.share)) as f32;
        let mut stream = self.stream.clone();
        let count: usize = shape.iter().product();
        let draws: Vec<f32> =
            (0..count).map(|_| if stream.chance(self.share) { 0.0 } else { kept }).collect();
        let draws = Tensor::from_data(TensorData::new(draws, shape), &input.device());
        let Added { a, b, scale, around } = &self.added;
        let [batch, positions, columns] = shape;
        let seen = (input * draws).reshape([batch * positions, columns]);
        let update = seen.matmul(a.clone().transpose()).matmul(b.clone().transpose()) * *scale;
        let [_, rows] = update.dims();
        let update = update.reshape([batch, positions, rows]);
        let zeros = |rows: usize| Tensor::<3>::zeros([batch, positions, rows], &update.device());
        match *around {
            [0, 0] => update,
            [before, behind] => Tensor::cat(vec![zeros(before), update.clone(), zeros(behind)], 2),
        }
    }
}

impl LowRank {
    fn added(&self, update: &Update, parameters: &Parameters) -> Added {
        let factor = |name: char| parameters[update.factor(name).as_str()].tensor::<2>();
        let [before, _, behind] = update.rows;
        Added { a: factor('a'), b: factor('b'), scale: self.scale(), around: [before, behind] }
    }
}

impl Part for LowRank {
    fn parameters(&self) -> Parameters {
        self.start.clone()
    }

    fn inject(&self, parameters: &Parameters, injection: Injection) -> Injection {
        self.updates.iter().fold(injection, |injection, update| {
            injection.change(update.path.clone(), Arc::new(self.added(update, parameters)))
        })
    }

    fn inject_training(&self, parameters: &Parameters, injection: Injection, batch: &Batch) -> Injection {
        let share = self.settings.dropout;
        if share == 0.0 {
            return self.inject(parameters, injection);
        }
        self.updates.iter().fold(injection, |injection, update| {
            let purpose = format!("low-rank-dropout/{}", update.factor('a'));
            let stream = Stream::new(self.seed, &purpose, batch.epoch as u64, batch.step as u64);
            let dropped = Dropped { added: self.added(update, parameters), share, stream };
            injection.branch(update.path.clone(), Arc::new(dropped))
        })
    }

    fn reaches_images(&self) -> bool {
        self.settings.towers.image()
    }

    fn reaches_texts(&self) -> bool {
        self.settings.towers.text()
    }
}
