//! Small models with both kinds of image tower, and masks for them.

use std::collections::BTreeMap;
use std::sync::Arc;

use burn::tensor::{Device, Tensor};
use regulus_clip::{Clip, ClipConfig, ImageConfig, ResNetConfig, TextConfig};
use regulus_images::random::Stream;
use regulus_trainer::batches::Batch;
use regulus_trainer::methods::{
    GradientDropout, MaskPart, MaskSettings, MaskTargets, MaskTuning, SeededDraws,
};
use regulus_trainer::parameters::Parameters;
use regulus_trainer::zero_shot::{Averaging, ZeroShot, text_features};

use crate::support::{Case, RecordedBatches, tiny_clip, token_rows};

/// Every weight that can be masked.
pub const ALL: MaskTargets = MaskTargets { part: MaskPart::All, first_convolution: true };

pub fn tiny_vit(device: &Device) -> (ZeroShot, Batch) {
    let common = Case::open("common");
    let clip = tiny_clip(&common, device);
    let features = text_features(&clip, &[token_rows(&common, "tokens")], Averaging::UnitFirst);
    let batch = RecordedBatches { common: &common, device }.at(0).unwrap();
    (ZeroShot::new(clip, features), batch)
}

/// A residual network without the zeros that its blocks start from, and with signals large enough to see slopes in
/// f32; and a random batch.
pub fn tiny_resnet(device: &Device) -> (ZeroShot, Batch) {
    let vit = tiny_clip(&Case::open("common"), device);
    let config = ClipConfig {
        embed_dim: 8,
        image: ImageConfig::ResNet(ResNetConfig { resolution: 64, width: 4, blocks: [1, 2, 1, 1], heads: 4 }),
        text: TextConfig { layers: 1, ..vit.text.config().clone() },
        logit_scale_init: 3.0,
    };
    let clip = without_zeros(Clip::init(&config, 3, device).unwrap());
    let mut stream = Stream::new(1, "tests", 0, 0);
    let mut normal = |count: usize| (0..count).map(|_| stream.normal() as f32).collect::<Vec<f32>>();
    let features = Tensor::<1>::from_data(normal(3 * 8).as_slice(), device).reshape([3, 8]);
    let pixels = Tensor::<1>::from_data(normal(4 * 3 * 64 * 64).as_slice(), device).reshape([4, 3, 64, 64]);
    let labels = Tensor::from_data([0i64, 1, 2, 1].as_slice(), device);
    let batch = Batch { pixels, labels, indices: vec![0, 1, 2, 3], epoch: 0, step: 0 };
    (ZeroShot::new(clip, features), batch)
}

/// The model with the weights of its batch normalisations at 2.
pub fn without_zeros(clip: Clip) -> Clip {
    let mut blocks = BTreeMap::new();
    for (path, shape) in clip.shapes() {
        if path.contains(".bn") && path.ends_with(".weight") {
            blocks.insert(path, Tensor::full([shape[0]], 2.0, &clip.device()));
        }
    }
    clip.with_parameters(&blocks).unwrap()
}

pub fn tuning(model: &ZeroShot, targets: MaskTargets, dropout: Option<GradientDropout>) -> MaskTuning {
    let settings = MaskSettings { norm_weight: 0.0, dropout, ..MaskSettings::default() };
    MaskTuning::new(model.clone(), targets, settings, Arc::new(SeededDraws { seed: 2 })).unwrap()
}

/// Masks of which about a third is off.
pub fn mixed(masks: &Parameters) -> Parameters {
    let mut stream = Stream::new(9, "tests", 0, 0);
    masks.map(|_, leaf| {
        let count = leaf.shape.iter().product::<usize>();
        let values: Vec<f32> = (0..count).map(|_| if stream.chance(0.3) { 4e-3 } else { 1e-2 }).collect();
        Tensor::from_data(values.as_slice(), &leaf.value.device())
    })
}
