//! The backends that Regulus knows, whether or not this binary has them.

use burn::tensor::Device;

/// What computes: one of Burn's backends, under the name that `--device` takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Backend {
    /// The processor, with the kernels of `regulus-kernels`.
    Flex,
    /// The processor, by Burn's older backend: a second opinion.
    NdArray,
    /// Graphics processors by the graphics interface that wgpu finds.
    Wgpu,
    /// Graphics processors by Vulkan.
    Vulkan,
    /// Apple's graphics processors.
    Metal,
    /// NVIDIA's graphics processors.
    Cuda,
    /// AMD's graphics processors.
    Rocm,
}

impl Backend {
    /// All of them, the default first.
    pub const ALL: [Self; 7] =
        [Self::Flex, Self::NdArray, Self::Wgpu, Self::Vulkan, Self::Metal, Self::Cuda, Self::Rocm];

    /// The backend of a device name without its number. `flex` is another name of `cpu`.
    pub fn by_name(name: &str) -> Option<Self> {
        let name = if name == "flex" { "cpu" } else { name };
        Self::ALL.into_iter().find(|backend| backend.name() == name)
    }

    /// What `--device` calls it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Flex => "cpu",
            Self::NdArray => "ndarray",
            Self::Wgpu => "wgpu",
            Self::Vulkan => "vulkan",
            Self::Metal => "metal",
            Self::Cuda => "cuda",
            Self::Rocm => "rocm",
        }
    }

    /// The feature of every crate that brings it.
    pub fn feature(self) -> &'static str {
        if self == Self::Flex { "flex" } else { self.name() }
    }

    /// Whether it computes on the processor, of which there is one.
    pub fn is_processor(self) -> bool {
        matches!(self, Self::Flex | Self::NdArray)
    }

    /// Whether this binary has it.
    pub fn is_compiled_in(self) -> bool {
        match self {
            Self::Flex => cfg!(feature = "flex"),
            Self::NdArray => cfg!(feature = "ndarray"),
            Self::Wgpu => cfg!(feature = "wgpu"),
            Self::Vulkan => cfg!(feature = "vulkan"),
            Self::Metal => cfg!(feature = "metal"),
            Self::Cuda => cfg!(feature = "cuda"),
            Self::Rocm => cfg!(feature = "rocm"),
        }
    }

    /// Its devices on this machine; none where it is not compiled in.
    pub fn devices(self) -> Vec<Device> {
        match self {
            #[cfg(feature = "flex")]
            Self::Flex => vec![Device::flex()],
            #[cfg(feature = "ndarray")]
            #[allow(
                deprecated,
                reason = "Burn deprecates it; it stays the second opinion of the parity tests"
            )]
            Self::NdArray => vec![Device::ndarray()],
            #[cfg(feature = "wgpu")]
            Self::Wgpu => found(burn::tensor::DeviceType::Wgpu),
            #[cfg(feature = "vulkan")]
            Self::Vulkan => found(burn::tensor::DeviceType::Vulkan),
            #[cfg(feature = "metal")]
            Self::Metal => found(burn::tensor::DeviceType::Metal),
            #[cfg(feature = "cuda")]
            Self::Cuda => found(burn::tensor::DeviceType::Cuda),
            #[cfg(feature = "rocm")]
            Self::Rocm => found(burn::tensor::DeviceType::Rocm),
            #[allow(unreachable_patterns, reason = "a build may have all of them")]
            _ => Vec::new(),
        }
    }

    /// The device of a number; without one, the device that the backend prefers. The error is how many there are.
    pub(super) fn open(self, index: Option<usize>) -> Result<Device, usize> {
        let mut devices = self.devices();
        let count = devices.len();
        if index.unwrap_or(0) >= count {
            return Err(count);
        }
        #[cfg(feature = "wgpu")]
        if self == Self::Wgpu && index.is_none() {
            return Ok(Device::wgpu(burn::tensor::DeviceKind::DefaultDevice));
        }
        Ok(devices.swap_remove(index.unwrap_or(0)))
    }

    /// What is usually missing where it finds no device.
    pub fn hint_where_missing(self) -> &'static str {
        match self {
            Self::Flex | Self::NdArray => "this should not happen",
            Self::Wgpu | Self::Vulkan => {
                "on Linux it needs a Vulkan driver, such as the package mesa-vulkan-drivers, which also computes \
                 without a graphics processor"
            }
            Self::Metal => "it needs an Apple computer",
            Self::Cuda => "it needs an NVIDIA graphics processor, its driver and the CUDA toolkit",
            Self::Rocm => "it needs an AMD graphics processor and ROCm",
        }
    }
}

/// The names of all backends, for messages.
pub(super) fn names() -> String {
    Backend::ALL.map(Backend::name).join(", ")
}

#[cfg(any(feature = "wgpu", feature = "cuda", feature = "rocm"))]
fn found(kind: burn::tensor::DeviceType) -> Vec<Device> {
    Device::enumerate(kind).into_iter().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_backend_is_found_by_its_name() {
        for backend in Backend::ALL {
            assert_eq!(Backend::by_name(backend.name()), Some(backend));
        }
        assert_eq!(Backend::by_name("flex"), Some(Backend::Flex));
        assert_eq!(Backend::by_name("tpu"), None);
    }

    #[test]
    fn a_backend_that_is_not_compiled_in_has_no_devices() {
        for backend in Backend::ALL.into_iter().filter(|backend| !backend.is_compiled_in()) {
            assert!(backend.devices().is_empty(), "{backend:?}");
        }
    }
}
