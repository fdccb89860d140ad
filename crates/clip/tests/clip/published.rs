//! The architectures that OpenAI published.

use crate::common::devices;
use regulus_clip::{Clip, ClipConfig, RunningStatistics};

/// Numbers of trainable parameters as they are published: what PyTorch counts in
/// `model.parameters()`, which leaves out running statistics.
const PUBLISHED: [(&str, u128); 9] = [
    ("RN50", 102_007_137),
    ("RN101", 119_688_033),
    ("RN50x4", 178_300_601),
    ("RN50x16", 290_979_217),
    ("RN50x64", 623_258_305),
    ("ViT-B/32", 151_277_313),
    ("ViT-B/16", 149_620_737),
    ("ViT-L/14", 427_616_513),
    ("ViT-L/14@336px", 427_944_193),
];

#[test]
fn full_size_models_have_the_published_numbers_of_parameters() {
    for device in devices() {
        assert_eq!(ClipConfig::openai_names().collect::<Vec<_>>(), PUBLISHED.map(|(name, _)| name));
        for (name, expected) in PUBLISHED {
            let config = ClipConfig::openai(name).unwrap();
            assert_eq!(config.parameter_count(), expected, "{name}");
            let shapes = Clip::shapes_of(&config, &device).unwrap();
            let trained = shapes.iter().filter(|(path, _)| !RunningStatistics::holds(path));
            let count: usize = trained.map(|(_, shape)| shape.iter().product::<usize>()).sum();
            assert_eq!(count as u128, expected, "{name}");
        }
    }
}

#[test]
fn other_names_are_not_published() {
    for name in ["", "RN50x2", "vit-b/32", "ViT-B/32 "] {
        assert_eq!(ClipConfig::openai(name), None);
    }
}
