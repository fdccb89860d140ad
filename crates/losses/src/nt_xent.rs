//! The contrastive loss of SimCLR: which images show the same, without a word about what they show.

use burn::tensor::{Int, Tensor};

use crate::cross_entropy;

/// NT-Xent of `2n` views of `n` images, of which row `i` and row `i + n` are of one image: cross-entropy of finding a
/// view's partner among all other views by cosine similarity,
/// `-log (exp(s(i, partner) / τ) / Σ_{k ≠ i} exp(s(i, k) / τ))` (Chen et al., "A Simple Framework for Contrastive
/// Learning of Visual Representations", ICML 2020, equation 1).
///
/// # Shapes
///
/// - `views`: projected features, rows of unit length, `[2n, width]`
/// - result: `[2n]`; SimCLR minimises its mean
///
/// # Panics
///
/// If the number of rows is odd or 0.
pub fn nt_xent(views: Tensor<2>, temperature: f64) -> Tensor<1> {
    let [rows, _] = views.dims();
    assert!(rows > 0 && rows.is_multiple_of(2), "nt_xent: {rows} views are not two of each image");
    let device = views.device();
    let places = Tensor::<1, Int>::arange(0..rows as i64, &device);
    let itself = places.clone().unsqueeze_dim::<2>(1).equal(places.unsqueeze::<2>());
    let similarities = views.clone().matmul(views.transpose()) / temperature;
    let partners: Vec<i64> = (0..rows).map(|row| ((row + rows / 2) % rows) as i64).collect();
    let partners = Tensor::from_data(partners.as_slice(), &device);
    cross_entropy(similarities.mask_fill(itself, f64::NEG_INFINITY), partners)
}
