//! What can be computed on: every backend, and its devices on this machine.

use burn::tensor::{Device, Tensor};

use super::{Backend, DeviceFailure, DeviceMemory, guarded, memory_of};

/// A backend or one of its devices.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listed {
    /// What `--device` takes.
    pub name: String,
    /// The backend.
    pub backend: Backend,
    /// Whether it can be used.
    pub state: State,
}

/// Whether a device can be used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum State {
    /// This binary was built without its backend.
    NotCompiledIn,
    /// The backend finds no device.
    Missing,
    /// A small computation failed.
    Failing(DeviceFailure),
    /// A small computation gave the right result.
    Usable {
        /// The name of the part, where it has one.
        part: Option<String>,
        /// Its memory, where it is known.
        memory: Option<DeviceMemory>,
    },
}

impl Listed {
    /// The memory of a usable device, where it is known.
    pub fn memory(&self) -> Option<DeviceMemory> {
        match self.state {
            State::Usable { memory, .. } => memory,
            _ => None,
        }
    }
}

/// All backends in the order of [`Backend::ALL`], each with its devices. Each device computes a little.
pub fn list() -> Vec<Listed> {
    Backend::ALL.into_iter().flat_map(of_backend).collect()
}

fn of_backend(backend: Backend) -> Vec<Listed> {
    let listed = |name: String, state| Listed { name, backend, state };
    if !backend.is_compiled_in() {
        return vec![listed(backend.name().to_owned(), State::NotCompiledIn)];
    }
    let devices = match guarded(|| backend.devices()) {
        Ok(devices) if devices.is_empty() => return vec![listed(backend.name().to_owned(), State::Missing)],
        Ok(devices) => devices,
        Err(failure) => return vec![listed(backend.name().to_owned(), State::Failing(failure))],
    };
    let name = |index: usize| match backend.is_processor() {
        true => backend.name().to_owned(),
        false => format!("{}:{index}", backend.name()),
    };
    devices.iter().enumerate().map(|(index, device)| listed(name(index), tried(backend, device))).collect()
}

/// The state of a device after a small computation.
fn tried(backend: Backend, device: &Device) -> State {
    match guarded(|| computes(device).then(|| (part(backend, device), memory_of(backend, device)))) {
        Ok(Some((part, memory))) => State::Usable { part, memory },
        Ok(None) => State::Failing(DeviceFailure::Broken { message: "a small product is wrong".to_owned() }),
        Err(failure) => State::Failing(failure),
    }
}

fn computes(device: &Device) -> bool {
    let counted = Tensor::<1>::from_floats([1.0, 2.0, 3.0, 4.0], device).reshape([2, 2]);
    let product = counted.clone().matmul(counted).into_data();
    product.iter::<f32>().eq([7.0, 10.0, 15.0, 22.0])
}

#[cfg(any(feature = "wgpu", feature = "cuda", feature = "rocm"))]
fn part(backend: Backend, device: &Device) -> Option<String> {
    if backend.is_processor() { None } else { device.identity().map(|identity| identity.name) }
}

#[cfg(not(any(feature = "wgpu", feature = "cuda", feature = "rocm")))]
fn part(_backend: Backend, _device: &Device) -> Option<String> {
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_backend_is_listed_and_the_processor_computes() {
        let listed = list();
        for backend in Backend::ALL {
            let of_backend = || listed.iter().filter(move |entry| entry.backend == backend);
            assert!(of_backend().count() >= 1);
            let missing = of_backend().all(|entry| entry.state == State::NotCompiledIn);
            assert_eq!(missing, !backend.is_compiled_in(), "{backend:?}");
        }
        #[cfg(feature = "flex")]
        assert!(matches!(&listed[0], Listed { name, state: State::Usable { .. }, .. } if name == "cpu"));
    }

    #[test]
    fn what_is_listed_as_usable_opens_by_its_name() {
        for entry in list().iter().filter(|entry| matches!(entry.state, State::Usable { .. })) {
            assert!(crate::device::by_name(&entry.name).is_ok(), "{}", entry.name);
        }
    }
}
