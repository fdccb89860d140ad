//! The classifier and the classes of an export, as files that any program reads.

use std::collections::HashMap;

use burn::tensor::Tensor;
use safetensors::tensor::{Dtype, TensorView};
use serde::Serialize;

use crate::merge::PlainClassifier;

#[derive(Serialize)]
struct Classes<'a> {
    classes: &'a [String],
    templates: &'a [String],
}

/// Names and templates.
pub(super) fn classes_json(classes: &[String], templates: &[String]) -> Result<String, serde_json::Error> {
    Ok(serde_json::to_string_pretty(&Classes { classes, templates })? + "\n")
}

/// A safetensors file: `text_features` `[classes, embed]` of unit length and `logit_scale` (a logarithm), or `weight`
/// `[classes, width]` and `bias` `[classes]`. The metadata entry `features` says whether image features have to be
/// brought to unit length before: `unit` or `raw`.
pub(super) fn bytes(classifier: &PlainClassifier, logit_scale: Tensor<1>) -> Result<Vec<u8>, String> {
    let matrix = |values: &Tensor<2>| (values.dims().to_vec(), encoded(values.clone()));
    let (tensors, features) = match classifier {
        PlainClassifier::Texts(texts) => {
            let scale = (Vec::new(), encoded(logit_scale));
            ([("logit_scale", scale), ("text_features", matrix(texts))], "unit")
        }
        PlainClassifier::Linear { weight, bias, unit_features } => {
            let bias = (bias.dims().to_vec(), encoded(bias.clone()));
            let features = if *unit_features { "unit" } else { "raw" };
            ([("bias", bias), ("weight", matrix(weight))], features)
        }
    };
    let views = tensors.iter().map(|(name, (shape, bytes))| {
        let view = TensorView::new(Dtype::F32, shape.clone(), bytes);
        view.map(|view| (*name, view)).map_err(|error| error.to_string())
    });
    let views: Vec<_> = views.collect::<Result<_, _>>()?;
    let metadata = HashMap::from([("features".to_owned(), features.to_owned())]);
    safetensors::serialize(views, Some(metadata)).map_err(|error| error.to_string())
}

fn encoded<const D: usize>(values: Tensor<D>) -> Vec<u8> {
    values.into_data_as::<f32>().iter::<f32>().flat_map(f32::to_le_bytes).collect()
}
