//! Norms of long tensors, summed in an order that does not depend on threads: the reason why losses over
//! weights do not sum a tensor at once.

use burn::tensor::Tensor;

/// Elements summed at once. Burn's CPU backend sums larger tensors in an order that depends on the threads.
const ROW: usize = 1 << 12;

/// `‖x‖²` of `[n]`, as `[1]`.
pub(crate) fn squared_norm(x: Tensor<1>) -> Tensor<1> {
    total(x.clone() * x)
}

/// The sum of `[n]`, as `[1]`: sums of full rows first, then of the row sums and the rest.
pub(crate) fn total(x: Tensor<1>) -> Tensor<1> {
    let [length] = x.dims();
    let full = length / ROW * ROW;
    if full == 0 {
        return x.sum();
    }
    let rows = x.clone().narrow(0, 0, full).reshape([full / ROW, ROW]).sum_dim(1).sum();
    if full == length { rows } else { rows + x.narrow(0, full, length - full).sum() }
}

/// `‖x‖` of `[n]`, as `[1]`. Where `x` is zero the gradient is zero, as PyTorch's, and not the `0 · ∞` of the
/// chain rule.
pub(crate) fn norm(x: Tensor<1>) -> Tensor<1> {
    let squares = squared_norm(x);
    let zero = squares.clone().equal_elem(0.0);
    squares.mask_fill(zero.clone(), 1.0).sqrt().mask_fill(zero, 0.0)
}
