//! Where channels of images, and what windows read of them, lie as the rows of a matrix.

use super::memory::Buffer;
use super::windows::Windows;
use regulus_matrix::{Matrix, Pieced, Source};

use crate::parallel;

/// Channels that a task pads.
const CHANNELS: usize = 16;

/// The rows of a matrix that runs over some images: from where they start, and how they go on.
pub(super) struct Places {
    starts: Vec<usize>,
    /// For one image after the other, where its pieces of a row lie.
    lines: Vec<usize>,
    width: usize,
    /// Whether the rows of an image follow each other.
    whole: bool,
    /// Values of an image.
    image: usize,
    images: usize,
}

impl Places {
    /// A row for each channel, with its `count` values of each image.
    pub(super) fn channels(images: usize, channels: usize, count: usize) -> Self {
        let image = channels * count;
        let starts = (0..channels).map(|channel| channel * count).collect();
        let lines = (0..images).map(|index| index * image).collect();
        Self { starts, lines, width: count, whole: true, image, images }
    }

    /// A row for each place of the windows over each padded channel, with what all outputs of each image read there.
    fn windows(images: usize, channels: usize, windows: Windows) -> Self {
        let image = channels * windows.padded();
        let of_channel = |channel| windows.starts().map(move |start| channel * windows.padded() + start);
        let of_image = |index| windows.lines().map(move |line| index * image + line);
        Self {
            starts: (0..channels).flat_map(of_channel).collect(),
            lines: (0..images).flat_map(of_image).collect(),
            width: windows.out_width(),
            whole: false,
            image,
            images,
        }
    }

    /// The rows for as many images as there are values.
    pub(super) fn of<'a>(&'a self, values: &'a [f32]) -> Source<'a> {
        let images = values.len() / self.image;
        if self.whole && images == 1 {
            return Matrix::new(values, self.starts.len(), self.width, self.width).into();
        }
        let lines = &self.lines[..self.lines.len() / self.images * images];
        Pieced::new(values, &self.starts, lines, self.width).into()
    }
}

/// What windows read of some images.
pub(super) struct WindowPlaces {
    places: Places,
    windows: Windows,
    /// Memory for padded channels; nothing where the images themselves are read.
    padded: Option<Buffer>,
}

impl WindowPlaces {
    /// For up to `images` images of so many channels.
    pub(super) fn new(images: usize, channels: usize, windows: Windows) -> Self {
        if windows.are_pixels() {
            let places = Places::channels(images, channels, windows.count());
            return Self { places, windows, padded: None };
        }
        let places = Places::windows(images, channels, windows);
        let padded = Some(Buffer::of(images * places.image));
        Self { places, windows, padded }
    }

    /// The columns of these images: a row for each channel and place of the window, with what all outputs of all images
    /// read there.
    pub(super) fn of<'a>(&'a mut self, images: &'a [f32]) -> Source<'a> {
        let Self { places, windows, padded: Some(padded) } = self else { return self.places.of(images) };
        let (pixels, length) = (windows.height * windows.width, windows.padded());
        let padded = &mut padded[..images.len() / pixels * length];
        let tasks = images.chunks(CHANNELS * pixels).zip(padded.chunks_mut(CHANNELS * length));
        parallel::run(
            tasks,
            || (),
            |(), (channels, padded)| {
                for (channel, padded) in channels.chunks_exact(pixels).zip(padded.chunks_exact_mut(length)) {
                    windows.pad(channel, padded);
                }
            },
        );
        places.of(padded)
    }
}
