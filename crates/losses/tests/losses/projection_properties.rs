//! What must hold for ProGrad's projection, whatever the gradients.

use burn::tensor::Tensor;
use proptest::prelude::*;
use regulus_losses::without_opposed_part;

use crate::devices::{devices, values};

/// Numbers of very different sizes, zero included.
fn number() -> impl Strategy<Value = f32> {
    prop_oneof![Just(0f32), -1f32..1.0, -1e-7f32..1e-7, -1e3f32..1e3, -1e-25f32..1e-25]
}

fn dot(a: &[f32], b: &[f32]) -> f64 {
    a.iter().zip(b).map(|(a, b)| f64::from(*a) * f64::from(*b)).sum()
}

fn length(a: &[f32]) -> f64 {
    dot(a, a).sqrt()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 128, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn the_opposed_part_goes_and_nothing_else(
        pairs in prop::collection::vec((number(), number()), 1..40), copies in 1usize..300, lambda in 0.0..=1.0,
    ) {
        // Long gradients are summed in rows.
        let pairs = pairs.repeat(copies);
        let (a, b): (Vec<f32>, Vec<f32>) = pairs.into_iter().unzip();
        for device in devices() {
            let tensor = |values: &[f32]| Tensor::<1>::from_data(values, &device);
            let projected = |lambda| values(without_opposed_part(tensor(&a), tensor(&b), lambda));
            let (whole, part) = (projected(1.0), projected(lambda));
            prop_assert!(whole.iter().chain(&part).all(|value| value.is_finite()));
            prop_assert_eq!(&projected(0.0), &a);
            let (product, slack) = (dot(&a, &b), 1e-5 * length(&a) * length(&b));
            if product > slack {
                prop_assert_eq!(&whole, &a, "they agree");
            }
            let rest = dot(&whole, &b);
            prop_assert!(rest >= -slack, "{rest} is left of {product}");
            if product < -slack {
                prop_assert!(rest.abs() <= slack, "{rest} is left of {product}");
                let expected = (1.0 - lambda) * product;
                prop_assert!((dot(&part, &b) - expected).abs() <= slack, "lambda {lambda} of {product}");
            }
            prop_assert!(length(&whole) <= length(&a) * (1.0 + 1e-5), "a projection is never longer");
        }
    }
}
