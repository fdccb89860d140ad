//! Every number that decides what the built-in world looks like and how hard its tasks are.
//!
//! They are in one file so that they can be read, and argued with, in one sitting. Nothing here is
//! tuned to favour a method: the values were fixed before any method of this code base was measured
//! in the world, no recipe can change them, and they do not change because a method looks better or
//! worse. Hyper-parameters of methods are chosen on development seeds and on the development test
//! sets ([`super::TestSet::Development`]), never by editing this file.
//!
//! The values were taken over from a prototype, and some were chosen there after looking at
//! results. Poses were narrowed (scale from 15 to 27, offset 7, rotation 0.45 at first) until a tiny
//! model learnt the classes at all. The bias task first had eight pre-trained classes and the hard
//! camera; in that setting neither distillation nor ProReg beat both zero-shot and fine-tuning, and
//! the present one (three classes that pre-training never saw, mild camera) replaced it. What a
//! comparison shows here is therefore shown for this setting.
//!
//! Only settings are here: the outlines of the classes are formulas in `shapes.rs`, the patterns of
//! the backgrounds in `backgrounds.rs`.
//!
//! Lengths are pixels of the 64x64 canvas unless said otherwise, angles are radians, colours are
//! RGB in `[0, 1]`, and `(low, high)` is a uniform range.

use super::camera::Camera;

/// Red, green and blue in `[0, 1]`.
pub type Rgb = [f64; 3];

/// Side of a finished image in pixels.
pub const SIDE: usize = 32;
/// Side of the canvas that scenes are painted on; 2x2 canvas pixels average to one image pixel.
pub const CANVAS: usize = 64;

// --- Objects: pose, colour, texture -------------------------------------------------------------

/// Rotation of the object.
pub const ROTATION: (f64, f64) = (-0.2, 0.2);
/// Canvas pixels per unit of object coordinates (an object spans about 2 units).
pub const SCALE: (f64, f64) = (23.0, 29.0);
/// Natural logarithm of the aspect ratio.
pub const LOG_ASPECT: (f64, f64) = (-0.1, 0.1);
/// Offset of the object's centre from the centre of the canvas, per axis.
pub const OFFSET: (f64, f64) = (-3.0, 3.0);
/// Standard deviation of the colour of an object around its named colour, per channel.
pub const COLOUR_SPREAD: f64 = 0.05;
/// The ten named colours, in the order of [`super::Colour::ALL`].
pub const COLOURS: [Rgb; 10] = [
    [0.85, 0.15, 0.15],
    [0.15, 0.65, 0.2],
    [0.15, 0.3, 0.85],
    [0.93, 0.83, 0.15],
    [0.95, 0.52, 0.1],
    [0.55, 0.2, 0.7],
    [0.95, 0.55, 0.72],
    [0.95, 0.95, 0.95],
    [0.12, 0.12, 0.12],
    [0.5, 0.3, 0.15],
];
/// Probability of plain, striped, dotted and checked.
pub const TEXTURE_WEIGHTS: [f64; 4] = [0.55, 0.15, 0.15, 0.15];
/// Stripes per object unit along the diagonal, and the painted share of each.
pub const STRIPES: (f64, f64) = (2.2, 0.45);
/// Dots per object unit, and the squared radius of a dot in units of the dots' spacing.
pub const DOTS: (f64, f64) = (2.6, 0.085);
/// Checks per object unit.
pub const CHECKS: f64 = 2.4;
/// Luminance above which the second colour of a texture is darker than the first, else lighter.
pub const ALTERNATE_SPLIT: f64 = 0.5;
/// Factor of a darker second colour.
pub const ALTERNATE_DARKER: f64 = 0.5;
/// How far a lighter second colour goes towards white.
pub const ALTERNATE_LIGHTER: f64 = 0.55;
/// Weights of red, green and blue in luminance.
pub const LUMINANCE: Rgb = [0.3, 0.59, 0.11];

// --- Backgrounds ---------------------------------------------------------------------------------

/// The two colours between which each background is painted, in the order of
/// [`super::Background::ALL`].
pub const BACKGROUND_COLOURS: [(Rgb, Rgb); 8] = [
    ([0.2, 0.5, 0.12], [0.5, 0.78, 0.3]),
    ([0.45, 0.7, 0.95], [0.95, 0.97, 1.0]),
    ([0.05, 0.25, 0.5], [0.25, 0.55, 0.75]),
    ([0.78, 0.65, 0.42], [0.95, 0.86, 0.65]),
    ([0.6, 0.25, 0.18], [0.85, 0.78, 0.72]),
    ([0.03, 0.03, 0.13], [0.95, 0.95, 0.8]),
    ([0.99, 0.99, 1.0], [0.78, 0.84, 0.92]),
    ([0.05, 0.2, 0.08], [0.3, 0.28, 0.14]),
];
/// Brightness of a background.
pub const BACKGROUND_BRIGHTNESS: (f64, f64) = (0.85, 1.1);
/// Factor of the spatial frequency of waves, bricks and trunks.
pub const BACKGROUND_FREQUENCY: (f64, f64) = (0.8, 1.25);
/// Probability of a star at each of the 32x32 places of a night sky.
pub const STAR_PROBABILITY: f64 = 0.015;

