//! Which values of an image each output of a convolution reads, as rows of a matrix.

use std::ops::Range;

/// The windows of a square kernel over an image.
#[derive(Debug, Clone, Copy)]
pub(super) struct Windows {
    pub(super) height: usize,
    pub(super) width: usize,
    pub(super) side: usize,
    pub(super) stride: usize,
    pub(super) padding: usize,
    /// Whether a window is read from its last place to its first one.
    pub(super) turned: bool,
}

impl Windows {
    pub(super) fn out_height(self) -> usize {
        (self.height + 2 * self.padding - self.side) / self.stride + 1
    }

    pub(super) fn out_width(self) -> usize {
        (self.width + 2 * self.padding - self.side) / self.stride + 1
    }

    /// Outputs per image and channel.
    pub(super) fn count(self) -> usize {
        self.out_height() * self.out_width()
    }

    /// Values of a channel that a window reads.
    pub(super) fn area(self) -> usize {
        self.side * self.side
    }

    /// Whether each output reads the value at its own place.
    pub(super) fn are_pixels(self) -> bool {
        self.side == 1 && self.stride == 1 && self.padding == 0
    }

    /// Places of a window, in each direction, between which there is no whole step.
    fn phases(self) -> usize {
        self.side.min(self.stride)
    }

    /// Height and width of a plane.
    fn plane(self) -> (usize, usize) {
        let steps = (self.side - 1) / self.stride;
        (self.out_height() + steps, self.out_width() + steps)
    }

    /// Values of a padded channel: a plane for each phase of rows and columns, with the zeros around the image.
    pub(super) fn padded(self) -> usize {
        let (height, width) = self.plane();
        self.phases().pow(2) * height * width
    }

    /// Writes a channel so that neighbouring outputs read neighbouring values at each place of their windows.
    pub(super) fn pad(self, channel: &[f32], padded: &mut [f32]) {
        let (height, width) = self.plane();
        for (phase, plane) in padded.chunks_exact_mut(height * width).enumerate() {
            let (row, column) = (phase / self.phases(), phase % self.phases());
            let inside = self.inside(column, self.width, width);
            let first = (inside.start * self.stride + column).saturating_sub(self.padding);
            for (step, line) in plane.chunks_exact_mut(width).enumerate() {
                let Some(y) = self.source(step, row, self.height).filter(|_| !inside.is_empty()) else {
                    line.fill(0.0);
                    continue;
                };
                let source = &channel[y * self.width..][first..self.width];
                line[..inside.start].fill(0.0);
                line[inside.end..].fill(0.0);
                let line = &mut line[inside.clone()];
                if self.stride == 1 {
                    line.copy_from_slice(&source[..line.len()]);
                } else {
                    for (value, &read) in line.iter_mut().zip(source.iter().step_by(self.stride)) {
                        *value = read;
                    }
                }
            }
        }
    }

    /// Where the first output reads in a padded channel, place by place within its window.
    pub(super) fn starts(self) -> impl Iterator<Item = usize> {
        let (height, width) = self.plane();
        let (phases, last) = (self.phases(), self.area() - 1);
        (0..self.area()).map(move |place| {
            let place = if self.turned { last - place } else { place };
            let (row, column) = (place / self.side, place % self.side);
            let phase = row % self.stride * phases + column % self.stride;
            (phase * height + row / self.stride) * width + column / self.stride
        })
    }

    /// From where the first output reads to where the first of each line of outputs does.
    pub(super) fn lines(self) -> impl Iterator<Item = usize> {
        let (_, width) = self.plane();
        (0..self.out_height()).map(move |line| line * width)
    }

    /// The windows over the outputs of these that reach each value of the image: convolved with them, the gradient of the
    /// outputs becomes that of the image. `None` if they do not lie side by side.
    pub(super) fn back(self) -> Option<Self> {
        let padding = (self.side - 1).checked_sub(self.padding).filter(|_| self.stride == 1)?;
        let (height, width) = (self.out_height(), self.out_width());
        Some(Self { height, width, padding, turned: !self.turned, ..self })
    }

