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
use regulus_kernels::{Gelu, MaskedWeight, add_linear, linear, linear_gelu, masked_linear};
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

    /// The mask `[shape[0] * shape[1] * ...]` and its threshold, if setting entries to 0 whose mask is not above it is
    /// all that the change does. Then the linear maps of transformer blocks apply it as they multiply, without making the
    /// changed weight; [`Self::apply`] has to say the same.
    fn mask(&self) -> Option<(Tensor<1>, f64)> {
        None
    }
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

    /// Whether this is [`Self::none`].
    pub fn is_none(&self) -> bool {
        self.changes.is_empty()
            && self.branches.is_empty()
            && self.image_prompts.layers().is_empty()
            && self.text_prompts.layers().is_empty()
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

    /// `x` through the linear map with the weight `name` of this place and its branches, plus `residual` if there is one.
    ///
    /// # Shapes
    /// - `param`: `[out, in]`
    /// - `bias`: `[out]`
    /// - `x`: `[batch, positions, in]`
    /// - `residual` and output: `[batch, positions, out]`
    pub(crate) fn linear(
        &self,
        name: &str,
        param: &Param<Tensor<2>>,
        bias: Tensor<1>,
        x: Tensor<3>,
        residual: Option<Tensor<3>>,
    ) -> Tensor<3> {
        let path = self.prefix.as_ref().map(|prefix| format!("{prefix}{name}"));
        let (path, input) = (path.as_deref(), x.clone());
        let output = match (path.and_then(|path| self.masked(path, param)), residual) {
            (Some(masked), residual) => masked_linear(x, masked, bias, residual),
            (None, Some(residual)) => add_linear(residual, x, self.weight(name, param), bias),
            (None, None) => linear(x, self.weight(name, param), Some(bias)),
        };
        let branches = path.and_then(|path| self.injection.branches.get(path)).into_iter().flatten();
        branches.fold(output, |output, branch| {
            let added = branch.output(self.precision.leave(input.clone()));
            output + self.precision.enter(added)
        })
    }

    /// [`Self::linear`] without a residual, and the activation behind it.
    pub(crate) fn linear_gelu(
        &self,
        name: &str,
        param: &Param<Tensor<2>>,
        bias: Tensor<1>,
        x: Tensor<3>,
        gelu: Gelu,
    ) -> Tensor<3> {
        let path = self.prefix.as_ref().map(|prefix| format!("{prefix}{name}"));
        let is_plain =
            |path: &String| !self.injection.branches.contains_key(path) && self.mask_of(path).is_none();
        match path.as_ref().is_none_or(is_plain) {
            true => linear_gelu(x, self.weight(name, param), bias, gelu),
            false => gelu.apply(self.linear(name, param, bias, x, None)),
        }
    }

    /// The weight at `path` with its changes applied but the last, which is a mask: see [`Self::mask_of`].
    fn masked(&self, path: &str, param: &Param<Tensor<2>>) -> Option<MaskedWeight> {
        let LastMask { mask, threshold, before } = self.mask_of(path)?;
        let base = param.val();
        let shape = base.dims();
        Some(MaskedWeight { weight: applied(before, base), mask: mask.reshape(shape), threshold })
    }

    /// The mask that is the last change of the weight at `path`; `None` if the last is no mask, or if products are not in
    /// the format of the weights.
    fn mask_of(&self, path: &str) -> Option<LastMask<'_>> {
        let (last, before) = self.injection.changes.get(path)?.split_last()?;
        let (mask, threshold) = last.mask().filter(|_| self.precision == Precision::F32)?;
        Some(LastMask { mask, threshold, before })
    }

    fn stored<const D: usize>(&self, name: &str, param: &Param<Tensor<D>>) -> Tensor<D> {
        let base = param.val();
        let path = self.prefix.as_ref().map(|prefix| format!("{prefix}{name}"));
        match path.and_then(|path| self.injection.changes.get(&path)) {
            Some(changes) => applied(changes, base),
            None => base,
        }
    }
}

/// A mask that is the last change of a weight.
struct LastMask<'a> {
    mask: Tensor<1>,
    threshold: f64,
    /// What changes the weight before it.
    before: &'a [Arc<dyn WeightChange>],
}

/// A weight after these changes.
fn applied<const D: usize>(changes: &[Arc<dyn WeightChange>], weight: Tensor<D>) -> Tensor<D> {
    if changes.is_empty() {
        return weight;
    }
    let shape = weight.dims();
    let flat = weight.reshape([shape.iter().product::<usize>()]);
    changes.iter().fold(flat, |weight, change| change.apply(weight, &shape)).reshape(shape)
}
