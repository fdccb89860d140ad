//! Weight changes from outside: every weight can be changed, and nothing else is trained.

use crate::common::{devices, small_config, small_pixels, small_texts, values};
use burn::tensor::{Device, Tensor};
use regulus_clip::{Branch, Clip, Injection, NamedParameter, ParameterFault, Part, Precision, WeightChange};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

fn logits(clip: &Clip, injection: &Injection, device: &Device) -> Tensor<2> {
    let images = clip.encode_image(small_pixels(device), injection);
    clip.logits(images, clip.encode_text(&small_texts(), injection), injection)
}

/// Sum of the logits with weights that keep no symmetry.
fn loss(clip: &Clip, injection: &Injection, device: &Device) -> Tensor<1> {
    let weights = Tensor::from_floats([[0.3, -1.1, 0.7], [-0.2, 0.9, 0.4]], device);
    (logits(clip, injection, device) * weights).sum()
}

/// A different value for every entry of every parameter.
fn moved(parameter: &NamedParameter) -> Tensor<1> {
    parameter.value.clone() * 0.9 + 0.01
}

#[test]
fn replacing_weights_equals_a_model_with_these_weights() {
    for device in devices() {
        let clip = Clip::init(&small_config(), 2, &device).unwrap();
        let mut everything = Injection::none();
        let mut all_moved = BTreeMap::new();
        let before = values(&logits(&clip, &Injection::none(), &device));
        for parameter in clip.parameters(Part::All) {
            let value = moved(&parameter);
            let path = parameter.path.clone();
            let only_one = BTreeMap::from([(path.clone(), value.clone())]);
            let copy = clip.with_parameters(&only_one).unwrap();
            let expected = values(&logits(&copy, &Injection::none(), &device));
            let injection = Injection::none().replace(path.clone(), value.clone());
            assert_eq!(values(&logits(&clip, &injection, &device)), expected, "{path}");
            everything = everything.replace(path.clone(), value.clone());
            all_moved.insert(path, value);
        }
        let copy = clip.with_parameters(&all_moved).unwrap();
        let expected = values(&logits(&copy, &Injection::none(), &device));
        assert_eq!(values(&logits(&clip, &everything, &device)), expected);
        assert_eq!(values(&logits(&clip, &Injection::none(), &device)), before, "the base has changed");
    }
}

struct Scale(f32);

impl WeightChange for Scale {
    fn apply(&self, base: Tensor<1>, shape: &[usize]) -> Tensor<1> {
        assert_eq!(shape, [12, 6]);
        base * self.0
    }
}

struct Add(f32);

impl WeightChange for Add {
    fn apply(&self, base: Tensor<1>, _shape: &[usize]) -> Tensor<1> {
        base + self.0
    }
}

#[test]
fn changes_of_one_weight_are_applied_in_order() {
    for device in devices() {
        let clip = Clip::init(&small_config(), 2, &device).unwrap();
        let path = "visual.proj";
        let stacked = Injection::none().change(path, Arc::new(Scale(2.0))).change(path, Arc::new(Add(0.5)));
        let base = clip.parameters(Part::All).into_iter().find(|named| named.path == path).unwrap().value;
        let once = Injection::none().replace(path, base * 2.0 + 0.5);
        assert_eq!(values(&logits(&clip, &stacked, &device)), values(&logits(&clip, &once, &device)));
    }
}

/// Keeps the entries whose mask is above 0.
struct Keep {
    mask: Tensor<1>,
    /// Whether whoever multiplies may know of the mask.
    tells: bool,
    /// How often a masked weight was made.
    made: Arc<AtomicUsize>,
}

impl WeightChange for Keep {
    fn apply(&self, base: Tensor<1>, _shape: &[usize]) -> Tensor<1> {
        self.made.fetch_add(1, Ordering::Relaxed);
        regulus_kernels::masked_weight(base, self.mask.clone(), 0.0)
    }

    fn mask(&self) -> Option<(Tensor<1>, f64)> {
        self.tells.then(|| (self.mask.clone(), 0.0))
    }
}

/// The sum of its inputs, for every output.
struct SumOf(usize);

impl Branch for SumOf {
    fn output(&self, input: Tensor<3>) -> Tensor<3> {
        input.sum_dim(2).repeat_dim(2, self.0)
    }
}

/// The loss and the gradients of masks on these weights, alone or between other changes and branches, and how many masked
/// weights were made.
fn under_masks(clip: &Clip, weights: &[NamedParameter], tells: bool, others: bool) -> (Vec<Vec<f32>>, usize) {
    let (mut injection, mut masks, made) = (Injection::none(), Vec::new(), Arc::new(AtomicUsize::new(0)));
    for NamedParameter { path, value, shape, .. } in weights {
        let mask = (value.clone() + 0.005).autodiff().require_grad();
        if others {
            injection = injection.change(path, Arc::new(Add(0.01)));
        }
        injection = injection.change(path, Arc::new(Keep { mask: mask.clone(), tells, made: made.clone() }));
        if others {
            injection = injection.branch(path, Arc::new(SumOf(shape[0])));
        }
        if others && path.ends_with("c_fc.weight") {
            injection = injection.change(path, Arc::new(Add(-0.02)));
        }
        masks.push(mask);
    }
    let loss = loss(clip, &injection, &clip.device());
    let gradients = loss.backward();
    let of_masks = masks.iter().map(|mask| values(&mask.grad(&gradients).unwrap()));
    let all = [values(&loss)].into_iter().chain(of_masks).collect();
    (all, made.load(Ordering::Relaxed))
}

