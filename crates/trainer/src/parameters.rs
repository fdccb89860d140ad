//! The trainable parameters of a run: named flat leaves in a fixed order.
//!
//! A method never mutates the pre-trained model. What it trains lives here, as one flat tensor per
//! name, and enters the model through an [`Injection`]. Keeping leaves flat
//! makes optimisers, checkpoints and reductions independent of rank, and the ordered map makes every
//! loop over parameters run in the same order on every machine.

use std::collections::BTreeMap;
use std::ops::Index;

use burn::tensor::{Device, Gradients, Shape, Tensor, TensorData};
use regulus_clip::{Injection, NamedParameter};

use crate::stages::{self, Stage};

/// One trainable tensor.
#[derive(Debug, Clone)]
pub struct Leaf {
    /// The flat value; tracked by autodiff while training.
    pub value: Tensor<1>,
    /// The shape that the value has in the model.
    pub shape: Vec<usize>,
}

impl Leaf {
    /// The value in its shape.
    ///
    /// # Panics
    /// If the shape has not `D` dimensions.
    pub fn tensor<const D: usize>(&self) -> Tensor<D> {
        self.value.clone().reshape(Shape::from(self.shape.clone()))
    }
}

/// Trainable parameters by name, ordered by name.
#[derive(Debug, Clone, Default)]
pub struct Parameters {
    leaves: BTreeMap<String, Leaf>,
}

impl Parameters {
    /// Adds a leaf; a leaf of the same name is replaced. The value is detached from any graph.
    pub fn insert(&mut self, name: impl Into<String>, value: Tensor<1>, shape: Vec<usize>) {
        self.leaves.insert(name.into(), Leaf { value: value.inner(), shape });
    }

    /// Adds a leaf from host values.
    pub fn insert_values(
        &mut self,
        name: impl Into<String>,
        values: Vec<f32>,
        shape: Vec<usize>,
        device: &Device,
    ) {
        let length = values.len();
        self.insert(name, Tensor::from_data(TensorData::new(values, [length]), device), shape);
    }

    /// The leaf of this name.
    pub fn get(&self, name: &str) -> Option<&Leaf> {
        self.leaves.get(name)
    }

    /// The leaves in order of their names.
    pub fn iter(&self) -> impl Iterator<Item = (&String, &Leaf)> {
        self.leaves.iter()
    }

    /// Number of leaves.
    pub fn len(&self) -> usize {
        self.leaves.len()
    }

    /// Whether nothing is trained.
    pub fn is_empty(&self) -> bool {
        self.leaves.is_empty()
    }

    /// Number of scalar values over all leaves.
    pub fn count(&self) -> usize {
        self.leaves.values().map(|leaf| leaf.shape.iter().product::<usize>()).sum()
    }

    /// A copy whose leaves record a graph: what a loss is computed from.
    pub fn tracked(&self) -> Self {
        self.map(|_, leaf| leaf.value.clone().autodiff().require_grad())
    }

    /// A copy with every value replaced by `value(name, leaf)`.
    pub fn map(&self, mut value: impl FnMut(&str, &Leaf) -> Tensor<1>) -> Self {
        let leaves = self.leaves.iter();
        let mapped = leaves
            .map(|(name, leaf)| (name.clone(), Leaf { value: value(name, leaf), shape: leaf.shape.clone() }));
        Self { leaves: mapped.collect() }
    }

    /// The leaves that are `chosen` by name in the place of the model's weights at these paths.
    pub fn replacing(&self, chosen: impl Fn(&str) -> bool) -> Injection {
        let weights = self.leaves.iter().filter(|(name, _)| chosen(name));
        weights.fold(Injection::none(), |injection, (name, leaf)| {
            injection.replace(name.clone(), leaf.value.clone())
        })
    }

    /// The leaves that are `chosen` by name.
    #[must_use]
    pub fn filtered(&self, chosen: impl Fn(&str) -> bool) -> Self {
        let leaves = self.leaves.iter().filter(|(name, _)| chosen(name));
        Self { leaves: leaves.map(|(name, leaf)| (name.clone(), leaf.clone())).collect() }
    }

    /// The leaves whose names begin with `prefix`, under the rest of their names.
    #[must_use]
    pub fn within(&self, prefix: &str) -> Self {
        let leaves = self.leaves.iter().filter_map(|(name, leaf)| {
            let rest = name.strip_prefix(prefix)?;
            Some((rest.to_owned(), leaf.clone()))
        });
        Self { leaves: leaves.collect() }
    }

    /// The same leaves with `prefix` before their names.
    #[must_use]
    pub fn prefixed(self, prefix: &str) -> Self {
        let leaves = self.leaves.into_iter().map(|(name, leaf)| (format!("{prefix}{name}"), leaf));
        Self { leaves: leaves.collect() }
    }

    /// These leaves and those of `others`, which take the place of leaves of the same name.
    #[must_use]
    pub fn with(mut self, others: &Self) -> Self {
        self.leaves.extend(others.leaves.iter().map(|(name, leaf)| (name.clone(), leaf.clone())));
        self
    }

    /// These leaves and one more, which takes the place of a leaf of the same name.
    #[must_use]
    pub fn with_leaf(mut self, name: &str, leaf: &Leaf) -> Self {
        self.leaves.insert(name.to_owned(), leaf.clone());
        self
    }

    /// The gradients of a loss, whose graph is used up, in these (tracked) leaves; leaves that it does not reach are
    /// absent.
    pub fn gradients_of(&self, loss: &Tensor<1>) -> LeafGradients {
        stages::within(Stage::Backward, || self.gradients(&mut loss.backward()))
    }

    /// The gradients of these (tracked) leaves; leaves that the loss does not reach are absent.
    pub fn gradients(&self, gradients: &mut Gradients) -> LeafGradients {
        let pairs = self.leaves.iter();
        pairs.filter_map(|(name, leaf)| Some((name.clone(), leaf.value.grad_remove(gradients)?))).collect()
    }
}

impl FromIterator<NamedParameter> for Parameters {
    /// Weights of a model as leaves under their paths.
    fn from_iter<I: IntoIterator<Item = NamedParameter>>(weights: I) -> Self {
        let mut parameters = Self::default();
        weights.into_iter().for_each(|weight| parameters.insert(weight.path, weight.value, weight.shape));
        parameters
    }
}

impl Index<&str> for Parameters {
    type Output = Leaf;

    /// The leaf of a name that the method itself has added.
    ///
    /// # Panics
    /// If there is no such leaf; [`Parameters::get`] asks.
    fn index(&self, name: &str) -> &Leaf {
        &self.leaves[name]
    }
}

/// Gradients by the name of their leaf, flat, without a graph.
pub type LeafGradients = BTreeMap<String, Tensor<1>>;
