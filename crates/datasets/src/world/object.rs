//! The object of a scene on the canvas: which pixels it covers, where its texture shows the second
//! colour, and what the two colours are.

use super::canvas::{luminance, mix};
use super::mask::Mask;
use super::parameters::{
    ALTERNATE_DARKER, ALTERNATE_LIGHTER, ALTERNATE_SPLIT, CANVAS, CHECKS, DOTS, Rgb, STRIPES,
};
use super::scene::Scene;
use super::shapes;
use super::words::Texture;

/// An object, rasterised once for all styles.
#[derive(Debug)]
pub(super) struct Object<'a> {
    pub scene: &'a Scene,
    /// Pixels that the object covers.
    pub mask: Mask,
    /// Covered pixels that have the second colour.
    second: Mask,
    pub colours: Colours,
}

/// The two colours of an object; a plain one shows only the first.
#[derive(Debug, Clone, Copy)]
pub(super) struct Colours {
    pub first: Rgb,
    second: Rgb,
}

impl Colours {
    /// A colour with its second: darker for a light colour, lighter for a dark one.
    fn of(first: Rgb) -> Self {
        let second = if luminance(first) > ALTERNATE_SPLIT {
            first.map(|channel| channel * ALTERNATE_DARKER)
        } else {
            mix(first, [1.0; 3], ALTERNATE_LIGHTER)
        };
        Self { first, second }
    }

    /// The colours of an object whose first colour is `factor` times as bright.
    pub fn brightened(&self, factor: f64) -> Self {
        Self::of(self.first.map(|channel| (channel * factor).min(1.0)))
    }

    /// The first colour at 0, the second at 1.
    pub fn at(&self, t: f64) -> Rgb {
        mix(self.first, self.second, t)
    }
}

impl<'a> Object<'a> {
    pub fn rasterise(scene: &'a Scene) -> Self {
        let (cosine, sine) = (libm::cos(scene.pose.rotation), libm::sin(scene.pose.rotation));
        let side = if scene.pose.flipped { -1.0 } else { 1.0 };
        let aspect = scene.pose.aspect;
        let mut object =
            Self { scene, mask: Mask::empty(), second: Mask::empty(), colours: Colours::of(scene.paint) };
        let columns: [(f64, f64); CANVAS] = std::array::from_fn(|x| {
            let (right, _) = object.offset(x, 0);
            (cosine * right, sine * right)
        });
        for y in 0..CANVAS {
            let (_, down) = object.offset(0, y);
            let (across, along) = (sine * down, cosine * down);
            for (x, column) in columns.iter().enumerate() {
                let u = (column.0 + across) * side / aspect;
                let v = (along - column.1) * aspect;
                if shapes::covers(scene.class, u, v) {
                    object.mask.insert(x, y);
                    if shows_second_colour(scene.texture, u, v) {
                        object.second.insert(x, y);
                    }
                }
            }
        }
        object
    }

    /// Distance of a pixel from the object's centre, in units of its scale.
    pub fn offset(&self, x: usize, y: usize) -> (f64, f64) {
        let pose = &self.scene.pose;
        ((x as f64 + 0.5 - pose.centre[0]) / pose.scale, (y as f64 + 0.5 - pose.centre[1]) / pose.scale)
    }

    /// 1 where the texture shows the second colour, else 0.
    pub fn second_colour_at(&self, x: usize, y: usize) -> f64 {
        f64::from(u8::from(self.second.contains(x, y)))
    }
}

/// Whether `texture` has the second colour at a point in object coordinates.
fn shows_second_colour(texture: Texture, u: f64, v: f64) -> bool {
    let fraction = |value: f64| value - value.floor();
    match texture {
        Texture::Plain => false,
        Texture::Striped => fraction(STRIPES.0 * (u + v)) < STRIPES.1,
        Texture::Dotted => {
            let (a, b) = (fraction(DOTS.0 * u) - 0.5, fraction(DOTS.0 * v) - 0.5);
            a * a + b * b < DOTS.1
        }
        Texture::Checked => ((CHECKS * u).floor() + (CHECKS * v).floor()) as i64 % 2 == 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::world::words::{Background, Class, Style};
    use regulus_images::random::Stream;

    fn scene(class: Class, index: u64) -> Scene {
        let mut stream = Stream::new(1, "object", 0, index);
        Scene::sample(class, Background::Sky, Style::Photo, &mut stream)
    }

    fn covered(mask: &Mask) -> usize {
        (0..CANVAS).map(|y| (0..CANVAS).filter(|&x| mask.contains(x, y)).count()).sum()
    }

    #[test]
    fn every_class_covers_part_of_the_canvas_in_its_own_way() {
        let mut pose = scene(Class::Ball, 0);
        let masks = Class::ALL.map(|class| {
            pose.class = class;
            Object::rasterise(&pose).mask
        });
        for (index, mask) in masks.iter().enumerate() {
            assert!((200..3_500).contains(&covered(mask)), "{}", Class::NAMES[index]);
            assert!(masks[index + 1..].iter().all(|other| other != mask), "{}", Class::NAMES[index]);
        }
    }

    #[test]
    fn textures_show_their_share_of_the_second_colour() {
        let mut ball = scene(Class::Ball, 0);
        for (texture, share) in [
            (Texture::Plain, 0.0),
            (Texture::Striped, 0.45),
            (Texture::Dotted, std::f64::consts::PI * 0.085),
            (Texture::Checked, 0.5),
        ] {
            ball.texture = texture;
            let object = Object::rasterise(&ball);
            let found = covered(&object.second) as f64 / covered(&object.mask) as f64;
            assert!((found - share).abs() < 0.08, "{texture:?}: {found}");
        }
    }

    #[test]
    fn a_flipped_object_is_mirrored_about_its_centre() {
        let mut car = scene(Class::Car, 0);
        (car.pose.rotation, car.pose.centre) = (0.0, [32.0, 32.0]);
        car.pose.flipped = false;
        let plain = Object::rasterise(&car).mask;
        car.pose.flipped = true;
        let flipped = Object::rasterise(&car).mask;
        assert_ne!(plain, flipped);
        for y in 0..CANVAS {
            assert!((0..CANVAS).all(|x| plain.contains(x, y) == flipped.contains(CANVAS - 1 - x, y)));
        }
    }
}
