//! Which weights are masked, what dropout leaves of a gradient, and what is left of a model when its masks are gone.

use std::collections::BTreeMap;

use regulus_clip::Part;
use regulus_trainer::method::Method;
use regulus_trainer::methods::{GradientDropout, MaskError, MaskPart, MaskTargets, MaskTuning};
use regulus_trainer::parameters::Parameters;
use regulus_trainer::zero_shot::ZeroShot;

use super::models::{ALL, mixed, tiny_resnet, tiny_vit, tuning};
use crate::support::{compare, device, host};

fn paths(method: &MaskTuning) -> Vec<&str> {
    method.masks().weights().iter().map(|weight| weight.path.trim_start_matches("visual.")).collect()
}

#[test]
fn the_parts_of_a_transformer_are_masked_in_module_order() {
    let (model, _) = tiny_vit(&device());
    let of = |part, first_convolution| {
        let method = tuning(&model, MaskTargets { part, first_convolution }, None);
        paths(&method).into_iter().map(str::to_owned).collect::<Vec<String>>()
    };
    let block = |layer: usize, names: &[&str]| -> Vec<String> {
        names.iter().map(|name| format!("transformer.resblocks.{layer}.{name}")).collect()
    };
    let blocks = |names: &[&str]| (0..3).flat_map(|layer| block(layer, names)).collect::<Vec<String>>();
    let attention = ["attn.in_proj_weight", "attn.out_proj.weight"];
    let mlp = ["mlp.c_fc.weight", "mlp.c_proj.weight"];
    assert_eq!(of(MaskPart::Attention, false), blocks(&attention));
    assert_eq!(of(MaskPart::Mlp, false), blocks(&mlp));
    assert_eq!(of(MaskPart::All, false), blocks(&[attention, mlp].concat()));
    let with = of(MaskPart::Attention, true);
    assert_eq!((with[0].as_str(), &with[1..]), ("conv1.weight", blocks(&attention).as_slice()));
}

#[test]
fn of_a_residual_network_all_convolutions_and_the_pool_are_masked() {
    let (model, _) = tiny_resnet(&device());
    let method = tuning(&model, MaskTargets { part: MaskPart::Attention, first_convolution: false }, None);
    let found = paths(&method);
    assert_eq!(found, paths(&tuning(&model, ALL, None)));
    // Three of the stem, three of each of five blocks, four shortcuts, four of the pool.
    assert_eq!(found.len(), 3 + 15 + 4 + 4, "{found:?}");
    assert!(found.contains(&"layer2.0.downsample.0.weight") && found.contains(&"attnpool.q_proj.weight"));
    assert!(!found.iter().any(|path| path.contains("bn")));
    let mlp = MaskTargets { part: MaskPart::Mlp, first_convolution: false };
    assert_eq!(mlp.of(model.clip()).unwrap_err(), MaskError::NoMlp);
}

#[test]
fn a_dropout_that_keeps_everything_changes_nothing() {
    let (model, batch) = tiny_vit(&device());
    let plain = tuning(&model, ALL, None);
    let masks = mixed(&plain.parameters());
    let expected = plain.step(&masks, &batch).gradients;
    let dropout = |lambda| Some(GradientDropout { lambda, ..GradientDropout::default() });
    let kept = tuning(&model, ALL, dropout(0.0)).step(&masks, &batch).gradients;
    let dropped = tuning(&model, ALL, dropout(1.0)).step(&masks, &batch);
    let share = dropped.terms.iter().find(|(name, _)| *name == "kept").unwrap().1;
    let (mut zeros, mut all) = (0usize, 0usize);
    for (path, gradient) in expected {
        let gradient = host(gradient);
        compare(&path, &host(kept[&path].clone()), &gradient, 1e-9);
        for (found, whole) in host(dropped.gradients[&path].clone()).into_iter().zip(gradient) {
            assert!(found == 0.0 || (found - whole).abs() < 1e-9, "{path}: {found} of {whole}");
            zeros += usize::from(found == 0.0);
            all += 1;
        }
    }
    assert!((0.3..0.9).contains(&share), "{share}");
    assert!((zeros as f64 / all as f64 - (1.0 - share)).abs() < 1e-6);
}

