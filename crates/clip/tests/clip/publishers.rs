//! The layouts of all publishers: recognised, read, and in agreement with their own code.

use crate::common::{Recorded, assert_close, devices, golden, values};
use burn::tensor::{Device, Int, Tensor};
use regulus_clip::{
    Activation, Clip, ImageConfig, ImageTower, Injection, LoadError, LoadedClip, Notice, Part, Publisher,
    TokenBatch,
};
use std::fs;
use std::path::Path;

const TOLERANCE: f32 = 1e-4;

/// Compares the hidden states and features of both towers with what was recorded.
fn assert_towers_agree(loaded: &LoadedClip, io: &Recorded, injection: &Injection, device: &Device) {
    let LoadedClip { config, clip, .. } = loaded;
    let ImageTower::Vit(vit) = &clip.visual else { panic!("another architecture") };
    let states = vit.hidden_states(io.tensor("pixel_values", device), injection);
    for (index, block) in states.blocks.iter().enumerate() {
        let name = format!("vision_hidden_{index}");
        assert_close(&name, block, &io.tensor(&name, device), TOLERANCE);
    }
    assert_close("image", &states.features, &io.tensor("image_features", device), TOLERANCE);
    let tokens = TokenBatch::uncut(&io.ids("input_ids"), &config.text).unwrap();
    let texts = clip.text.hidden_states(&tokens, injection);
    for (index, block) in texts.blocks.iter().enumerate() {
        let name = format!("text_hidden_{index}");
        assert_close(&name, block, &io.tensor(&name, device), TOLERANCE);
    }
    assert_close("text", &texts.features, &io.tensor("text_features", device), TOLERANCE);
}

fn logits(clip: &Clip, io: &Recorded, injection: &Injection, device: &Device) -> Tensor<2> {
    let images = clip.encode_image(io.tensor("pixel_values", device), injection);
    clip.logits(images, clip.encode_text(&io.ids("input_ids"), injection), injection)
}

#[test]
fn openai_weights_agree() {
    for device in devices() {
        let io = Recorded::read("openai_vit/io.safetensors");
        let path = golden("openai_vit/model_mixed_fp16.safetensors");
        let loaded = LoadedClip::load(&path, &device).unwrap();
        assert_eq!(loaded.publisher, Publisher::OpenAi);
        assert_eq!(loaded.notices, []);
        let none = Injection::none();
        assert_towers_agree(&loaded, &io, &none, &device);
        let expected = io.tensor("logits_per_image", &device);
        assert_close("logits", &logits(&loaded.clip, &io, &none, &device), &expected, TOLERANCE);
    }
}

/// The values of all parameters, in module order.
fn parameters(clip: &Clip) -> Vec<f32> {
    clip.parameters(Part::All).iter().flat_map(|named| values(&named.value)).collect()
}

#[test]
fn official_archives_hold_the_same_parameters() {
    for device in devices() {
        for (archive, plain) in [
            ("openai_vit/jit_mixed_fp16.pt", "openai_vit/model_mixed_fp16.safetensors"),
            ("openai_rn/jit_mixed_fp16.pt", "openai_rn/model.safetensors"),
        ] {
            let [archive, plain] =
                [archive, plain].map(|file| LoadedClip::load(&golden(file), &device).unwrap());
            assert_eq!(archive.config, plain.config);
            assert_eq!(archive.notices, []);
            assert!(parameters(&archive.clip) == parameters(&plain.clip));
        }
    }
}

#[test]
fn hub_models_are_the_same_in_every_container() {
    for device in devices() {
        let load = |name: &str| LoadedClip::load(&golden("hf_containers").join(name), &device).unwrap();
        let single = load("single");
        let expected = parameters(&single.clip);
        for name in ["sharded", "bin", "legacy_bin", "half", "training"] {
            let loaded = load(name);
            assert_eq!((loaded.publisher, &loaded.config), (Publisher::Hf, &single.config), "{name}");
            let found = parameters(&loaded.clip);
            let deviation = found.iter().zip(&expected).map(|(a, b)| (a - b).abs() / b.abs().max(1.0));
            // Half precision keeps 11 bits.
            let tolerance = if name == "half" { 1.0 / 2048.0 } else { 0.0 };
            assert!(deviation.fold(0.0, f32::max) <= tolerance, "{name}");
            assert_eq!(found.len(), expected.len(), "{name}");
        }
        let outside = Notice::OutsideIgnored { prefix: "state_dict.module.".into(), tensors: 1 };
        assert_eq!(load("training").notices, [outside]);
    }
}

