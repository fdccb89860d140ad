//! What unit tests share: the device under test and a comparison.

use burn::tensor::{Device, Tensor, TensorData};

/// The device that tests run on: the first of `REGULUS_TEST_DEVICES`, or `flex`.
pub(crate) fn device() -> Device {
    let names = std::env::var("REGULUS_TEST_DEVICES").unwrap_or_else(|_| "flex".into());
    crate::device::by_name(names.split(',').next().unwrap()).unwrap()
}

pub(crate) fn tensor(values: &[f32], device: &Device) -> Tensor<1> {
    Tensor::from_data(TensorData::from(values), device)
}

pub(crate) fn close(found: &Tensor<1>, expected: &[f32], tolerance: f32) {
    let found: Vec<f32> = found.to_data_as::<f32>().iter::<f32>().collect();
    assert_eq!(found.len(), expected.len());
    for (a, b) in found.iter().zip(expected) {
        assert!((a - b).abs() <= tolerance, "{found:?} against {expected:?}");
    }
}
