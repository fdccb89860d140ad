//! Convolutions as matrix products of the kernels with what the windows read.
//!
//! Images with few outputs are taken together, so that no product is too narrow; how many does not depend on threads.

use burn::backend::TensorMetadata;
use burn::backend::flex::FlexTensor;

use super::memory::Buffer;
use super::multiply::{How, Multiply};
use super::windows::Windows;
use super::{Operation, tensor};
use regulus_matrix::{Matrix, MatrixMut, Precision};

use crate::parallel;

/// Columns that a product should have at least.
const COLUMNS: usize = 512;

/// Channels that a task brings together.
const TOGETHER: usize = 16;

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
        let result = sizes.convolve(x.storage(), weight.storage(), bias.as_ref().map(FlexTensor::storage));
        let saved = Saved { weight: x_tracked.then_some(weight), x: weight_tracked.then_some(x), sizes };
        (result, saved)
    }
}

impl Saved {
    /// With `c` the columns that the windows read: `dc = weightᵀ g`, put back where it was read, and
    /// `dweight = Σ g cᵀ`.
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
        let windows = Windows { height, width, side, stride, padding };
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

    /// Whether the columns of an image are the image.
    fn reads_in_place(&self) -> bool {
        self.windows.are_pixels() && self.together() == 1
    }

    /// The columns of some images side by side, `[depth, images * outputs]`.
    fn columns(&self, images: &[f32], columns: &mut [f32]) {
        let Self { windows, inputs, .. } = *self;
        let (pixels, count) = (windows.height * windows.width, windows.count());
        let stride = images.len() / self.image() * count;
        let channels = columns[..self.depth() * stride].chunks_mut(windows.area() * stride).enumerate();
        parallel::run(
            channels,
            || (),
            |(), (channel, rows)| {
                for (place, image) in images.chunks(inputs * pixels).enumerate() {
                    windows.gather(&image[channel * pixels..][..pixels], &mut rows[place * count..], stride);
                }
            },
        );
    }

    fn convolve(&self, x: &[f32], weight: &[f32], bias: Option<&[f32]>) -> FlexTensor {
        let (count, depth) = (self.windows.count(), self.depth());
        let mut result = Buffer::of(self.batch * self.result());
        let weight = Matrix::new(weight, self.outputs, depth, depth);
        let mut scratch = self.scratch();
        let images = x.chunks(self.together() * self.image());
        for (images, result) in images.zip(result.chunks_mut(self.together() * self.result())) {
            let width = images.len() / self.image() * count;
            if self.reads_in_place() {
                let columns = Matrix::new(images, depth, width, width);
                self.product(weight, columns, result, width);
                continue;
            }
            let Scratch { columns, beside } = &mut scratch;
            self.columns(images, columns);
            let columns = Matrix::new(columns, depth, width, width);
            if width == count {
                self.product(weight, columns, result, width);
            } else {
                self.product(weight, columns, beside, width);
                apart(beside, result, self.outputs, count);
            }
        }
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
        let (count, depth) = (self.windows.count(), self.depth());
        let mut result = Buffer::zeros(self.batch * self.image());
        let weight = Matrix::new(weight, self.outputs, depth, depth).transposed();
        let mut scratch = self.scratch();
        let gradients = gradient.chunks(self.together() * self.result());
        for (gradient, result) in gradients.zip(result.chunks_mut(self.together() * self.image())) {
            let width = gradient.len() / self.result() * count;
            let Scratch { columns, beside } = &mut scratch;
            let gradient = together(gradient, beside, self.outputs, count);
            let gradient = Matrix::new(gradient, self.outputs, width, width);
            if self.reads_in_place() {
                self.product(weight, gradient, result, width);
                continue;
            }
            self.product(weight, gradient, columns, width);
            let (windows, columns) = (self.windows, &*columns);
            let channels = result.chunks_mut(windows.height * windows.width).enumerate();
            parallel::run(
                channels,
                || (),
                |(), (index, channel)| {
                    let (image, of) = (index / self.inputs, index % self.inputs);
                    let rows = &columns[of * windows.area() * width + image * count..];
                    windows.scatter(rows, width, channel);
                },
            );
        }
        result.into_tensor([self.batch, self.inputs, self.windows.height, self.windows.width])
    }

    fn weight_gradient(&self, gradient: &[f32], x: &[f32]) -> FlexTensor {
        let (count, depth) = (self.windows.count(), self.depth());
        let mut result = Buffer::zeros(self.outputs * depth);
        let mut scratch = self.scratch();
        let images = x.chunks(self.together() * self.image());
        for (images, gradient) in images.zip(gradient.chunks(self.together() * self.result())) {
            let width = images.len() / self.image() * count;
            let Scratch { columns, beside } = &mut scratch;
            let gradient = together(gradient, beside, self.outputs, count);
            let gradient = Matrix::new(gradient, self.outputs, width, width);
            let columns = match self.reads_in_place() {
                true => images,
                false => {
                    self.columns(images, columns);
                    columns
                }
            };
            let columns = Matrix::new(columns, depth, width, width).transposed();
            let target = MatrixMut::new(&mut result, self.outputs, depth, depth);
            target.add_product(gradient, columns, 1.0, self.how);
        }
        let side = self.windows.side;
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

    fn product(&self, weight: Matrix, columns: Matrix, result: &mut [f32], width: usize) {
        let target = MatrixMut::new(result, weight.rows(), width, width);
        target.set_product(weight, columns, 1.0, self.how);
    }

    fn scratch(&self) -> Scratch {
        let width = self.together() * self.windows.count();
        let columns = if self.reads_in_place() { 0 } else { self.depth() * width };
        let beside = if self.together() == 1 { 0 } else { self.outputs * width };
        Scratch { columns: Buffer::of(columns), beside: Buffer::of(beside) }
    }
}

/// Memory that all groups of images use.
struct Scratch {
    columns: Buffer,
    /// Results of a group, channel by channel, with those of its images side by side.
    beside: Buffer,
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

/// `[images, channels, count]` to `[channels, images, count]`, where there are several images.
fn together<'a>(gradient: &'a [f32], beside: &'a mut [f32], channels: usize, count: usize) -> &'a [f32] {
    let width = gradient.len() / channels;
    if width == count {
        return gradient;
    }
    let rows = beside[..gradient.len()].chunks_mut(TOGETHER * width).enumerate();
    parallel::run(
        rows,
        || (),
        |(), (index, rows)| {
            for (row, values) in rows.chunks_mut(width).enumerate() {
                let channel = index * TOGETHER + row;
                for (image, values) in values.chunks_mut(count).enumerate() {
                    values.copy_from_slice(&gradient[(image * channels + channel) * count..][..count]);
                }
            }
        },
    );
    beside
}
