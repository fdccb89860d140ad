//! Devices by name. Nothing else in the workspace picks a device: `Device::default()` would prefer a GPU
//! as soon as one is compiled in, and a run must not change its numbers because of a feature flag.

mod backends;
mod failure;
mod listing;
mod memory;

pub use backends::Backend;
pub use failure::{DeviceFailure, guarded};
pub use listing::{Listed, State, list};
pub use memory::{DeviceMemory, memory_of};

use burn::tensor::Device;
use regulus_clip::Precision;
use regulus_kernels::{MatmulPrecision, amx_available};

/// A device name that cannot be used.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum DeviceError {
    /// The backend exists but this binary was built without it.
    #[error("device `{name}` is not compiled in; build with `--features {feature}`")]
    NotCompiledIn {
        /// The name that was asked for.
        name: String,
        /// The feature that brings it.
        feature: &'static str,
    },
    /// The backend is compiled in, but the machine has no such device.
    #[error(
        "there is no device `{name}` on this machine: its backend finds {found}; {hint}; `cargo xtask devices` lists what can be used"
    )]
    Missing {
        /// The name that was asked for.
        name: String,
        /// How many devices the backend finds.
        found: usize,
        /// What is usually missing.
        hint: &'static str,
    },
    /// No backend has this name.
    #[error(
        "unknown device `{name}`; known are {}, those of graphics processors also with a number, as in cuda:1",
        backends::names()
    )]
    Unknown {
        /// The name that was asked for.
        name: String,
    },
}

/// A number format that a device does not compute in.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("the device {device} does not compute in {}; use training.precision = \"f32\", or another device", .precision.name())]
pub struct PrecisionError {
    /// The device.
    pub device: String,
    /// The format that was asked for.
    pub precision: Precision,
}

/// Checks that `device`, called `name`, computes in `precision`.
///
/// # Errors
/// [`PrecisionError`] if it does not.
pub fn check_precision(device: &Device, name: &str, precision: Precision) -> Result<(), PrecisionError> {
    let fault = || PrecisionError { device: name.to_owned(), precision };
    precision.is_supported_by(device).then_some(()).ok_or_else(fault)
}

/// A way to multiply matrices that a device does not have.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error(
    "the device {device} multiplies matrices in its own way, not in {matmul}; leave `model.matmul` out, or use the device cpu"
)]
pub struct MatmulError {
    /// The device.
    pub device: String,
    /// What was asked for.
    pub matmul: MatmulPrecision,
}

/// Checks that the backend called `name` multiplies in `matmul`.
///
/// # Errors
/// [`MatmulError`] if it does not.
pub fn check_matmul(name: &str, matmul: MatmulPrecision) -> Result<(), MatmulError> {
    let fault = || MatmulError { device: name.to_owned(), matmul };
    (matmul == MatmulPrecision::F32 || name == "cpu").then_some(()).ok_or_else(fault)
}

/// What a person should know before products in `matmul` are computed without a matrix unit.
pub fn matmul_notice(matmul: MatmulPrecision) -> Option<String> {
    (matmul != MatmulPrecision::F32 && !amx_available()).then(|| {
        format!(
            "this processor has no matrix unit (AMX): products in {matmul} are computed by other instructions, with the \
             same results, but slower than in f32"
        )
    })
}

/// The device called `cpu` (or `flex`), `ndarray`, `wgpu`, `vulkan`, `metal`, `cuda` or `rocm`; `wgpu:1` is the second
/// of its backend's devices.
///
/// # Errors
/// [`DeviceError`] if the name is unknown, the backend is not compiled in, or the machine has no such device.
pub fn by_name(name: &str) -> Result<Device, DeviceError> {
    let (backend, index) = match name.split_once(':') {
        Some((backend, index)) => (backend, Some(index.parse::<usize>().ok())),
        None => (name, None),
    };
    let unknown = || DeviceError::Unknown { name: name.to_owned() };
    let backend = Backend::by_name(backend).ok_or_else(unknown)?;
    let index = index.map(|index| index.ok_or_else(unknown)).transpose()?;
    if backend.is_processor() && index.is_some_and(|index| index > 0) {
        return Err(unknown());
    }
    if !backend.is_compiled_in() {
        return Err(DeviceError::NotCompiledIn { name: name.to_owned(), feature: backend.feature() });
    }
    backend.open(index).map_err(|found| DeviceError::Missing {
        name: name.to_owned(),
        found,
        hint: backend.hint_where_missing(),
    })
}

/// The backend of a device name, as it enters an experiment's identity: `cuda:1` and `cuda:0` give the same numbers,
/// `cpu` and `cuda` do not.
pub fn kind(name: &str) -> String {
    let backend = name.split(':').next().unwrap_or(name);
    if backend == "flex" { "cpu".to_owned() } else { backend.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_checked() {
        assert!(by_name("cpu").is_ok());
        assert_eq!(by_name("tpu"), Err(DeviceError::Unknown { name: "tpu".into() }));
        assert_eq!(by_name("cuda:x"), Err(DeviceError::Unknown { name: "cuda:x".into() }));
    }

    #[test]
    fn kinds_ignore_the_index() {
        assert_eq!((kind("flex"), kind("cuda:1")), ("cpu".into(), "cuda".into()));
    }

    #[test]
    fn the_processor_computes_in_every_precision() {
        let device = by_name("cpu").unwrap();
        for precision in [Precision::F32, Precision::Bf16, Precision::F16] {
            assert_eq!(check_precision(&device, "cpu", precision), Ok(()));
        }
    }

    #[test]
    fn only_the_processor_has_ways_to_multiply() {
        for matmul in MatmulPrecision::ALL {
            assert_eq!(check_matmul("cpu", matmul), Ok(()));
        }
        assert_eq!(check_matmul("wgpu", MatmulPrecision::F32), Ok(()));
        let fault = check_matmul("wgpu", MatmulPrecision::Bf16x3).unwrap_err().to_string();
        assert!(
            fault.contains("wgpu") && fault.contains("bf16x3") && fault.contains("model.matmul"),
            "{fault}"
        );
        assert_eq!(matmul_notice(MatmulPrecision::F32), None);
        assert_eq!(matmul_notice(MatmulPrecision::Bf16).is_some(), !amx_available());
    }

    #[test]
    fn a_precision_that_is_missing_is_told_with_its_device() {
        let fault = PrecisionError { device: "ndarray".into(), precision: Precision::Bf16 };
        let told = "the device ndarray does not compute in bf16; use training.precision = \"f32\", or another device";
        assert_eq!(fault.to_string(), told);
    }

    #[cfg(feature = "ndarray")]
    #[test]
    fn a_device_without_16_bits_is_refused_by_name() {
        let device = by_name("ndarray").unwrap();
        assert_eq!(check_precision(&device, "ndarray", Precision::F32), Ok(()));
        for precision in [Precision::Bf16, Precision::F16] {
            let fault = check_precision(&device, "ndarray", precision).unwrap_err().to_string();
            assert!(fault.contains("ndarray") && fault.contains(precision.name()), "{fault}");
        }
    }

    #[cfg(not(feature = "cuda"))]
    #[test]
    fn a_missing_backend_names_its_feature() {
        let error = by_name("cuda:1").unwrap_err();
        assert_eq!(error.to_string(), "device `cuda:1` is not compiled in; build with `--features cuda`");
    }
}
