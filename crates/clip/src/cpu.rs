//! Which device is Burn's CPU backend, of which this crate takes advantage.

use burn::tensor::Device;

/// Whether operations are the fused ones of Burn's CPU backend, and tensors lie in this program's own memory.
pub(crate) fn is_cpu(device: &Device) -> bool {
    #[cfg(feature = "flex")]
    return *device == Device::flex();
    #[cfg(not(feature = "flex"))]
    {
        let _ = device;
        false
    }
}
