//! The operations of a CLIP-like transformer block as ordinary functions on tensors.
//!
//! Under autodiff, Burn's CPU backend builds linear layers, layer normalisation, GELU and attention from
//! primitives that read and write every activation several times. The functions here are exact
//! replacements: one call, one result, differentiable in every floating-point input. Tensors of the flex
//! backend take hand-written forward and backward passes; all others take the plain-Burn formulas of
//! [`mod@reference`].

mod activation;
mod attention;
mod convolution;
mod double;
#[cfg(feature = "flex")]
mod flex;
mod layer_norm;
mod linear;
mod masked;
mod packed;
#[cfg(feature = "flex")]
mod parallel;
#[cfg(feature = "flex")]
mod pieces;
mod products;
pub mod reference;
mod replay;
#[cfg(feature = "flex")]
mod simd;
mod softmax;
mod updates;

pub use activation::{Gelu, gelu_erf, gelu_tanh, quick_gelu};
pub use attention::{AttentionMask, attention};
pub use convolution::{Normalised, add_relu, batch_norm, conv2d, relu};
pub use double::computes_in_f64;
pub use layer_norm::layer_norm;
pub use linear::{add_linear, linear, linear_gelu};
pub use masked::{MaskedWeight, masked_linear, masked_weight};
pub use packed::{Packing, packed_attention};
pub use products::multiplying_in;
pub use regulus_matrix::{Precision as MatmulPrecision, amx_available};
pub use replay::{computing_anew, computing_once};
pub use softmax::log_softmax;
pub use updates::{AdamUpdate, Decay, MomentumUpdate};

/// Gives memory back that fused passes have kept for later results, and with glibc also what its heap keeps of freed
/// memory. Useful between parts of a program that need memory of other sizes, such as training and writing what was
/// trained; results are the same without it.
pub fn release_memory() {
    #[cfg(feature = "flex")]
    flex::memory::release();
}
