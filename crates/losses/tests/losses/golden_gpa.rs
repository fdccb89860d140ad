//! Gaussian aggregation against values of the official code.

use half::f16;
use regulus_losses::{Aggregation, RunningAggregate};

use crate::recorded::{EXACTLY, Recorded, Tolerance, assert_close};

const CASES: &str = include_str!("../golden/gpa.json");
const TENSORS: &[u8] = include_bytes!("../golden/gpa.safetensors");
/// Of sums in f64 of values of the order of 1.
const DOUBLE: Tolerance = Tolerance { absolute: 1e-14, relative: 0.0 };
/// Of parameters in f32.
const SINGLE: Tolerance = Tolerance { absolute: 1e-6, relative: 0.0 };

#[test]
fn weights_and_aggregates_agree_with_the_recorded_ones() {
    let recorded = Recorded::new(CASES, TENSORS);
    assert_eq!(recorded.cases.len(), 4);
    for case in &recorded.cases {
        let key = case["key"].as_str().unwrap();
        let values = |part: &str| recorded.values(&format!("{key}.{part}"));
        let number = |key: &str| case[key].as_f64().unwrap();
        let aggregation = Aggregation::Gaussian { mean: number("mean"), std: number("std") };
        let epochs = number("epochs") as usize;

        let weights = aggregation.weights(epochs).unwrap();
        assert_close(key, &weights, &values("weights"), Tolerance { absolute: 0.0, relative: 1e-13 });

        let mut aggregate = RunningAggregate::new(aggregation, epochs).unwrap();
        let snapshots: Vec<f32> = values("snapshots").into_iter().map(|value| value as f32).collect();
        let length = snapshots.len() / epochs;
        let mut in_half = vec![f16::ZERO; length];
        for (snapshot, weight) in snapshots.chunks(length).zip(&weights) {
            aggregate.add(snapshot).unwrap();
            for (sum, &value) in in_half.iter_mut().zip(snapshot) {
                let product = f16::from_f64(f64::from(f16::from_f32(value)) * weight);
                *sum = f16::from_f32(f32::from(*sum) + f32::from(product));
            }
        }
        assert_close(key, aggregate.sum(), &values("aggregate"), DOUBLE);
        let rounded: Vec<f64> = aggregate.finish().unwrap().into_iter().map(f64::from).collect();
        assert_close(key, &rounded, &values("aggregate_f32"), SINGLE);

        // What half-precision checkpoints make of the official aggregation, with our weights.
        let in_half: Vec<f64> = in_half.into_iter().map(f64::from).collect();
        assert_close(key, &in_half, &values("aggregate_f16_rounded"), EXACTLY);
    }
}
