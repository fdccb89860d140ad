//! How many floating-point operations a device does in a second, measured by a short matrix product.

use std::sync::OnceLock;
use std::time::{Duration, Instant};

use burn::tensor::{Device, Tensor};

/// Sides of the product: those of a few hundred tokens in a layer of a ViT-B.
const ROWS: usize = 384;
const SIDE: usize = 768;

/// For how long products are made.
const LONG_ENOUGH: Duration = Duration::from_millis(60);

/// Floating-point operations per second of f32 products on `device`. Measured once in a process, on the first device
/// that it is asked for, in about a tenth of a second.
pub fn speed(device: &Device) -> f64 {
    static SPEED: OnceLock<f64> = OnceLock::new();
    *SPEED.get_or_init(|| measured(device))
}

fn measured(device: &Device) -> f64 {
    let a = Tensor::<2>::ones([ROWS, SIDE], device) * 0.5;
    let b = Tensor::<2>::ones([SIDE, SIDE], device) * 0.001;
    // Some devices compute only when a value is asked for.
    let product = || a.clone().matmul(b.clone()).slice([0..1, 0..1]).into_data();
    product();
    let (began, mut count) = (Instant::now(), 0u32);
    while count == 0 || began.elapsed() < LONG_ENOUGH {
        product();
        count += 1;
    }
    let operations = 2.0 * (ROWS * SIDE * SIDE) as f64 * f64::from(count);
    operations / began.elapsed().as_secs_f64().max(1e-9)
}
