//! What one image shows: class, background and style as asked, pose and colours as drawn.

use regulus_images::random::Stream;
use serde::Serialize;

use super::parameters::{
    CANVAS, COLOUR_SPREAD, COLOURS, LOG_ASPECT, OFFSET, ROTATION, Rgb, SCALE, TEXTURE_WEIGHTS,
};
use super::words::{Background, Class, Colour, Style, Texture};

/// Everything that is drawn about an image before it is painted. Captions and reports read it.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Scene {
    /// What is shown.
    pub class: Class,
    /// Where it is.
    pub background: Background,
    /// How the image is made.
    pub style: Style,
    /// Named colour of the object.
    pub colour: Colour,
    /// The colour itself: the named one with some noise, RGB in `[0, 1]`.
    pub paint: Rgb,
    /// Texture of the object.
    pub texture: Texture,
    /// Where on the canvas and how large.
    pub pose: Pose,
    /// Direction of the light of a photo, in radians.
    pub light: f64,
}

/// The transformation from object coordinates to the canvas.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Pose {
    /// Rotation in radians.
    pub rotation: f64,
    /// Canvas pixels per unit of object coordinates.
    pub scale: f64,
    /// Width over height, as a factor of both directions (`u / aspect`, `v * aspect`).
    pub aspect: f64,
    /// Whether left and right are exchanged.
    pub flipped: bool,
    /// Centre on the canvas, in pixels (`x`, `y`).
    pub centre: [f64; 2],
}

impl Scene {
    /// A scene of `class` before `background` in `style`, everything else drawn from `stream`.
    pub fn sample(class: Class, background: Background, style: Style, stream: &mut Stream) -> Self {
        let colour = Colour::ALL[stream.below(Colour::ALL.len())];
        let paint = COLOURS[colour.index()]
            .map(|channel| (channel + COLOUR_SPREAD * stream.normal()).clamp(0.0, 1.0));
        let texture = Texture::ALL[stream.weighted(&TEXTURE_WEIGHTS)];
        let pose = Pose::sample(stream);
        let light = stream.range(0.0, 2.0 * std::f64::consts::PI);
        Self { class, background, style, colour, paint, texture, pose, light }
    }
}

impl Pose {
    fn sample(stream: &mut Stream) -> Self {
        let mut within = |(low, high): (f64, f64)| stream.range(low, high);
        let rotation = within(ROTATION);
        let scale = within(SCALE);
        let aspect = libm::exp(within(LOG_ASPECT));
        let middle = CANVAS as f64 / 2.0;
        let centre = [middle + within(OFFSET), middle + within(OFFSET)];
        Self { rotation, scale, aspect, flipped: stream.chance(0.5), centre }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn poses_fill_their_ranges() {
        let mut stream = Stream::new(3, "scene", 0, 0);
        let scenes: Vec<Scene> = (0..2_000)
            .map(|_| Scene::sample(Class::Cat, Background::Snow, Style::Photo, &mut stream))
            .collect();
        let extent = |value: fn(&Scene) -> f64| {
            scenes.iter().map(value).fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), value| {
                (low.min(value), high.max(value))
            })
        };
        for (found, (low, high)) in [
            (extent(|scene| scene.pose.scale), SCALE),
            (extent(|scene| scene.pose.rotation), ROTATION),
            (extent(|scene| libm::log(scene.pose.aspect)), LOG_ASPECT),
            (extent(|scene| scene.pose.centre[1] - 32.0), OFFSET),
        ] {
            let slack = 0.01 * (high - low);
            assert!(found.0 >= low - 1e-9 && found.0 < low + slack, "{found:?}");
            assert!(found.1 <= high + 1e-9 && found.1 > high - slack, "{found:?}");
        }
        let flipped = scenes.iter().filter(|scene| scene.pose.flipped).count();
        let plain = scenes.iter().filter(|scene| scene.texture == Texture::Plain).count();
        assert!((900..1_100).contains(&flipped) && (1_000..1_200).contains(&plain));
        assert!(Colour::ALL.iter().all(|&colour| scenes.iter().any(|scene| scene.colour == colour)));
    }
}
