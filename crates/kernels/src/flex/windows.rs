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

    /// Writes what the windows read of one channel, place by place within the window: that of place `p` into
    /// `rows[p * row_stride..][..count]`.
    pub(super) fn gather(self, channel: &[f32], rows: &mut [f32], row_stride: usize) {
        let out_width = self.out_width();
        for place in 0..self.area() {
            let row = &mut rows[place * row_stride..][..self.count()];
            let columns = self.inside(place % self.side, self.width, out_width);
            for (out_y, line) in row.chunks_exact_mut(out_width).enumerate() {
                let Some(y) = self.source(out_y, place / self.side, self.height) else {
                    line.fill(0.0);
                    continue;
                };
                line[..columns.start].fill(0.0);
                line[columns.end..].fill(0.0);
                if columns.is_empty() {
                    continue;
                }
                let first = columns.start * self.stride + place % self.side - self.padding;
                let source = &channel[y * self.width..][first..self.width];
                let line = &mut line[columns.clone()];
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

    /// Adds to each value of a channel what stands in the rows for it: the transpose of [`Self::gather`].
    pub(super) fn scatter(self, rows: &[f32], row_stride: usize, channel: &mut [f32]) {
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
            let windows = Windows { height, width, side, stride, padding };
            let channel: Vec<f32> = (1..=height * width).map(|value| value as f32).collect();
            let row_stride = windows.count() + 2;
            let mut rows = vec![-1.0; windows.area() * row_stride];
            windows.gather(&channel, &mut rows, row_stride);
            let mut sums = vec![0.0; height * width];
            for place in 0..windows.area() {
                for out in 0..windows.count() {
                    let (out_y, out_x) = (out / windows.out_width(), out % windows.out_width());
                    let y = (out_y * stride + place / side).checked_sub(padding).filter(|y| *y < height);
                    let x = (out_x * stride + place % side).checked_sub(padding).filter(|x| *x < width);
                    let expected = y.zip(x).map_or(0.0, |(y, x)| channel[y * width + x]);
                    assert_eq!(rows[place * row_stride + out], expected, "{windows:?}");
                    if let Some((y, x)) = y.zip(x) {
                        sums[y * width + x] += expected;
                    }
                }
                assert_eq!(rows[place * row_stride + windows.count()], -1.0);
            }
            let mut scattered = vec![0.0; height * width];
            windows.scatter(&rows, row_stride, &mut scattered);
            assert_eq!(scattered, sums, "{windows:?}");
        }
    }
}