#[test]
fn open_clip_folders_agree_under_either_activation() {
    for device in devices() {
        for (name, activation) in [("gelu", Activation::Gelu), ("quickgelu", Activation::QuickGelu)] {
            let io = Recorded::read(&format!("open_clip/{name}/io.safetensors"));
            let folder = tempfile::tempdir().unwrap();
            for file in ["open_clip_config.json", "open_clip_model.safetensors"] {
                fs::copy(golden("open_clip").join(name).join(file), folder.path().join(file)).unwrap();
            }
            let loaded = LoadedClip::load(folder.path(), &device).unwrap();
            assert_eq!(loaded.publisher, Publisher::OpenClip);
            let ImageConfig::Vit(vit) = &loaded.config.image else { panic!("another architecture") };
            assert_eq!((vit.activation, vit.heads), (activation, 3));
            let none = Injection::none();
            assert_towers_agree(&loaded, &io, &none, &device);
            let expected = io.tensor("logits_per_image", &device);
            assert_close("logits", &logits(&loaded.clip, &io, &none, &device), &expected, TOLERANCE);
        }
    }
}

#[test]
fn deep_prompts_in_both_towers_agree() {
    for device in devices() {
        let io = Recorded::read("ivlp/io.safetensors");
        let prompts = Recorded::read("ivlp/prompts.safetensors");
        let loaded = LoadedClip::load(&golden("ivlp/clip_fp16.safetensors"), &device).unwrap();
        let layers = |tower: &str| -> Vec<Tensor<2>> {
            (0..3).map(|layer| prompts.tensor(&format!("{tower}_ctx_layer_{layer}"), &device)).collect()
        };
        let prompted = Injection::none().image_prompts(layers("vision")).text_prompts(layers("text"));
        assert_towers_agree(&loaded, &io, &prompted, &device);
        let expected = io.tensor("logits", &device);
        assert_close("logits", &logits(&loaded.clip, &io, &prompted, &device), &expected, TOLERANCE);
        let expected = io.tensor("logits_zs", &device);
        assert_close(
            "zero-shot",
            &logits(&loaded.clip, &io, &Injection::none(), &device),
            &expected,
            TOLERANCE,
        );
    }
}

/// A copy of the open_clip folder with other values in `model_cfg`.
fn open_clip_with(edit: impl Fn(&mut serde_json::Value)) -> Result<LoadedClip, LoadError> {
    let folder = tempfile::tempdir().unwrap();
    let source = golden("open_clip/gelu");
    let weights = "open_clip_model.safetensors";
    fs::copy(source.join(weights), folder.path().join(weights)).unwrap();
    let text = fs::read_to_string(source.join("open_clip_config.json")).unwrap();
    let mut config: serde_json::Value = serde_json::from_str(&text).unwrap();
    edit(&mut config["model_cfg"]);
    fs::write(folder.path().join("open_clip_config.json"), config.to_string()).unwrap();
    LoadedClip::load(folder.path(), &devices()[0])
}

#[test]
fn open_clip_fields_that_change_the_model_are_refused() {
    let error = open_clip_with(|model| model["vision_cfg"]["ls_init_value"] = 0.1.into()).unwrap_err();
    assert!(error.to_string().contains("ls_init_value = 0.1"), "{error}");
    let error = open_clip_with(|model| model["text_cfg"]["no_causal_mask"] = true.into()).unwrap_err();
    assert!(error.to_string().contains("no_causal_mask"), "{error}");
    let harmless = open_clip_with(|model| model["vision_cfg"]["patch_dropout"] = 0.5.into());
    assert!(harmless.is_ok());
    let tanh = open_clip_with(|model| {
        model["vision_cfg"]["act_kwargs"] = serde_json::json!({ "approximate": "tanh" });
    });
    let ImageConfig::Vit(vit) = tanh.unwrap().config.image else { panic!("another architecture") };
    assert_eq!(vit.activation, Activation::GeluTanh);
}

