//! Convolutions as matrix products of the kernels with what the windows read. That is an image with its border, from which
//! AVX-512 and the bf16 modes read each place of the window; only the `gemm` crate is given a copy for each place.
//!
//! Images with few outputs are taken together, so that no product is too narrow; how many does not depend on threads.

use burn::backend::TensorMetadata;
use burn::backend::flex::FlexTensor;

use super::memory::Buffer;
use super::multiply::{How, Multiply};
use super::places::{Places, WindowPlaces};
use super::windows::Windows;
use super::{Operation, tensor};
use regulus_matrix::{Matrix, MatrixMut, Precision, Source};

use crate::parallel;

/// Columns that a product should have at least.
const COLUMNS: usize = 512;

/// `conv2d` of `[batch, in, height, width]`, `[out, in, side, side]` and, as an operation of three tensors, `[out]`.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Convolution {
    pub(crate) stride: usize,
    pub(crate) padding: usize,
    pub(crate) precision: Precision,
}

/// Weight and input: each is kept only for the gradient of the other.
#[derive(Debug, Clone)]
pub(crate) struct Saved {
    weight: Option<FlexTensor>,
    x: Option<FlexTensor>,
    sizes: Sizes,
}

impl Operation<2> for Convolution {
    type Saved = Saved;

    fn forward(self, [x, weight]: [FlexTensor; 2], tracked: [bool; 2]) -> (FlexTensor, Saved) {
        self.run(x, weight, None, tracked)
    }

    fn backward(self, saved: Saved, gradient: FlexTensor, tracked: [bool; 2]) -> [Option<FlexTensor>; 2] {
        saved.gradients(&gradient, tracked)
    }
}

impl Operation<3> for Convolution {
    type Saved = Saved;

    fn forward(self, inputs: [FlexTensor; 3], tracked: [bool; 3]) -> (FlexTensor, Saved) {
        let ([x, weight, bias], [x_tracked, weight_tracked, _]) = (inputs, tracked);
        self.run(x, weight, Some(bias), [x_tracked, weight_tracked])
    }

    fn backward(self, saved: Saved, gradient: FlexTensor, tracked: [bool; 3]) -> [Option<FlexTensor>; 3] {
        let [x_tracked, weight_tracked, bias_tracked] = tracked;
        let [x, weight] = saved.gradients(&gradient, [x_tracked, weight_tracked]);
        let bias = bias_tracked.then(|| saved.sizes.channel_sums(gradient.storage()));
        [x, weight, bias]
    }
}

impl Convolution {
    fn run(
        self,
        x: FlexTensor,
        weight: FlexTensor,
        bias: Option<FlexTensor>,
        [x_tracked, weight_tracked]: [bool; 2],
    ) -> (FlexTensor, Saved) {
        let sizes = Sizes::new(self, &x, &weight);
        let matrix = Matrix::new(weight.storage(), sizes.outputs, sizes.depth(), sizes.depth());
        let result = sizes.convolve(x.storage(), matrix, bias.as_ref().map(FlexTensor::storage));
        let saved = Saved { weight: x_tracked.then_some(weight), x: weight_tracked.then_some(x), sizes };
        (result, saved)
    }
}

impl Saved {
    /// With `c` the columns that the windows read: `dc = weightᵀ g`, put back where it was read, and
    /// `dweight = Σ g cᵀ`. Where windows lie side by side, putting back is a convolution itself.
    fn gradients(
        &self,
        gradient: &FlexTensor,
        [x_tracked, weight_tracked]: [bool; 2],
    ) -> [Option<FlexTensor>; 2] {
        let gradient = gradient.storage();
        let x = self.weight.as_ref().filter(|_| x_tracked);
        let weight = self.x.as_ref().filter(|_| weight_tracked);
        [
            x.map(|weight| self.sizes.input_gradient(gradient, weight.storage())),
            weight.map(|x| self.sizes.weight_gradient(gradient, x.storage())),
        ]
    }
}

#[derive(Debug, Clone, Copy)]
struct Sizes {
    batch: usize,
    inputs: usize,
    outputs: usize,
    windows: Windows,
    how: How,
}

impl Sizes {
    fn new(convolution: Convolution, x: &FlexTensor, weight: &FlexTensor) -> Self {
        let ([batch, inputs, height, width], [outputs, _, side, _]) =
            (x.shape().dims(), weight.shape().dims());
        let Convolution { stride, padding, precision } = convolution;
        let windows = Windows { height, width, side, stride, padding, turned: false };
        Self { batch, inputs, outputs, windows, how: How::pooled(precision) }
    }

    /// Rows of the columns: what one output reads.
    fn depth(&self) -> usize {
        self.inputs * self.windows.area()
    }

    /// Values of an image.
    fn image(&self) -> usize {
        self.inputs * self.windows.height * self.windows.width
    }

    /// Values of the result of an image.
    fn result(&self) -> usize {
        self.outputs * self.windows.count()
    }

    /// Images whose columns stand side by side.
    fn together(&self) -> usize {
        (COLUMNS / self.windows.count()).clamp(1, self.batch)
    }

