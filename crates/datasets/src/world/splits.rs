//! Rendered sets of images, in parallel and with the scene of every image kept.

use rayon::prelude::*;
use regulus_images::random::Stream;

use super::camera::Camera;
use super::parameters::{CLASS_FREQUENCY_EXPONENT, SIDE, STYLE_WEIGHTS};
use super::render::{IMAGE_BYTES, render};
use super::scene::Scene;
use super::words::{ACTIVE, Background, Class, Style};
use crate::LabelledImages;
use crate::subset::taking_turns;

/// Images with the scene that each of them shows.
#[derive(Debug, Clone, PartialEq)]
pub struct RenderedSplit {
    /// Pixels and labels. In a task the labels index its classes; elsewhere they are
    /// [`Class::index`].
    pub images: LabelledImages,
    /// The scene of each image `[n]`.
    pub scenes: Vec<Scene>,
}

/// Names the random streams of a split: one stream per image, whatever thread renders it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Streams<'a> {
    pub seed: u64,
    pub purpose: &'a str,
    /// Distinguishes splits of one purpose; 0 where there is only one.
    pub variant: u64,
}

impl RenderedSplit {
    /// Renders the images of these indices. `draw` gives the label and the scene of an image from its index and
    /// its stream; the same stream then gives the noise.
    pub(super) fn render(
        indices: &[usize],
        streams: Streams,
        camera: Option<Camera>,
        draw: impl Fn(usize, &mut Stream) -> (usize, Scene) + Sync,
    ) -> Self {
        let mut pixels = vec![0; indices.len() * IMAGE_BYTES];
        let (labels, scenes) = pixels
            .par_chunks_exact_mut(IMAGE_BYTES)
            .zip(indices)
            .map(|(image, &index)| {
                let mut stream = Stream::new(streams.seed, streams.purpose, streams.variant, index as u64);
                let (label, scene) = draw(index, &mut stream);
                image.copy_from_slice(&render(&scene, &mut stream, camera));
                (label, scene)
            })
            .unzip();
        Self { images: LabelledImages { side: SIDE, pixels: pixels.into(), labels }, scenes }
    }

    /// Renders `per_class` images of each of `classes`, classes taking turns, so that a smaller
    /// split is the beginning of a larger one. `surround` draws background and style for a label.
    pub(super) fn balanced(
        classes: &[Class],
        per_class: usize,
        streams: Streams,
        camera: Option<Camera>,
        surround: impl Fn(usize, &mut Stream) -> (Background, Style) + Sync,
    ) -> Self {
        Self::unbalanced(classes, &vec![per_class; classes.len()], streams, camera, surround)
    }

    /// Renders `counts[label]` images of each of `classes`: of each class the first of a balanced split.
    pub(super) fn unbalanced(
        classes: &[Class],
        counts: &[usize],
        streams: Streams,
        camera: Option<Camera>,
        surround: impl Fn(usize, &mut Stream) -> (Background, Style) + Sync,
    ) -> Self {
        let indices: Vec<usize> =
            taking_turns(counts).into_iter().map(|(rank, label)| rank * classes.len() + label).collect();
        Self::render(&indices, streams, camera, |index, stream| {
            let label = index % classes.len();
            let (background, style) = surround(label, stream);
            (label, Scene::sample(classes[label], background, style, stream))
        })
    }

    /// Number of images.
    pub fn len(&self) -> usize {
        self.scenes.len()
    }

    /// Whether there is no image.
    pub fn is_empty(&self) -> bool {
        self.scenes.is_empty()
    }
}

/// `n` images to pre-train on: long-tailed classes, every background as often, styles by their
/// weights, no camera. Labels are [`Class::index`], below [`ACTIVE`].
///
/// The order of the classes from frequent to rare does not depend on the seed.
pub fn pretraining_set(seed: u64, n: usize) -> RenderedSplit {
    let ranks = Stream::new(0, "world/class-ranks", 0, 0).permutation(ACTIVE);
    let frequencies: Vec<f64> =
        ranks.iter().map(|&rank| libm::pow(1.0 + rank as f64, CLASS_FREQUENCY_EXPONENT)).collect();
    let streams = Streams { seed, purpose: "world/pretraining", variant: 0 };
    let indices: Vec<usize> = (0..n).collect();
    RenderedSplit::render(&indices, streams, None, |_, stream| {
        let class = Class::ALL[stream.weighted(&frequencies)];
        let background = any_background(stream);
        let style = Style::ALL[stream.weighted(&STYLE_WEIGHTS)];
        (class.index(), Scene::sample(class, background, style, stream))
    })
}

/// Clean images of the active classes in one style, `per_class` of each, on which the zero-shot
/// accuracy of a pre-trained model is measured. Fixed: there is no seed. Labels are [`Class::index`].
pub fn zero_shot_set(style: Style, per_class: usize) -> RenderedSplit {
    let streams = Streams { seed: 0, purpose: "world/zero-shot", variant: style.index() as u64 };
    RenderedSplit::balanced(&Class::ALL[..ACTIVE], per_class, streams, None, |_, stream| {
        (any_background(stream), style)
    })
}

/// Each background equally likely.
pub(super) fn any_background(stream: &mut Stream) -> Background {
    Background::ALL[stream.below(Background::ALL.len())]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn images_do_not_depend_on_threads() {
        let render = |threads| {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            pool.install(|| pretraining_set(3, 60))
        };
        assert_eq!(render(1), render(4));
    }

    #[test]
    fn pretraining_is_long_tailed_over_the_active_classes() {
        let set = pretraining_set(5, 4_000);
        let mut counts = vec![0usize; ACTIVE];
        set.images.labels.iter().for_each(|&label| counts[label] += 1);
        counts.sort_unstable_by(|a, b| b.cmp(a));
        // (1 + r)^-0.4 over 20 ranks: 1 / 8.46 for the first, 0.302 / 8.46 for the last.
        let share = |count: usize| count as f64 / 4_000.0;
        assert!((share(counts[0]) - 0.107).abs() < 0.025, "{counts:?}");
        assert!((share(counts[19]) - 0.032).abs() < 0.012, "{counts:?}");
        let of_style = |style| set.scenes.iter().filter(|scene| scene.style == style).count();
        assert!((share(of_style(Style::Photo)) - 0.4).abs() < 0.03);
        assert!((share(of_style(Style::Sketch)) - 0.15).abs() < 0.03);
        assert_ne!(set.images.image(0), pretraining_set(6, 1).images.image(0));
    }

    #[test]
    fn a_smaller_set_is_the_beginning_of_a_larger() {
        let (large, small) = (zero_shot_set(Style::Sketch, 3), zero_shot_set(Style::Sketch, 2));
        assert_eq!(large.images.labels[..40], small.images.labels);
        assert!(large.images.images().take(small.images.len()).eq(small.images.images()));
        assert!(small.scenes.iter().all(|scene| scene.style == Style::Sketch));
        assert!(small.scenes.iter().zip(&small.images.labels).all(|(s, &label)| s.class.index() == label));
    }
}
