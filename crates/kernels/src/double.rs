//! Whether a device really computes in f64.

use burn::tensor::{Device, FloatDType, Tensor};

/// Whether `device` computes exponentials and logarithms of f64 in f64. That it holds and adds f64 is not enough:
/// Vulkan's shaders have these functions for f32 and f16 only, and what they make of an f64 is not a number at all.
pub fn computes_in_f64(device: &Device) -> bool {
    device.supports_dtype(FloatDType::F64) && is_exact(device)
}

fn is_exact(device: &Device) -> bool {
    const ALLOWED: f64 = 1e-14;
    let x = Tensor::<1>::from_data([0.7_f64].as_slice(), device).cast(FloatDType::F64);
    let value = |found: Tensor<1>| {
        found.into_data().try_to_vec::<f64>().ok().and_then(|found| found.first().copied())
    };
    let close =
        |found: Option<f64>, expected: f64| found.is_some_and(|found| (found - expected).abs() <= ALLOWED);
    // 0.7 is cast from whatever the device makes of it: compare with what it holds.
    let held = value(x.clone()).unwrap_or(f64::NAN);
    close(value(x.clone().exp()), held.exp()) && close(value(x.log()), held.ln())
}
