//! From a scene to the bytes of an image.

use regulus_images::random::Stream;

use super::camera::Camera;
use super::object::Object;
use super::parameters::SIDE;
use super::scene::Scene;

/// Bytes of an image: `[SIDE, SIDE, 3]`.
pub const IMAGE_BYTES: usize = SIDE * SIDE * 3;

/// Renders a scene to RGB bytes `[SIDE, SIDE, 3]`; noise is drawn from `stream`, which usually is
/// the stream that the scene was sampled from. Without a camera the image is as in pre-training.
pub fn render(scene: &Scene, stream: &mut Stream, camera: Option<Camera>) -> [u8; IMAGE_BYTES] {
    let ground = scene.background.paint(stream);
    let object = Object::rasterise(scene);
    let mut image = scene.style.compose(&object, &ground, stream);
    if let Some(camera) = camera {
        // The camera sees a picture, so channels are within their range before it.
        image.iter_mut().flatten().for_each(|channel| *channel = channel.clamp(0.0, 1.0));
        camera.apply(&mut image, stream);
    }
    let mut bytes = [0; IMAGE_BYTES];
    for (byte, channel) in bytes.iter_mut().zip(image.iter().flatten()) {
        *byte = (channel.clamp(0.0, 1.0) * 255.0 + 0.5) as u8;
    }
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::world::parameters::CAMERA_HARD;
    use crate::world::words::{Background, Class, Style};
    use sha2::{Digest, Sha256};

    fn image(style: Style, index: u64, camera: Option<Camera>) -> [u8; IMAGE_BYTES] {
        let mut stream = Stream::new(1, "render", 0, index);
        let class = Class::ALL[index as usize % Class::ALL.len()];
        let background = Background::ALL[index as usize % Background::ALL.len()];
        let scene = Scene::sample(class, background, style, &mut stream);
        render(&scene, &mut stream, camera)
    }

    /// If this fails after a change of rendering, every result and the shipped model are stale.
    #[test]
    fn images_are_pinned() {
        for (style, pinned) in Style::ALL.into_iter().zip(PINNED) {
            let mut hasher = Sha256::new();
            for index in 0..64 {
                let camera = (index % 2 == 1).then_some(CAMERA_HARD);
                hasher.update(image(style, index, camera));
            }
            let found: String = hasher.finalize().iter().map(|byte| format!("{byte:02x}")).collect();
            assert_eq!(found, pinned, "{style:?}");
        }
    }

    const PINNED: [&str; 4] = [
        "bcd63d84177456eb6b137ac37a088f037df201eefdf3569f2bc4ac5cb9fc357d",
        "b4c3d2f7d49ed763e8dd87a1884f4169579e64f103196e3895bf88867fc6e49b",
        "2e5c91bf61a1ac0cd223dd09883828039085be9f410b8d388e81f0d610a6c367",
        "5dd32b7674a90b9956b4b9b8cafd516e3988dafaabdeedd8cfd205eda3a7fc25",
    ];

    #[test]
    fn sketches_are_grey_and_other_styles_are_not() {
        for style in Style::ALL {
            let grey =
                (0..8).all(|index| image(style, index, None).chunks(3).all(|p| p[0] == p[1] && p[1] == p[2]));
            assert_eq!(grey, style == Style::Sketch, "{style:?}");
        }
    }

    #[test]
    fn the_camera_takes_contrast_away() {
        let spread = |bytes: &[u8]| {
            let mean = bytes.iter().map(|&b| f64::from(b)).sum::<f64>() / bytes.len() as f64;
            bytes.iter().map(|&b| (f64::from(b) - mean) * (f64::from(b) - mean)).sum::<f64>()
                / bytes.len() as f64
        };
        for index in 0..8 {
            let clean = spread(&image(Style::Cartoon, index, None));
            assert!(spread(&image(Style::Cartoon, index, Some(CAMERA_HARD))) < 0.5 * clean);
        }
    }
}
