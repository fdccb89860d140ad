//! Hand-written passes for Burn's CPU backend, and their connection to its autodiff.
//!
//! An [`Operation`] maps contiguous f32 tensors to one tensor and knows its own gradients. [`apply`] runs it
//! on plain tensors, and under autodiff records it as one step that keeps only what the gradients of the
//! tracked inputs need. Tensors of other backends or types, and those under gradient checkpointing, are no
//! [`Input`]: their operations take the plain-Burn reference.

mod activation;
mod attention;
mod batch_norm;
mod convolution;
mod frozen;
mod layer_norm;
mod linear;
mod linear_gelu;
mod masked;
mod masked_linear;
pub(crate) mod memory;
mod multiply;
mod packed;
mod places;
mod relu;
mod softmax;
mod windows;

use std::fmt::Debug;

use burn::backend::autodiff::checkpoint::{base::Checkpointer, strategy::NoCheckpointing};
use burn::backend::autodiff::grads::Gradients;
use burn::backend::autodiff::ops::{Backward, Ops, OpsKind};
use burn::backend::flex::FlexTensor;
use burn::backend::tensor::FloatTensor;
use burn::backend::{Autodiff, AutodiffBackend, Flex, TensorMetadata};
use burn::tensor::{DType, Tensor, TensorData};

use crate::{parallel, replay};
use memory::Buffer;

pub(crate) use activation::Activation;
pub(crate) use attention::Attention;
pub(crate) use batch_norm::BatchNorm;
pub(crate) use convolution::Convolution;
pub(crate) use layer_norm::LayerNorm;
pub(crate) use linear::Linear;
pub(crate) use linear_gelu::LinearGelu;
pub(crate) use masked::Masked;
pub(crate) use masked_linear::MaskedLinear;
pub(crate) use packed::Packed;
pub(crate) use relu::Relu;
pub(crate) use softmax::LogSoftmax;

/// A differentiable function of `N` tensors. All tensors that it is given are contiguous f32.
pub(crate) trait Operation<const N: usize>: Clone + Debug + Send + 'static {
    /// What the forward pass leaves for the backward pass.
    type Saved: Clone + Debug + Send + 'static;

    /// The result, and what the gradients of the `tracked` inputs will need.
    fn forward(self, inputs: [FlexTensor; N], tracked: [bool; N]) -> (FlexTensor, Self::Saved);

    /// The gradients of the tracked inputs, from the gradient of the result.
    fn backward(
        self,
        saved: Self::Saved,
        gradient: FlexTensor,
        tracked: [bool; N],
    ) -> [Option<FlexTensor>; N];
}

/// A tensor that an [`Operation`] can take.
pub(crate) enum Input {
    Plain(FlexTensor),
    Autodiff(FloatTensor<Autodiff<Flex>>),
}

impl Input {
    /// A handle to the tensor if it is a non-empty f32 tensor of the flex backend without checkpointing.
    pub(crate) fn new<const D: usize>(tensor: &Tensor<D>) -> Option<Self> {
        if tensor.dtype() != DType::F32 || tensor.shape().num_elements() == 0 {
            None
        } else if tensor.is_autodiff() {
            tensor.clone().try_into_primitive::<Autodiff<Flex>>().ok().map(Self::Autodiff)
        } else {
            tensor.clone().try_into_primitive::<Flex>().ok().map(Self::Plain)
        }
    }

    /// The values alone.
    fn primitive(&self) -> FlexTensor {
        match self {
            Self::Plain(tensor) => tensor.clone(),
            Self::Autodiff(tensor) => tensor.clone().into_primitive(),
        }
    }

    fn into_autodiff(self) -> FloatTensor<Autodiff<Flex>> {
        match self {
            Self::Plain(tensor) => Autodiff::<Flex>::from_inner(tensor),
            Self::Autodiff(tensor) => tensor,
        }
    }

    fn into_contiguous(self) -> FlexTensor {
        match self {
            Self::Plain(tensor) => contiguous(tensor),
            Self::Autodiff(tensor) => contiguous(tensor.into_primitive()),
        }
    }
}