// --- Styles --------------------------------------------------------------------------------------

/// Photo: mean light on the object, and how much it changes per object unit along the light.
pub const PHOTO_LIGHT: (f64, f64) = (0.9, 0.25);
/// Photo: brightness of the background in the object's shadow.
pub const PHOTO_SHADOW: f64 = 0.65;
/// Photo: the shadow falls this far to the right and this far down.
pub const PHOTO_SHADOW_SHIFT: usize = 3;
/// Photo: exposure of the whole image.
pub const PHOTO_EXPOSURE: (f64, f64) = (0.75, 1.15);
/// Photo: standard deviation of the noise per image pixel and channel.
pub const PHOTO_NOISE: f64 = 0.04;
/// Cartoon: factor of the object's colour.
pub const CARTOON_COLOUR: f64 = 1.15;
/// Cartoon: grey of the outline.
pub const CARTOON_OUTLINE: f64 = 0.03;
/// Cartoon: width of the outline.
pub const CARTOON_OUTLINE_WIDTH: usize = 2;
/// Cartoon: the background has this many steps per channel.
pub const CARTOON_STEPS: f64 = 3.0;
/// Cartoon: how far the background goes towards its mean colour.
pub const CARTOON_FLATNESS: f64 = 0.5;
/// Sketch: grey of the paper and of the inside of the object.
pub const SKETCH_PAPER: f64 = 0.95;
/// Sketch: factor and largest darkness of the background's edges.
pub const SKETCH_EDGES: (f64, f64) = (0.9, 0.35);
/// Sketch: distance between the two pixels of an edge's difference.
pub const SKETCH_EDGE_SHIFT: usize = 2;
/// Sketch: darkness of the hatching of a black object, and of a texture.
pub const SKETCH_SHADING: (f64, f64) = (0.4, 0.4);
/// Sketch: distance between hatching lines (along `x + y`), and the drawn share of it.
pub const SKETCH_HATCHING: (f64, f64) = (5.0, 0.35);
/// Sketch: grey of the outline.
pub const SKETCH_OUTLINE: f64 = 0.12;
/// Sketch: standard deviation of the noise per image pixel, the same for its three channels.
pub const SKETCH_NOISE: f64 = 0.02;
/// Painting: how much of the second colour a texture shows.
pub const PAINTING_TEXTURE: f64 = 0.8;
/// Painting: lattice and full range of the displacement of pixels.
pub const PAINTING_DISPLACEMENT: (usize, f64) = (12, 6.0);
/// Painting: steps per channel.
pub const PAINTING_STEPS: f64 = 4.0;
/// Painting: factor of the distance from grey.
pub const PAINTING_SATURATION: f64 = 1.3;
/// Painting: lattice, base and range of the canvas texture that multiplies the image.
pub const PAINTING_RELIEF: (usize, f64, f64) = (16, 0.85, 0.3);

// --- Cameras: the domain shift of downstream tasks -----------------------------------------------

/// The camera of the bias and few-shot tasks.
pub const CAMERA_MILD: Camera = Camera { grey: 0.3, contrast: 0.6, blur: 0.3, brightness: 0.0, noise: 0.04 };
/// The camera of the base-to-novel task.
pub const CAMERA_HARD: Camera =
    Camera { grey: 0.5, contrast: 0.45, blur: 0.5, brightness: -0.1, noise: 0.06 };

// --- Captions ------------------------------------------------------------------------------------

/// Probability that a caption names a random other active class.
pub const CAPTION_WRONG_CLASS: f64 = 0.06;
/// Probability that a caption names the hypernym instead of the class.
pub const CAPTION_HYPERNYM: f64 = 0.10;
/// Probability that a caption mentions a small or big size.
pub const CAPTION_SIZE: f64 = 0.12;
/// An object below the first scale is small, above the second it is big.
pub const CAPTION_SIZE_LIMITS: (f64, f64) = (25.0, 27.0);
/// Probability that a caption mentions the colour.
pub const CAPTION_COLOUR: f64 = 0.25;
/// Probability that a caption mentions a texture other than plain.
pub const CAPTION_TEXTURE: f64 = 0.25;
/// Probability of each sentence, in the order of `captions::SENTENCES`.
pub const CAPTION_SENTENCE_WEIGHTS: [f64; 8] = [0.10, 0.05, 0.10, 0.25, 0.15, 0.05, 0.10, 0.20];

// --- Pre-training --------------------------------------------------------------------------------

/// A class of rank `r` occurs in proportion to `(1 + r)` to this power.
pub const CLASS_FREQUENCY_EXPONENT: f64 = -0.4;
/// Probability of photo, cartoon, sketch and painting.
pub const STYLE_WEIGHTS: [f64; 4] = [0.4, 0.25, 0.15, 0.2];

// --- Tasks ---------------------------------------------------------------------------------------

/// Training images per class of the bias task.
pub const BIAS_TRAIN_PER_CLASS: usize = 60;
/// Shots of the base-to-novel task.
pub const BASE_TO_NOVEL_SHOTS: usize = 16;
/// Images of each test split unless asked otherwise: the least for which verdicts are printed.
pub const TEST_IMAGES: usize = 2_000;
