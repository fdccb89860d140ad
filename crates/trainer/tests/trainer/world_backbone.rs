//! The shipped backbone is what timm sees: the same features of the same pixels. Recorded by
//! `golden/world_backbone.py`.

use std::path::Path;

use regulus_clip::{Injection, LoadedBackbone, Normalisation};

use crate::support::{Case, compare, device, host};

#[test]
fn timm_and_regulus_agree_on_the_shipped_backbone() {
    let device = device();
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../assets/world-backbone");
    let loaded = LoadedBackbone::load(&folder, &device).unwrap();
    let pixels = Case::tensors("world_clip").tensor("pixel_values", &device);
    let features = loaded.backbone.features(pixels, &Injection::none(), Normalisation::Running);
    let (expected, shape) = Case::tensors("world_backbone").values("features");
    assert_eq!(shape, features.dims());
    compare("features", &host(features), &expected, 1e-5);
}
