//! SimCLR's loss against values by hand.

use burn::tensor::{DType, Device, Tensor, TensorData};
use regulus_losses::nt_xent;

use crate::devices::{devices, precisions, wide};

fn views(values: &[[f64; 2]], (device, dtype): (&Device, DType)) -> Tensor<2> {
    Tensor::from_data(TensorData::new(values.concat(), [values.len(), 2]), (device, dtype))
}

#[test]
fn four_views_by_hand() {
    // Similarities over 0.5: 0 of views 0 and 1, 1.2 of 0 and 2, -2 of 0 and 3, 1.6 of 1 and 2, 0 of 1 and 3,
    // -1.2 of 2 and 3. Views 0 and 2 are of one image.
    let rows = [[1.0, 0.0], [0.0, 1.0], [0.6, 0.8], [-1.0, 0.0]];
    let e = f64::exp;
    let expected = [
        (1.0 + e(1.2) + e(-2.0)).ln() - 1.2,
        (1.0 + e(1.6) + 1.0).ln(),
        (e(1.2) + e(1.6) + e(-1.2)).ln() - 1.2,
        (e(-2.0) + 1.0 + e(-1.2)).ln(),
    ];
    for (device, dtype) in precisions() {
        let losses = wide(nt_xent(views(&rows, (&device, dtype)), 0.5));
        assert_eq!(losses.len(), 4);
        for (loss, expected) in losses.iter().zip(expected) {
            assert!((loss - expected).abs() < 1e-6, "{losses:?} in {dtype:?}");
        }
    }
}

#[test]
fn one_image_has_no_other_to_be_taken_for() {
    for device in devices() {
        let losses = nt_xent(views(&[[1.0, 0.0], [0.0, 1.0]], (&device, DType::F32)), 0.1);
        assert_eq!(wide(losses), [0.0, 0.0]);
    }
}

#[test]
#[should_panic(expected = "3 views")]
fn a_view_without_a_partner_is_refused() {
    nt_xent(views(&[[1.0, 0.0]; 3], (&devices()[0], DType::F32)), 0.1);
}
