//! The devices that the tests run on, and conversions to and from them.

use burn::tensor::{DType, Device, Tensor};
use regulus_kernels::computes_in_f64;

/// The devices named in `REGULUS_TEST_DEVICES`, separated by commas; flex by default.
pub fn devices() -> Vec<Device> {
    let names = std::env::var("REGULUS_TEST_DEVICES").unwrap_or_else(|_| "flex".to_owned());
    names
        .split(',')
        .map(|name| match name {
            #[cfg(feature = "flex")]
            "flex" => Device::flex(),
            #[cfg(feature = "ndarray")]
            #[allow(deprecated, reason = "Burn keeps ndarray for now; parity is tested while it does")]
            "ndarray" => Device::ndarray(),
            #[cfg(feature = "wgpu")]
            "wgpu" => Device::wgpu(burn::tensor::DeviceKind::default()),
            #[cfg(feature = "cuda")]
            "cuda" => Device::cuda(burn::tensor::DeviceIndex::Default),
            _ => panic!("no test device `{name}` in this build"),
        })
        .collect()
}

/// The test devices that record gradients, each in f32 and, where it has it, in f64.
pub fn precisions() -> Vec<(Device, DType)> {
    let of = |device: Device| {
        let double = computes_in_f64(&device).then_some(DType::F64);
        let device = device.autodiff();
        [Some(DType::F32), double].into_iter().flatten().map(move |dtype| (device.clone(), dtype))
    };
    devices().into_iter().flat_map(of).collect()
}

/// The values of a tensor in f32.
pub fn values<const D: usize>(tensor: Tensor<D>) -> Vec<f32> {
    tensor.into_data().try_to_vec().unwrap()
}

/// The values of a tensor of any precision.
pub fn wide<const D: usize>(tensor: Tensor<D>) -> Vec<f64> {
    tensor.into_data().convert::<f64>().try_to_vec().unwrap()
}

/// Each row divided by its length.
pub fn unit(rows: Tensor<2>) -> Tensor<2> {
    let length = (rows.clone() * rows.clone()).sum_dim(1).sqrt();
    rows / length
}
