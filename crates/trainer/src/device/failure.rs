//! Devices that break off. Burn tells so by a panic where a value is read, long after the operation at fault; here it
//! becomes an error that says whether memory ran out.

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};

/// Why a device did not compute what it was asked to.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DeviceFailure {
    /// Its memory was not enough.
    #[error("it ran out of memory{}", .bytes.map(|bytes| format!(" when {} more were asked for", crate::estimate::bytes(bytes))).unwrap_or_default())]
    OutOfMemory {
        /// Size of the allocation that failed, if the device says so.
        bytes: Option<u64>,
    },
    /// Anything else.
    #[error("it broke off: {message}")]
    Broken {
        /// What the backend says.
        message: String,
    },
}

/// How backends tell that an allocation failed, in their messages and in the names of their errors, in lower case.
const SIGNS: [&str; 8] = [
    "out of device memory",
    "outofmemory",
    "out of memory",
    "out_of_memory",
    "out_of_device_memory",
    "can't allocate buffer",
    "buffertoobig",
    "not enough memory",
];

/// Runs what a graphics processor computes. A panic becomes a [`DeviceFailure`]; the state that `compute` was changing
/// should not be used any more.
///
/// # Errors
/// [`DeviceFailure`] if `compute` panics.
pub fn guarded<T>(compute: impl FnOnce() -> T) -> Result<T, DeviceFailure> {
    catch_unwind(AssertUnwindSafe(compute)).map_err(|panic| DeviceFailure::of(panic.as_ref()))
}

impl DeviceFailure {
    fn of(panic: &(dyn Any + Send)) -> Self {
        let text = panic.downcast_ref::<String>().map(String::as_str);
        Self::of_message(text.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("no message"))
    }

    fn of_message(message: &str) -> Self {
        let told = message.lines().map(str::to_ascii_lowercase).find_map(|line| {
            let place = SIGNS.iter().find_map(|sign| line.find(sign))?;
            Some(line[place..].to_owned())
        });
        match told {
            Some(told) => Self::OutOfMemory { bytes: first_number(&told) },
            None => {
                let first = message.lines().find(|line| !line.trim().is_empty()).unwrap_or(message);
                Self::Broken { message: first.trim().to_owned() }
            }
        }
    }
}

/// The first number of a text, unless it is the end of a word.
fn first_number(text: &str) -> Option<u64> {
    let digits = text.split(|sign: char| !sign.is_ascii_alphanumeric());
    digits.take(8).find_map(|word| word.parse().ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn running_out_of_memory_is_told_apart() {
        for (message, bytes) in [
            (
                "called `Result::unwrap()` on an `Err` value: OutOfMemory { size: 4096, backtrace: .. }",
                Some(4096),
            ),
            ("out of device memory allocating 77 bytes\n0: a_2::b", Some(77)),
            ("can't allocate buffer of size: 12884901888\n", Some(12_884_901_888)),
            ("CUDA_ERROR_OUT_OF_MEMORY", None),
            ("wgpu error: Out of Memory\n  0: a::b at 17", None),
            ("Failed: VK_ERROR_OUT_OF_DEVICE_MEMORY", None),
        ] {
            assert_eq!(DeviceFailure::of_message(message), DeviceFailure::OutOfMemory { bytes }, "{message}");
        }
        let broken = DeviceFailure::of_message("\n  the device is lost\nbacktrace");
        assert_eq!(broken, DeviceFailure::Broken { message: "the device is lost".into() });
    }

    #[test]
    fn a_panic_becomes_a_failure() {
        assert_eq!(guarded(|| 3), Ok(3));
        let failure = guarded(|| -> u8 { panic!("out of memory: {}", 5_000_000_000_u64) }).unwrap_err();
        assert_eq!(failure, DeviceFailure::OutOfMemory { bytes: Some(5_000_000_000) });
        assert!(failure.to_string().contains("5.0 GB"), "{failure}");
    }
}