#[test]
fn open_clip_weights_of_another_resolution_are_interpolated_with_a_notice() {
    let loaded = open_clip_with(|model| model["vision_cfg"]["image_size"] = 48.into()).unwrap();
    assert_eq!(loaded.notices, [Notice::PositionsInterpolated { from: 32, to: 48 }]);
    assert_eq!(loaded.config.image.resolution(), 48);
    let pixels = Tensor::zeros([1, 3, 48, 48], &loaded.clip.device());
    assert_eq!(loaded.clip.encode_image(pixels, &Injection::none()).dims(), [1, 24]);
    let error = open_clip_with(|model| model["vision_cfg"]["image_size"] = 5.into()).unwrap_err();
    assert!(error.to_string().contains("image.patch is 8, expected at most 5"), "{error}");
}

#[test]
fn patches_need_not_fill_the_image() {
    let whole = open_clip_with(|_| ()).unwrap();
    let rest = open_clip_with(|model| model["vision_cfg"]["image_size"] = 35.into()).unwrap();
    assert_eq!(rest.notices, []);
    let pixels = Tensor::<1, Int>::arange(0..3 * 35 * 35, &whole.clip.device()).float().sin();
    let pixels: Tensor<4> = pixels.reshape([1, 3, 35, 35]);
    let cut = pixels.clone().narrow(2, 0, 32).narrow(3, 0, 32);
    let none = Injection::none();
    let [found, expected] = [rest.clip.encode_image(pixels, &none), whole.clip.encode_image(cut, &none)]
        .map(|features| values(&features));
    assert_eq!(found, expected);
}

#[test]
fn a_file_with_several_models_is_refused_by_their_names() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("both.safetensors");
    let bytes = fs::read(golden("openai_vit/model_mixed_fp16.safetensors")).unwrap();
    let file = safetensors::SafeTensors::deserialize(&bytes).unwrap();
    let views = file
        .iter()
        .flat_map(|(name, view)| ["ema.", "model."].map(|of| (format!("{of}{name}"), view.clone())));
    fs::write(&path, safetensors::serialize(views.collect::<Vec<_>>(), None).unwrap()).unwrap();
    let error = LoadedClip::load(&path, &devices()[0]).unwrap_err().to_string();
    assert!(error.contains("`ema.`, `model.`"), "{error}");
}

/// The golden folder without its `config.json`.
fn bare_openai(name: &str, folder: &Path) {
    fs::copy(golden("openai_vit").join(name), folder.join(name)).unwrap();
}

#[test]
fn openai_weights_need_no_configuration() {
    let device = &devices()[0];
    let folder = tempfile::tempdir().unwrap();
    bare_openai("model_mixed_fp16.safetensors", folder.path());
    let bare = LoadedClip::load(folder.path(), device).unwrap();
    let stated = LoadedClip::load(&golden("openai_vit/model_mixed_fp16.safetensors"), device).unwrap();
    assert_eq!(bare.config, stated.config);
    assert_eq!(bare.notices, [Notice::ActivationAssumed]);
}

#[test]
fn heads_that_shapes_cannot_tell_must_be_stated() {
    let folder = tempfile::tempdir().unwrap();
    let name = "clip_fp16.safetensors";
    fs::copy(golden("ivlp").join(name), folder.path().join(name)).unwrap();
    let error = LoadedClip::load(folder.path(), &devices()[0]).unwrap_err().to_string();
    assert!(error.contains("transformer_heads") && error.contains("width is 48"), "{error}");
}

#[test]
fn several_candidates_are_named() {
    let folder = tempfile::tempdir().unwrap();
    for name in ["a.pt", "b.safetensors"] {
        fs::write(folder.path().join(name), "").unwrap();
    }
    let error = LoadedClip::load(folder.path(), &devices()[0]).unwrap_err().to_string();
    assert!(error.contains("a.pt, b.safetensors"), "{error}");
    let empty = tempfile::tempdir().unwrap();
    let error = LoadedClip::load(empty.path(), &devices()[0]).unwrap_err().to_string();
    assert!(error.contains("no weights found"), "{error}");
}
