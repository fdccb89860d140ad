//! Names, order and initial values of the parameters.

use crate::common::{devices, golden, small_config, values};
use regulus_clip::{
    Activation, Clip, ClipConfig, ImageConfig, ParameterFault, Part, Pooling, TextConfig, VitConfig,
};
use std::collections::BTreeMap;

fn recorded_config() -> ClipConfig {
    let (width, layers, heads, mlp_width) = (32, 3, 4, 128);
    let (activation, layer_norm_eps) = (Activation::QuickGelu, 1e-5);
    ClipConfig {
        embed_dim: 16,
        image: ImageConfig::Vit(VitConfig {
            resolution: 16,
            patch: 4,
            width,
            layers,
            heads,
            mlp_width,
            activation,
            layer_norm_eps,
        }),
        text: TextConfig {
            vocab: 100,
            context: 16,
            width,
            layers,
            heads,
            mlp_width,
            activation,
            layer_norm_eps,
            sot_id: 98,
            eot_id: 99,
            pad_id: 0,
            pooling: Pooling::FirstEot,
        },
        logit_scale_init: 0.0,
    }
}

#[test]
fn paths_and_shapes_are_those_of_openai() {
    for device in devices() {
        let text = std::fs::read_to_string(golden("openai_parameters.json")).unwrap();
        let expected: BTreeMap<String, Vec<usize>> = serde_json::from_str(&text).unwrap();
        let clip = Clip::init(&recorded_config(), 0, &device).unwrap();
        let mut found: BTreeMap<String, Vec<usize>> = clip.shapes().into_iter().collect();
        // OpenAI's logit scale has no dimension, which Burn's tensors cannot have.
        assert_eq!(found.insert("logit_scale".into(), vec![]), Some(vec![1]));
        assert_eq!(found, expected);
    }
}

#[test]
fn the_parts_make_up_the_whole_in_order() {
    for device in devices() {
        let clip = Clip::init(&small_config(), 0, &device).unwrap();
        let paths = |part| clip.parameters(part).into_iter().map(|named| named.path).collect::<Vec<_>>();
        let parts = [paths(Part::Image), paths(Part::Text), vec!["logit_scale".to_string()]].concat();
        assert_eq!(paths(Part::All), parts);
        assert_eq!(clip.shapes().into_iter().map(|(path, _)| path).collect::<Vec<_>>(), parts);
        let count: usize = clip.parameters(Part::All).iter().map(|named| named.value.dims()[0]).sum();
        assert_eq!(count as u128, small_config().parameter_count());
    }
}

#[test]
fn initial_values_follow_their_distributions() {
    for device in devices() {
        let config = recorded_config();
        let clip = Clip::init(&config, 5, &device).unwrap();
        let parameters: BTreeMap<String, Vec<f32>> =
            clip.parameters(Part::All).into_iter().map(|named| (named.path, values(&named.value))).collect();
        let by_inputs = |inputs: f32| 1.0 / inputs.sqrt();
        let block = "visual.transformer.resblocks.0";
        let normals = [
            (format!("{block}.attn.in_proj_weight"), by_inputs(32.0)),
            ("visual.positional_embedding".to_string(), by_inputs(32.0)),
            ("visual.proj".to_string(), by_inputs(32.0)),
            ("text.text_projection".to_string(), by_inputs(32.0)),
            ("text.token_embedding.weight".to_string(), 0.02),
            ("text.positional_embedding".to_string(), 0.01),
        ];
        for (path, deviation) in normals {
            let drawn = &parameters[&path];
            let variance = drawn.iter().map(|x| x * x).sum::<f32>() / drawn.len() as f32;
            assert!((variance.sqrt() / deviation - 1.0).abs() < 0.15, "{path}: {}", variance.sqrt());
        }
        let uniforms = [
            (format!("{block}.attn.out_proj.weight"), by_inputs(32.0)),
            (format!("{block}.mlp.c_fc.weight"), by_inputs(32.0)),
            (format!("{block}.mlp.c_fc.bias"), by_inputs(32.0)),
            (format!("{block}.mlp.c_proj.weight"), by_inputs(128.0)),
            (format!("{block}.mlp.c_proj.bias"), by_inputs(128.0)),
            ("visual.conv1.weight".to_string(), by_inputs(48.0)),
        ];
        for (path, bound) in uniforms {
            let largest = parameters[&path].iter().fold(0.0f32, |a, b| a.max(b.abs()));
            assert!(largest <= bound && largest > 0.8 * bound, "{path}: {largest} for {bound}");
        }
        let constants = [
            (format!("{block}.ln_1.weight"), 1.0),
            (format!("{block}.ln_2.bias"), 0.0),
            ("visual.ln_pre.weight".to_string(), 1.0),
            ("text.ln_final.bias".to_string(), 0.0),
            (format!("{block}.attn.in_proj_bias"), 0.0),
            (format!("{block}.attn.out_proj.bias"), 0.0),
        ];
        for (path, value) in constants {
            assert!(parameters[&path].iter().all(|x| *x == value), "{path}");
        }
    }
}

#[test]
fn initial_values_depend_on_seed_and_path_only() {
    for device in devices() {
        let deeper = |layers| {
            let mut config = small_config();
            let ImageConfig::Vit(vit) = &mut config.image else { panic!("another architecture") };
            vit.layers = layers;
            config
        };
        let drawn = |config: &ClipConfig, seed| {
            let clip = Clip::init(config, seed, &device).unwrap();
            clip.parameters(Part::All)
                .into_iter()
                .map(|named| (named.path, values(&named.value)))
                .collect::<BTreeMap<_, _>>()
        };
        let (shallow, deep) = (drawn(&deeper(1), 4), drawn(&deeper(2), 4));
        assert!(shallow.iter().all(|(path, values)| deep[path] == *values));
        let path = "visual.proj";
        assert_ne!(shallow[path], drawn(&deeper(1), 5)[path]);
    }
}

#[test]
fn parameters_that_do_not_fit_are_all_named() {
    for device in devices() {
        let clip = Clip::init(&small_config(), 0, &device).unwrap();
        let short = burn::tensor::Tensor::<1>::zeros([3], &device);
        let values = BTreeMap::from([
            ("visual.proj".to_string(), short.clone()),
            ("visual.nothing".to_string(), short),
        ]);
        let faults = clip.with_parameters(&values).unwrap_err().faults;
        let unknown = ParameterFault::Unknown { path: "visual.nothing".into() };
        let size =
            ParameterFault::Size { path: "visual.proj".into(), found: 3, expected: 72, shape: vec![12, 6] };
        assert_eq!(faults, [unknown, size]);
    }
}
