//! The four styles: how an object and its background become one canvas.

use regulus_images::random::Stream;

use super::canvas::{Canvas, Image, luminance, mix};
use super::mask::Mask;
use super::noise::ValueNoise;
use super::object::Object;
use super::parameters::{
    CANVAS, CARTOON_COLOUR, CARTOON_FLATNESS, CARTOON_OUTLINE, CARTOON_OUTLINE_WIDTH, CARTOON_STEPS,
    PAINTING_DISPLACEMENT, PAINTING_RELIEF, PAINTING_SATURATION, PAINTING_STEPS, PAINTING_TEXTURE,
    PHOTO_EXPOSURE, PHOTO_LIGHT, PHOTO_NOISE, PHOTO_SHADOW, PHOTO_SHADOW_SHIFT, Rgb, SKETCH_EDGE_SHIFT,
    SKETCH_EDGES, SKETCH_HATCHING, SKETCH_NOISE, SKETCH_OUTLINE, SKETCH_PAPER, SKETCH_SHADING,
};
use super::words::Style;

impl Style {
    /// Puts `object` before `ground` in this style, at the finished size.
    pub(super) fn compose(self, object: &Object, ground: &Canvas, stream: &mut Stream) -> Image {
        match self {
            Self::Photo => photo(object, ground, stream),
            Self::Cartoon => cartoon(object, ground).halved(),
            Self::Sketch => sketch(object, ground, stream),
            Self::Painting => painting(object, ground, stream).halved(),
        }
    }
}

/// A shaded object with a shadow, some exposure, and sensor noise.
fn photo(object: &Object, ground: &Canvas, stream: &mut Stream) -> Image {
    let shadow = object.mask.shifted(PHOTO_SHADOW_SHIFT, PHOTO_SHADOW_SHIFT);
    let exposure = stream.range(PHOTO_EXPOSURE.0, PHOTO_EXPOSURE.1);
    let towards_light = (libm::cos(object.scene.light), libm::sin(object.scene.light));
    let canvas = Canvas::from_fn(|x, y| {
        if object.mask.contains(x, y) {
            let (right, down) = object.offset(x, y);
            let along = towards_light.0 * right + towards_light.1 * down;
            let light = exposure * (PHOTO_LIGHT.0 + PHOTO_LIGHT.1 * along);
            object.colours.at(object.second_colour_at(x, y)).map(|channel| channel * light)
        } else {
            let light = if shadow.contains(x, y) { exposure * PHOTO_SHADOW } else { exposure };
            ground.at(x, y).map(|channel| channel * light)
        }
    });
    let mut image = canvas.halved();
    for channel in image.iter_mut().flatten() {
        *channel += PHOTO_NOISE * stream.normal();
    }
    image
}

/// Bright flat colours, a black outline, a simplified background.
fn cartoon(object: &Object, ground: &Canvas) -> Canvas {
    let outline = object.mask.dilated(CARTOON_OUTLINE_WIDTH);
    let colours = object.colours.brightened(CARTOON_COLOUR);
    let mean = ground.mean();
    Canvas::from_fn(|x, y| {
        if object.mask.contains(x, y) {
            colours.at(object.second_colour_at(x, y))
        } else if outline.contains(x, y) {
            [CARTOON_OUTLINE; 3]
        } else {
            mix(in_steps(ground.at(x, y), CARTOON_STEPS), mean, CARTOON_FLATNESS)
        }
    })
}

/// Grey pencil on paper: an outline, hatching, faint edges of the background.
fn sketch(object: &Object, ground: &Canvas, stream: &mut Stream) -> Image {
    let mask = &object.mask;
    let outside = mask.dilated(1).and(&mask.complement());
    let inside = mask.and(&mask.complement().dilated(1));
    let outline: Mask = outside.or(&inside);
    let ground_grey = Canvas::from_fn(|x, y| [luminance(ground.at(x, y)); 3]);
    let darkness = SKETCH_SHADING.0 * (1.0 - luminance(object.colours.first));
    let canvas = Canvas::from_fn(|x, y| {
        let grey = if outline.contains(x, y) {
            SKETCH_OUTLINE
        } else if mask.contains(x, y) {
            let (right, down) = object.offset(x, y);
            let line = (right + down) * object.scene.pose.scale / SKETCH_HATCHING.0;
            let hatching = if line - line.floor() < SKETCH_HATCHING.1 { darkness } else { 0.0 };
            SKETCH_PAPER - hatching - SKETCH_SHADING.1 * object.second_colour_at(x, y)
        } else {
            let here = ground_grey.at(x, y)[0];
            let left = ground_grey.at(x.saturating_sub(SKETCH_EDGE_SHIFT), y)[0];
            let above = ground_grey.at(x, y.saturating_sub(SKETCH_EDGE_SHIFT))[0];
            let edge = (here - left).abs() + (here - above).abs();
            SKETCH_PAPER - (SKETCH_EDGES.0 * edge).min(SKETCH_EDGES.1)
        };
        [grey; 3]
    });
    let mut image = canvas.halved();
    for pixel in &mut image {
        let noise = SKETCH_NOISE * stream.normal();
        *pixel = pixel.map(|channel| channel + noise);
    }
    image
}

/// Displaced strokes in few, strong colours on a rough canvas.
fn painting(object: &Object, ground: &Canvas, stream: &mut Stream) -> Canvas {
    let (lattice, range) = PAINTING_DISPLACEMENT;
    let strokes = [ValueNoise::new(lattice, stream), ValueNoise::new(lattice, stream)];
    let (lattice, base, depth) = PAINTING_RELIEF;
    let relief = ValueNoise::new(lattice, stream);
    let displaced = |pixel: usize, noise: f64| {
        let moved = pixel as f64 + ((noise - 0.5) * range).round();
        moved.clamp(0.0, (CANVAS - 1) as f64) as usize
    };
    Canvas::from_fn(|x, y| {
        let from = (displaced(x, strokes[0].at(x, y)), displaced(y, strokes[1].at(x, y)));
        let fetched = if object.mask.contains(from.0, from.1) {
            object.colours.at(PAINTING_TEXTURE * object.second_colour_at(from.0, from.1))
        } else {
            ground.at(from.0, from.1)
        };
        let flat = in_steps(fetched, PAINTING_STEPS);
        let light = base + depth * relief.at(x, y);
        mix([luminance(flat); 3], flat, PAINTING_SATURATION).map(|channel| channel * light)
    })
}

/// Every channel rounded to a multiple of `1 / steps`.
fn in_steps(colour: Rgb, steps: f64) -> Rgb {
    colour.map(|channel| (channel * steps).round() / steps)
}