    /// Adds to each value of a channel what stands in the rows for it, where a row holds what all outputs read at a place
    /// of their windows.
    pub(super) fn scatter(self, rows: &[f32], row_stride: usize, channel: &mut [f32]) {
        debug_assert!(!self.turned, "rows are in the order of windows that are not turned");
        let out_width = self.out_width();
        for place in 0..self.area() {
            let row = &rows[place * row_stride..][..self.count()];
            let columns = self.inside(place % self.side, self.width, out_width);
            if columns.is_empty() {
                continue;
            }
            let first = columns.start * self.stride + place % self.side - self.padding;
            for (out_y, line) in row.chunks_exact(out_width).enumerate() {
                let Some(y) = self.source(out_y, place / self.side, self.height) else { continue };
                let target = &mut channel[y * self.width..][first..self.width];
                let line = &line[columns.clone()];
                if self.stride == 1 {
                    for (value, &add) in target.iter_mut().zip(line) {
                        *value += add;
                    }
                } else {
                    for (value, &add) in target.iter_mut().step_by(self.stride).zip(line) {
                        *value += add;
                    }
                }
            }
        }
    }

    /// Where output `out` reads at `offset` of its window, if that is in the image.
    fn source(self, out: usize, offset: usize, length: usize) -> Option<usize> {
        (out * self.stride + offset).checked_sub(self.padding).filter(|&place| place < length)
    }

    /// The outputs that read within the image at `offset` of their window.
    fn inside(self, offset: usize, length: usize, outputs: usize) -> Range<usize> {
        let first = self.padding.saturating_sub(offset).div_ceil(self.stride);
        let end = (length + self.padding).saturating_sub(offset).div_ceil(self.stride).min(outputs);
        first.min(end)..end
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn windows_read_what_lies_below_them() {
        for (height, width, side, stride, padding) in [
            (5, 7, 3, 1, 1),
            (6, 5, 3, 2, 1),
            (4, 4, 1, 2, 0),
            (3, 3, 1, 1, 0),
            (9, 8, 7, 2, 3),
            (2, 2, 5, 1, 4),
        ] {
            let windows = Windows { height, width, side, stride, padding, turned: false };
            let channel: Vec<f32> = (1..=height * width).map(|value| value as f32).collect();
            let mut padded = vec![-1.0; windows.padded()];
            windows.pad(&channel, &mut padded);
            let row_stride = windows.count() + 2;
            let mut rows = vec![-1.0; windows.area() * row_stride];
            let mut sums = vec![0.0; height * width];
            for (place, start) in windows.starts().enumerate() {
                for (out_y, line) in windows.lines().enumerate() {
                    for out_x in 0..windows.out_width() {
                        let y = (out_y * stride + place / side).checked_sub(padding).filter(|y| *y < height);
                        let x = (out_x * stride + place % side).checked_sub(padding).filter(|x| *x < width);
                        let value = y.zip(x).map_or(0.0, |(y, x)| channel[y * width + x]);
                        assert_eq!(padded[start + line + out_x], value, "{windows:?}");
                        rows[place * row_stride + out_y * windows.out_width() + out_x] = value;
                        if let Some((y, x)) = y.zip(x) {
                            sums[y * width + x] += value;
                        }
                    }
                }
            }
            let mut scattered = vec![0.0; height * width];
            windows.scatter(&rows, row_stride, &mut scattered);
            assert_eq!(scattered, sums, "{windows:?}");
        }
    }

    #[test]
    fn windows_back_reach_the_outputs_that_read_a_value() {
        for (height, width, side, padding) in [(5, 7, 3, 1), (6, 5, 3, 0), (4, 4, 1, 0), (2, 2, 5, 4)] {
            let windows = Windows { height, width, side, stride: 1, padding, turned: false };
            let back = windows.back().unwrap();
            assert_eq!((back.out_height(), back.out_width()), (height, width));
            let outputs: Vec<f32> = (1..=windows.count()).map(|value| value as f32).collect();
            let mut padded = vec![-1.0; back.padded()];
            back.pad(&outputs, &mut padded);
            for (place, start) in back.starts().enumerate() {
                for (y, line) in back.lines().enumerate() {
                    for x in 0..width {
                        let out_y =
                            (y + padding).checked_sub(place / side).filter(|y| *y < windows.out_height());
                        let out_x =
                            (x + padding).checked_sub(place % side).filter(|x| *x < windows.out_width());
                        let value =
                            out_y.zip(out_x).map_or(0.0, |(y, x)| outputs[y * windows.out_width() + x]);
                        assert_eq!(padded[start + line + x], value, "{windows:?}");
                    }
                }
            }
        }
        let windows = Windows { height: 5, width: 5, side: 3, stride: 2, padding: 1, turned: false };
        assert!(windows.back().is_none());
        assert!(Windows { stride: 1, padding: 3, ..windows }.back().is_none());
    }
}