    /// `weight` times the columns, for each image.
    fn convolve<'a>(&self, x: &[f32], weight: impl Into<Source<'a>>, bias: Option<&[f32]>) -> FlexTensor {
        let (weight, count) = (weight.into(), self.windows.count());
        let mut result = Buffer::of(self.batch * self.result());
        let images = x.chunks(self.together() * self.image());
        parallel::run(
            images.zip(result.chunks_mut(self.together() * self.result())),
            || (WindowPlaces::new(self.together(), self.inputs, self.windows), self.beside()),
            |(columns, beside), (images, result)| {
                let width = result.len() / self.outputs;
                let columns = columns.of(images);
                if width == count {
                    self.product(weight, columns, result, width);
                } else {
                    self.product(weight, columns, beside, width);
                    apart(beside, result, self.outputs, count);
                }
            },
        );
        if let Some(bias) = bias {
            let channels = result.chunks_mut(count).zip(bias.iter().cycle());
            parallel::run(
                channels,
                || (),
                |(), (values, bias)| {
                    values.iter_mut().for_each(|value| *value += bias);
                },
            );
        }
        result.into_tensor([self.batch, self.outputs, self.windows.out_height(), self.windows.out_width()])
    }

    fn input_gradient(&self, gradient: &[f32], weight: &[f32]) -> FlexTensor {
        let Some(windows) = self.windows.back() else { return self.scattered(gradient, weight) };
        let (inputs, outputs, area) = (self.outputs, self.inputs, self.windows.area());
        let back = Self { inputs, outputs, windows, ..*self };
        if area == 1 {
            let weight = Matrix::new(weight, self.outputs, self.inputs, self.inputs);
            return back.convolve(gradient, weight.transposed(), None);
        }
        // For each input, what the windows of all outputs weigh it with.
        let places = Places::channels(self.outputs, self.inputs, area);
        back.convolve(gradient, places.of(weight), None)
    }

    /// The gradient of the input where windows do not lie side by side.
    fn scattered(&self, gradient: &[f32], weight: &[f32]) -> FlexTensor {
        let (count, depth, windows) = (self.windows.count(), self.depth(), self.windows);
        let mut result = Buffer::zeros(self.batch * self.image());
        let weight = Matrix::new(weight, self.outputs, depth, depth).transposed();
        let channels = Places::channels(self.together(), self.outputs, count);
        let gradients = gradient.chunks(self.together() * self.result());
        parallel::run(
            gradients.zip(result.chunks_mut(self.together() * self.image())),
            || Buffer::of(depth * self.together() * count),
            |columns, (gradient, result)| {
                let width = gradient.len() / self.outputs;
                self.product(weight, channels.of(gradient), columns, width);
                let columns = &*columns;
                parallel::run(
                    result.chunks_mut(windows.height * windows.width).enumerate(),
                    || (),
                    |(), (index, channel)| {
                        let (image, of) = (index / self.inputs, index % self.inputs);
                        let rows = &columns[of * windows.area() * width + image * count..];
                        windows.scatter(rows, width, channel);
                    },
                );
            },
        );
        result.into_tensor([self.batch, self.inputs, windows.height, windows.width])
    }

    fn weight_gradient(&self, gradient: &[f32], x: &[f32]) -> FlexTensor {
        let (depth, side) = (self.depth(), self.windows.side);
        let mut result = Buffer::of(self.outputs * depth);
        let mut columns = WindowPlaces::new(self.together(), self.inputs, self.windows);
        let channels = Places::channels(self.together(), self.outputs, self.windows.count());
        let images = x.chunks(self.together() * self.image());
        let groups = images.zip(gradient.chunks(self.together() * self.result()));
        for (index, (images, gradient)) in groups.enumerate() {
            let target = MatrixMut::new(&mut result, self.outputs, depth, depth);
            let (gradient, columns) = (channels.of(gradient), columns.of(images).transposed());
            match index {
                0 => target.set_product(gradient, columns, 1.0, self.how),
                _ => target.add_product(gradient, columns, 1.0, self.how),
            }
        }
        result.into_tensor([self.outputs, self.inputs, side, side])
    }

    fn channel_sums(&self, gradient: &[f32]) -> FlexTensor {
        let mut sums = vec![0.0; self.outputs];
        for image in gradient.chunks(self.result()) {
            for (sum, channel) in sums.iter_mut().zip(image.chunks(self.windows.count())) {
                *sum += channel.iter().sum::<f32>();
            }
        }
        tensor(sums, [self.outputs])
    }

    fn product<'a>(
        &self,
        weight: impl Into<Source<'a>>,
        columns: impl Into<Source<'a>>,
        result: &mut [f32],
        width: usize,
    ) {
        let weight = weight.into();
        let target = MatrixMut::new(result, weight.rows(), width, width);
        target.set_product(weight, columns, 1.0, self.how);
    }

    /// Memory for the results of images that stand side by side, channel by channel.
    fn beside(&self) -> Buffer {
        let together = self.together();
        Buffer::of(if together == 1 { 0 } else { together * self.result() })
    }
}

/// `[channels, images, count]` to `[images, channels, count]`.
fn apart(beside: &[f32], result: &mut [f32], channels: usize, count: usize) {
    let width = result.len() / channels;
    parallel::run(
        result.chunks_mut(channels * count).enumerate(),
        || (),
        |(), (image, result)| {
            for (channel, values) in result.chunks_mut(count).enumerate() {
                values.copy_from_slice(&beside[channel * width + image * count..][..count]);
            }
        },
    );
}
