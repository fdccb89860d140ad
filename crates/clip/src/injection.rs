//! Changes of a frozen model that enter from outside.
//!
//! A pre-trained model is never mutated: teacher and student, and every method, share its memory.
//! What a method trains enters a forward pass through an [`Injection`], which the towers consult
//! for every weight that they read. Several changes of one weight are applied in order, so that
//! methods stack.

use crate::precision::Precision;
use crate::prompts::DeepPrompts;
use burn::module::Param;
use burn::tensor::Tensor;
use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

/// One change of one weight.
pub trait WeightChange: Send + Sync {
    /// The changed weight.
    ///
    /// # Shapes
    /// - `base`: the weight so far, flattened to `[shape[0] * shape[1] * ...]`
    /// - `shape`: the shape of the weight in the model, in PyTorch's layout (`[out, in]`)
    /// - output: as `base`
    fn apply(&self, base: Tensor<1>, shape: &[usize]) -> Tensor<1>;
}

/// A second way around a linear map, whose output is added to the map's: what cannot be written as a change of the
/// weight, such as a low-rank update that sees part of its inputs dropped.
pub trait Branch: Send + Sync {
    /// What is added.
    ///
    /// # Shapes
    /// - `input`: what the map reads, `[batch, positions, in]`
    /// - output: `[batch, positions, out]`
    fn output(&self, input: Tensor<3>) -> Tensor<3>;
}

/// An ordered list of weight changes per parameter path, and prompts for both towers.
///
/// Paths are the canonical names of [`Clip::parameters`](crate::Clip::parameters), such as
/// `visual.transformer.resblocks.0.attn.in_proj_weight`. A path that the model does not have
/// changes nothing; [`Clip::check_injection`](crate::Clip::check_injection) finds such paths.
#[derive(Clone, Default)]
pub struct Injection {
    changes: BTreeMap<String, Vec<Arc<dyn WeightChange>>>,
    branches: BTreeMap<String, Vec<Arc<dyn Branch>>>,
    image_prompts: DeepPrompts,
    text_prompts: DeepPrompts,
}

impl Injection {
    /// Changes nothing: the forward pass of the model as it was loaded.
    pub fn none() -> Self {
        Self::default()
    }

    /// Appends `change` to the changes of the weight at `path`.
    #[must_use]
    pub fn change(mut self, path: impl Into<String>, change: Arc<dyn WeightChange>) -> Self {
        self.changes.entry(path.into()).or_default().push(change);
        self
    }

    /// Adds `branch` to the linear map of the transformer blocks whose weight is at `path`. Other weights have no
    /// branches.
    #[must_use]
    pub fn branch(mut self, path: impl Into<String>, branch: Arc<dyn Branch>) -> Self {
        self.branches.entry(path.into()).or_default().push(branch);
        self
    }

    /// Appends the change that puts `value` in the place of the weight at `path`.
    ///
    /// # Shapes
    /// - `value`: the flattened weight
    #[must_use]
    pub fn replace(self, path: impl Into<String>, value: Tensor<1>) -> Self {
        self.change(path, Arc::new(Replace(value)))
    }

    /// Puts prompts behind the patches of every image and overwrites them at the input of each further layer
    /// that has some. Only vision transformers read them.
    ///
    /// # Shapes
    /// - `layers`: `[prompts, width]` for the first layer, the second, and so on, all of the same size
    #[must_use]
    pub fn image_prompts(mut self, layers: Vec<Tensor<2>>) -> Self {
        self.image_prompts = DeepPrompts::new(layers);
        self
    }

    /// Puts prompts in the place of the words behind the start token of every text and overwrites them at the
    /// input of each further layer that has some. The texts must have words (placeholders) in these places.
    ///
    /// # Shapes
    /// - `layers`: `[prompts, width]` for the first layer, the second, and so on, all of the same size
    #[must_use]
    pub fn text_prompts(mut self, layers: Vec<Tensor<2>>) -> Self {
        self.text_prompts = DeepPrompts::new(layers);
        self
    }

    /// Prompts of the image tower.
    pub(crate) fn prompts_of_images(&self) -> &DeepPrompts {
        &self.image_prompts
    }

    /// Prompts of the text tower.
    pub(crate) fn prompts_of_texts(&self) -> &DeepPrompts {
        &self.text_prompts
    }

    /// Whether a weight whose path begins with `prefix` has a branch.
    pub(crate) fn has_branches(&self, prefix: &str) -> bool {
        first_below(&self.branches, prefix)
    }

    /// Whether no weight is changed.
    fn changes_no_weight(&self) -> bool {
        self.changes.is_empty() && self.branches.is_empty()
    }

    /// The paths of the changed weights, sorted, then those with branches.
    pub fn paths(&self) -> impl Iterator<Item = &str> {
        self.changes.keys().chain(self.branches.keys()).map(String::as_str)
    }