#[test]
fn masks_that_are_applied_in_products_give_what_masked_weights_give() {
    for device in devices() {
        let formats = [Precision::F32, Precision::Bf16];
        for format in formats.into_iter().filter(|format| format.is_supported_by(&device)) {
            let clip = Clip::init(&small_config(), 2, &device).unwrap().computing_in(format);
            let linear_maps = ["in_proj_weight", "out_proj.weight", "c_fc.weight", "c_proj.weight"];
            let parameters = clip.parameters(Part::All).into_iter();
            let weights: Vec<NamedParameter> =
                parameters.filter(|named| linear_maps.iter().any(|map| named.path.ends_with(map))).collect();
            assert!(weights.len() >= 16, "{}", weights.len());
            for others in [false, true] {
                let [(told, made), (untold, all)] =
                    [true, false].map(|tells| under_masks(&clip, &weights, tells, others));
                // In 16 bit every weight is made, and so is one that is changed once more behind its mask.
                let changed_again =
                    weights.iter().filter(|weight| weight.path.ends_with("c_fc.weight")).count();
                let expected = match format {
                    Precision::F32 => {
                        if others {
                            changed_again
                        } else {
                            0
                        }
                    }
                    _ => weights.len(),
                };
                assert_eq!((made, all), (expected, weights.len()), "{format:?}, {others}");
                for (told, untold) in told.iter().zip(&untold) {
                    let apart = told.iter().zip(untold).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
                    let largest = untold.iter().fold(0.0, |most: f32, value| most.max(value.abs()));
                    assert!(largest > 0.0 && apart <= 1e-5 * largest, "{format:?}, {others}: {apart}");
                }
            }
        }
    }
}

#[test]
fn nothing_is_tracked_without_an_injection() {
    for device in devices() {
        let device = device.autodiff();
        let clip = Clip::init(&small_config(), 2, &device).unwrap();
        assert!(!logits(&clip, &Injection::none(), &device).is_tracked());
        for parameter in clip.parameters(Part::All) {
            assert!(!parameter.value.is_tracked(), "{}", parameter.path);
        }
    }
}

#[test]
fn every_injected_weight_gets_its_gradient_on_either_kind_of_device() {
    for plain in devices() {
        for base in [plain.clone(), plain.clone().autodiff()] {
            let clip = Clip::init(&small_config(), 2, &base).unwrap();
            let leaves: Vec<(String, Tensor<1>)> = clip
                .parameters(Part::All)
                .into_iter()
                .map(|named| (named.path, named.value.autodiff().require_grad()))
                .collect();
            let all = leaves
                .iter()
                .fold(Injection::none(), |all, (path, leaf)| all.replace(path.clone(), leaf.clone()));
            let gradients = loss(&clip, &all, &base).backward();
            for (path, leaf) in &leaves {
                let gradient = values(&leaf.grad(&gradients).unwrap());
                assert!(gradient.iter().any(|g| g.abs() > 1e-7), "{path}");
            }
            for parameter in clip.parameters(Part::All) {
                assert!(!parameter.value.is_tracked(), "{}", parameter.path);
            }
        }
    }
}

#[test]
fn a_gradient_predicts_the_change_of_the_loss() {
    for device in devices() {
        let device = device.autodiff();
        let clip = Clip::init(&small_config(), 2, &device).unwrap();
        for path in [
            "visual.conv1.weight",
            "visual.transformer.resblocks.0.attn.in_proj_weight",
            "visual.transformer.resblocks.1.mlp.c_proj.weight",
            "text.token_embedding.weight",
            "text.transformer.resblocks.0.ln_1.weight",
            "text.text_projection",
        ] {
            let base = clip.parameters(Part::All).into_iter().find(|named| named.path == path).unwrap().value;
            let leaf = base.clone().require_grad();
            let gradients = loss(&clip, &Injection::none().replace(path, leaf.clone()), &device).backward();
            let gradient = leaf.grad(&gradients).unwrap();
            let length = values(&(gradient.clone() * gradient.clone()).sum())[0].sqrt();
            let step = 2e-4;
            let at = |sign: f32| {
                let moved = base.clone().without_autodiff() + gradient.clone() * (sign * step / length);
                values(&loss(&clip, &Injection::none().replace(path, moved), &device))[0]
            };
            let slope = (at(1.0) - at(-1.0)) / (2.0 * step);
            assert!((slope / length - 1.0).abs() < 0.02, "{path}: {slope} for {length}");
        }
    }
}

#[test]
fn unknown_paths_are_found() {
    for device in devices() {
        let clip = Clip::init(&small_config(), 2, &device).unwrap();
        let value = Tensor::<1>::zeros([72], &device);
        let known = Injection::none().replace("visual.proj", value.clone());
        assert!(clip.check_injection(&known).is_ok());
        let unknown = known.replace("visual.projection", value);
        let fault = ParameterFault::Unknown { path: "visual.projection".into() };
        assert_eq!(clip.check_injection(&unknown).unwrap_err().faults, [fault]);
    }
}
