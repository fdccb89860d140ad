//! The way of one image from its source to its place in a batch.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use rayon::prelude::*;
use regulus_images::{DecodeError, MAX_PIXELS, Oddity, Preprocess, RgbImage, decode, dimensions};

use super::gate::{Gate, Permit};
use super::stages::Stages;
use super::{FaultCause, ImageFault, Original, Sample, Source, SquareCache, View, Visit};

/// Bytes that decoding takes for every pixel: the image, the coefficients of a progressive JPEG file (two bytes for each
/// sample), and what lies between the two passes of the resize.
const BYTES_PER_PIXEL: u64 = 12;

/// What the jobs of a loader share.
#[derive(Debug)]
pub(super) struct Pipeline {
    pub source: Arc<dyn Source>,
    pub preprocess: Preprocess,
    pub view: View,
    pub cache: Option<Arc<SquareCache>>,
    pub gate: Gate,
    pub stages: Stages,
    /// Set when nobody waits for the images any more.
    pub stopped: AtomicBool,
}

/// Bytes of originals that are decoded at the same time where squares are made of all images.
const ORIGINALS: u64 = 256 << 20;

impl Pipeline {
    /// Squares of all images, each once.
    pub fn of_squares(source: &Arc<dyn Source>, preprocess: &Preprocess) -> Self {
        Self {
            source: Arc::clone(source),
            preprocess: preprocess.clone(),
            view: View::Square,
            cache: None,
            gate: Gate::new(ORIGINALS),
            stages: Stages::default(),
            stopped: AtomicBool::new(false),
        }
    }

    /// Values of one image.
    pub fn image_len(&self) -> usize {
        self.preprocess.crop.saturating_mul(self.preprocess.crop).saturating_mul(3)
    }

    /// Fills a batch, in parallel on the current pool. Images with a fault become zeros.
    pub fn fill<T: Sample>(&self, visits: &[Visit], pixels: &mut [T]) -> Vec<(usize, ImageFault)> {
        let images = pixels.par_chunks_exact_mut(self.image_len().max(1)).with_max_len(1).zip(visits);
        let outcomes: Vec<Option<ImageFault>> = images
            .map(|(out, &visit)| {
                let fault = self.show(visit, out).err()?;
                out.fill(T::default());
                Some(fault)
            })
            .collect();
        outcomes.into_iter().enumerate().filter_map(|(at, fault)| Some((at, fault?))).collect()
    }

    fn show<T: Sample>(&self, visit: Visit, out: &mut [T]) -> Result<(), ImageFault> {
        if self.stopped.load(Ordering::Relaxed) {
            return Ok(());
        }
        let write = |square: &[u8], out: &mut [T]| {
            self.stages.write.time(|| T::write(&self.preprocess, square, out));
        };
        if let Some(square) = self.cached(visit.index) {
            match &self.view {
                View::OfSquare(change) => {
                    let side = self.preprocess.crop;
                    let square = RgbImage { width: side, height: side, pixels: square.to_vec() };
                    let changed = self.stages.view.time(|| change(square, visit));
                    write(self.checked(visit.index, &changed)?, out);
                }
                _ => write(square, out),
            }
            return Ok(());
        }
        let (image, _, permit) = self.original(visit.index)?;
        let seen = self.stages.view.time(|| match &self.view {
            View::Square => self.preprocess.square(&image),
            View::OfSquare(change) => change(self.preprocess.square(&image), visit),
            View::OfOriginal(change) => change(image, visit),
        });
        drop(permit);
        write(self.checked(visit.index, &seen)?, out);
        Ok(())
    }

    /// Writes the square of an image, from its original, to `out`; what is odd about the original.
    pub fn square(&self, index: usize, out: &mut [u8]) -> Result<Vec<Oddity>, ImageFault> {
        let (image, oddities, _permit) = self.original(index)?;
        let square = self.stages.view.time(|| self.preprocess.square(&image));
        out.copy_from_slice(self.checked(index, &square)?);
        Ok(oddities)
    }

    fn cached(&self, index: usize) -> Option<&[u8]> {
        let cache = self.cache.as_ref()?;
        match self.view {
            View::Square | View::OfSquare(_) => self.stages.cache.time(|| cache.square(index)),
            View::OfOriginal(_) => None,
        }
    }

    /// The decoded original, what is odd about it, and the room that it takes.
    fn original(&self, index: usize) -> Result<(RgbImage, Vec<Oddity>, Permit<'_>), ImageFault> {
        let decoded = self.stages.read.time(|| self.source.read(index)).and_then(|original| {
            self.stages.decode.time(|| match original {
                Original::Pixels(image) => {
                    let permit = self.gate.enter(image.pixels.len() as u64);
                    Ok((image, Vec::new(), permit))
                }
                Original::Encoded(bytes) => {
                    let permit = self.gate.enter(cost(&bytes));
                    decode(&bytes).map(|decoded| (decoded.image, decoded.oddities, permit))
                }
            })
        });
        decoded.map_err(|cause: DecodeError| ImageFault::new(index, self.source.place(index), cause))
    }

    fn checked<'a>(&self, index: usize, image: &'a RgbImage) -> Result<&'a [u8], ImageFault> {
        let &RgbImage { width, height, ref pixels } = image;
        let side = self.preprocess.crop;
        if (width, height) == (side, side) && pixels.len() == self.image_len() {
            return Ok(pixels);
        }
        let cause = FaultCause::NotSquare { width, height, side };
        Err(ImageFault::new(index, self.source.place(index), cause))
    }
}

/// Bytes that decoding a file will take, by its header. What is beyond the limits will be refused, and costs nothing.
fn cost(bytes: &[u8]) -> u64 {
    let pixels = dimensions(bytes).map_or(0, |(width, height)| u64::from(width) * u64::from(height));
    let decoded = if pixels <= MAX_PIXELS { pixels * BYTES_PER_PIXEL } else { 0 };
    bytes.len() as u64 + decoded
}