    /// The weight at `path` with its changes applied, flat; `None` if it has none.
    ///
    /// # Shapes
    /// - `base`: the weight, flattened
    /// - `shape`: its shape in the model
    pub fn changed(&self, path: &str, base: Tensor<1>, shape: &[usize]) -> Option<Tensor<1>> {
        let changes = self.changes.get(path)?;
        Some(changes.iter().fold(base, |weight, change| change.apply(weight, shape)))
    }

    /// Whether a weight whose path begins with `prefix` is changed.
    fn reaches(&self, prefix: &str) -> bool {
        first_below(&self.changes, prefix) || first_below(&self.branches, prefix)
    }
}

/// Whether a key begins with `prefix`.
fn first_below<V>(map: &BTreeMap<String, V>, prefix: &str) -> bool {
    map.range::<str, _>((std::ops::Bound::Included(prefix), std::ops::Bound::Unbounded))
        .next()
        .is_some_and(|(path, _)| path.starts_with(prefix))
}

impl fmt::Debug for Injection {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let changes: BTreeMap<&String, usize> =
            self.changes.iter().map(|(path, list)| (path, list.len())).collect();
        formatter
            .debug_struct("Injection")
            .field("changes", &changes)
            .field("branches", &self.branches.keys())
            .field("image_prompt_layers", &self.image_prompts.layers().len())
            .field("text_prompt_layers", &self.text_prompts.layers().len())
            .finish()
    }
}

struct Replace(Tensor<1>);

impl WeightChange for Replace {
    fn apply(&self, _base: Tensor<1>, _shape: &[usize]) -> Tensor<1> {
        self.0.clone()
    }
}

/// A place in the module tree, from which weights are read through the injection.
///
/// Carries the path only as long as something below it is changed: an untouched subtree costs no
/// string at all.
pub(crate) struct Scope<'a> {
    injection: &'a Injection,
    /// The path of this place with a dot at its end; `None` where nothing below is changed.
    prefix: Option<String>,
    /// Whether the path is carried even where nothing below is changed.
    named: bool,
    /// The format that weights are read for.
    precision: Precision,
}

impl<'a> Scope<'a> {
    /// The root of the model.
    pub(crate) fn root(injection: &'a Injection) -> Self {
        let prefix = (!injection.changes_no_weight()).then(String::new);
        Self { injection, prefix, named: false, precision: Precision::F32 }
    }

    /// The root of a model whose modules report something by their path.
    pub(crate) fn named_root(injection: &'a Injection) -> Self {
        Self { injection, prefix: Some(String::new()), named: true, precision: Precision::F32 }
    }

    /// The part `name` of this place.
    pub(crate) fn enter(&self, name: &str) -> Self {
        let prefix = self.prefix.as_ref().map(|prefix| format!("{prefix}{name}."));
        let prefix = prefix.filter(|path| self.named || self.injection.reaches(path));
        Self { prefix, ..*self }
    }

    /// The part number `index` of a list.
    pub(crate) fn item(&self, index: usize) -> Self {
        match &self.prefix {
            None => Self { prefix: None, ..*self },
            Some(_) => self.enter(&index.to_string()),
        }
    }

    /// This place, where `precision` is used.
    pub(crate) fn computing_in(self, precision: Precision) -> Self {
        Self { precision, ..self }
    }

    /// The format that is used in this place.
    pub(crate) fn precision(&self) -> Precision {
        self.precision
    }

    /// The path of this place, if the root is [`Self::named_root`].
    pub(crate) fn place(&self) -> &str {
        self.prefix.as_deref().unwrap_or_default().trim_end_matches('.')
    }

    /// The weight `name` of this place, with its changes applied, in the place's precision.
    pub(crate) fn weight<const D: usize>(&self, name: &str, param: &Param<Tensor<D>>) -> Tensor<D> {
        self.precision.enter(self.stored(name, param))
    }

    /// The same in f32, for an operation that is not in the place's precision.
    pub(crate) fn single_weight<const D: usize>(&self, name: &str, param: &Param<Tensor<D>>) -> Tensor<D> {
        self.precision.beside(self.stored(name, param))
    }

    /// `output` of the linear map with the weight `name` of this place, and what its branches make of `input`.
    pub(crate) fn with_branch(&self, name: &str, input: Tensor<3>, output: Tensor<3>) -> Tensor<3> {
        let Some(prefix) = &self.prefix else { return output };
        let branches = self.injection.branches.get(&format!("{prefix}{name}")).into_iter().flatten();
        branches.fold(output, |output, branch| {
            let added = branch.output(self.precision.leave(input.clone()));
            output + self.precision.enter(added)
        })
    }

    fn stored<const D: usize>(&self, name: &str, param: &Param<Tensor<D>>) -> Tensor<D> {
        let base = param.val();
        let Some(changes) =
            self.prefix.as_ref().and_then(|prefix| self.injection.changes.get(&format!("{prefix}{name}")))
        else {
            return base;
        };
        let shape = base.dims();
        let flat = base.reshape([shape.iter().product::<usize>()]);
        changes.iter().fold(flat, |weight, change| change.apply(weight, &shape)).reshape(shape)
    }
}
