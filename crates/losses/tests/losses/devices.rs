//! The devices that the tests run on, and conversions to and from them.

use burn::tensor::{Device, Tensor};

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

/// The values of a tensor.
pub fn values<const D: usize>(tensor: Tensor<D>) -> Vec<f32> {
    tensor.into_data().try_to_vec().unwrap()
}