#[test]
fn a_merged_model_needs_no_masks() {
    let device = device();
    let parts = [MaskPart::Attention, MaskPart::Mlp, MaskPart::All];
    let (vit, resnet) = (tiny_vit(&device), tiny_resnet(&device));
    let of_vit = parts.into_iter().flat_map(|part| [(&vit, part, false), (&vit, part, true)]);
    let of_resnet = [(&resnet, MaskPart::Attention, false), (&resnet, MaskPart::All, true)];
    for ((model, batch), part, first_convolution) in of_vit.chain(of_resnet) {
        let method = tuning(model, MaskTargets { part, first_convolution }, None);
        let what = |state: &str| format!("{state}, {part:?}, conv1 {first_convolution}");
        let fresh = method.parameters();
        assert_eq!(method.masks().sparsity(&fresh).off, 0);
        let plain = host(model.classify(batch.pixels.clone()));
        compare(&what("all on"), &host(method.logits(&fresh, batch.pixels.clone())), &plain, 1e-5);
        let masks = mixed(&fresh);
        let masked = host(method.logits(&masks, batch.pixels.clone()));
        let moved = masked.iter().zip(&plain).map(|(a, b)| (a - b).abs()).fold(0.0, f64::max);
        assert!(moved > 1e-2, "{}: {moved}", what("off"));
        let merged = method.merged(&masks).unwrap();
        let holder = ZeroShot::new(merged.clone(), model.text_features());
        // Text features are normalised once more, which moves logits of up to 50 by some units in the last place; 1e-4 is
        // what the recordings allow for logits of this scale.
        compare(&what("merged"), &host(holder.classify(batch.pixels.clone())), &masked, 1e-4);
        // What has no mask is as it was.
        for (before, after) in
            model.clip().parameters(Part::All).into_iter().zip(merged.parameters(Part::All))
        {
            if masks.get(&before.path).is_none() {
                assert_eq!(host(before.value), host(after.value), "{}", before.path);
            }
        }
    }
}

#[test]
fn sparsity_is_told_over_masks_and_over_the_tower() {
    let device = device();
    for (model, _) in [tiny_vit(&device), tiny_resnet(&device)] {
        let method = tuning(&model, ALL, None);
        let masks = mixed(&method.parameters());
        let sparsity = method.masks().sparsity(&masks);
        assert!((sparsity.share_of_masked() - 0.3).abs() < 0.03, "{sparsity:?}");
        let facts: BTreeMap<&str, f64> = method.facts(&masks).into_iter().collect();
        assert_eq!(facts["masked_weights"], masks.count() as f64);
        let off = host_of_all(&masks).into_iter().filter(|mask| *mask <= 5e-3).count();
        assert_eq!(facts["masked_weights_off"], off as f64);
        let tower = model.clip().parameters(Part::Image).into_iter();
        let tower = tower.filter(|parameter| !parameter.path.contains("running_"));
        let tower: usize = tower.map(|parameter| parameter.shape.iter().product::<usize>()).sum();
        assert_eq!(facts["tower_parameters"], tower as f64);
        assert!(masks.count() < tower);
        let percent = |whole: f64| 100.0 * off as f64 / whole;
        assert!((facts["off_percent_of_masked"] - percent(masks.count() as f64)).abs() < 1e-9);
        assert!((facts["off_percent_of_tower"] - percent(tower as f64)).abs() < 1e-9);
    }
}

fn host_of_all(parameters: &Parameters) -> Vec<f64> {
    parameters.iter().flat_map(|(_, leaf)| host(leaf.value.clone())).collect()
}
