//! L2-SP: a quadratic pull towards the weights that fine-tuning started from.

use burn::tensor::Tensor;

use crate::norm::squared_norm;

/// `beta/2 Σ ‖w - w⁰‖²` over pairs of current and starting weights (Li et al. 2018, equation 2), summed in
/// the given order; `None` without pairs. The starting weights are detached.
///
/// # Shapes
///
/// - each pair: flattened weights, `[n]` both
/// - result: `[1]`
///
/// # Panics
///
/// If the two tensors of a pair differ in length.
pub fn l2_sp(pairs: impl IntoIterator<Item = (Tensor<1>, Tensor<1>)>, beta: f64) -> Option<Tensor<1>> {
    let distances = pairs.into_iter().map(|(current, start)| {
        assert_eq!(current.dims(), start.dims(), "l2_sp: current and starting weights differ in length");
        squared_norm(current - start.detach())
    });
    distances.reduce(|sum, distance| sum + distance).map(|sum| sum * (beta / 2.0))
}
