//! Which weights matter, by gradient and by change.

use burn::tensor::Tensor;
use regulus_trainer::batches::Batch;
use regulus_trainer::method::Method;
use regulus_trainer::methods::{
    Importance, Measure, TensorImportance, importance_by_change, importance_by_gradient, weight_group,
};
use regulus_trainer::parameters::Parameters;
use regulus_trainer::zero_shot::ZeroShot;

use super::models::{ALL, tiny_resnet, tiny_vit, tuning};
use crate::support::{compare, device, host};

fn of<'a>(importance: &'a Importance, path: &str) -> &'a TensorImportance {
    importance.tensors.iter().find(|tensor| tensor.path == path).unwrap()
}

#[test]
fn by_gradient_it_is_the_mean_size_of_the_gradient() {
    let (model, batch) = tiny_vit(&device());
    let method = tuning(&model, ALL, None);
    let gradients = method.step(&method.parameters(), &batch).gradients;
    let importance = importance_by_gradient(&model, [batch.clone(), batch]);
    assert_eq!(importance.measure, Measure::Gradient);
    assert_eq!(importance.tensors[0].path, "visual.conv1.weight");
    for weight in method.masks().weights() {
        // With all masks on, the gradient of a mask is that of the weight times the weight.
        let slopes = host(gradients[&weight.path].clone());
        let sizes = slopes.iter().zip(host(weight.value.clone())).map(|(slope, value)| (slope / value).abs());
        let expected = sizes.sum::<f64>() / slopes.len() as f64;
        let found = of(&importance, &weight.path);
        assert_eq!(found.parameters, slopes.len());
        let value = found.importance.unwrap();
        assert!((value - expected).abs() < 1e-4 * expected, "{}: {value} against {expected}", weight.path);
    }
}

#[test]
fn batches_count_by_their_images() {
    let (model, batch) = tiny_vit(&device());
    let first = |count: usize| Batch {
        pixels: batch.pixels.clone().narrow(0, 0, count),
        labels: batch.labels.clone().narrow(0, 0, count),
        indices: batch.indices[..count].to_vec(),
        ..batch.clone()
    };
    let values = |batches: Vec<Batch>| -> Vec<f64> {
        let importance = importance_by_gradient(&model, batches);
        importance.tensors.iter().map(|tensor| tensor.importance.unwrap()).collect()
    };
    let (one, three) = (values(vec![first(1)]), values(vec![first(3)]));
    let expected: Vec<f64> = one.iter().zip(&three).map(|(one, three)| (one + 3.0 * three) / 4.0).collect();
    compare("one and three", &values(vec![first(1), first(3)]), &expected, 1e-7);
}

/// All weights of the tower, those of `path` changed by `change`.
fn changed(model: &ZeroShot, path: &str, change: impl Fn(Vec<f64>) -> Vec<f64>) -> Parameters {
    let mut trained = Parameters::default();
    for parameter in model.clip().parameters(regulus_clip::Part::Image) {
        let mut values = host(parameter.value);
        if parameter.path == path {
            values = change(values);
        }
        let single = values.into_iter().map(|value| value as f32).collect();
        trained.insert_values(parameter.path, single, parameter.shape, &model.clip().device());
    }
    trained
}

#[test]
fn by_change_it_is_relative_to_the_weights() {
    let (model, _) = tiny_vit(&device());
    let path = "visual.transformer.resblocks.1.mlp.c_fc.weight";
    let trained = changed(&model, path, |values| values.into_iter().map(|value| value * 1.5).collect());
    let importance = importance_by_change(model.clip(), &trained);
    assert_eq!(importance.measure, Measure::Change);
    for tensor in &importance.tensors {
        let expected = if tensor.path == path { 0.5 } else { 0.0 };
        let found = tensor.importance.unwrap();
        assert!((found - expected).abs() < 1e-6, "{}: {found}", tensor.path);
    }
    assert_eq!(importance.ranked()[0].path, path);

    // The group is one long vector: of three layers one has changed.
    let norm = |path: &str| {
        let weight = model.clip().parameters(regulus_clip::Part::Image);
        let weight = weight.into_iter().find(|parameter| parameter.path == path).unwrap();
        host(weight.value).iter().map(|value| value * value).sum::<f64>()
    };
    let layer = |layer: usize| norm(&format!("visual.transformer.resblocks.{layer}.mlp.c_fc.weight"));
    let groups = importance.groups();
    assert_eq!((groups[0].group, groups[0].tensors), ("MLP c_fc", 3));
    let expected = 0.5 * (layer(1) / (layer(0) + layer(1) + layer(2))).sqrt();
    assert!((groups[0].importance.unwrap() - expected).abs() < 1e-6);
    assert_eq!(groups.iter().map(|group| group.parameters).sum::<usize>(), trained.count());
}

#[test]
fn a_change_from_zero_has_no_relative_size() {
    let (model, _) = tiny_vit(&device());
    let path = "visual.ln_post.bias";
    let zero = [(path.to_owned(), Tensor::<1>::zeros([host_len(&model, path)], &device()))];
    let model = ZeroShot::new(model.clip().with_parameters(&zero.into()).unwrap(), model.text_features());
    let still = importance_by_change(model.clip(), &changed(&model, path, |values| values));
    assert_eq!(of(&still, path).importance, Some(0.0));
    let moved = changed(&model, path, |values| values.iter().map(|_| 1.0).collect());
    let moved = importance_by_change(model.clip(), &moved);
    assert_eq!(of(&moved, path).importance, None);
    assert_eq!(moved.ranked().last().unwrap().path, path, "it stands last");
    // The other layer norms are not zero, so that the group has a size.
    assert!(moved.groups()[0].group == "layer norms" && moved.groups()[0].importance.is_some());
}

fn host_len(model: &ZeroShot, path: &str) -> usize {
    let parameters = model.clip().parameters(regulus_clip::Part::Image);
    parameters.iter().find(|parameter| parameter.path == path).unwrap().shape.iter().product()
}

#[test]
fn every_weight_of_both_towers_is_of_a_kind() {
    let device = device();
    let groups = |model: &ZeroShot| {
        let importance = importance_by_change(model.clip(), &Parameters::default());
        assert!(importance.tensors.iter().all(|tensor| !tensor.path.contains("running_")));
        let mut groups: Vec<(&str, usize)> =
            importance.groups().iter().map(|group| (group.group, group.tensors)).collect();
        groups.sort_unstable();
        groups
    };
    let (vit, _) = tiny_vit(&device);
    // Three layers.
    let expected = [
        ("MLP c_fc", 3),
        ("MLP c_fc biases", 3),
        ("MLP c_proj", 3),
        ("MLP c_proj biases", 3),
        ("attention in_proj", 3),
        ("attention in_proj biases", 3),
        ("attention out_proj", 3),
        ("attention out_proj biases", 3),
        ("class and position embeddings", 2),
        ("conv1", 1),
        ("layer norms", 16),
        ("proj", 1),
    ];
    assert_eq!(groups(&vit), expected);
    let (resnet, _) = tiny_resnet(&device);
    // Five blocks, four of them with a shortcut.
    let expected = [
        ("attention pool biases", 4),
        ("attention pool c", 1),
        ("attention pool q, k, v", 3),
        ("batch norms", 2 * (3 + 15 + 4)),
        ("block convolutions", 15),
        ("position embeddings", 1),
        ("shortcut convolutions", 4),
        ("stem convolutions", 3),
    ];
    assert_eq!(groups(&resnet), expected);
    assert_eq!(weight_group(&vit.clip().visual, "visual.unheard_of"), "other");
}