/// The result of the operation, recorded for the backward pass where an input is under autodiff.
///
/// The callers drop their own handles first, so that passes can work in place.
pub(crate) fn apply<O: Operation<N>, const N: usize, const D: usize>(
    operation: O,
    inputs: [Input; N],
) -> Tensor<D> {
    if inputs.iter().all(|input| matches!(input, Input::Plain(_))) {
        let (result, _) = forward(operation, inputs.map(Input::into_contiguous), [false; N]);
        return Tensor::from_primitive::<Flex>(result);
    }
    let inputs = inputs.map(Input::into_autodiff);
    let tracked = inputs.each_ref().map(|input| input.is_tracked());
    let nodes = inputs.each_ref().map(|input| input.node());
    let inputs = inputs.map(|input| contiguous(input.into_primitive()));
    let step = Step(operation.clone()).prepare::<NoCheckpointing>(nodes).compute_bound().stateful();
    let (result, saved) = forward(operation, inputs, tracked);
    let result = match step {
        OpsKind::Tracked(step) => step.finish(saved, result),
        OpsKind::UnTracked(step) => step.finish(result),
    };
    Tensor::from_primitive::<Autodiff<Flex>>(result)
}

/// The forward pass, or what an earlier one has left of it: see [`replay`].
fn forward<O: Operation<N>, const N: usize>(
    operation: O,
    inputs: [FlexTensor; N],
    tracked: [bool; N],
) -> (FlexTensor, O::Saved) {
    let shapes = inputs.each_ref().map(TensorMetadata::shape);
    if let Some(known) = replay::next::<(FlexTensor, O::Saved), N>(&shapes, tracked) {
        return known;
    }
    let (result, saved) = operation.forward(inputs, tracked);
    replay::keep(shapes, tracked, || (result.clone(), saved.clone()));
    (result, saved)
}

/// An operation as a step of the autodiff graph.
#[derive(Debug)]
struct Step<O>(O);

impl<O: Operation<N>, const N: usize> Backward<Flex, N> for Step<O> {
    type State = O::Saved;

    fn backward(self, step: Ops<O::Saved, N>, gradients: &mut Gradients, _: &mut Checkpointer) {
        let gradient = contiguous(gradients.consume::<Flex>(&step.node));
        let tracked = step.parents.each_ref().map(Option::is_some);
        let results = self.0.backward(step.state, gradient, tracked);
        for (parent, gradient) in step.parents.into_iter().zip(results) {
            if let (Some(parent), Some(gradient)) = (parent, gradient) {
                gradients.register::<Flex>(parent.id, gradient);
            }
        }
    }
}

/// The tensor with its values in order and nothing else in its buffer.
fn contiguous(tensor: FlexTensor) -> FlexTensor {
    tensor.to_contiguous()
}

/// Whether the tensor is one of f32 of the flex backend, outside autodiff.
pub(crate) fn is_plain<const D: usize>(tensor: &Tensor<D>) -> bool {
    plain(tensor).is_some()
}

/// The values of a plain tensor.
pub(crate) fn plain<const D: usize>(tensor: &Tensor<D>) -> Option<FlexTensor> {
    match Input::new(tensor) {
        Some(Input::Plain(values)) => Some(contiguous(values)),
        _ => None,
    }
}

/// The values of a plain tensor, which gives up its hold on them.
///
/// # Panics
/// If the tensor is not plain.
pub(crate) fn into_plain<const D: usize>(tensor: Tensor<D>) -> FlexTensor {
    match plain(&tensor) {
        Some(values) => values,
        None => panic!("a plain tensor was expected"),
    }
}

/// A tensor of these values.
pub(crate) fn from_plain<const D: usize>(values: FlexTensor) -> Tensor<D> {
    Tensor::from_primitive::<Flex>(values)
}

/// `x` after `work` on pieces of it: in place if nobody else holds its values.
fn changed(mut x: FlexTensor, piece: usize, work: impl Fn(usize, &mut [f32]) + Sync + Send) -> FlexTensor {
    if let Some(values) = x.try_storage_mut::<f32>() {
        parallel::run(values.chunks_mut(piece).enumerate(), || (), |(), (index, values)| work(index, values));
        return x;
    }
    let values = x.storage::<f32>();
    let mut result = Buffer::of(values.len());
    let tasks = result.chunks_mut(piece).zip(values.chunks(piece)).enumerate();
    // Copied piece by piece, so that the work finds it in the cache.
    parallel::run(
        tasks,
        || (),
        |(), (index, (result, values))| {
            result.copy_from_slice(values);
            work(index, result);
        },
    );
    result.into_tensor(x.shape())
}

/// A tensor of the given values and shape.
fn tensor<const D: usize>(values: Vec<f32>, shape: [usize; D]) -> FlexTensor {
    FlexTensor::from_data(TensorData::new(values, shape))
}
