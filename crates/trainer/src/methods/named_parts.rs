//! A method whose parameters go by the names of the parts that it is composed of, as those of every composition do.

use std::collections::BTreeMap;

use burn::tensor::Tensor;

use crate::batches::{Batch, ImageSet};
use crate::merge::{Merged, NotMergeable};
use crate::method::{BufferError, Method, Objective, StepOutcome};
use crate::parameters::Parameters;

/// A method with the name of a part before the name of each parameter.
#[derive(Debug, Clone)]
pub struct NamedParts<M> {
    method: M,
    /// What goes before each name, by the name that the method itself uses.
    prefixes: BTreeMap<String, String>,
}

impl<M: Method> NamedParts<M> {
    /// `method` with `prefix(name)` before every name.
    pub fn new(method: M, prefix: impl Fn(&str) -> String) -> Self {
        let prefixes = method.parameters().iter().map(|(name, _)| (name.clone(), prefix(name))).collect();
        Self { method, prefixes }
    }

    fn outer(&self, name: &str) -> String {
        let prefix = self.prefixes.get(name).map(String::as_str).unwrap_or_default();
        format!("{prefix}{name}")
    }

    fn inner(&self, parameters: &Parameters) -> Parameters {
        let mut inner = Parameters::default();
        for (name, prefix) in &self.prefixes {
            if let Some(leaf) = parameters.get(&format!("{prefix}{name}")) {
                inner = inner.with_leaf(name, leaf);
            }
        }
        inner
    }
}

impl<M: Method> Method for NamedParts<M> {
    fn parameters(&self) -> Parameters {
        let own = self.method.parameters();
        own.iter().fold(Parameters::default(), |all, (name, leaf)| all.with_leaf(&self.outer(name), leaf))
    }

    fn prepare(&mut self, images: &ImageSet<'_>) {
        self.method.prepare(images);
    }

    fn objective(&self, parameters: &Parameters, batch: &Batch) -> Objective {
        self.method.objective(&self.inner(parameters), batch)
    }

    fn step(&self, parameters: &Parameters, batch: &Batch) -> StepOutcome {
        let mut outcome = self.method.step(&self.inner(parameters), batch);
        let gradients = std::mem::take(&mut outcome.gradients).into_iter();
        outcome.gradients = gradients.map(|(name, gradient)| (self.outer(&name), gradient)).collect();
        outcome
    }

    fn facts(&self, parameters: &Parameters) -> Vec<(&'static str, f64)> {
        self.method.facts(&self.inner(parameters))
    }

    fn smallest_batch(&self) -> usize {
        self.method.smallest_batch()
    }

    fn buffers(&self) -> BTreeMap<String, Tensor<1>> {
        self.method.buffers()
    }

    fn restore_buffers(&mut self, buffers: &BTreeMap<String, Tensor<1>>) -> Result<(), BufferError> {
        self.method.restore_buffers(buffers)
    }

    fn is_head(&self, name: &str) -> bool {
        name.split_once('/').is_some_and(|(_, name)| self.method.is_head(name))
    }

    fn threshold(&self, name: &str) -> Option<f64> {
        let own =
            |(inner, prefix): &(&String, &String)| name.strip_prefix(prefix.as_str()) == Some(inner.as_str());
        let (inner, _) = self.prefixes.iter().find(own)?;
        self.method.threshold(inner)
    }

    fn merged(&self, parameters: &Parameters) -> Result<Merged, NotMergeable> {
        self.method.merged(&self.inner(parameters))
    }

    fn logits(&self, parameters: &Parameters, pixels: Tensor<4>) -> Tensor<2> {
        self.method.logits(&self.inner(parameters), pixels)
    }
}
