//! What is seen of an image at a visit.

use std::fmt;
use std::sync::Arc;

use regulus_images::RgbImage;

use super::Visit;

/// Makes another image of an image. What is random about it must come from the visit, not from shared state: draw from a
/// [`Stream`](regulus_images::random::Stream) that is keyed by epoch and index.
pub type Change = Arc<dyn Fn(RgbImage, Visit) -> RgbImage + Send + Sync>;

/// What is seen of an image at a visit: a square as large as the model's input.
#[derive(Clone)]
pub enum View {
    /// The model's resize and crop, the same at every visit: these squares can be cached.
    Square,
    /// That square, changed: mirrored, say. The squares can be cached as well.
    OfSquare(Change),
    /// A square made of the original, such as a random resized crop. The original is decoded at every visit.
    OfOriginal(Change),
}

impl fmt::Debug for View {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Square => "Square",
            Self::OfSquare(_) => "OfSquare",
            Self::OfOriginal(_) => "OfOriginal",
        })
    }
}
