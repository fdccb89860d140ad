//! Towers compute no position twice, and none that nothing reads; features and gradients are those of all positions.

use crate::common::{assert_close, devices, small_config, small_pixels};
use burn::tensor::{Device, Tensor, TensorData};
use proptest::prelude::*;
use regulus_clip::{Clip, EmbeddedTexts, FROZEN_POSITIONS, Injection, NamedParameter, Part, TokenBatch};
use regulus_images::random::Stream;

fn noise<const D: usize>(shape: [usize; D], seed: u64, device: &Device) -> Tensor<D> {
    let mut stream = Stream::new(seed, "every position", 0, 0);
    let values = (0..shape.iter().product()).map(|_| stream.normal() as f32).collect::<Vec<_>>();
    Tensor::from_data(TensorData::new(values, shape), device)
}

/// Texts of the ids 0 to 4 between start and end that begin with the same `common` words.
fn texts(lengths: &[usize], common: usize, seed: u64) -> Vec<Vec<u32>> {
    let mut stream = Stream::new(seed, "texts", 0, 0);
    let mut word = || stream.range(0.0, 5.0) as u32;
    let beginning: Vec<u32> = (0..common).map(|_| word()).collect();
    let text = |length: &usize| {
        let own = (0..*length).map(|_| word()).collect::<Vec<_>>();
        [vec![5], beginning.clone(), own, vec![6]].concat()
    };
    lengths.iter().map(text).collect()
}

/// Features and the gradients of every leaf of a weighted sum of them.
fn differentiated(features: Tensor<2>, leaves: &[Tensor<2>]) -> (Tensor<2>, Vec<Tensor<2>>) {
    if leaves.is_empty() {
        return (features, Vec::new());
    }
    let weights = noise(features.dims(), 9, &features.device());
    let gradients = (features.clone() * weights).sum().backward();
    (features, leaves.iter().map(|leaf| leaf.grad(&gradients).unwrap()).collect())
}

fn compare(found: (Tensor<2>, Vec<Tensor<2>>), expected: (Tensor<2>, Vec<Tensor<2>>)) {
    assert_close("features", &found.0, &expected.0, 1e-5);
    for (found, expected) in found.1.iter().zip(&expected.1) {
        assert_close("gradient", found, expected, 1e-4);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn texts_with_prompts_agree(
        lengths in prop::collection::vec(0usize..4, 1..20), common in 2usize..4,
        layers in 0usize..4, vectors in 1usize..3, seed in 0u64..1000,
    ) {
        for device in devices() {
            let device = device.autodiff();
            let clip = Clip::init(&small_config(), seed, &device).unwrap();
            let tokens = TokenBatch::new(&texts(&lengths, common, seed), clip.text.config()).unwrap();
            let run = |clip: &Clip| {
                let leaf = |layer: usize| noise([vectors, 8], layer as u64, &device).require_grad();
                let prompts: Vec<Tensor<2>> = (0..layers).map(leaf).collect();
                let injection = Injection::none().text_prompts(prompts.clone());
                differentiated(clip.encode_tokens(&tokens, &injection), &prompts)
            };
            compare(run(&clip), run(&clip.clone().computing_every_position()));
        }
    }

    #[test]
    fn texts_with_a_learned_beginning_agree(
        ends in prop::collection::vec(3usize..9, 1..20), seed in 0u64..1000,
    ) {
        for device in devices() {
            let device = device.autodiff();
            let clip = Clip::init(&small_config(), seed, &device).unwrap();
            let length = ends.iter().max().unwrap() + 1;
            let own = noise([ends.len() * (length - 3), 8], 1, &device).reshape([ends.len(), length - 3, 8]);
            let run = |clip: &Clip, common: usize| {
                let beginning = noise([3, 8], 2, &device).require_grad();
                let begun = beginning.clone().unsqueeze::<3>().expand([ends.len(), 3, 8]);
                let vectors = Tensor::cat(vec![begun, own.clone()], 1);
                let texts = EmbeddedTexts::new(vectors, ends.clone()).beginning_alike(common);
                differentiated(clip.encode_embedded(&texts, &Injection::none()), &[beginning])
            };
            let expected = run(&clip.clone().computing_every_position(), 0);
            for common in [0, 1, 3] {
                compare(run(&clip, common), expected.clone());
            }
        }
    }

    #[test]
    fn images_agree(layers in 0usize..3, vectors in 1usize..3, seed in 0u64..1000) {
        for device in devices() {
            let device = device.autodiff();
            let clip = Clip::init(&small_config(), seed, &device).unwrap();
            let run = |clip: &Clip| {
                let leaf = |layer: usize| noise([vectors, 12], layer as u64, &device).require_grad();
                let prompts: Vec<Tensor<2>> = (0..layers).map(leaf).collect();
                let injection = Injection::none().image_prompts(prompts.clone());
                differentiated(clip.encode_image(small_pixels(&device), &injection), &prompts)
            };
            compare(run(&clip), run(&clip.clone().computing_every_position()));
        }
    }
}

/// Without changes, images are computed some at a time, as many in each part as can be.
#[test]
fn parts_of_a_frozen_batch_agree_with_the_whole() {
    for device in devices() {
        let clip = Clip::init(&small_config(), 1, &device).unwrap();
        let whole = clip.clone().computing_every_position();
        // Of 5 positions each.
        let most = clip.visual.images_at_once(&device);
        #[cfg(feature = "flex")]
        assert_eq!(most, (device == Device::flex()).then_some(FROZEN_POSITIONS / 5));
        let most = most.unwrap_or(FROZEN_POSITIONS / 5);
        assert_eq!(whole.visual.images_at_once(&device), None);
        let [_, channels, height, width] = small_pixels(&device).dims();
        for images in [most, most + 1, 2 * most + 3] {
            let pixels = noise([images, channels, height, width], 3, &device);
            let [found, expected] =
                [&clip, &whole].map(|clip| clip.encode_image(pixels.clone(), &Injection::none()));
            assert_eq!(found.dims(), expected.dims());
            assert_close("features", &found, &expected, 1e-5);
        }
    }
}

/// Frozen layers record nothing: a gradient goes back to the lowest weight that is trained and no further.
#[test]
fn what_lies_below_the_trained_weights_has_no_graph() {
    for device in devices() {
        let device = device.autodiff();
        let clip = Clip::init(&small_config(), 1, &device).unwrap();
        let path = "visual.transformer.resblocks.1.mlp.c_fc.weight";
        let weights = clip.parameters(Part::Image);
        let NamedParameter { value, .. } = weights.into_iter().find(|weight| weight.path == path).unwrap();
        let injection = Injection::none().replace(path, value.require_grad());
        let regulus_clip::ImageTower::Vit(vit) = &clip.visual else { panic!("a vision transformer") };
        let states = vit.hidden_states(small_pixels(&device), &injection);
        let tracked: Vec<bool> = states.blocks.iter().map(Tensor::is_tracked).collect();
        assert_eq!(tracked, [false, true]);
        assert!(!states.block_input.is_tracked() && states.features.is_tracked());
        let texts = clip.encode_text(&[vec![5, 0, 6], vec![5, 1, 6]], &injection);
        assert!(!texts.is_tracked());
    }
}
