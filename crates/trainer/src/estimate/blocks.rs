//! What a stack of transformer blocks costs: values that its backward pass needs, values that are alive at once, and
//! operations.
//!
//! Counted from the operations of `regulus_clip`'s blocks. Autodiff keeps, per block and token, of width `w` with an MLP
//! of width `m`:
//!
//! | Kept by | Values | When |
//! | --- | --- | --- |
//! | the two layer normalisations: their inputs | `2w` | always |
//! | attention: queries, keys and values | `3w` | always |
//! | activation: its input | `m` | always |
//! | `in_proj` and `out_proj`: their inputs | `2w` | their weights have gradients |
//! | `c_fc` and `c_proj`: their inputs | `w + m` | their weights have gradients |
//!
//! The scores of attention are recomputed head by head and never kept. That holds for the fused operations of the CPU
//! in f32. Elsewhere the operations are plain ones, which keep the softmax of all scores, `heads * tokens` per token,
//! and more of each normalisation and activation.

/// The sizes of a stack of blocks. Counts are `f64`: they come from files, and products of them must not overflow.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Blocks {
    pub width: f64,
    pub layers: f64,
    pub heads: f64,
    pub mlp: f64,
}

/// How numbers are stored and which operations there are.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Numbers {
    /// Bytes of a number inside the towers.
    pub bytes: f64,
    /// Whether the fused operations are used.
    pub fused: bool,
}

/// Bytes of a number outside the towers.
pub(super) const F32: f64 = 4.0;

/// What of a tower needs gradients.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(super) struct Tracked {
    /// Whether the tower's features depend on what is trained.
    pub any: bool,
    /// Whether weights of the attention have gradients.
    pub attention: bool,
    /// Whether weights of the MLP have gradients.
    pub mlp: bool,
    /// Whether all other weights have gradients too.
    pub all: bool,
    /// Low-rank updates beside the weights of each block, which see part of their inputs.
    pub branches: f64,
}

impl Tracked {
    /// Nothing is trained before or in the tower.
    pub const NOTHING: Self = Self { any: false, attention: false, mlp: false, all: false, branches: 0.0 };
    /// What enters the tower is trained, and none of its weights.
    pub const INPUT: Self = Self { any: true, ..Self::NOTHING };
    /// All weights are trained.
    pub const ALL: Self = Self { any: true, attention: true, mlp: true, all: true, branches: 0.0 };

    /// What either needs.
    pub fn or(self, other: Self) -> Self {
        Self {
            any: self.any || other.any,
            attention: self.attention || other.attention,
            mlp: self.mlp || other.mlp,
            all: self.all || other.all,
            branches: self.branches + other.branches,
        }
    }
}

/// Floating-point operations of one sample.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(super) struct Operations {
    /// Of a forward pass.
    pub forward: f64,
    /// Of a backward pass.
    pub backward: f64,
}

impl Blocks {
    /// Number of parameters.
    pub fn parameters(self) -> f64 {
        self.layers * (self.attention_weights() + self.mlp_weights() + 9.0 * self.width + self.mlp)
    }

    /// Entries of a block's attention matrices.
    pub fn attention_weights(self) -> f64 {
        4.0 * self.width * self.width
    }

    /// Entries of a block's MLP matrices.
    pub fn mlp_weights(self) -> f64 {
        2.0 * self.width * self.mlp
    }

    /// Bytes that autodiff keeps of one sample of so many tokens.
    pub fn kept(self, tokens: f64, tracked: Tracked, numbers: Numbers) -> f64 {
        if !tracked.any {
            return 0.0;
        }
        let Self { width, layers, heads, mlp } = self;
        let when = |needed: bool, values: f64| if needed { values } else { 0.0 };
        let inputs = when(tracked.attention, 2.0 * width) + when(tracked.mlp, width + mlp);
        let branches = 2.0 * width * tracked.branches * F32;
        let per_token = match numbers.fused {
            true => (5.0 * width + mlp + inputs) * F32,
            false => {
                let norms = 4.0 * width * F32;
                let scores = heads * tokens * (F32 + numbers.bytes);
                norms + scores + (3.0 * width + 2.0 * mlp + inputs) * numbers.bytes
            }
        };
        layers * tokens * (per_token + branches)
    }

    /// Bytes that are alive at once in a forward pass of one sample without gradients.
    pub fn alive(self, tokens: f64, numbers: Numbers) -> f64 {
        let Self { width, heads, mlp, .. } = self;
        let linear = (5.0 * width).max(2.0 * width + mlp) * numbers.bytes;
        match numbers.fused {
            true => tokens * linear,
            false => {
                tokens * (linear.max((2.0 * width + 2.0 * mlp) * numbers.bytes) + 2.0 * heads * tokens * F32)
            }
        }
    }

    /// Bytes of the gradients that a backward pass holds besides what was kept.
    pub fn gradients(self, tokens: f64, numbers: Numbers) -> f64 {
        let scores = if numbers.fused { 0.0 } else { 2.0 * self.heads * tokens * F32 };
        tokens * (2.0 * (self.width + self.mlp) * numbers.bytes + scores)
    }

    /// Operations of one sample. Attention's backward pass recomputes the scores and has four products for the forward
    /// pass's two.
    pub fn operations(self, tokens: f64, tracked: Tracked) -> Operations {
        let (attention, mlp) = (2.0 * self.attention_weights(), 2.0 * self.mlp_weights());
        let scores = 4.0 * tokens * self.width;
        let forward = attention + mlp + scores;
        let weights = if tracked.attention { attention } else { 0.0 } + if tracked.mlp { mlp } else { 0.0 };
        let backward = if tracked.any { attention + mlp + weights + 2.5 * scores } else { 0.0 };
        let times = self.layers * tokens;
        Operations { forward: times * forward, backward: times * backward }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TINY: Blocks = Blocks { width: 4.0, layers: 3.0, heads: 2.0, mlp: 16.0 };
    const FUSED: Numbers = Numbers { bytes: 4.0, fused: true };

    #[test]
    fn a_tiny_stack_by_hand() {
        // 3 blocks of 5 tokens; 5 * 4 + 16 values of each are kept, as f32.
        assert_eq!(TINY.kept(5.0, Tracked::INPUT, FUSED), 3.0 * 5.0 * 36.0 * 4.0);
        // And the inputs of all four matrices: 4 + 4 + 4 + 16.
        assert_eq!(TINY.kept(5.0, Tracked::ALL, FUSED), 3.0 * 5.0 * 64.0 * 4.0);
        assert_eq!(TINY.kept(5.0, Tracked::NOTHING, FUSED), 0.0);
        // in_proj 12 x 4 + 12, out_proj 4 x 4 + 4, c_fc 16 x 4 + 16, c_proj 4 x 16 + 4, two norms of 8.
        assert_eq!(TINY.parameters(), 3.0 * (60.0 + 20.0 + 80.0 + 68.0 + 16.0));
        // Two operations for each entry of a matrix, and 2 * 2 * tokens * width for the scores.
        let operations = TINY.operations(5.0, Tracked::INPUT);
        assert_eq!(operations.forward, 15.0 * (2.0 * 64.0 + 2.0 * 128.0 + 80.0));
        assert_eq!(operations.backward, 15.0 * (2.0 * 64.0 + 2.0 * 128.0 + 200.0));
    }

    #[test]
    fn plain_operations_keep_scores() {
        let plain = Numbers { bytes: 2.0, fused: false };
        let of = |tokens| TINY.kept(tokens, Tracked::INPUT, plain) / tokens;
        assert_eq!(of(10.0) - of(5.0), 3.0 * 2.0 * 5.0 * 6.0);
    }
}
